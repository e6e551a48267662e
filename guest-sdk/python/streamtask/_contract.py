"""The host of a component, over the contract's imports. The only user of the imports of `wit_world`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn
from urllib.parse import urlsplit

from componentize_py_types import Err, Ok
from wit_world.imports import checkpoints, children, control, events, run

try:
    from wit_world.imports import exit as exits
    from wit_world.imports import monotonic_clock, outgoing_handler, poll, streams
    from wit_world.imports import streamtask_task_types as types
    from wit_world.imports import wasi_http_types as wasi

    HAS_HTTP = True
except ImportError:
    # A world with the contract only has no `exits`, and its only `types` are the contract's.
    from wit_world.imports import types

    HAS_HTTP = False

from ._errors import Error, Failure, kebab
from ._host import Exchange, Outcome, Request, RunInfo, Steps
from ._json import clean, to_json
from ._response import RequestError, grant_for

# Bytes of a body per read: the host's own chunk size.
_PART = 64 * 1024

# Headers that the host sets. `urllib` sends them anyway.
_NOT_OURS = {"host", "connection", "transfer-encoding", "keep-alive", "upgrade", "proxy-connection"}


def as_wit_failure(failure: Failure) -> Err:
    """The failure as `process` raises it. Never raises an error itself."""
    try:
        details = None if failure.details is None else to_json(failure.details)
    except (TypeError, ValueError, RecursionError) as error:
        details = to_json(str(error))
    wait = failure.retry_after
    return Err(
        types.Failure(
            clean(failure.message),
            None if failure.code is None else clean(str(failure.code)),
            details,
            bool(failure.retryable),
            None if wait is None else max(0, min(int(wait * 1000), 0xFFFF_FFFF)),
        )
    )


def exit_with_code(status: int) -> NoReturn:
    """Replaces `os._exit`: that of the C library tells the host only whether the code is 0."""
    exits.exit_with_code(status & 0xFF)
    raise AssertionError("the host has ended the task")


def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except Err as error:
        code = error.value.code.name.lower().replace("_", "-")
        message = error.value.message
    # Outside of the handler, so that a traceback shows the error only once.
    raise Error(code, message)


class Contract:
    """See `_host.Host`. Its text arguments are `clean`."""

    def send_event(self, channel: str, type: str, data: str) -> None:
        if channel:
            _call(events.send_event_on, channel, type, data)
        else:
            _call(events.send_event, type, data)

    def send_bytes(self, channel: str, type: str, content_type: str, data: bytes) -> None:
        _call(events.send_bytes, channel, type, content_type, data)

    def flush(self) -> None:
        _call(events.flush)

    def info(self) -> RunInfo:
        info = run.info()
        return RunInfo(info.id, info.app, info.task, info.version, info.attempt, dict(info.labels))

    def remaining_ms(self) -> int | None:
        return run.remaining_ms()

    def cancelled(self) -> bool:
        return control.cancelled()

    def sleep_ms(self, ms: int) -> bool:
        return control.sleep_ms(ms)

    def receive_signal(self, name: str | None, timeout_ms: int | None) -> tuple[str, str] | None:
        signal = control.receive_signal(name, timeout_ms)
        return None if signal is None else (signal.name, signal.payload)

    def parameter(self, name: str) -> str | None:
        return control.parameter(name)

    def save(self, key: str, value: bytes) -> None:
        _call(checkpoints.save, key, value)

    def remove(self, key: str) -> None:
        _call(checkpoints.remove, key)

    def load(self, key: str) -> bytes | None:
        return _call(checkpoints.load, key)

    def start_child(
        self, task: str, input: str, key: str | None, detached: bool, priority: int | None
    ) -> str:
        options = children.Options(key, detached, priority)
        return _call(children.start, task, input, options)

    def wait_children(self, runs: Sequence[str], timeout_ms: int | None) -> tuple[int, Outcome] | None:
        ended = _call(children.wait, list(runs), timeout_ms)
        return None if ended is None else (ended[0], _outcome(ended[1]))

    def cancel_child(self, run: str) -> None:
        _call(children.cancel, run)

    def monotonic(self) -> float:
        return time.monotonic()

    def pause(self, ms: int) -> None:
        time.sleep(ms / 1000)

    def poll(self, pollables: Sequence[Any], ms: int) -> list[int]:
        with monotonic_clock.subscribe_duration(ms * 1_000_000) as clock:
            ready = poll.poll([*pollables, clock])
        return [place for place in ready if place < len(pollables)]

    def fetch(self, request: Request) -> Steps[Exchange]:
        if not HAS_HTTP:
            raise RequestError(
                "this component was built without HTTP: build it with `python -m streamtask build`",
                code="not-built-in",
            )
        what = f"{request.method} {request.url}"
        try:
            future = yield from _send(request)
        except Err as error:
            raise _refusal(what, error.value) from None
        with future:
            while (answer := future.get()) is None:
                with future.subscribe() as ready:
                    yield ready
        if not isinstance(answer, Ok) or not isinstance(answer.value, Ok):
            raise _refusal(what, answer.value.value if isinstance(answer, Ok) else None)
        return _Answer(what, answer.value.value)


def _outcome(outcome: Any) -> Outcome:
    if isinstance(outcome, children.Outcome_Completed):
        return Outcome("completed", json.loads(outcome.value))
    if isinstance(outcome, children.Outcome_Cancelled):
        return Outcome("cancelled", None if outcome.value is None else json.loads(outcome.value))
    why = outcome.value
    details = None if why.details is None else json.loads(why.details)
    return Outcome("failed", None, why.kind, why.message, why.code, details)


def _send(request: Request) -> Steps[Any]:
    """Sends the request with its body."""
    content, url = request.content, urlsplit(request.url)
    headers = [
        (clean(name), clean(value).encode())
        for name, value in request.headers
        if name.lower() not in _NOT_OURS
    ]
    has_body = bool(content) or request.method in ("POST", "PUT", "PATCH")
    if has_body and not any(name.lower() == "content-length" for name, _ in headers):
        headers.append(("content-length", str(len(content)).encode()))
    outgoing = wasi.OutgoingRequest(wasi.Fields.from_list(headers))
    outgoing.set_method(_method(clean(request.method)))
    outgoing.set_scheme(wasi.Scheme_Https() if url.scheme == "https" else wasi.Scheme_Http())
    outgoing.set_authority(clean(url.netloc.rpartition("@")[2]))
    outgoing.set_path_with_query(clean((url.path or "/") + (f"?{url.query}" if url.query else "")))
    options = None
    if request.timeout is not None:
        options = wasi.RequestOptions()
        nanoseconds = max(1, int(request.timeout * 1e9))
        options.set_connect_timeout(nanoseconds)
        options.set_first_byte_timeout(nanoseconds)
        options.set_between_bytes_timeout(nanoseconds)
    body = outgoing.body() if has_body else None
    future = outgoing_handler.handle(outgoing, options)
    if body is not None:
        # The body is only read from here on.
        try:
            yield from _write(body, content)
        except Err:
            # The response has the reason, or arrived before the whole request was sent.
            pass
        except BaseException:
            future.__exit__(None, None, None)
            raise
    return future


def _write(body: Any, content: bytes) -> Steps[None]:
    # The stream must be dropped before its body.
    with body.write() as stream:
        left = memoryview(content)
        while left:
            room = stream.check_write()
            if not room:
                with stream.subscribe() as ready:
                    yield ready
                continue
            stream.write(bytes(left[:room]))
            left = left[room:]
        stream.flush()
        while not stream.check_write():
            with stream.subscribe() as ready:
                yield ready
    wasi.OutgoingBody.finish(body, None)


class _Answer:
    """See `_host.Exchange`."""

    def __init__(self, what: str, response: Any) -> None:
        self._what = what
        with response:
            self.status = response.status()
            with response.headers() as fields:
                self.headers = [(name, value.decode("latin-1")) for name, value in fields.entries()]
            self._body = response.consume()
        self._stream = self._body.stream()

    def chunk(self) -> Steps[bytes]:
        while self._stream is not None:
            try:
                part = self._stream.read(_PART)
            except Err as error:
                ended = isinstance(error.value, streams.StreamError_Closed)
                code = None if ended else wasi.http_error_code(error.value.value)
                self.close()
                if not ended:
                    raise _refusal(self._what, code) from None
                break
            if part:
                return bytes(part)
            with self._stream.subscribe() as ready:
                yield ready
        return b""

    def close(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.__exit__(None, None, None)
            self._body.__exit__(None, None, None)


def _method(name: str) -> Any:
    known = getattr(wasi, f"Method_{name.capitalize()}", None)
    return wasi.Method_Other(name) if known is None or name == "OTHER" else known()


def _refusal(what: str, code: Any) -> RequestError:
    """The error of a request, from an error code of wasi:http."""
    name = kebab(type(code).__name__.removeprefix("ErrorCode_")) if code is not None else "refused"
    said = getattr(code, "value", None)
    if name == "http-request-denied":
        # The contract's code, as in all SDKs.
        name = "denied"
        text = f"not granted: it needs {grant_for(what)} in the task's manifest"
    else:
        text = said if isinstance(said, str) else name.replace("-", " ")
    return RequestError(f"{what}: {text}", code=name)
