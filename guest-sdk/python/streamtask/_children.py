"""Child runs: runs that the task starts."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from . import _loop
from ._errors import ChildFailed
from ._host import Host, Outcome
from ._waits import check_cancelled, waits


class Child:
    """A child run. In an async task, `await child` is `child.result()`, and
    `asyncio.gather(*children)` waits for several."""

    def __init__(self, host: Host, id: str) -> None:
        self._host = host
        self.id = id
        """The run's ID."""

    def wait(self, timeout: float | None = None) -> Outcome | None:
        """Waits until the child has ended, for at most `timeout` seconds. Returns None after
        the timeout. Raises `Cancelled`."""
        ended = wait_children(self._host, [self.id], timeout)
        return None if ended is None else ended[1]

    def result(self) -> Any:
        """Waits for the child and returns its result. Raises `ChildFailed` if it did not
        complete."""
        outcome = self.wait()
        assert outcome is not None, "only a wait with a timeout returns None"
        return _value(outcome)

    def cancel(self) -> None:
        """Requests cancellation of the child."""
        self._host.cancel_child(self.id)

    def __await__(self) -> Generator[Any, None, Any]:
        outcome = yield from self.outcome().__await__()
        return _value(outcome)

    async def outcome(self) -> Outcome:
        """`wait` for async tasks."""
        loop = _loop.running()
        if loop is None:
            raise RuntimeError("`await child` requires an async task")
        return await loop.child(self.id)

    def __repr__(self) -> str:
        return f"Child({self.id!r})"


def wait_children(
    host: Host, runs: Sequence[str], timeout: float | None = None
) -> tuple[int, Outcome] | None:
    """Waits until one of the runs has ended, and returns its index and outcome; None after
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
