"""What the host says of runs, as JSON has it."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

RunStatus = Literal["queued", "delayed", "running", "paused", "completed", "failed", "cancelled"]


class RunFailure(TypedDict, total=False):
    """Why a run failed."""

    kind: str
    """`failure` if its task returned one; else what ended it, such as `trap` or `deadline-exceeded`."""
    message: str
    code: str
    """The task's own word."""
    details: Any


class RunInfo(TypedDict):
    """A run, as `GET /api/runs/{run}` has it. Times are RFC 3339."""

    id: str
    app: str
    task: str
    version: str | None
    status: RunStatus
    attempt: int
    input: Any
    final_value: Any
    error: RunFailure | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    cancel_requested_at: str | None
    not_before: str | None
    priority: int
    waits_for: str | None
    parent: str | None
    on_disconnect: Literal["continue", "cancel"]
    labels: dict[str, str]
    stream: str
    """Path of its stream."""


class RunPage(TypedDict):
    """Some runs of a list."""

    runs: list[RunInfo]
    next: str | None
    """The `cursor` of those that follow; none if these were the last."""


class FileInfo(TypedDict):
    """A file that a run has left."""

    path: str
    size: int
    """In bytes."""
    content_type: str
    modified: str
    url: str
