"""The Python SDK of streamtask: a task is one function or class, built into one file.

    from streamtask import Context, task

    @task
    def count(ctx: Context, steps: int):
        "Counts."
        for step in range(steps):
            ctx.sleep(0.1)
            yield {"step": step + 1, "total": steps}

`python -m streamtask build count.py` builds `count.wasm`.
"""

from . import http
from ._children import Child
from ._context import Context, Level, Signal, Status, current, sleep
from ._errors import Cancelled, ChildFailed, Error, Failure, InvalidInput
from ._host import Outcome, RunInfo
from ._task import StreamTask, Task, task
from ._types import Schema, parse
from ._view import View
from .http import get_client

try:
    import wit_world as _wit_world
except ModuleNotFoundError:
    # Not in a component, but in a test or a tool.
    pass
else:
    from . import _exports  # noqa: F401 (registers itself)

    del _wit_world

__all__ = [
    "Cancelled",
    "Child",
    "ChildFailed",
    "Context",
    "Error",
    "Failure",
    "InvalidInput",
    "Level",
    "Outcome",
    "RunInfo",
    "Schema",
    "Signal",
    "Status",
    "StreamTask",
    "Task",
    "View",
    "current",
    "get_client",
    "http",
    "parse",
    "sleep",
    "task",
]
