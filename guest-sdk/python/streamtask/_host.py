"""What the SDK needs of the host: the contract, in Python's words.

In a component it is `_contract.Contract`, in a test `testing.Recording`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Steps = Generator[Any, None, T]
"""Something that waits for the network in between. What it yields is waited for by
`Host.poll`, after which it goes on; what it returns is its result. So one text serves
those who wait alone and those who wait in an event loop."""

FOREVER = 0xFFFF_FFFF
"""The longest wait that the contract can say, in milliseconds: 49 days."""


@dataclass(frozen=True)
class RunInfo:
    """The facts of this attempt. They do not change while it runs."""

    id: str
    """The run's id, unique on this host and its peers."""
    app: str
    """The app that the task belongs to."""
    task: str
    """The task's name."""
    version: str
    """The version that this attempt runs on: the SHA-256 of the file, in hexadecimal."""
    attempt: int
    """1 for the first attempt."""
    labels: dict[str, str] = field(default_factory=dict)
    """Given when the run was started."""


@dataclass(frozen=True)
class Outcome:
    """How a child ended. Where it did not complete, `kind` and the rest say why."""

    status: str
    """`completed`, `failed` or `cancelled`."""
    value: Any = None
    """The result. Of a cancelled child, what it returned in its grace time."""
    kind: str | None = None
    """Of a failed child: `failure` if its task returned one, else what ended it, such as `trap`."""
    message: str | None = None
    """One line for people."""
    code: str | None = None
    """The child's own word."""
    details: Any = None
    """A JSON value."""


@dataclass(frozen=True)
class Request:
    """An HTTP request."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    content: bytes = b""
    timeout: float | None = None
    """For the connection, the first byte, and between bytes, in seconds each."""


class Exchange(Protocol):
    """The answer to a request, while it comes in."""

    status: int
    headers: list[tuple[str, str]]

    def chunk(self) -> Steps[bytes]:
        """The next part of the body; nothing at its end."""
        ...

    def close(self) -> None:
        """Lets go of what is left."""
        ...


class Host(Protocol):
    """Texts of JSON are texts here too. Times are as in the contract."""

    def send_event(self, channel: str, type: str, data: str) -> None: ...
    def send_bytes(self, channel: str, type: str, content_type: str, data: bytes) -> None: ...
    def flush(self) -> None: ...
    def info(self) -> RunInfo: ...
    def remaining_ms(self) -> int | None: ...
    def cancelled(self) -> bool: ...
    def sleep_ms(self, ms: int) -> bool: ...
    def receive_signal(self, name: str | None, timeout_ms: int | None) -> tuple[str, str] | None: ...
    def parameter(self, name: str) -> str | None: ...
    def save(self, key: str, value: bytes) -> None: ...
    def remove(self, key: str) -> None: ...
    def load(self, key: str) -> bytes | None: ...
    def start_child(
        self, task: str, input: str, key: str | None, detached: bool, priority: int | None
    ) -> str: ...
    def wait_children(self, runs: Sequence[str], timeout_ms: int | None) -> tuple[int, Outcome] | None: ...
    def cancel_child(self, run: str) -> None: ...

    def monotonic(self) -> float:
        """A clock, in seconds."""
        ...

    def pause(self, ms: int) -> None:
        """Waits, also when the run is cancelled."""
        ...

    def poll(self, pollables: Sequence[Any], ms: int) -> list[int]:
        """Waits for one of what `Steps` yield; returns the places of those that are
        ready. None after that time. Does not hear that the run is cancelled."""
        ...

    def fetch(self, request: Request) -> Steps[Exchange]:
        """Sends a request and waits for the head of its answer."""
        ...
