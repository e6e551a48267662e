"""`python -m streamtask build FILE`: builds the component of a task."""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

WORLD = "python-task"

# The body of the script `componentize-py`. The script itself contains the path of its
# Python, and fails if the folder was moved.
_COMPILER = "import sys, componentize_py; sys.exit(componentize_py.script())"

COMPILER = "componentize-py==0.25.1"
_MISSING = f"componentize-py is not installed: run `python -m pip install {COMPILER}`"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m streamtask", description="Builds tasks for streamtask.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser("build", help="build the component of a task")
    command.add_argument("file", type=Path, metavar="FILE", help="the task's file, such as count.py")
    command.add_argument(
        "-o", "--output", type=Path, metavar="WASM", help="the component to write [default: NAME.wasm beside NAME.py]"
    )
    command.add_argument(
        "-p", "--path", type=Path, action="append", default=[], help="a folder with Python packages; repeatable"
    )
    given = parser.parse_args(arguments)
    problem = build(given.file, given.output, given.path)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problem else 0


def build(file: Path, output: Path | None = None, path: list[Path] | None = None) -> str | None:
    """Builds the component. Returns an error message, or None."""
    if file.suffix != ".py" or not file.is_file():
        return f"{file} is not a Python file"
    name = file.stem
    if not name.isidentifier():
        return f"{file}: Python can't import a file with this name: call it {name.replace('-', '_')}.py"
    if name in ("wit_world", "streamtask", WORLD.replace("-", "_")) or name in sys.stdlib_module_names:
        return f"{file}: a file with this name would shadow a module: call it task_{name}.py"
    if importlib.util.find_spec("componentize_py") is None:
        return _MISSING
    package = Path(__file__).resolve().parent
    output = (output or file.with_name(f"{name.replace('_', '-')}.wasm")).resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    # Renamed when complete, because a host may be watching the folder. It ignores hidden files.
    unfinished = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    command = [sys.executable, "-c", _COMPILER, "-d", str(package / "wit"), "-w", WORLD, "componentize", name]
    for folder in [file.resolve().parent, *(path or []), package.parent]:
        command += ["-p", str(folder)]
    # As set by `source bin/activate`; otherwise, it looks for packages of the `python3` on the PATH.
    environment = dict(os.environ)
    if sys.prefix != sys.base_prefix:
        environment["VIRTUAL_ENV"] = sys.prefix
    try:
        done = subprocess.run(
            [*command, "-o", str(unfinished)], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            return _problem(file, done.stderr or done.stdout)
        os.replace(unfinished, output)
    finally:
        unfinished.unlink(missing_ok=True)
    print(f"{output} ({output.stat().st_size / 1e6:.1f} MB)")
    return None


def _problem(file: Path, said: str) -> str:
    """The error message of the compiler, without its own details.

    >>> print(_problem(Path("a.py"), "Traceback:\\n  x\\nAssertionError: KeyError: 1\\n\\nCaused by:\\n    KeyError"))
    a.py can't be built: KeyError: 1
    """
    said = said.partition("Stack backtrace:")[0].partition("\nCaused by:")[0]
    said = said.partition("AssertionError: ")[2].strip() or said.strip()
    if "has no attribute 'WitWorld'" in said:
        return f"{file} has no task: a function with `@task`, or a class that extends `StreamTask`"
    return f"{file} can't be built: {said}"


if __name__ == "__main__":
    sys.exit(main())
