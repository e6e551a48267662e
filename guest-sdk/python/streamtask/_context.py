"""`Context`: the functions that a task can call."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from . import _loop
from ._children import Child, wait_children
from ._done import DONE, Done
from ._errors import Cancelled, Error
from ._host import Host, Outcome, RunInfo
from ._json import clean, to_json
from ._view import View
from ._waits import check_cancelled, waits

Level = Literal["trace", "debug", "info", "warn", "error"]
Status = Literal["waiting", "running", "completed", "failed", "skipped"]


@dataclass(frozen=True)
class Signal:
    """A message that a client sent to the run."""

    name: str
    payload: Any
    """A JSON value."""


class Context:
    """The current run.

    Calls that the host rejects raise `Error`. Times are in seconds. All methods can be
    called with and without `async`, but those that wait (`sleep`, `receive_signal`,
    `wait_any`) block the event loop: in an async task, use `asyncio.sleep`,
    `areceive_signal` and `await child` instead.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self.view = View(self._host)
        """Sends updates of a web page."""

    # Events

    def send(self, type: str, data: Any = None, *, channel: str = "") -> Done:
        """Sends one event: `ctx.send("found", {"page": 3})`.

        The task chooses the type: 1 to 128 bytes without control characters, not beginning
        with `run.` and not `gap`. Returns as soon as the host has queued the event; waits
        if the task sends faster than the disk can write. All subscribers of the run get
        every event, in order. Clients can subscribe to a single channel.
        """
        self._host.send_event(_text(channel), _text(type), to_json(data))
        return DONE

    def send_bytes(
        self, type: str, data: bytes | bytearray | memoryview, content_type: str, *, channel: str = ""
    ) -> Done:
        """Sends bytes as one event, with a content type such as `image/png`."""
        self._host.send_bytes(_text(channel), _text(type), _text(content_type), bytes(data))
        return DONE

    def flush(self) -> Done:
        """Waits until all events sent so far are durable."""
        self._host.flush()
        return DONE

    def progress(
        self,
        message: str | None = None,
        *,
        step: int | None = None,
        id: str | None = None,
        parent: str | None = None,
        weight: float | None = None,
        status: Status | None = None,
        done: float | None = None,
        total: float | None = None,
        percent: float | None = None,
    ) -> Done:
        """Reports progress.

        For sequential work, count the steps: `ctx.progress("page 3", step=3, total=10)`.
        For work in several parts, report a tree of items: `ctx.progress(id="index",
        parent="import", weight=3, status="running", done=20, total=80)`. Each event updates
        one item; omitted values do not change.
        """
        fields = {
            "step": step,
            "id": id,
            "parent": parent,
            "weight": weight,
            "status": status,
            "done": done,
            "total": total,
            "percent": percent,
            "message": message,
        }
        return self.send("progress", {key: value for key, value in fields.items() if value is not None})

    def log(self, message: object, level: Level = "info") -> Done:
        """Logs a message. `logging` and `print` work too."""
        return self.send("log", {"level": level, "message": str(message)})

    def stream(self, values: Iterable[Any]) -> Any:
        """Sends each value as a `progress` event. Returns the generator's return value, or
        the last value.

        If the run is cancelled, `Cancelled` is raised at the generator's `yield`.
        """
        iterator, last, raised = iter(values), None, False
        while True:
            try:
                if not raised and self.cancelled():
                    raised = True
                    value = _throw(iterator)
                else:
                    value = next(iterator)
            except StopIteration as end:
                return last if end.value is None else end.value
            self.send("progress", value)
            last = value

    async def astream(self, values: AsyncIterable[Any]) -> Any:
        """`stream` for an asynchronous generator; returns the last value."""
        iterator, last = values.__aiter__(), None
        pending: Cancelled | None = None
        try:
            while True:
                try:
                    if pending is None:
                        value = await iterator.__anext__()
                    else:
                        error, pending = pending, None
                        value = await iterator.athrow(error)  # type: ignore[attr-defined]
                except StopAsyncIteration:
                    return last
                self.send("progress", value)
                last = value
                try:
                    # Lets other tasks run, and the loop detect that the run is cancelled.
                    await asyncio.sleep(0)
                except Cancelled as error:
                    if not hasattr(iterator, "athrow"):
                        raise
                    pending = error
        finally:
            if hasattr(iterator, "aclose"):
                await iterator.aclose()

    # Waiting and cancelling

    def sleep(self, seconds: float) -> None:
        """Sleeps. The host suspends the task, so a sleeping task occupies no thread.

        Raises `Cancelled` as soon as cancellation of the run is requested. In an async
        task, use `asyncio.sleep` instead.
        """
        for ms in waits(seconds):
            if not self._host.sleep_ms(ms):
                raise Cancelled("the run was cancelled")

    def cancelled(self) -> bool:
        """Whether cancellation of the run was requested. The task then has a grace period to
        clean up and return. Its result is stored."""
        return self._host.cancelled()

    def check_cancelled(self) -> None:
        """Raises `Cancelled` if cancellation of the run was requested: for tasks that compute
        without sleeping."""
        check_cancelled(self._host)

    def remaining(self) -> float | None:
        """The time left until this attempt's deadline, in seconds; None if it has no deadline.
        The maximum is 49 days, also if more time is left."""
        ms = self._host.remaining_ms()
        return None if ms is None else ms / 1000

    # Signals and parameters

    def receive_signal(self, name: str | None = None, timeout: float | None = None) -> Signal | None:
        """Removes and returns the oldest queued signal; with a name, the oldest of that name.

        If there is none, waits for at most `timeout` seconds: 0 does not wait, None waits
        without limit. Returns None after the timeout. Raises `Cancelled`.
        """
        name = None if name is None else _text(name)
        for ms in [None] if timeout is None else waits(timeout):
            signal = self._host.receive_signal(name, ms)
            if signal is not None:
                return Signal(signal[0], json.loads(signal[1]))
            self.check_cancelled()
        return None

    async def areceive_signal(self, name: str | None = None, timeout: float | None = None) -> Signal | None:
        """`receive_signal` for async tasks: other tasks of the event loop run meanwhile."""
        waiting = _inside("areceive_signal").receive_signal(None if name is None else _text(name))
        try:
            signal = await asyncio.wait_for(waiting, timeout)
        except (TimeoutError, asyncio.TimeoutError):
            return None
        return Signal(signal[0], json.loads(signal[1]))

    def parameter(self, name: str, default: Any = None) -> Any:
        """The current value of a parameter; the default if it was never set. Clients can set
        parameters until the run ends."""
        value = self._host.parameter(_text(name))
        return default if value is None else json.loads(value)

    # Checkpoints

    def save_checkpoint(self, key: str, value: Any) -> Done:
        """Saves a JSON value under a key, replacing any earlier value. When it returns, the
        value and all events sent before it are durable.

        If the host crashes, a run that has saved a checkpoint continues with a new
        attempt. Retries can load its checkpoints, too.
        """
        return self.save_checkpoint_bytes(key, to_json(value).encode())

    def load_checkpoint(self, key: str, default: Any = None) -> Any:
        """The last value saved under the key, in this attempt or an earlier one."""
        saved = self.load_checkpoint_bytes(key)
        return default if saved is None else json.loads(saved)

    def remove_checkpoint(self, key: str) -> Done:
        """Deletes the value under the key, if there is one."""
        self._host.remove(_text(key))
        return DONE

    def save_checkpoint_bytes(self, key: str, value: bytes) -> Done:
        """Saves bytes under a key."""
        self._host.save(_text(key), bytes(value))
        return DONE

    def load_checkpoint_bytes(self, key: str) -> bytes | None:
        """The bytes last saved under the key."""
        return self._host.load(_text(key))

    # Children

    def start_child(
        self,
        task: str,
        input: Any = None,
        *,
        key: str | None = None,
        detached: bool = False,
        priority: int | None = None,
    ) -> Child:
        """Starts a run of a task: `app/task`, or just the name for a task of the same app.

        Another start with the same key, also in a later attempt, returns the same child.
        A detached child continues after this run has ended. Of priorities from -100 to
        100, higher ones start first.
        """
        if priority is not None and not -100 <= priority <= 100:
            raise Error("invalid-argument", f"the priority {priority} is not between -100 and 100")
        run = self._host.start_child(
            _text(task), to_json(input), None if key is None else _text(key), bool(detached), priority
        )
        return Child(self._host, run)

    def wait_any(
        self, children: Sequence[Child], timeout: float | None = None
    ) -> tuple[Child, Outcome] | None:
        """Waits until one of the children has ended, for at most `timeout` seconds. Returns
        None after the timeout. Raises `Cancelled`. While a run waits here, other runs can
        use its slot."""
        ended = wait_children(self._host, [child.id for child in children], timeout)
        return None if ended is None else (children[ended[0]], ended[1])

    # The run itself

    def info(self) -> RunInfo:
        """Information about the current attempt. It does not change during the attempt."""
        return self._host.info()


def _text(value: object) -> str:
    return clean(str(value))


def _inside(what: str) -> _loop.Loop:
    loop = _loop.running()
    if loop is None:
        raise RuntimeError(f"`{what}` requires an async task")
    return loop


def _throw(iterator: Iterator[Any]) -> Any:
    cancelled = Cancelled("the run was cancelled")
    if isinstance(iterator, Generator):
        return iterator.throw(cancelled)
    raise cancelled


_current: Context | None = None


def current() -> Context:
    """The context of the current run, for code that has no reference to it."""
    if _current is None:
        raise RuntimeError("no run is active")
    return _current


def set_current(context: Context | None) -> Context | None:
    """Sets the current context. Returns the previous one."""
    global _current
    before, _current = _current, context
    return before


def sleep(seconds: float) -> None:
    """`Context.sleep` of the current run."""
    current().sleep(seconds)

