"""HTTP requests to a host."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from ._errors import refusal

Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]
# The default for "no body", because None is a body: JSON null.
NOTHING: Any = object()
Query = Mapping[str, "str | int | float | bool | Iterable[str] | None"]


class Address:
    """A host's address, and the headers of every request to it."""

    def __init__(
        self, url: str, *, headers: Headers | None = None, context: ssl.SSLContext | None = None, timeout: float = 30.0
    ) -> None:
        """`headers` are sent with every request; a function is called for each one. `context` is for TLS.
        `timeout` limits the seconds without data, except for streams."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ValueError(f"{url!r} is not the address of a host, such as http://127.0.0.1:8080")
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._name, self._port = parts.hostname, parts.port
        # The path of a host behind a proxy.
        self._path = parts.path.rstrip("/")
        self._headers = headers
        self._context = context or (ssl.create_default_context() if parts.scheme == "https" else None)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Any = NOTHING,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Sends any request, and returns the response's JSON."""
        content = None if body is NOTHING else json.dumps(body, allow_nan=False).encode()
        own = {"accept": "application/json"}
        if content is not None:
            own["content-type"] = "application/json"
        own.update(headers or {})
        with self.answer(method, path, query=query, content=content, headers=own, timeout=timeout) as (response, _):
            text = response.read()
        return json.loads(text) if text else None

    @contextmanager
    def answer(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        on_connect: Callable[[socket.socket], None] = lambda _: None,
    ) -> Iterator[tuple[http.client.HTTPResponse, socket.socket]]:
        """A response whose body has not been read, and its connection."""
        connection = self._connect(timeout or self.timeout)
        own = self._headers() if callable(self._headers) else self._headers
        target = self._path + path + _written(query or {})
        try:
            connection.connect()
            # Read now: `connection.sock` is None once the response closes the connection.
            peer: socket.socket = connection.sock
            on_connect(peer)
            connection.request(method, target, content, {**(own or {}), **(headers or {})})
            response = connection.getresponse()
            with response:
                if not 200 <= response.status < 300:
                    raise refusal(response)
                yield response, peer
        finally:
            connection.close()

    def _connect(self, timeout: float) -> http.client.HTTPConnection:
        if self._context is None:
            return http.client.HTTPConnection(self._name, self._port, timeout=timeout)
        return http.client.HTTPSConnection(self._name, self._port, timeout=timeout, context=self._context)


def _written(query: Query) -> str:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items():
        values = [] if value is None else [value] if isinstance(value, (str, int, float)) else value
        pairs += [(name, str(one).lower() if isinstance(one, bool) else str(one)) for one in values]
    return f"?{urlencode(pairs)}" if pairs else ""


def segment(name: str) -> str:
    """Escapes a name for use in a path."""
    return quote(name, safe="")
