"""Hosts and servers for tests."""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import unittest
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from streamtask_client import Host, HostError, State

ROOT = Path(__file__).resolve().parents[3]
BINARIES = [
    Path(os.environ.get("STREAMTASK_BIN", "")),
    ROOT / "target/release/streamtask",
    ROOT / "target/debug/streamtask",
]
FOLDERS = [
    *(Path(folder) for folder in os.environ.get("STREAMTASK_KIT", "").split(os.pathsep) if folder),
    ROOT / "tests/guests/target/wasm32-wasip2/release",
    ROOT / "example-tasks/target/wasm32-wasip2/release",
]
# What hosts have compiled, for all of them: to compile a guest takes longer than most tests.
_COMPILED = tempfile.mkdtemp(prefix="streamtask-compiled-")
atexit.register(shutil.rmtree, _COMPILED, ignore_errors=True)
PATIENCE = 60
"""The longest, in seconds, that anything may take before it counts as stuck."""


def lacks(what: str) -> Exception:
    """Skips the test that lacks something, but never in CI."""
    if os.environ.get("CI") in ("true", "1"):
        return RuntimeError(f"CI is set, so nothing may be left out: it needs {what}")
    return unittest.SkipTest(f"it needs {what}")


class TestHost:
    """A host of its own, with tasks of the app `demo`; it can be killed and started again."""

    __test__ = False

    def __init__(self, test: unittest.TestCase, *tasks: str) -> None:
        binary = next((path for path in BINARIES if path.is_file()), None)
        if binary is None:
            raise lacks("the host, whose path is in STREAMTASK_BIN")
        self._binary = binary
        self._folder = Path(tempfile.mkdtemp(prefix="streamtask-client-"))
        test.addCleanup(shutil.rmtree, self._folder, ignore_errors=True)
        (self._folder / "tasks/demo").mkdir(parents=True)
        (self._folder / "data").mkdir()
        (self._folder / "data/cache").symlink_to(_COMPILED)
        for task in tasks:
            names = [f"{task}.wasm", f"{task.replace('-', '_')}.wasm"]
            files = (folder / name for folder in FOLDERS for name in names)
            file = next((file for file in files if file.is_file()), None)
            if file is None:
                raise lacks(f"{task}.wasm in a folder of STREAMTASK_KIT")
            shutil.copy(file, self._folder / f"tasks/demo/{task}.wasm")
        self._port = 0
        test.addCleanup(self.kill)
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Again on the same port and data."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("STREAMTASK_")}
        self._process = subprocess.Popen(
            [self._binary, "serve", "--listen", f"127.0.0.1:{self._port}", "--durability", "normal"],
            cwd=self._folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        log = self._process.stderr
        assert log is not None
        said = []
        for line in log:
            said.append(line)
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found:
                self._port = int(found[1])
                break
        else:
            raise AssertionError(f"the host ended: {said}")
        # So that it never waits for a reader.
        threading.Thread(target=lambda: [None for _ in log], daemon=True).start()
        self._await_tasks()

    def _await_tasks(self) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                Host(self.url).request("GET", "/readyz")
                return
            except HostError as error:
                if error.status != 503 or time.monotonic() > until:
                    raise
            time.sleep(0.01)

    def kill(self) -> None:
        """As `kill -9` does."""
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()


Answer = Callable[[BaseHTTPRequestHandler, int], None]


class Server:
    """A server whose answer to each request is up to `answer(request, nth)`."""

    def __init__(self, test: unittest.TestCase, answer: Answer) -> None:
        self.requests: list[BaseHTTPRequestHandler] = []
        requests, lock = self.requests, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with lock:
                    requests.append(self)
                    nth = len(requests)
                answer(self, nth)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        test.addCleanup(server.server_close)
        test.addCleanup(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_address[1]}"

    def positions(self) -> list[int]:
        """What each request for the stream said it had seen."""
        streams = [request for request in self.requests if request.path.startswith("/stream/")]
        return [int(request.headers.get("last-event-id", "0")) for request in streams]


RUN = {"id": "r", "stream": "/stream/a/t/r", "status": "running"}


def reply(request: BaseHTTPRequestHandler, status: int, body: Any = None, **headers: str) -> None:
    """A whole answer of JSON."""
    content = b"" if body is None else json.dumps(body).encode()
    request.send_response(status)
    request.send_header("content-type", "application/json")
    request.send_header("content-length", str(len(content)))
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.end_headers()
    request.wfile.write(content)


def stream(request: BaseHTTPRequestHandler, *lines: bytes) -> None:
    """A stream that the end of the connection ends."""
    request.send_response(200)
    request.send_header("content-type", "application/x-ndjson")
    request.end_headers()
    for line in lines:
        request.wfile.write(line)
    request.wfile.flush()


def locate(request: BaseHTTPRequestHandler) -> bool:
    """Whether that was a question for the run, which is answered now."""
    if request.path.startswith("/api/runs/"):
        reply(request, 200, RUN)
        return True
    return False


def line(seq: int, kind: str = "tick") -> bytes:
    """An event as the host sends it."""
    return json.dumps({"type": kind, "data": seq, "seq": seq, "attempt": 1}).encode() + b"\n"


END = "run.completed"


class States(list[State]):
    """Listens to the states of a connection."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()

    def __call__(self, state: State) -> None:
        with self._changed:
            self.append(state)
            self._changed.notify_all()

    def wait_for(self, name: str, since: int = 0) -> None:
        """Until such a state has come."""
        with self._changed:
            came = lambda: any(state.state == name for state in self[since:])
            assert self._changed.wait_for(came, PATIENCE), f"stuck: no state {name}"


def free_port() -> int:
    """On which nobody listens."""
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port: int = own.getsockname()[1]
        return port
