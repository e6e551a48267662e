"""Runs tasks without a host: in CPython, with a simulated clock.

    from streamtask.testing import Recording

    host = Recording()
    assert host.run(count, {"steps": 3}) == {"step": 3, "total": 3}
    assert host.data("progress")[0] == {"step": 1, "total": 3}

Tests do not wait: a task that sleeps advances the clock. Types are checked as in a
component; only the real host checks other parts of a schema, such as `minimum`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._errors import ChildFailed, Error, Failure, as_failure
from ._host import Exchange, Outcome, Request, RunInfo, Steps
from ._json import to_json
from ._response import grant_for
from ._task import task_of
from .http import RequestError

_MAX_NAME = 128
_MAX_EVENT = 1024 * 1024


@dataclass(frozen=True)
class Event:
    """An event that a task has sent."""

    type: str
    data: Any
    """A JSON value, or bytes."""
    channel: str = ""
    content_type: str | None = None
    at: float = 0.0
    """The time of the event, in seconds since the start."""


@dataclass(frozen=True)
class Reply:
    """A response of a server."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | str | Sequence[bytes] = b""
    """A sequence is received part by part."""
    delay: float = 0.0
    """The delay before the head and before each part, in seconds."""


class Recording:
    """A host that records a task's events. It can be changed between runs. It keeps its
    checkpoints, so a second `run` is a second attempt."""

    def __init__(
        self,
        *,
        cancel_at: float | None = None,
        deadline: float | None = None,
        signals: Sequence[tuple[float, str, Any]] = (),
        parameters: Mapping[str, Any] | None = None,
        checkpoints: Mapping[str, Any] | None = None,
        children: Mapping[str, Callable[[Any], Any]] | None = None,
        http: Callable[[Request], Reply] | None = None,
        labels: Mapping[str, str] | None = None,
        attempt: int = 1,
    ) -> None:
        """Times are in seconds since the start.

        `signals` are `(time, name, payload)`. `children` has a function for each task, from
        its input to its result; it can raise `Failure`. `http` answers requests; it can raise
        `http.RequestError`.
        """
        self.cancel_at = cancel_at
        self.deadline = deadline
        self.signals = sorted(((at, name, to_json(value)) for at, name, value in signals), key=_when)
        self.parameters = dict(parameters or {})
        self.checkpoints = {key: to_json(value).encode() for key, value in (checkpoints or {}).items()}
        self.children = dict(children or {})
        self.http = http
        self.labels = dict(labels or {})
        self.attempt = attempt
        self.now = 0.0
        """The simulated time, in seconds."""
        self.events: list[Event] = []
        self.requests: list[Request] = []
        self._outcomes: dict[str, Outcome] = {}
        self._by_key: dict[str, str] = {}

    def run(self, task: Any, input: Any = None) -> Any:
        """Runs one attempt of a task: a function with `@task`, a class, or a module with one of
        them. Returns the result; raises `Failure`."""
        return json.loads(task_of(task).run(self, to_json({} if input is None else input)))

    def data(self, type: str, channel: str | None = None) -> list[Any]:
        """The data of all events of a type."""
        return [
            event.data
            for event in self.events
            if event.type == type and channel in (None, event.channel)
        ]

    # The implementation of `_host.Host`.

    def send_event(self, channel: str, type: str, data: str) -> None:
        self._keep(Event(type, json.loads(data), channel, None, self.now), len(data.encode()))

    def send_bytes(self, channel: str, type: str, content_type: str, data: bytes) -> None:
        if "/" not in content_type or not 3 <= len(content_type) <= _MAX_NAME:
            raise Error("invalid-argument", f"{content_type!r} is not a media type")
        self._keep(Event(type, data, channel, content_type, self.now), len(data))

    def _keep(self, event: Event, size: int) -> None:
        _check_name("type", event.type)
        if event.type.startswith("run.") or event.type == "gap":
            raise Error("invalid-argument", f"the type {event.type!r} is reserved for the host")
        if event.channel:
            _check_name("channel", event.channel)
        if size > _MAX_EVENT:
            raise Error("too-large", f"the data has {size} bytes, more than {_MAX_EVENT}")
        self.events.append(event)

    def flush(self) -> None:
        pass

    def info(self) -> RunInfo:
        return RunInfo("run-1", "test", "task", "0" * 64, self.attempt, self.labels)

    def remaining_ms(self) -> int | None:
        return None if self.deadline is None else max(0, round((self.deadline - self.now) * 1000))

    def cancelled(self) -> bool:
        return self.cancel_at is not None and self.now >= self.cancel_at

    def sleep_ms(self, ms: int) -> bool:
        if self.cancelled():
            return False
        end = self.now + ms / 1000
        if self.cancel_at is not None and self.cancel_at <= end:
            self._pass(self.cancel_at - self.now)
            self.now = self.cancel_at
            return False
        if ms == 0xFFFF_FFFF:
            raise AssertionError("the task waits forever: no signal, timer or cancellation is pending")
        self._pass(end - self.now)
        return True

    def receive_signal(self, name: str | None, timeout_ms: int | None) -> tuple[str, str] | None:
        end = None if timeout_ms in (None, 0xFFFF_FFFF) else self.now + (timeout_ms or 0) / 1000
        for signal in self.signals:
            at = max(signal[0], self.now)
            if name not in (None, signal[1]):
                continue
            if end is not None and at > end or self.cancel_at is not None and at >= self.cancel_at:
                break
            self.signals.remove(signal)
            self._pass(at - self.now)
            return signal[1], signal[2]
        if end is None and self.cancel_at is None:
            raise AssertionError(f"the task waits forever for the signal {name!r}")
        until = min(time for time in (end, self.cancel_at) if time is not None)
        self._pass(max(0.0, until - self.now))
        return None

    def parameter(self, name: str) -> str | None:
        return to_json(self.parameters[name]) if name in self.parameters else None

    def save(self, key: str, value: bytes) -> None:
        _check_name("key", key)
        self.checkpoints[key] = value

    def remove(self, key: str) -> None:
        self.checkpoints.pop(key, None)

    def load(self, key: str) -> bytes | None:
        return self.checkpoints.get(key)

    def start_child(
        self, task: str, input: str, key: str | None, detached: bool, priority: int | None
    ) -> str:
        if key is not None and key in self._by_key:
            return self._by_key[key]
        if task not in self.children:
            raise Error("not-found", f"there is no task {task!r}: name it in `children`")
        run = f"child-{len(self._outcomes) + 1}"
        self._outcomes[run] = _outcome(lambda: self.children[task](json.loads(input)))
        if key is not None:
            self._by_key[key] = run
        return run

    def wait_children(self, runs: Sequence[str], timeout_ms: int | None) -> tuple[int, Outcome] | None:
        if not runs:
            raise Error("invalid-argument", "the list of children is empty")
        return 0, self._outcomes[runs[0]]

    def cancel_child(self, run: str) -> None:
        self._outcomes[run] = Outcome("cancelled")

    def monotonic(self) -> float:
        return self.now

    def pause(self, ms: int) -> None:
        self._pass(ms / 1000)

    def poll(self, pollables: Sequence[Any], ms: int) -> list[int]:
        self._pass(max(0.0, min(self.now + ms / 1000, *pollables) - self.now))
        return [place for place, at in enumerate(pollables) if at <= self.now]

    def fetch(self, request: Request) -> Steps[Exchange]:
        self.requests.append(request)
        if self.http is None:
            what = f"{request.method} {request.url}"
            raise RequestError(f"{what}: not granted: it needs {grant_for(what)}", code="denied")
        reply = self.http(request)
        if reply.delay:
            yield self.now + reply.delay
        return _Exchange(self, reply)

    def _pass(self, seconds: float) -> None:
        self.now += seconds


