"""The host's JSON objects about runs."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

RunStatus = Literal["queued", "delayed", "running", "paused", "completed", "failed", "cancelled"]


class RunFailure(TypedDict, total=False):
    """The error of a failed run."""

    kind: str
    """`failure` if its task returned a failure; otherwise the cause, such as `trap` or
    `deadline-exceeded`."""
    message: str
    code: str
    """The code of the task's failure."""
    details: Any


class RunInfo(TypedDict):
    """A run, as returned by `GET /api/runs/{run}`. Times are RFC 3339."""

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
    """The path of its stream."""


class RunPage(TypedDict):
    """A page of a list of runs."""

    runs: list[RunInfo]
    next: str | None
    """The `cursor` of the next page; None on the last page."""


class FileInfo(TypedDict):
    """An output file of a run."""

    path: str
    size: int
    """The size in bytes."""
    content_type: str
    modified: str
    url: str
