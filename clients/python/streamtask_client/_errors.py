"""What can go wrong, by what the caller can do about it."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any

from ._info import RunInfo

# Answers that may be another one in a moment.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
# No problem that a host describes is longer.
_MOST_BYTES = 1 << 20


class HostError(Exception):
    """The host refused a request."""

    def __init__(self, status: int, problem: dict[str, Any], retry_after: float | None = None) -> None:
        detail = problem.get("detail") or problem.get("title")
        super().__init__(str(detail or f"the host answered with status {status}"))
        self.status = status
        self.problem = problem
        """As RFC 9457 has it; empty if the answer was not the host's."""
        self.kind = str(problem.get("type", "")).removeprefix("urn:streamtask:problem:")
        """A word for programs, such as `unknown-run`; empty if the answer was not the host's."""
        self.retry_after = retry_after
        """The least time to wait before another try, in seconds, if the host said so."""


class RunError(Exception):
    """A run did not complete."""

    def __init__(self, run: RunInfo) -> None:
        failure = run["error"] or {}
        super().__init__(failure.get("message") or f"the run was {run['status']}")
        self.run = run
        self.status = run["status"]
        """`failed` or `cancelled`."""
        self.kind = failure.get("kind")
        """What ended it, such as `failure`, `trap` or `deadline-exceeded`."""
        self.code = failure.get("code")
        """The task's own word for a failure."""


class StreamError(Exception):
    """A stream was not what a stream has to be."""


def refusal(response: http.client.HTTPResponse) -> HostError:
    """Reads the answer to a request that was refused."""
    try:
        problem = json.loads(response.read(_MOST_BYTES))
    except (ValueError, http.client.HTTPException):
        # Of a proxy it may be anything.
        problem = {}
    after = _seconds(response.headers.get("retry-after"))
    return HostError(response.status, problem if isinstance(problem, dict) else {}, after)


def _seconds(retry_after: str | None) -> float | None:
    """Of a `Retry-After`, which is a number or a moment."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return None
    return seconds if 0 < seconds < float("inf") else None


def may_pass(error: Exception) -> bool:
    """Whether another try could succeed."""
    if isinstance(error, HostError):
        return error.status in _PASSING
    if isinstance(error, ssl.SSLCertVerificationError):
        return False
    return isinstance(error, (OSError, http.client.HTTPException, StreamError))


def retry_after(error: Exception) -> float:
    """The least pause that the host asks for, in seconds."""
    return (error.retry_after or 0.0) if isinstance(error, HostError) else 0.0