class Live(Recording):
    """A recording with the real clock that also passes on each event: for trying out a task."""

    def __init__(self, tell: Callable[[Event], None], **options: Any) -> None:
        super().__init__(**options)
        self._tell = tell

    def _keep(self, event: Event, size: int) -> None:
        super()._keep(event, size)
        self._tell(event)

    def _pass(self, seconds: float) -> None:
        time.sleep(seconds)
        super()._pass(seconds)


class _Exchange:
    def __init__(self, host: Recording, reply: Reply) -> None:
        content = reply.content.encode() if isinstance(reply.content, str) else reply.content
        self.status = reply.status
        self.headers = list(reply.headers.items())
        self._parts = [content] if isinstance(content, bytes) else list(content)
        self._host = host
        self._delay = reply.delay

    def chunk(self) -> Steps[bytes]:
        if self._parts and self._delay:
            yield self._host.now + self._delay
        return self._parts.pop(0) if self._parts else b""

    def close(self) -> None:
        self._parts = []


def _when(signal: tuple[float, str, str]) -> float:
    return signal[0]


def _outcome(child: Callable[[], Any]) -> Outcome:
    try:
        return Outcome("completed", json.loads(to_json(child())))
    except ChildFailed as error:
        return Outcome("failed", None, error.kind, error.message, error.code, error.details)
    except Exception as error:
        failure: Failure = as_failure(error)
        return Outcome("failed", None, "failure", failure.message, failure.code, failure.details)


def _check_name(what: str, name: str) -> None:
    size = len(name.encode())
    bad = any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029" for char in name)
    if not 1 <= size <= _MAX_NAME or bad:
        raise Error("invalid-argument", f"the {what} {name!r} is not 1 to {_MAX_NAME} bytes of text")
