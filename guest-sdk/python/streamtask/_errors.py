"""The exceptions of the SDK, and their conversion to the failure of a run."""

from __future__ import annotations

import asyncio
import re
from typing import Any, Protocol, runtime_checkable

Cancelled = asyncio.CancelledError
"""Cancellation of the run was requested.

All functions that wait raise it. It is asyncio's own exception, so it is the same with
and without `async`, and `except Exception` does not catch it.
"""


class Failure(Exception):
    """The failure of a task. Raising it ends the attempt; it is stored with the run.

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
        """A short machine-readable code, such as `rate-limited`. The task chooses it."""
        self.details = details
        """A JSON value with further information."""
        self.retryable = retryable or retry_after is not None
        """Whether another attempt could succeed. The host retries only if the task's retry
        policy allows it."""
        self.retry_after = retry_after
        """The minimum delay before the next attempt, in seconds."""

    def __str__(self) -> str:
        return f"{self.message} ({self.code})" if self.code else self.message


class Error(Exception):
    """The host rejected a call. Uncaught, it fails the run with the same code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        """The kind of error: `invalid-argument`, `too-large`,
        `limit-exceeded`, `denied`, `not-found`, `conflict`, `unavailable`, `internal`."""
        self.message = message
        """One line for people."""


class ChildFailed(Exception):
    """A child run did not complete."""

    def __init__(self, kind: str, message: str, code: str | None = None, details: Any = None) -> None:
        super().__init__(f"a child failed ({kind}): {message}")
        self.kind = kind
        """`failure` if its task returned a failure; otherwise the cause, such as `trap`,
        `deadline-exceeded` or `cancelled`."""
        self.message = message
        """One line for people."""
        self.code = code
        """The code of the child's failure."""
        self.details = details
        """A JSON value."""


class InvalidInput(ValueError):
    """A value does not match its type. `place` is a JSON pointer, such as `#/rows/2`."""

    def __init__(self, place: str, message: str) -> None:
        super().__init__(f"{place}: {message}")
        self.place = place


@runtime_checkable
class HasFailure(Protocol):
    """An exception that defines its failure. A task's own exceptions can implement it, too."""

    def as_failure(self) -> Failure: ...


def as_failure(error: BaseException) -> Failure:
    """The failure of a run that ends with this exception."""
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
        said = f"the task exited with code {code}" if code is error.code else str(error.code)
        return Failure(said, code="exit", details={"exit_code": code})
    if isinstance(error, HasFailure):
        return error.as_failure()
    name = type(error).__name__
    text = str(error)
    return Failure(f"{name}: {text}" if text else name, code=kebab(name))


def is_expected(error: BaseException) -> bool:
    """Whether a task raises this exception on purpose, so that its traceback is not useful."""
    return isinstance(error, (Failure, InvalidInput, Cancelled, SystemExit))


def kebab(name: str) -> str:
    """
    >>> kebab("HTTPStatusError"), kebab("ValueError")
    ('http-status-error', 'value-error')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_", "-", name).lower()
