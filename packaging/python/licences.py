"""Writes the licences of the libraries in the program. `cargo xtask package` calls it:

    python3 licences.py TARGET FILE
"""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "streamtask-host"
TEXTS = re.compile(r"(licen[cs]e|copying|notice|unlicense|copyright)", re.IGNORECASE)
HEAD = """\
The program `streamtask` contains these libraries, and the standard library of Rust (Apache-2.0 OR MIT,
https://www.rust-lang.org/policies/licenses). Each list of names has the text of their licence below it.
"""


def metadata(target: str) -> dict:
    cargo = [os.environ.get("CARGO", "cargo"), "metadata", "--format-version=1", "--locked"]
    command = [*cargo, f"--filter-platform={target}"]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def linked(found: dict) -> list[dict]:
    """The packages that are linked into the program: macros and what builds run are not."""
    packages = {package["id"]: package for package in found["packages"]}
    nodes = {node["id"]: node for node in found["resolve"]["nodes"]}
    todo = [id for id, package in packages.items() if package["name"] == PROGRAM]
    seen = set(todo)
    while todo:
        for dependency in nodes[todo.pop()]["deps"]:
            id = dependency["pkg"]
            is_macro = any("proc-macro" in target["kind"] for target in packages[id]["targets"])
            is_linked = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if id not in seen and is_linked and not is_macro:
                seen.add(id)
                todo.append(id)
    # Those without a source are in this repository.
    others = (packages[id] for id in seen if packages[id]["source"])
    return sorted(others, key=lambda package: (package["name"], package["version"]))


def texts(package: dict) -> list[str]:
    folder = Path(package["manifest_path"]).parent
    files = sorted(file for file in folder.iterdir() if file.is_file() and TEXTS.match(file.name))
    return ["\n".join(file.read_text("utf-8", "replace").split("\n")).strip() for file in files]


def write(target: str, to: Path) -> None:
    names = defaultdict(list)
    for package in linked(metadata(target)):
        name = f"{package['name']} {package['version']} ({package['license'] or 'see below'})"
        for text in texts(package) or ["(The package has no text. Its licence is the one in brackets.)"]:
            names[text].append(name)
    parts = [HEAD]
    parts += ["\n".join(those) + "\n\n" + text + "\n" for text, those in names.items()]
    # The host serves the client for browsers, which has libraries of its own.
    parts.append((ROOT / "web/client/LICENSES-BUNDLED.txt").read_text("utf-8"))
    to.write_text(f"\n{'=' * 80}\n\n".join(parts), "utf-8")


if __name__ == "__main__":
    write(sys.argv[1], Path(sys.argv[2]))
