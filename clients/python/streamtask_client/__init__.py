"""A client of streamtask hosts: starts, follows and controls runs."""

from ._asyncio import AsyncHost, AsyncRun
from ._errors import HostError, RunError, StreamError
from ._event import Event
from ._follow import Follower, State
from ._host import Host, Run
from ._info import FileInfo, RunFailure, RunInfo, RunPage, RunStatus

__all__ = [
    "AsyncHost",
    "AsyncRun",
    "Event",
    "FileInfo",
    "Follower",
    "Host",
    "HostError",
    "Run",
    "RunError",
    "RunFailure",
    "RunInfo",
    "RunPage",
    "RunStatus",
    "State",
    "StreamError",
]
