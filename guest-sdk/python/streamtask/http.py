"""HTTP requests, through the host.

A task reaches what its manifest grants under `[[grants.http]]`, and nothing else. The
names are those of httpx:

    response = http.get("https://example.com/data", params={"page": 3})
    response.raise_for_status()
    rows = response.json()

With `async`, others run while a request is under way:

    client = http.AsyncClient(base_url="https://example.com")
    pages = await asyncio.gather(*(client.get(f"/data/{page}") for page in range(10)))

`stream` reads an answer while it comes in. `urllib.request.urlopen` works too.
"""

from __future__ import annotations

import codecs
import json as _json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, Union, cast
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

from . import _context, _loop
from ._errors import Cancelled, Failure
from ._host import Exchange, Host, Request, Steps
from ._json import to_json

if TYPE_CHECKING:
    from types import TracebackType

T = TypeVar("T")

HeaderTypes = Union[Mapping[str, str], Sequence[tuple[str, str]]]
ParamTypes = Union[Mapping[str, Any], Sequence[tuple[str, Any]]]

# How soon a run that waits for an answer hears that it is cancelled, in milliseconds.
_SLICE = 200
_MAX_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
# Not for another server than the one that they were meant for.
_CONFIDENTIAL = {"authorization", "cookie", "proxy-authorization"}
# What another attempt could mend.
_TRANSIENT = ("connection-", "dns-", "destination-unavailable", "http-response-")
_TRANSIENT_STATUS = (408, 425, 429, 500, 502, 503, 504)


class HTTPError(Exception):
    """What is wrong with a request or its answer."""


class RequestError(HTTPError, OSError):
    """There is no answer. `code` is wasi:http's word for why, such as
    `http-request-denied`, `connection-refused` or `dns-error`."""

    def __init__(self, message: str, *, code: str = "refused") -> None:
        super().__init__(message)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])

    def as_failure(self) -> Failure:
        """Not caught, it ends the run with its code."""
        retryable = self.code.startswith(_TRANSIENT)
        return Failure(str(self), code=self.code, retryable=retryable)


class HTTPStatusError(HTTPError):
    """The answer is none that was hoped for: raised by `Response.raise_for_status`."""

    def __init__(self, message: str, *, response: Response) -> None:
        super().__init__(message)
        self.response = response

    def as_failure(self) -> Failure:
        """Not caught, it ends the run with the code `http-status`."""
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
    """Headers, found by their name in any case. One that comes several times is joined
    with commas."""

    def __init__(self, items: Iterable[tuple[str, str]]) -> None:
        self._items = [(name.lower(), value) for name, value in items]

    def __getitem__(self, name: str) -> str:
        values = self.get_list(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def get_list(self, name: str) -> list[str]:
        """Each value of a header that comes several times."""
        return [value for key, value in self._items if key == name.lower()]

    def multi_items(self) -> list[tuple[str, str]]:
        """All of them, in their order."""
        return list(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._items))

    def __len__(self) -> int:
        return len(dict(self._items))

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"


@dataclass(frozen=True)
class ServerSentEvent:
    """One event of a `text/event-stream`."""

    data: str
    event: str = "message"
    id: str = ""
    retry: int | None = None

    def json(self) -> Any:
        """The data, as JSON."""
        return _json.loads(self.data)


