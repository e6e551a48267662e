"""Timeouts and cancellation of the calls that wait in the host."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ._errors import Cancelled
from ._host import FOREVER, Host


def check_cancelled(host: Host) -> None:
    """Raises `Cancelled` if the run is to be cancelled."""
    if host.cancelled():
        raise Cancelled("the run was cancelled")


def waits(seconds: float) -> Iterator[int]:
    """Splits a time into waits in whole milliseconds, rounded up, none longer than the
    contract allows. Yields at least one, so that even a time of 0 asks the host whether
    the run is cancelled.

    >>> list(waits(0)), list(waits(0.0001)), list(waits(2**32 / 1000))
    ([0], [1], [4294967295, 1])
    """
    if math.isnan(seconds):
        raise ValueError("the time is not a number")
    left = FOREVER * 2**10 if math.isinf(seconds) and seconds > 0 else max(0, math.ceil(seconds * 1000))
    while True:
        wait = min(left, FOREVER)
        yield wait
        left -= wait
        if not left:
            return
