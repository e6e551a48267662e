"""The host interface of the SDK: the contract with Python types.

Components use `_contract.Contract`, tests use `testing.Recording`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Steps = Generator[Any, None, T]
"""An operation that waits for the network in between. It yields what `Host.poll` is to
wait for, and returns its result. So one implementation serves both blocking calls and
the event loop."""

FOREVER = 0xFFFF_FFFF
"""The longest wait that the contract can express, in milliseconds: 49 days."""


@dataclass(frozen=True)
class RunInfo:
    """Information about the current attempt. It does not change during the attempt."""

    id: str
    """The run's ID, unique on this host and its peers."""
    app: str
    """The app that the task belongs to."""
    task: str
    """The task's name."""
    version: str
    """The task's version that this attempt executes: the SHA-256 of its file, in hexadecimal."""
    attempt: int
    """1 for the first attempt."""
    labels: dict[str, str] = field(default_factory=dict)
    """The labels given when the run was started."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a child. If it did not complete, `kind` and the following describe why."""

    status: str
    """`completed`, `failed` or `cancelled`."""
    value: Any = None
    """The result. For a cancelled child, the result that it returned in its grace period."""
    kind: str | None = None
    """For a failed child: `failure` if its task returned a failure, otherwise the cause, such as `trap`."""
    message: str | None = None
    """One line for people."""
    code: str | None = None
    """The code of the child's failure."""
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
    """For the connection, the first byte, and the time between bytes, in seconds each."""


class Exchange(Protocol):
    """The response to a request, while it is received."""

    status: int
    headers: list[tuple[str, str]]

    def chunk(self) -> Steps[bytes]:
        """The next part of the body; empty at its end."""
        ...

    def close(self) -> None:
        """Discards the rest of the response."""
        ...


class Host(Protocol):
    """The functions of the contract. JSON is passed as text, times are those of the contract."""

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
        """The time of a monotonic clock, in seconds."""
        ...

    def pause(self, ms: int) -> None:
        """Sleeps, even if the run is cancelled."""
        ...

    def poll(self, pollables: Sequence[Any], ms: int) -> list[int]:
        """Waits for the values that `Steps` yield; returns the indexes of those that are
        ready, or an empty list after the timeout. Does not detect cancellation."""
        ...

    def fetch(self, request: Request) -> Steps[Exchange]:
        """Sends a request and waits for the head of its response."""
        ...