class Response:
    """The answer to a request."""

    def __init__(self, request: Request, exchange: Exchange, host: Host) -> None:
        self.request = request
        self.url = request.url
        self.status_code = exchange.status
        self.headers = Headers(exchange.headers)
        self._exchange = exchange
        self._host = host
        self._content: bytes | None = None

    # What was read

    @property
    def content(self) -> bytes:
        """The body."""
        if self._content is None:
            raise RuntimeError("the answer is still coming in: `read` it, or go through its parts")
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
        """Whether it names another address."""
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
            self._content = _wait(self._host, _rest(self._exchange))
        return self._content

    def iter_bytes(self) -> Iterator[bytes]:
        """The parts of the body, as they come in."""
        while part := _wait(self._host, self._exchange.chunk()):
            yield part

    def iter_text(self) -> Iterator[str]:
        """The same as text."""
        decoder = self._decoder()
        for part in self.iter_bytes():
            if text := decoder.decode(part):
                yield text
        if text := decoder.decode(b"", True):
            yield text

    def iter_lines(self) -> Iterator[str]:
        """The lines of the body, without their ends."""
        lines = _Lines()
        for text in self.iter_text():
            yield from lines.feed(text)
        yield from lines.end()

    def iter_sse(self) -> Iterator[ServerSentEvent]:
        """The events of a `text/event-stream`."""
        events = _Events()
        for line in self.iter_lines():
            if event := events.feed(line):
                yield event

    async def aread(self) -> bytes:
        """`read`, while others run."""
        if self._content is None:
            self._content = await _await(_rest(self._exchange))
        return self._content

    async def aiter_bytes(self) -> AsyncIterator[bytes]:
        """`iter_bytes`, while others run."""
        while part := await _await(self._exchange.chunk()):
            yield part

    async def aiter_text(self) -> AsyncIterator[str]:
        """`iter_text`, while others run."""
        decoder = self._decoder()
        async for part in self.aiter_bytes():
            if text := decoder.decode(part):
                yield text
        if text := decoder.decode(b"", True):
            yield text

    async def aiter_lines(self) -> AsyncIterator[str]:
        """`iter_lines`, while others run."""
        lines = _Lines()
        async for text in self.aiter_text():
            for line in lines.feed(text):
                yield line
        for line in lines.end():
            yield line

    async def aiter_sse(self) -> AsyncIterator[ServerSentEvent]:
        """`iter_sse`, while others run."""
        events = _Events()
        async for line in self.aiter_lines():
            if event := events.feed(line):
                yield event

    def close(self) -> None:
        """Lets go of what has not been read."""
        self._exchange.close()

    async def aclose(self) -> None:
        """The same."""
        self.close()

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    def _decoder(self) -> codecs.IncrementalDecoder:
        return codecs.getincrementaldecoder(self._charset())("replace")

    def _charset(self) -> str:
        for parameter in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "charset":
                # Only what was there when the component was built: others can't be loaded.
                charset = value.strip().strip("\"'").lower()
                return charset if charset in _CHARSETS else "utf-8"
        return "utf-8"


_CHARSETS = {"utf-8", "utf8", "us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1"}
for _charset in _CHARSETS:
    # Python loads an encoding when it is first asked for, which a run can't.
    codecs.getincrementaldecoder(_charset)


def _pairs(headers: HeaderTypes | None) -> Iterable[tuple[str, str]]:
    items = headers.items() if isinstance(headers, Mapping) else headers or ()
    return [(str(name), str(value)) for name, value in items]


class _Base:
    def __init__(
        self,
        *,
        base_url: str = "",
        headers: HeaderTypes | None = None,
        timeout: float | None = None,
        follow_redirects: bool = False,
    ) -> None:
        self.base_url = base_url
        self.headers = list(_pairs(headers))
        self.timeout = timeout
        self.follow_redirects = follow_redirects

    def _request(
        self,
        method: str,
        url: str,
        params: ParamTypes | None = None,
        headers: HeaderTypes | None = None,
        content: bytes | str | None = None,
        data: ParamTypes | None = None,
        json: Any = None,
        timeout: float | None = None,
    ) -> Request:
        own = list(_pairs(headers))
        named = {name.lower() for name, _ in own}
        merged = [(name, value) for name, value in self.headers if name.lower() not in named] + own
        body, content_type = _body(content, data, json)
        if content_type and not any(name.lower() == "content-type" for name, _ in merged):
            merged.append(("content-type", content_type))
        timeout = self.timeout if timeout is None else timeout
        return Request(method.upper(), _url(self.base_url, url, params), merged, body, timeout)

    def _fetch(self, request: Request, follow_redirects: bool | None) -> Steps[Response]:
        host = _context.current()._host
        follow = self.follow_redirects if follow_redirects is None else follow_redirects
        for _ in range(_MAX_REDIRECTS + 1):
            response = Response(request, (yield from host.fetch(request)), host)
            if not follow or not response.is_redirect:
                return response
            response.close()
            request = _redirected(request, response)
        raise RequestError(f"{request.method} {request.url}: too many redirects", code="loop-detected")

    def _whole(self, request: Request, follow_redirects: bool | None) -> Steps[Response]:
        response = yield from self._fetch(request, follow_redirects)
        try:
            response._content = yield from _rest(response._exchange)
        finally:
            response.close()
        return response


