"""Tracks the delivered events of a log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ._errors import StreamError
from ._event import Event


class Log:
    """Tracks the delivered events of a log, so that none is repeated, and none is missing unnoticed."""

    def __init__(self, after: int | None, is_whole: bool) -> None:
        """`is_whole`: whether all sequence numbers are expected."""
        self.last = after
        self.ended = False
        self.fault: StreamError | None = None
        """An error of the connection, after its valid events."""
        self._is_whole = is_whole
        # The position of missing events: if they are missing again after a reconnect, the log does not
        # have them.
        self._missing: int | None = None

    def take(self, lines: Iterable[bytes]) -> list[Event]:
        """The new events in these lines."""
        self.fault = None
        events: list[Event] = []
        for line in lines:
            try:
                self._take_one(_read(line), events)
            except (ValueError, KeyError, TypeError) as error:
                self.fault = StreamError(f"the stream is corrupt: {error!r}")
            if self.fault or self.ended:
                break
        return events

    def _take_one(self, line: dict[str, Any], events: list[Event]) -> None:
        event = Event.of(line)
        if event.seq is None:
            if event.type == "gap":
                self._take_gap(event, events)
            return
        if type(event.seq) is not int:
            raise TypeError("an event has no number")
        last = event.seq - 1 if self.last is None else self.last
        if event.seq <= last:
            return
        if self._is_whole and event.seq > last + 1:
            if self._missing != last:
                self._missing = last
                self.fault = StreamError(f"events {last + 1} to {event.seq - 1} are missing")
                return
            events.append(Event("gap", {"from": last + 1, "to": event.seq - 1, "reason": "missing"}))
        self.last = event.seq
        self.ended = event.is_end
        events.append(event)

    def _take_gap(self, notice: Event, events: list[Event]) -> None:
        # The log never had the position, so it is a different log now. The stream starts at its
        # beginning.
        if notice.data["reason"] == "unknown-position":
            self.last = 0
        else:
            self.last = max(self.last or 0, notice.data.get("to", 0))
        events.append(notice)


def _read(line: bytes) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise TypeError("a line is not an event")
    return value
