"""Makes `urllib.request.urlopen` use the host, if the task has imported it."""

from __future__ import annotations

import io
from types import ModuleType
from typing import Any

from . import _context
from ._host import Request
from ._response import Response, wait


def install(request: ModuleType) -> None:
    """Makes `urlopen` work. The module is an argument and not an import, so that a task that
    does not use it does not contain it."""

    class Handler(request.BaseHandler):  # type: ignore[name-defined,misc]
        # Before the handlers that open a socket.
        handler_order = 100

        def http_open(self, asked: Any) -> Any:
            return _open(request, asked)

        https_open = http_open

    request.install_opener(request.build_opener(Handler))


def _open(module: ModuleType, asked: Any) -> Any:
    host = _context.current()._host
    data = asked.data
    if data is not None and not isinstance(data, bytes):
        data = data.read() if hasattr(data, "read") else b"".join(data)
    timeout = asked.timeout if isinstance(asked.timeout, (int, float)) else None
    # urllib capitalises names unusually: `Content-type`.
    headers = [(name.lower(), str(value)) for name, value in asked.header_items()]
    if data is not None and "content-type" not in dict(headers):
        headers.append(("content-type", "application/x-www-form-urlencoded"))
    sent = Request(asked.get_method(), asked.full_url.partition("#")[0], headers, data or b"", timeout)
    response = Response(sent, wait(host, host.fetch(sent)), host)
    fields = module.email.message.Message()
    for name, value in response.headers.multi_items():
        fields[name] = value
    opened = module.addinfourl(io.BufferedReader(_Body(response)), fields, sent.url, response.status_code)
    opened.msg = opened.reason = ""
    return opened


class _Body(io.RawIOBase):
    def __init__(self, response: Response) -> None:
        self._response = response
        self._parts = response.iter_bytes()
        self._part = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._part:
            self._part = memoryview(next(self._parts, b""))
        size = min(len(buffer), len(self._part))
        buffer[:size] = self._part[:size]
        self._part = self._part[size:]
        return size

    def close(self) -> None:
        self._response.close()
        super().close()
