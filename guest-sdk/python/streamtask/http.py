"""HTTP requests through the host.

A task can only send the requests that its manifest grants under `[[grants.http]]`. The
names are those of httpx:

    response = http.get("https://example.com/data", params={"page": 3})
    response.raise_for_status()
    rows = response.json()

With `async`, other tasks run during a request:

    client = http.AsyncClient(base_url="https://example.com")
    pages = await asyncio.gather(*(client.get(f"/data/{page}") for page in range(10)))

`stream` reads a response while it is received. `urllib.request.urlopen` works too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Union
from urllib.parse import urlencode, urljoin, urlsplit, urlunsplit

from . import _context
from ._host import Request, Steps
from ._json import BROKEN, clean, to_json
from ._response import Headers, HTTPError, HTTPStatusError, RequestError, Response, rest, wait, wait_async
from ._sse import ServerSentEvent

if TYPE_CHECKING:
    from types import TracebackType

HeaderTypes = Union[Mapping[str, str], Sequence[tuple[str, str]]]
ParamTypes = Union[Mapping[str, Any], Sequence[tuple[str, Any]]]

_MAX_REDIRECTS = 10
# Removed when a redirect leads to another server.
_CONFIDENTIAL = {"authorization", "cookie", "proxy-authorization"}

__all__ = [
    "AsyncClient",
    "Client",
    "HTTPError",
    "HTTPStatusError",
    "Headers",
    "RequestError",
    "Response",
    "ServerSentEvent",
    "delete",
    "get",
    "get_client",
    "head",
    "patch",
    "post",
    "put",
    "request",
    "stream",
]


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
            response._content = yield from rest(response._exchange)
        finally:
            response.close()
        return response


class Client(_Base):
    """Sends requests with a common base URL, headers and timeout."""

    def request(
        self, method: str, url: str, *, follow_redirects: bool | None = None, **what: Any
    ) -> Response:
        """Sends a request and reads the response.

        `params` is added to the URL; the body is one of `content`, `data` (a form) and
        `json`. `timeout` is for the connection, the first byte, and the time between bytes,
        in seconds each. Redirects are followed only with `follow_redirects`.
        """
        host = _context.current()._host
        return wait(host, self._whole(self._request(method, url, **what), follow_redirects))

    def stream(
        self, method: str, url: str, *, follow_redirects: bool | None = None, **what: Any
    ) -> _Streamed:
        """`with client.stream("GET", url) as response:` reads the response while it is received."""
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
        """Does nothing: a client keeps no connections."""


class AsyncClient(_Base):
    """`Client` for async tasks: other tasks of the event loop run during a request."""

    async def request(
        self, method: str, url: str, *, follow_redirects: bool | None = None, **what: Any
    ) -> Response:
        """See `Client.request`."""
        return await wait_async(self._whole(self._request(method, url, **what), follow_redirects))

    def stream(
        self, method: str, url: str, *, follow_redirects: bool | None = None, **what: Any
    ) -> _AsyncStreamed:
        """`async with client.stream("GET", url) as response:` reads the response while it is received."""
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
        """Does nothing: a client keeps no connections."""

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Does nothing: a client keeps no connections."""


class _Streamed:
    def __init__(self, steps: Steps[Response]) -> None:
        self._steps = steps

    def __enter__(self) -> Response:
        self._response = wait(_context.current()._host, self._steps)
        return self._response

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()


class _AsyncStreamed:
    def __init__(self, steps: Steps[Response]) -> None:
        self._steps = steps

    async def __aenter__(self) -> Response:
        self._response = await wait_async(self._steps)
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._response.close()


class _Clients:
    """The shared clients, one of each kind."""

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
    """`with http.stream("GET", url) as response:` reads the response while it is received."""
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


def _url(base: str, url: str, params: ParamTypes | None) -> str:
    if base and not urlsplit(url).scheme:
        url = f"{base.rstrip('/')}/{url.lstrip('/')}" if url else base
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RequestError(f"{url!r} is not an address of http or https", code="http-request-uri-invalid")
    query = parts.query
    if params:
        query = "&".join(filter(None, [query, _encoded(params)]))
    return urlunsplit((parts.scheme, parts.netloc, _quoted(parts.path), _quoted(query), ""))


def _encoded(params: ParamTypes) -> str:
    return urlencode(params, doseq=True, encoding="utf-8", errors=BROKEN)


def _quoted(text: str) -> str:
    """Percent-encodes the characters that are not allowed in a request line."""
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return "".join(
        char if "!" <= char <= "~" else "".join(f"%{byte:02X}" for byte in char.encode("utf-8", BROKEN))
        for char in text
    )


def _body(content: bytes | str | None, data: ParamTypes | None, json: Any) -> tuple[bytes, str | None]:
    if json is not None:
        return to_json(json).encode(), "application/json"
    if data is not None:
        return _encoded(data).encode(), "application/x-www-form-urlencoded"
    if isinstance(content, str):
        return clean(content).encode(), "text/plain; charset=utf-8"
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
