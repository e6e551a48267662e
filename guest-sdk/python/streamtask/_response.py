"""The response to an HTTP request, and its errors."""

from __future__ import annotations

import codecs
import json as _json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

from . import _loop
from ._errors import Cancelled, Failure
from ._host import Exchange, Host, Request, Steps
from ._sse import Events, Lines, ServerSentEvent

T = TypeVar("T")

# How soon a run that waits for a response detects its cancellation, in milliseconds.
_SLICE = 200
_REDIRECTS = (301, 302, 303, 307, 308)
# Errors and statuses that another attempt could avoid.
_TRANSIENT = ("connection-", "dns-", "destination-unavailable", "http-response-")
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)


class HTTPError(Exception):
    """Base class of the errors of requests and responses."""


class RequestError(HTTPError, OSError):
    """The request got no response. `code` is the error code of wasi:http, such as
    `denied`, `connection-refused` or `dns-error`."""

    def __init__(self, message: str, *, code: str = "refused") -> None:
        super().__init__(message)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])

    def as_failure(self) -> Failure:
        """Uncaught, it fails the run with its code."""
        retryable = self.code.startswith(_TRANSIENT)
        return Failure(str(self), code=self.code, retryable=retryable)


def grant_for(request: str) -> str:
    """The manifest rule that would allow a request.

    >>> print(grant_for("GET http://example.com:8080/x"))
    [[grants.http]] with host = "example.com", schemes = ["http"], ports = [8080], methods = ["GET"]
    """
    method, _, url = request.partition(" ")
    parts = urlsplit(url)
    rule = f'[[grants.http]] with host = "{parts.hostname}"'
    if parts.scheme == "http":
        rule += ', schemes = ["http"]'
    if parts.port:
        rule += f", ports = [{parts.port}]"
    return f'{rule}, methods = ["{method}"]'


class HTTPStatusError(HTTPError):
    """The status is not 2xx: raised by `Response.raise_for_status`."""

    def __init__(self, message: str, *, response: Response) -> None:
        super().__init__(message)
        self.response = response

    def as_failure(self) -> Failure:
        """Uncaught, it fails the run with the code `http-status`."""
        status = self.response.status_code
        wait = self.response.headers.get("retry-after", "")
        return Failure(
            str(self),
            code="http-status",
            details={"status": status},
            retryable=status in _TRANSIENT_STATUS,
            retry_after=int(wait) if status in _TRANSIENT_STATUS and wait.isdecimal() else None,
        )


class Headers(Mapping[str, str]):
    """Headers with case-insensitive names. The values of a repeated header are joined with
    commas."""

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self._items = [(name.lower(), value) for name, value in items]

    def __getitem__(self, name: str) -> str:
        values = self.get_list(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def get_list(self, name: str) -> list[str]:
        """All values of a repeated header."""
        return [value for key, value in self._items if key == name.lower()]

    def multi_items(self) -> list[tuple[str, str]]:
        """All headers, in their order."""
        return list(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._items))

    def __len__(self) -> int:
        return len(dict(self._items))

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"


class Response:
    """The response to a request."""

    def __init__(self, request: Request, exchange: Exchange, host: Host) -> None:
        self.request = request
        self.url = request.url
        self.status_code = exchange.status
        self.headers = Headers(exchange.headers)
        self._exchange = exchange
        self._host = host
        self._content: bytes | None = None

    # Content

    @property
    def content(self) -> bytes:
        """The body."""
        if self._content is None:
            raise RuntimeError("the response has not been read: call `read`, or iterate over its parts")
        return self._content

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode(self._charset(), "replace")

    def json(self, **options: Any) -> Any:
        """The body, as JSON."""
        return _json.loads(self.content, **options)

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status_code < 300

    @property
    def is_redirect(self) -> bool:
        """Whether it redirects to another URL."""
        return self.status_code in _REDIRECTS and "location" in self.headers

    def raise_for_status(self) -> Response:
        """Raises `HTTPStatusError` unless the status is 2xx; returns the response."""
        if not self.is_success:
            raise HTTPStatusError(
                f"{self.request.method} {self.url}: status {self.status_code}", response=self
            )
        return self

    # Reading

    def read(self) -> bytes:
        """Waits for the rest of the body and returns it."""
        if self._content is None:
            self._content = wait(self._host, rest(self._exchange))
        return self._content

    def iter_bytes(self) -> Iterator[bytes]:
        """The parts of the body, as they are received."""
        while part := wait(self._host, self._exchange.chunk()):
            yield part

    def iter_text(self) -> Iterator[str]:
        """The body as text, part by part."""
        decoder = self._decoder()
        for part in self.iter_bytes():
            if text := decoder.decode(part):
                yield text
        if text := decoder.decode(b"", True):
            yield text

    def iter_lines(self) -> Iterator[str]:
        """The lines of the body, without line ends."""
        lines = Lines()
        for text in self.iter_text():
            yield from lines.feed(text)
        yield from lines.end()

    def iter_sse(self) -> Iterator[ServerSentEvent]:
        """The events of a `text/event-stream`."""
        events = Events()
        for line in self.iter_lines():
            if event := events.feed(line):
                yield event

    async def aread(self) -> bytes:
        """`read` for async tasks."""
        if self._content is None:
            self._content = await wait_async(rest(self._exchange))
        return self._content

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """`iter_bytes` for async tasks."""
        while part := await wait_async(self._exchange.chunk()):
            yield part

    async def aiter_text(self) -> AsyncIterator[str]:
        """`iter_text` for async tasks."""
        decoder = self._decoder()
        async for part in self.aiter_bytes():
            if text := decoder.decode(part):
                yield text
        if text := decoder.decode(b"", True):
            yield text

    async def aiter_lines(self) -> AsyncIterator[str]:
        """`iter_lines` for async tasks."""
        lines = Lines()
        async for text in self.aiter_text():
            for line in lines.feed(text):
                yield line
        for line in lines.end():
            yield line

    async def aiter_sse(self) -> AsyncIterator[ServerSentEvent]:
        """`iter_sse` for async tasks."""
        events = Events()
        async for line in self.aiter_lines():
            if event := events.feed(line):
                yield event

    def close(self) -> None:
        """Discards the rest of the body."""
        self._exchange.close()

    async def aclose(self) -> None:
        """`close` for async tasks."""
        self.close()

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    def _decoder(self) -> codecs.IncrementalDecoder:
        return codecs.getincrementaldecoder(self._charset())("replace")

    def _charset(self) -> str:
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                # Only the encodings loaded at build time; a run can't load others.
                charset = value.strip().strip("\"'").lower()
                return charset if charset in _CHARSETS else "utf-8"
        return "utf-8"


_CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1"}
for _charset in _CHARSETS:
    # Python loads an encoding at its first use, which a run can't.
    codecs.getincrementaldecoder(_charset)


def wait(host: Host, steps: Steps[T]) -> T:
    """Executes steps, blocking."""
    try:
        while True:
            pollable = next(steps)
            # A cancelled run can still send requests while it cleans up.
            was_cancelled = host.cancelled()
            while not host.poll([pollable], _SLICE):
                if not was_cancelled and host.cancelled():
                    raise Cancelled("the run was cancelled")
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        steps.close()


async def wait_async(steps: Steps[T]) -> T:
    loop = _loop.running()
    if loop is None:
        raise RuntimeError("`AsyncClient` requires an async task")
    return await loop.steps(steps)


def rest(exchange: Exchange) -> Steps[bytes]:
    parts = []
    while part := (yield from exchange.chunk()):
        parts.append(part)
    return b"".join(parts)
