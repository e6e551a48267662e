"""Pauses and bounds of time, and what cuts them short."""

from __future__ import annotations

import random
import socket
import threading
import time

RETRY = 1.0
"""First pause after a failure, in seconds; each further one is twice as long."""
_MAX_RETRY = 30.0


def backoff(failures: int, first: float = RETRY, least: float = 0.0) -> float:
    """A pause in seconds, at random up to half shorter, so that not all who lost a host come back at once."""
    # Beyond this the power is a number that no float can hold, and the pause is the longest anyway.
    longest = min(first * 2.0 ** min(failures, 64), _MAX_RETRY)
    return max(least, longest * (1 - random.random() / 2))


class Stopped(Exception):
    """Whoever waits shall not any longer."""


class Waiting:
    """Bounds what one thread waits for: by a moment, or until another thread stops it."""

    def __init__(self, timeout: float | None = None) -> None:
        self._until = None if timeout is None else time.monotonic() + timeout
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def left(self, most: float | None = None) -> float | None:
        """How long to wait for something that takes at most so many seconds; none: as long as it takes."""
        self.check()
        if self._until is None:
            return most
        left = max(self._until - time.monotonic(), 1e-3)
        return left if most is None else min(left, most)

    def check(self) -> None:
        """Raises if it is over."""
        if self._stopped.is_set():
            raise Stopped
        if self.is_over:
            raise TimeoutError("the run goes on")

    @property
    def is_over(self) -> bool:
        """Whether the moment has come."""
        return self._until is not None and time.monotonic() >= self._until

    def pause(self, seconds: float) -> None:
        """Waits."""
        self._stopped.wait(self.left(seconds))
        self.check()

    def watch(self, connection: socket.socket | None) -> None:
        """A wait for this connection ends when it is stopped."""
        with self._lock:
            self._socket = connection
        # Else it may have been stopped between the last look and now.
        if connection is not None:
            self.check()

    def stop(self) -> None:
        """Ends it, from whichever thread."""
        self._stopped.set()
        with self._lock:
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # It was lost already.
                    pass
