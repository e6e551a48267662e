"""What of a log has been delivered."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ._errors import StreamError
from ._event import Event


class Log:
    """What has been delivered of a log, so that nothing is twice and nothing is left out in silence."""

    def __init__(self, after: int | None, is_whole: bool) -> None:
        """`is_whole` says whether each number is expected."""
        self.last = after
        self.ended = False
        self.fault: StreamError | None = None
        """What is wrong with the connection, after the events that were good."""
        self._is_whole = is_whole
        # Where events were missing: a connection may have lost them, a log that has them not will never say more.
        self._missing: int | None = None

    def take(self, lines: Iterable[bytes]) -> list[Event]:
        """The events of these lines that are new."""
        self.fault = None
        events: list[Event] = []
        for line in lines:
            try:
                self._take_one(_read(line), events)
            except (ValueError, KeyError, TypeError) as error:
                self.fault = StreamError(f"the stream is damaged: {error!r}")
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
                self.fault = StreamError(f"events {last + 1} to {event.seq - 1} did not come")
                return
            events.append(Event("gap", {"from": last + 1, "to": event.seq - 1, "reason": "missing"}))
        self.last = event.seq
        self.ended = event.is_end
        events.append(event)

    def _take_gap(self, notice: Event, events: list[Event]) -> None:
        # A position that the log never had: it is another log now, and comes from its beginning.
        if notice.data["reason"] == "unknown-position":
            self.last = 0
        else:
            self.last = max(self.last or 0, notice.data.get("to", 0))
        events.append(notice)


def _read(line: bytes) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise TypeError("a line is no event")
    return value
