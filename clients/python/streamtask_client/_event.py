"""Events and notices of a stream."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

_ENDS = frozenset({"run.completed", "run.failed", "run.cancelled"})


@dataclass(frozen=True)
class Event:
    """An event of a run's log, or a notice that events are missing here.

    A notice has the type `gap` and no number. Its data has a `reason`: `pruned`, retention deleted the
    events `from` to `to`; `removed`, the whole run was deleted; `unknown-position`, the log never had the
    requested position, and the stream starts at the log's beginning; `missing`, the host did not send
    them.
    """

    type: str
    """For example `progress`. Types that begin with `run.` are the host's."""
    data: Any
    """Any JSON value; for bytes, a Base64 string, with `content_type`."""
    seq: int | None = None
    """The sequence number: from 1, without gaps."""
    attempt: int | None = None
    timestamp: str = ""
    """RFC 3339."""
    channel: str = ""
    """The channel; empty for the default channel."""
    content_type: str | None = None

    @classmethod
    def of(cls, line: dict[str, Any]) -> Event:
        """Parses a line of the stream."""
        names = ("type", "data", "seq", "attempt", "timestamp", "channel", "content_type")
        return cls(**{name: line[name] for name in names if name in line})

    @property
    def is_end(self) -> bool:
        """Whether it is the run's last event."""
        return self.seq is not None and self.type in _ENDS

    @property
    def content(self) -> bytes:
        """The bytes that the task sent."""
        if self.content_type is None:
            raise ValueError(f"the event {self.type!r} has JSON, not bytes")
        return base64.b64decode(self.data)


def end_types() -> list[str]:
    """The types of the last event of a run."""
    return sorted(_ENDS)
