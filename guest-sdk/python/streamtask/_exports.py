"""The exports of a component: `WitWorld`, defined in the task's module."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import warnings
from typing import Any, NoReturn

import wit_world

from . import _context, _task
from ._contract import HAS_HTTP, Contract, as_wit_failure, exit_with_code
from ._errors import Failure
from ._json import BROKEN, to_json
from ._loop import Loop
from ._task import Task
from ._urllib import install


def export(task: Task[Any]) -> None:
    """Exports the task from its component."""
    module = sys.modules[task.module]

    class WitWorld(wit_world.WitWorld):  # type: ignore[misc]
        def describe(self) -> str:
            return to_json(task.describe())

        def process(self, input: str) -> str:
            _begin()
            try:
                return task.run(Contract(), input)
            except Failure as failure:
                raised = as_wit_failure(failure)
                is_out_of_memory = isinstance(failure.__cause__, MemoryError)
            finally:
                # The instance is gone when this returns.
                sys.stdout.flush()
                sys.stderr.flush()
            if is_out_of_memory:
                # The host then reports it as out of memory, as for all languages, with the last output.
                _really_abort()
            raise raised

    module.WitWorld = WitWorld  # type: ignore[attr-defined]
    # Objects from the build are not garbage, and a collection would make each run copy all their pages.
    gc.collect()
    gc.freeze()


def _begin() -> None:
    """Resets state from the build that all runs would share, and sets Python up."""
    # Otherwise, all runs would get the same random numbers.
    if (random := sys.modules.get("random")) is not None:
        random.seed()
    if (request := sys.modules.get("urllib.request")) is not None:
        install(request)
    # Log lines when they are printed, not at the end.
    sys.stdout.reconfigure(line_buffering=True, errors=BROKEN)  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors=BROKEN)  # type: ignore[union-attr]
    os.abort = _abort
    if HAS_HTTP:
        os._exit = exit_with_code
    # The component's own loop, which can't wait, always counts as running.
    asyncio._set_running_loop(None)
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(_LogHandler())
        if root.level == logging.WARNING:
            root.setLevel(logging.INFO)


_really_abort = os.abort


def _abort() -> NoReturn:
    """`os.abort` with a stack trace, which it does not print itself."""
    _task.print_stack("Aborted: os.abort() was called")
    sys.stderr.flush()
    _really_abort()


class _LogHandler(logging.Handler):
    """Sends the messages of `logging` to the run's log."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            _context.current().log(self.format(record), _level(record.levelno))
        except Exception:
            self.handleError(record)


def _level(number: int) -> _context.Level:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


# The first name is that of Python 3.14 and 3.15; policies are removed in 3.16.
_BasePolicy: Any = getattr(asyncio.events, "_BaseDefaultEventLoopPolicy", None) or getattr(
    asyncio.events, "BaseDefaultEventLoopPolicy"
)


class _Policy(_BasePolicy):  # type: ignore[misc]
    """Makes `asyncio.run` work in a task without `async`."""

    def _loop_factory(self) -> Loop:
        return Loop(Contract())


_task.on_new_task = export
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    asyncio.set_event_loop_policy(_Policy())
