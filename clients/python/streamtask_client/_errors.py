"""The errors of the client."""

from __future__ import annotations

import http.client
import json
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Any

from ._info import RunInfo

# Statuses after which a retry could succeed.
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
# Longer than any problem of a host.
_MOST_BYTES = 1 << 20


class HostError(Exception):
    """The host rejected a request."""

    def __init__(self, status: int, problem: dict[str, Any], retry_after: float | None = None) -> None:
        detail = problem.get("detail") or problem.get("title")
        super().__init__(str(detail or f"the host answered with status {status}"))
        self.status = status
        self.problem = problem
        """The problem as of RFC 9457; empty if the response was not from the host."""
        self.kind = str(problem.get("type", "")).removeprefix("urn:streamtask:problem:")
        """A machine-readable kind, such as `unknown-run`; empty if the response was not from the host."""
        self.retry_after = retry_after
        """The minimum delay before a retry, in seconds, if the host sent one."""


class RunError(Exception):
    """A run did not complete."""

    def __init__(self, run: RunInfo) -> None:
        failure = run["error"] or {}
        super().__init__(failure.get("message") or f"the run was {run['status']}")
        self.run = run
        self.status = run["status"]
        """`failed` or `cancelled`."""
        self.kind = failure.get("kind")
        """The cause, such as `failure`, `trap` or `deadline-exceeded`."""
        self.code = failure.get("code")
        """The code of the task's failure."""


class StreamError(Exception):
    """A stream is invalid."""


def refusal(response: http.client.HTTPResponse) -> HostError:
    """Makes an error of the response to a rejected request."""
    try:
        problem = json.loads(response.read(_MOST_BYTES))
    except (ValueError, http.client.HTTPException):
        # A proxy's response can be anything.
        problem = {}
    after = _seconds(response.headers.get("retry-after"))
    return HostError(response.status, problem if isinstance(problem, dict) else {}, after)


def _seconds(retry_after: str | None) -> float | None:
    """The seconds of a `Retry-After` header, which is a number or a date."""
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
    """Whether a retry could succeed."""
    if isinstance(error, HostError):
        return error.status in _PASSING
    if isinstance(error, ssl.SSLCertVerificationError):
        return False
    return isinstance(error, (OSError, http.client.HTTPException, StreamError))


def retry_after(error: Exception) -> float:
    """The minimum delay before a retry that the host requested, in seconds."""
    return (error.retry_after or 0.0) if isinstance(error, HostError) else 0.0
