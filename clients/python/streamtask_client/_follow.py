"""Follows a run until its end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from ._errors import StreamError, may_pass, retry_after
from ._event import Event
from ._line import POLL, Line
from ._log import Log
from ._pauses import RETRY, Stopped, Waiting, backoff


@dataclass(frozen=True)
class State:
    """The state of the connection."""

    state: Literal["connecting", "open", "waiting", "polling", "ended"]
    """`waiting`: the connection was lost, and is retried after `retry_in`. `polling`: streaming is
    blocked, so the client polls for new events."""
    after: int | None
    """The last event delivered."""
    error: Exception | None = None
    """The error that led to waiting."""
    retry_in: float | None = None
    """The time until the next try, in seconds."""


class Follower(Iterator[Event]):
    """The events of a run, each once and in order, until it has ended.

    Reconnects after a lost connection. `close` ends it early, from any thread, and so does leaving a
    `with` block.
    """

    def __init__(
        self,
        line: Line,
        log: Log,
        *,
        waiting: Waiting,
        retry: float = RETRY,
        poll: float = POLL,
        give_up: float | None = None,
        on_state: Callable[[State], None] | None = None,
    ) -> None:
        self._line = line
        self._log = log
        self._waiting = waiting
        self._retry = retry
        self._poll = poll
        self._give_up = float("inf") if give_up is None else give_up
        self._on_state = on_state
        self._unheard: Exception | None = None
        self._ready: deque[Event] = deque()
        self._batches = self._read()

    def __next__(self) -> Event:
        while not self._ready:
            self._ready.extend(next(self._batches))
        return self._ready.popleft()

    def batch(self) -> list[Event] | None:
        """Waits for the next batch of events; None at the end."""
        ready, self._ready = list(self._ready), deque()
        return ready or next(self._batches, None)

    def close(self) -> None:
        """Stops following. The run continues."""
        self._waiting.stop()
        try:
            self._batches.close()
        except ValueError:
            # Another thread is using it, and stops now.
            pass

    def __enter__(self) -> Follower:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> Generator[list[Event], None, None]:
        try:
            yield from self._connections()
        except Stopped:
            return

    def _connections(self) -> Iterator[list[Event]]:
        failures = 0
        heard = time.monotonic()
        while True:
            is_polling = self._line.is_polling
            self._tell(State("polling" if is_polling else "connecting", self._log.last))
            wait = self._poll
            try:
                for lines in self._line.read(self._log.last, self._waiting):
                    heard = time.monotonic()
                    if lines is None:
                        if not is_polling:
                            self._tell(State("open", self._log.last))
                        continue
                    events = self._log.take(lines)
                    if events:
                        failures = 0
                        yield events
                    if self._log.fault:
                        raise self._log.fault
                    if self._log.ended:
                        break
                if self._log.ended or self._line.ended:
                    break
                if not is_polling:
                    raise StreamError("the stream ended before its run")
                failures = 0
            except Exception as error:
                self._waiting.check()
                tried = time.monotonic() - heard
                if error is self._unheard or not may_pass(error) or tried > self._give_up:
                    raise
                wait = backoff(failures, self._retry, retry_after(error))
                failures += 1
                self._tell(State("waiting", self._log.last, error, wait))
            self._waiting.pause(wait)
        self._tell(State("ended", self._log.last))

    def _tell(self, state: State) -> None:
        try:
            if self._on_state is not None:
                self._on_state(state)
        except Exception as error:
            # An exception of `on_state`, not of the connection.
            self._unheard = error
            raise