class Client(_Base):
    """Requests with something in common: a base address, headers, a time-out."""

    def request(
        self, method: str, url: str, *, follow_redirects: bool | None = None, **what: Any
    ) -> Response:
        """Sends a request and reads the answer.

        `params` goes into the address; the body is one of `content`, `data` (a form)
        and `json`. `timeout` is for the connection, the first byte, and between bytes, in
        seconds each. Redirects are followed only with `follow_redirects`.
        """
        host = _context.current()._host
        return _wait(host, self._whole(self._request(method, url, **what), follow_redirects))

    def stream(
        self, method: str, url: str, *, follow_redirects: bool | None = None, **what: Any
    ) -> _Streamed:
        """`with client.stream("GET", url) as response:` reads the answer as it comes in."""
        return _Streamed(self._fetch(self._request(method, url, **what), follow_redirects))

    def get(self, url: str, **what: Any) -> Response:
        return self.request("GET", url, **what)

    def head(self, url: str, **what: Any) -> Response:
        return self.request("HEAD", url, **what)

    def post(self, url: str, **what: Any) -> Response:
        return self.request("POST", url, **what)

    def put(self, url: str, **what: Any) -> Response:
        return self.request("PUT", url, **what)

    def patch(self, url: str, **what: Any) -> Response:
        return self.request("PATCH", url, **what)

    def delete(self, url: str, **what: Any) -> Response:
        return self.request("DELETE", url, **what)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is kept between requests."""


class AsyncClient(_Base):
    """`Client` for a task with `async`: others run while a request is under way."""

    async def request(
        self, method: str, url: str, *, follow_redirects: bool | None = None, **what: Any
    ) -> Response:
        """See `Client.request`."""
        return await _await(self._whole(self._request(method, url, **what), follow_redirects))

    def stream(
        self, method: str, url: str, *, follow_redirects: bool | None = None, **what: Any
    ) -> _AsyncStreamed:
        """`async with client.stream("GET", url) as response:` reads the answer as it comes in."""
        return _AsyncStreamed(self._fetch(self._request(method, url, **what), follow_redirects))

    async def get(self, url: str, **what: Any) -> Response:
        return await self.request("GET", url, **what)

    async def head(self, url: str, **what: Any) -> Response:
        return await self.request("HEAD", url, **what)

    async def post(self, url: str, **what: Any) -> Response:
        return await self.request("POST", url, **what)

    async def put(self, url: str, **what: Any) -> Response:
        return await self.request("PUT", url, **what)

    async def patch(self, url: str, **what: Any) -> Response:
        return await self.request("PATCH", url, **what)

    async def delete(self, url: str, **what: Any) -> Response:
        return await self.request("DELETE", url, **what)

    async def aclose(self) -> None:
        """Nothing is kept between requests."""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is kept between requests."""


class _Streamed:
    def __init__(self, steps: Steps[Response]) -> None:
        self._steps = steps

    def __enter__(self) -> Response:
        self._response = _wait(_context.current()._host, self._steps)
        return self._response

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()


class _AsyncStreamed:
    def __init__(self, steps: Steps[Response]) -> None:
        self._steps = steps

    async def __aenter__(self) -> Response:
        self._response = await _await(self._steps)
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()


class _Clients:
    """One client of each kind, shared by all who ask."""

    def __init__(self) -> None:
        self.client = Client()
        self.async_client = AsyncClient()


_clients = _Clients()
_default = _clients.client


def get_client() -> _Clients:
    """The shared clients: `await get_client().async_client.get(url)`."""
    return _clients


def request(method: str, url: str, **what: Any) -> Response:
    """See `Client.request`."""
    return _default.request(method, url, **what)


def stream(method: str, url: str, **what: Any) -> _Streamed:
    """`with http.stream("GET", url) as response:` reads the answer as it comes in."""
    return _default.stream(method, url, **what)


def get(url: str, **what: Any) -> Response:
    return _default.get(url, **what)


def head(url: str, **what: Any) -> Response:
    return _default.head(url, **what)


