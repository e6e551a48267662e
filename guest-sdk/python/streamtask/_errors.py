"""What can go wrong, and how it leaves the task."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Protocol, runtime_checkable

Cancelled = asyncio.CancelledError
"""Someone asked to cancel the run.

Raised by whatever waits. It is asyncio's own exception, so that it is the same in
a task with `async` and in one without, and that `except Exception` lets it pass.
"""


class Failure(Exception):
    """Why a task did not succeed. Raised, it ends the attempt and is kept with the run.

    >>> raise Failure("the server is busy", code="rate-limited", retry_after=30)
    Traceback (most recent call last):
    streamtask._errors.Failure: the server is busy (rate-limited)
    """

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Any = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = str(message)
        """One line for people."""
        self.code = code
        """A short word for programs, such as `rate-limited`; the task's own choice."""
        self.details = details
        """A JSON value with whatever else is worth keeping."""
        self.retryable = retryable or retry_after is not None
        """Whether another attempt could succeed. The host makes one only if the
        task's retry policy allows it."""
        self.retry_after = retry_after
        """The least time to wait before another attempt, in seconds."""

    def __str__(self) -> str:
        return f"{self.message} ({self.code})" if self.code else self.message


class Error(Exception):
    """The host refused a call. Not caught, it ends the run as a failure of the same code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        """What the caller can do about it: `invalid-argument`, `too-large`,
        `limit-exceeded`, `denied`, `not-found`, `conflict`, `unavailable`, `internal`."""
        self.message = message
        """One line for people."""


class ChildFailed(Exception):
    """A child run did not complete."""

    def __init__(self, kind: str, message: str, code: str | None = None, details: Any = None) -> None:
        super().__init__(f"a child failed ({kind}): {message}")
        self.kind = kind
        """`failure` if its task returned one; else what ended it, such as `trap`,
        `deadline-exceeded` or `cancelled`."""
        self.message = message
        """One line for people."""
        self.code = code
        """The child's own word."""
        self.details = details
        """A JSON value."""


class InvalidInput(ValueError):
    """A value does not fit its type. `place` is a JSON pointer, as in `#/rows/2`."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place


@runtime_checkable
class SaysFailure(Protocol):
    """An exception that knows the failure that it is. A task's own may be one, too."""

    def as_failure(self) -> Failure: ...


def as_failure(error: BaseException) -> Failure:
    """The failure that an exception makes of a run."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, Error):
        return Failure(error.message, code=error.code, retryable=error.code == "unavailable")
    if isinstance(error, ChildFailed):
        return Failure(str(error), code=error.code or "child-failed", details=error.details)
    if isinstance(error, InvalidInput):
        return Failure(str(error), code="invalid-input", details={"pointer": error.place})
    if isinstance(error, Cancelled):
        return Failure("the run was cancelled", code="cancelled")
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else 1
        said = f"the task ended itself with exit code {code}" if code is error.code else str(error.code)
        return Failure(said, code="exit", details={"exit_code": code})
    if isinstance(error, SaysFailure):
        return error.as_failure()
    name = type(error).__name__
    text = str(error)
    return Failure(f"{name}: {text}" if text else name, code=kebab(name))


def is_foreseen(error: BaseException) -> bool:
    """Whether the exception is one that a task means to end with, so that its
    traceback tells nothing."""
    return isinstance(error, (Failure, InvalidInput, Cancelled, SystemExit))


def kebab(name: str) -> str:
    """
    >>> kebab("HTTPStatusError"), kebab("ValueError")
    ('http-status-error', 'value-error')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", "-", name).lower()
