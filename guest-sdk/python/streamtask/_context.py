"""`Context`: everything that a task can do."""

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
    """A message to the run."""

    name: str
    payload: Any
    """A JSON value."""


class Context:
    """The run, as its task sees it.

    Calls that the host refuses raise `Error`. Times are in seconds. Everything here
    may be called with and without `async`; what waits (`sleep`, `receive_signal`,
    `wait_any`) keeps all other tasks of an event loop waiting, so a task with `async`
    has `asyncio.sleep`, `areceive_signal` and `await child` for that.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self.view = View(self._host)
        """Updates of a page."""

    # Events

    def send(self, type: str, data: Any = None, *, channel: str = "") -> Done:
        """Sends one event: `ctx.send("found", {"page": 3})`.

        The type is the task's own choice: 1 to 128 bytes without control characters,
        not beginning with `run.` and not `gap`. Returns as soon as the host has taken
        the event; waits if the task is faster than the disk. Everyone who follows the
        run gets every event, in order. Clients can follow one channel alone.
        """
        self._host.send_event(_text(channel), _text(type), to_json(data))
        return DONE

    def send_bytes(
        self, type: str, data: bytes | bytearray | memoryview, content_type: str, *, channel: str = ""
    ) -> Done:
        """Sends bytes as one event. The content type is one such as `image/png`."""
        self._host.send_bytes(_text(channel), _text(type), _text(content_type), bytes(data))
        return DONE

    def flush(self) -> Done:
        """Returns once every event sent so far is durable."""
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
        """Says how far the run is.

        Work in a row counts its steps: `ctx.progress("page 3", step=3, total=10)`.
        Work of several parts is a tree of items: `ctx.progress(id="index",
        parent="import", weight=3, status="running", done=20, total=80)`. Each event says
        something new about one item; what it leaves out stays as it was.
        """
        said = {
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
        return self.send("progress", {key: value for key, value in said.items() if value is not None})

    def log(self, message: object, level: Level = "info") -> Done:
        """Sends a line for the log. `logging` and `print` work too."""
        return self.send("log", {"level": level, "message": str(message)})

    def stream(self, values: Iterable[Any]) -> Any:
        """Sends each value as a `progress` event. Returns what the generator returns, or
        the last value.

        A generator hears that the run is cancelled as `Cancelled`, raised at its `yield`.
        """
        iterator, last, told = iter(values), None, False
        while True:
            try:
                if not told and self.cancelled():
                    told = True
                    value = _throw(iterator)
                else:
                    value = next(iterator)
            except StopIteration as end:
                return last if end.value is None else end.value
            self.send("progress", value)
            last = value

    async def astream(self, values: AsyncIterable[Any]) -> Any:
        """The same for an asynchronous generator; returns the last value."""
        iterator, last = values.__aiter__(), None
        heard: Cancelled | None = None
        try:
            while True:
                try:
                    if heard is None:
                        value = await iterator.__anext__()
                    else:
                        error, heard = heard, None
                        value = await iterator.athrow(error)  # type: ignore[attr-defined]
                except StopAsyncIteration:
                    return last
                self.send("progress", value)
                last = value
                try:
                    # Lets others run, and the loop hear that the run is cancelled.
                    await asyncio.sleep(0)
                except Cancelled as error:
                    if not hasattr(iterator, "athrow"):
                        raise
                    heard = error
        finally:
            if hasattr(iterator, "aclose"):
                await iterator.aclose()

    # Waiting and cancelling

    def sleep(self, seconds: float) -> None:
        """Waits. The host suspends the task, so that a sleeping task costs no thread.

        Raises `Cancelled` at once when the run is or gets cancelled. With `async`,
        `asyncio.sleep` is the one to use.
        """
        for ms in waits(seconds):
            if not self._host.sleep_ms(ms):
                raise Cancelled("the run was cancelled")

    def cancelled(self) -> bool:
        """Whether someone asked to cancel the run. It then has a grace time to clean up
        and return; what it returns is kept."""
        return self._host.cancelled()

    def check_cancelled(self) -> None:
        """Raises `Cancelled` if someone asked to cancel the run: for tasks that compute
        and do not sleep."""
        check_cancelled(self._host)

    def remaining(self) -> float | None:
        """The time left until the host ends this attempt, in seconds; none if it has no
        deadline. Times above 49 days are given as 49 days."""
        ms = self._host.remaining_ms()
        return None if ms is None else ms / 1000

    # Signals and parameters

    def receive_signal(self, name: str | None = None, timeout: float | None = None) -> Signal | None:
        """Takes the oldest signal that waits; with a name, the oldest of that name.

        Waits for one, at most `timeout` seconds: 0 does not wait, none waits without
        limit. Returns none if the time is over. Raises `Cancelled`.
        """
        name = None if name is None else _text(name)
        for ms in [None] if timeout is None else waits(timeout):
            signal = self._host.receive_signal(name, ms)
            if signal is not None:
                return Signal(signal[0], json.loads(signal[1]))
            self.check_cancelled()
        return None

    async def areceive_signal(self, name: str | None = None, timeout: float | None = None) -> Signal | None:
        """The same for a task with `async`: others run meanwhile."""
        waiting = _inside("areceive_signal").receive_signal(None if name is None else _text(name))
        try:
            signal = await asyncio.wait_for(waiting, timeout)
        except (TimeoutError, asyncio.TimeoutError):
            return None
        return Signal(signal[0], json.loads(signal[1]))

    def parameter(self, name: str, default: Any = None) -> Any:
        """The present value of a parameter; the default if it was never set. Clients can
        set parameters while the run is under way."""
        value = self._host.parameter(_text(name))
        return default if value is None else json.loads(value)

    # Checkpoints

    def save_checkpoint(self, key: str, value: Any) -> Done:
        """Saves a JSON value under a key and replaces what was there. When it returns,
        the value is durable, and so is every event sent before.

        A run that has saved a checkpoint is continued by a new attempt after a crash of
        the host; a retry finds it too.
        """
        return self.save_checkpoint_bytes(key, to_json(value).encode())

    def load_checkpoint(self, key: str, default: Any = None) -> Any:
        """The value that this or an earlier attempt last saved under the key."""
        saved = self.load_checkpoint_bytes(key)
        return default if saved is None else json.loads(saved)

    def remove_checkpoint(self, key: str) -> Done:
        """Forgets what was saved under the key, if anything."""
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
        """Starts a run of a task: `app/task`, or the name alone for a task of the same app.

        Starting it again with the same key, also in a later attempt, returns the same
        child. A detached one goes on when this run has ended. A higher priority, from
        -100 to 100, goes first in the queue.
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
        """Waits until one of the children has ended, at most `timeout` seconds. None if
        the time is over. Raises `Cancelled`. Meanwhile this run leaves its slot to others."""
        ended = wait_children(self._host, [child.id for child in children], timeout)
        return None if ended is None else (children[ended[0]], ended[1])

    # The run itself

    def info(self) -> RunInfo:
        """The facts of this attempt. They do not change while it runs."""
        return self._host.info()


def _text(value: object) -> str:
    return clean(str(value))


def _inside(what: str) -> _loop.Loop:
    loop = _loop.running()
    if loop is None:
        raise RuntimeError(f"`{what}` is for a task with `async`")
    return loop


def _throw(iterator: Iterator[Any]) -> Any:
    cancelled = Cancelled("the run was cancelled")
    if isinstance(iterator, Generator):
        return iterator.throw(cancelled)
    raise cancelled


_current: Context | None = None


def current() -> Context:
    """The context of the run that is under way, for code that was not handed one."""
    if _current is None:
        raise RuntimeError("no run is under way")
    return _current


def set_current(context: Context | None) -> Context | None:
    """Returns what it was."""
    global _current
    before, _current = _current, context
    return before


def sleep(seconds: float) -> None:
    """`Context.sleep` of the run that is under way."""
    current().sleep(seconds)

