"""What a stream says."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

_ENDS = frozenset({"run.completed", "run.failed", "run.cancelled"})


@dataclass(frozen=True)
class Event:
    """An event of a run's log, or a notice that events are missing at this place.

    A notice has the type `gap` and no number. Its data has a `reason`: `pruned`, retention removed the
    events `from` to `to`; `removed`, the whole run was removed; `unknown-position`, the log never had
    the position that was asked for, and comes from its beginning; `missing`, the host left them out
    without a word.
    """

    type: str
    """Such as `progress`. Types that begin with `run.` come from the host."""
    data: Any
    """Any JSON value; of bytes a string in Base64, with `content_type`."""
    seq: int | None = None
    """Its number: from 1, without gaps."""
    attempt: int | None = None
    timestamp: str = ""
    """RFC 3339."""
    channel: str = ""
    """The empty name is the default channel."""
    content_type: str | None = None

    @classmethod
    def of(cls, line: dict[str, Any]) -> Event:
        """From a line of the stream."""
        names = ("type", "data", "seq", "attempt", "timestamp", "channel", "content_type")
        return cls(**{name: line[name] for name in names if name in line})

    @property
    def is_end(self) -> bool:
        """Whether it is the last of its run."""
        return self.seq is not None and self.type in _ENDS

    @property
    def content(self) -> bytes:
        """The bytes that the task sent."""
        if self.content_type is None:
            raise ValueError(f"the event {self.type!r} has JSON and no bytes")
        return base64.b64decode(self.data)


def end_types() -> list[str]:
    """The types of the last event of a run."""
    return sorted(_ENDS)
