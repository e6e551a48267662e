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
# The head of an answer comes as soon as a stream opens.
_OPEN = 10.0
# Signs of life that may fail to come before a connection counts as dead.
_SILENCE_HEARTBEATS = 2.5
_READ_BYTES = 64 << 10


@dataclass(frozen=True)
class Wish:
    """What of a run's log is wanted."""

    after: int | None = None
    tail: int | None = None
    from_: Literal["start", "now", "latest"] | None = None
    types: tuple[str, ...] | None = None
    channels: tuple[str, ...] | None = None
    heartbeat: int = 15

    @property
    def is_whole(self) -> bool:
        """Whether every number of the log is expected."""
        return self.types is None and self.channels is None


class Line:
    """The way to a run's stream: connections, one after the other."""

    def __init__(self, address: Address, run: str, path: str | None, wish: Wish) -> None:
        self.ended = False
        """Whether the host said that nothing will ever follow."""
        self._address = address
        self._run = run
        # Known at once, or when the run has been asked for.
        self._path = path
        self._wish = wish

    def read(self, after: int | None, waiting: Waiting) -> Iterator[list[bytes] | None]:
        """The lines that come over one connection, until it ends or is lost; first None, when it is open."""
        path = self._path or self._located(waiting)
        headers = {"accept": MEDIA}
        # Unlike `?after=`, a position that the log does not have is told here, by a notice.
        if after:
            headers["last-event-id"] = str(after)
        opened = self._address.answer(
            "GET",
            path,
            query=self._query(after),
            headers=headers,
            timeout=waiting.left(_OPEN),
            on_connect=waiting.watch,
        )
        try:
            with opened as (response, peer):
                if response.status == 204:
                    self.ended = True
                    return
                kind = response.headers.get_content_type()
                if kind != MEDIA:
                    raise StreamError(f"instead of a stream came {kind}; something stands between here and the host")
                yield None
                lines = _Lines()
                while True:
                    self._await(peer, waiting)
                    part = response.read1(_READ_BYTES)
                    if not part:
                        return
                    yield lines.take(part)
        finally:
            waiting.watch(None)

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
            "heartbeat": wish.heartbeat,
            **place,
            **{name: ",".join(names) for name, names in lists.items() if names is not None},
        }

    def _await(self, peer: socket.socket, waiting: Waiting) -> None:
        """Bounds the next read: some proxies keep a connection open that is long dead."""
        silence = self._wish.heartbeat * _SILENCE_HEARTBEATS
        peer.settimeout(waiting.left(silence or None))


class _Lines:
    """Cuts bytes into lines. Signs of life are empty ones, and left out."""

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
