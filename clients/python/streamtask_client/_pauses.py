"""Pauses, deadlines, and their interruption."""

from __future__ import annotations

import random
import socket
import threading
import time

RETRY = 1.0
"""The first pause after a failure, in seconds; each further one is twice as long."""
_MAX_RETRY = 30.0


def backoff(failures: int, first: float = RETRY, least: float = 0.0) -> float:
    """A pause in seconds, randomly up to half shorter, so that not all clients reconnect at the same
    time."""
    # A larger power would overflow a float, and the pause is the maximum anyway.
    longest = min(first * 2.0 ** min(failures, 64), _MAX_RETRY)
    return max(least, longest * (1 - random.random() / 2))


class Stopped(Exception):
    """A wait was stopped."""


class Waiting:
    """Limits the waits of one thread: by a deadline, or until another thread stops it."""

    def __init__(self, timeout: float | None = None) -> None:
        self._until = None if timeout is None else time.monotonic() + timeout
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def left(self, most: float | None = None) -> float | None:
        """The timeout of a wait of at most this many seconds; None: no limit."""
        self.check()
        if self._until is None:
            return most
        left = max(self._until - time.monotonic(), 1e-3)
        return left if most is None else min(left, most)

    def check(self) -> None:
        """Raises if stopped or past the deadline."""
        if self._stopped.is_set():
            raise Stopped
        if self.is_over:
            raise TimeoutError("the run has not ended")

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self._until is not None and time.monotonic() >= self._until

    def pause(self, seconds: float) -> None:
        """Waits."""
        self._stopped.wait(self.left(seconds))
        self.check()

    def watch(self, connection: socket.socket | None) -> None:
        """Registers a connection to close on stop."""
        with self._lock:
            self._socket = connection
        # It may have been stopped since the last check.
        if connection is not None:
            self.check()

    def stop(self) -> None:
        """Stops the waits, from any thread."""
        self._stopped.set()
        with self._lock:
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # The connection was already lost.
                    pass
