"""The way to a run's stream."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from ._address import Address, Query, segment
from ._errors import StreamError
from ._info import RunInfo
from ._pauses import Waiting

MEDIA = "application/x-ndjson"
# The host sends the head of a stream's response at once. A proxy that delays it for this long buffers
# everything.
_OPEN = 10.0
# Connections without a single byte after which streaming counts as blocked.
_MUTE_CONNECTIONS = 2
POLL = 2.0
"""Pause between two polls, in seconds."""
# Polls before streaming is tried again, because its cause may be gone: five minutes.
_POLLS_IN_A_ROW = 150
# A buffering proxy delays a poll until it is complete, which takes this long for a long history.
_WHOLE = 300.0
# Missed heartbeats after which a connection counts as dead.
_SILENCE_HEARTBEATS = 2.5
_READ_BYTES = 64 << 10


@dataclass(frozen=True)
class Wish:
    """The requested part of a run's log."""

    after: int | None = None
    tail: int | None = None
    from_: Literal["start", "now", "latest"] | None = None
    types: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    heartbeat: int = 15

    @property
    def is_whole(self) -> bool:
        """Whether all sequence numbers of the log are expected."""
        return self.types is None and self.channels is None


class Line:
    """The transport of a run's stream: successive connections, or polls if streaming is blocked."""

    def __init__(self, address: Address, run: str, path: str | None, wish: Wish) -> None:
        self.ended = False
        """Whether the host reported the end of the stream."""
        self._address = address
        self._run = run
        # Known at once, or after a request for the run.
        self._path = path
        self._wish = wish
        self._mute = 0
        self._polls = 0
        # Polls that timed out without a single byte.
        self._mute_polls = 0
        # The start position, if the first poll had to determine it.
        self._begin: int | None = None
        # Whether the connection was made, and whether any data was received.
        self._connected = self._heard = False

    @property
    def is_polling(self) -> bool:
        """Whether the next request is a poll."""
        return self._mute >= _MUTE_CONNECTIONS

    def read(self, after: int | None, waiting: Waiting) -> Iterator[list[bytes] | None]:
        """The lines of one connection, until it ends or is lost. The first value is None: the connection
        is open."""
        self._connected = self._heard = False
        path = self._path or self._located(waiting)
        after = self._begin if after is None else after
        yield from self._poll(path, after, waiting) if self.is_polling else self._stream(path, after, waiting)

    def _stream(self, path: str, after: int | None, waiting: Waiting) -> Iterator[list[bytes] | None]:
        heartbeat = self._wish.heartbeat
        # Some proxies keep a dead connection open.
        silence = heartbeat * _SILENCE_HEARTBEATS or None
        try:
            yield from self._connection(path, after, {"heartbeat": heartbeat}, waiting, _OPEN, silence)
        except Exception as error:
            # A lost network does not mean that a proxy buffers.
            self._mute = self._mute + 1 if self._is_mute(error) else 0
            raise

    def _poll(self, path: str, after: int | None, waiting: Waiting) -> Iterator[list[bytes] | None]:
        self._polls += 1
        if self._polls >= _POLLS_IN_A_ROW:
            self._mute = self._polls = 0
        # The response can be large.
        whole = min(_OPEN * 2.0**self._mute_polls, _WHOLE)
        try:
            if after is None and self._wish.from_ == "now":
                after = self._begin = self._now(path, waiting)
            yield from self._connection(path, after, {"live": False}, waiting, whole, whole)
            self._mute_polls = 0
        except Exception as error:
            self._mute_polls += self._is_mute(error)
            raise

    def _is_mute(self, error: Exception) -> bool:
        return isinstance(error, TimeoutError) and self._connected and not self._heard

    def _now(self, path: str, waiting: Waiting) -> int:
        """The newest event of the run. With `now`, each poll would skip the events since the previous
        poll."""
        status = self._address.request("GET", f"{path}/status", timeout=waiting.left(_OPEN))
        last: int = status["last_seq"]
        return last

    def _connection(
        self, path: str, after: int | None, query: Query, waiting: Waiting, opening: float, silence: float | None
    ) -> Iterator[list[bytes] | None]:
        headers = {"accept": MEDIA}
        # Unlike with `?after=`, the host reports an unknown position with a notice.
        if after:
            headers["last-event-id"] = str(after)
        opened = self._address.answer(
            "GET",
            path,
            query={**query, **self._query(after)},
            headers=headers,
            timeout=waiting.left(opening),
            on_connect=lambda peer: self._watch(peer, waiting),
        )
        try:
            with opened as (response, peer):
                if response.status == 204:
                    self.ended = True
                    return
                kind = response.headers.get_content_type()
                if kind != MEDIA:
                    raise StreamError(f"expected a stream, got {kind}; a proxy may have answered instead of the host")
                yield None
                lines = _Lines()
                while True:
                    peer.settimeout(waiting.left(silence))
                    part = response.read1(_READ_BYTES)
                    if not part:
                        return
                    self._heard = True
                    if not self.is_polling:
                        self._mute = 0
                    yield lines.take(part)
        finally:
            waiting.watch(None)

    def _watch(self, peer: socket.socket, waiting: Waiting) -> None:
        self._connected = True
        waiting.watch(peer)

    def _located(self, waiting: Waiting) -> str:
        path = f"/api/runs/{segment(self._run)}"
        info: RunInfo = self._address.request("GET", path, timeout=waiting.left(_OPEN))
        self._path = info["stream"]
        return self._path

    def _query(self, after: int | None) -> Query:
        wish = self._wish
        place = {"tail": wish.tail, "from": wish.from_} if after is None else {"after": after}
        lists = {"types": wish.types, "channel": wish.channels}
        return {
            **place,
            **{name: ",".join(names) for name, names in lists.items() if names is not None},
        }


class _Lines:
    """Splits bytes into lines. Skips empty lines, which are heartbeats."""

    def __init__(self) -> None:
        self._unfinished: list[bytes] = []

    def take(self, part: bytes) -> list[bytes]:
        first, *others = part.split(b"\n")
        self._unfinished.append(first)
        if not others:
            return []
        whole = [b"".join(self._unfinished), *others[:-1]]
        self._unfinished = [others[-1]]
        return [line for line in whole if line]
