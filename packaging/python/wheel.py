"""Writes a wheel that carries a program (PEP 427). `cargo xtask package wheel` calls it.

It has no module: `streamtask` is that of the SDK, and both may be in one environment.
"""

import argparse
import base64
import hashlib
import time
import zipfile
from pathlib import Path

# What a zip file can't be older than.
OLDEST = time.mktime((1980, 1, 2, 0, 0, 0, 0, 0, 0))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("name", "version", "summary", "repository", "tag"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--time", type=int, required=True, help="of all files, in seconds since 1970")
    parser.add_argument("--program", type=Path, required=True)
    parser.add_argument("--readme", type=Path, required=True)
    parser.add_argument("--licence", type=Path, action="append", required=True)
    parser.add_argument("wheel", type=Path)
    return parser.parse_args()


def metadata(given: argparse.Namespace) -> str:
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {given.name}",
        f"Version: {given.version}",
        f"Summary: {given.summary}",
        "License-Expression: Apache-2.0 OR MIT",
        *(f"License-File: {file.name}" for file in given.licence),
        f"Project-URL: Repository, {given.repository}",
        "Classifier: Operating System :: POSIX :: Linux",
        "Classifier: Programming Language :: Rust",
        "Description-Content-Type: text/markdown",
        "",
        given.readme.read_text("utf-8"),
    ]
    return "\n".join(lines)


def write(given: argparse.Namespace) -> None:
    base = f"{given.name}-{given.version}"
    about = f"{base}.dist-info"
    wheel = f"Wheel-Version: 1.0\nGenerator: streamtask\nRoot-Is-Purelib: false\nTag: {given.tag}\n"
    files = [
        (f"{base}.data/scripts/{given.name}", given.program.read_bytes(), 0o755),
        *((f"{about}/licenses/{file.name}", file.read_bytes(), 0o644) for file in given.licence),
        (f"{about}/METADATA", metadata(given).encode(), 0o644),
        (f"{about}/WHEEL", wheel.encode(), 0o644),
    ]
    moment = time.gmtime(max(given.time, OLDEST))[:6]
    record = []
    with zipfile.ZipFile(given.wheel, "w", zipfile.ZIP_DEFLATED) as archive:

        def add(path: str, content: bytes, mode: int) -> None:
            entry = zipfile.ZipInfo(path, moment)
            entry.external_attr = (0o100000 | mode) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)

        for path, content, mode in files:
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(content)}")
            add(path, content, mode)
        record.append(f"{about}/RECORD,,")
        add(f"{about}/RECORD", ("\n".join(record) + "\n").encode(), 0o644)


if __name__ == "__main__":
    write(arguments())