def post(url: str, **what: Any) -> Response:
    return _default.post(url, **what)


def put(url: str, **what: Any) -> Response:
    return _default.put(url, **what)


def patch(url: str, **what: Any) -> Response:
    return _default.patch(url, **what)


def delete(url: str, **what: Any) -> Response:
    return _default.delete(url, **what)


def _wait(host: Host, steps: Steps[T]) -> T:
    """Goes through steps, and waits alone."""
    try:
        while True:
            pollable = next(steps)
            # A run that cleans up after it was cancelled may still make requests.
            was_cancelled = host.cancelled()
            while not host.poll([pollable], _SLICE):
                if not was_cancelled and host.cancelled():
                    raise Cancelled("the run was cancelled")
    except StopIteration as end:
        return cast(T, end.value)
    finally:
        steps.close()


async def _await(steps: Steps[T]) -> T:
    loop = _loop.running()
    if loop is None:
        raise RuntimeError("an `AsyncClient` is for a task with `async`")
    return await loop.steps(steps)


def _rest(exchange: Exchange) -> Steps[bytes]:
    parts = []
    while part := (yield from exchange.chunk()):
        parts.append(part)
    return b"".join(parts)


def _url(base: str, url: str, params: ParamTypes | None) -> str:
    if base and not urlsplit(url).scheme:
        url = f"{base.rstrip('/')}/{url.lstrip('/')}" if url else base
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RequestError(f"{url!r} is not an address of http or https", code="http-request-uri-invalid")
    query = parts.query
    if params:
        query = "&".join(filter(None, [query, urlencode(params, doseq=True)]))
    return urlunsplit((parts.scheme, parts.netloc, _quoted(parts.path), _quoted(query), ""))


def _quoted(text: str) -> str:
    """What has no place in a request's first line, percent-encoded; all else as it is."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return "".join(
        char if "!" <= char <= "~" else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))
        for char in text
    )


def _body(content: bytes | str | None, data: ParamTypes | None, json: Any) -> tuple[bytes, str | None]:
    if json is not None:
        return to_json(json).encode(), "application/json"
    if data is not None:
        return urlencode(data, doseq=True).encode(), "application/x-www-form-urlencoded"
    if isinstance(content, str):
        return content.encode(), "text/plain; charset=utf-8"
    return bytes(content or b""), None


def _redirected(request: Request, response: Response) -> Request:
    url = urljoin(request.url, response.headers["location"])
    before, after = urlsplit(request.url), urlsplit(url)
    headers = request.headers
    if (before.scheme, before.netloc) != (after.scheme, after.netloc):
        headers = [(name, value) for name, value in headers if name.lower() not in _CONFIDENTIAL]
    method, content = request.method, request.content
    if response.status_code == 303 and method != "HEAD" or response.status_code < 303 and method == "POST":
        method, content = "GET", b""
        headers = [(name, value) for name, value in headers if not name.lower().startswith("content-")]
    return Request(method, _url("", url, None), headers, content, request.timeout)


class _Lines:
    """Cuts text into lines: at \\n, \\r\\n and \\r."""

    def __init__(self) -> None:
        self._rest = ""
        self._after_return = False

    def feed(self, text: str) -> list[str]:
        if self._after_return and text.startswith("\n"):
            # Its other half ended the line already.
            text = text[1:]
            self._after_return = False
        if not text:
            return []
        self._after_return = text.endswith("\r")
        lines = (self._rest + text).replace("\r\n", "\n").replace("\r", "\n").split("\n")
        self._rest = lines.pop()
        return lines

    def end(self) -> list[str]:
        rest, self._rest = self._rest, ""
        return [rest] if rest else []


class _Events:
    """Puts lines together to events, as https://html.spec.whatwg.org says."""

    def __init__(self) -> None:
        self._data: list[str] = []
        self._event = ""
        self._id = ""
        self._retry: int | None = None

    def feed(self, line: str) -> ServerSentEvent | None:
        if not line:
            return self._end()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._event = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self._retry = int(value)
        return None

    def _end(self) -> ServerSentEvent | None:
        event = None
        if self._data:
            event = ServerSentEvent("\n".join(self._data), self._event or "message", self._id, self._retry)
        self._data, self._event, self._retry = [], "", None
        return event
