"""Runs that the task starts."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from . import _loop
from ._errors import ChildFailed
from ._host import Host, Outcome
from ._waits import check_cancelled, waits


class Child:
    """A run that this one has started. `await child` is `child.result()` for a task with
    `async`; with `asyncio.gather(*children)` it waits for many."""

    def __init__(self, host: Host, id: str) -> None:
        self._host = host
        self.id = id
        """The run's id."""

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Waits until the child has ended, at most `timeout` seconds; none if the time is
        over. Raises `Cancelled`."""
        ended = wait_children(self._host, [self.id], timeout)
        return None if ended is None else ended[1]

    def result(self) -> Any:
        """Waits for the child and returns its result. Raises `ChildFailed` if it has
        another end."""
        outcome = self.wait()
        assert outcome is not None, "a wait without limit has no other end"
        return _value(outcome)

    def cancel(self) -> None:
        """Asks the child to end."""
        self._host.cancel_child(self.id)

    def __await__(self) -> Generator[Any, None, Any]:
        outcome = yield from self.outcome().__await__()
        return _value(outcome)

    async def outcome(self) -> Outcome:
        """`wait` for a task with `async`."""
        loop = _loop.running()
        if loop is None:
            raise RuntimeError("`await child` is for a task with `async`")
        return await loop.child(self.id)

    def __repr__(self) -> str:
        return f"Child({self.id!r})"


def wait_children(
    host: Host, runs: Sequence[str], timeout: float | None = None
) -> tuple[int, Outcome] | None:
    """Waits until one of the runs has ended, and returns its index and outcome; none after
    `timeout` seconds. Raises `Cancelled`."""
    for ms in [None] if timeout is None else waits(timeout):
        ended = host.wait_children(runs, ms)
        if ended is not None:
            return ended
        check_cancelled(host)
    return None


def _value(outcome: Outcome) -> Any:
    if outcome.status == "completed":
        return outcome.value
    if outcome.status == "cancelled":
        raise ChildFailed("cancelled", "it was cancelled", "child-cancelled", outcome.value)
    raise ChildFailed(outcome.kind or "failure", outcome.message or "", outcome.code, outcome.details)
