"""The client for asyncio; threads do the waiting."""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections.abc import AsyncGenerator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from ._address import Headers
from ._event import Event
from ._follow import Follower
from ._host import Host, Run

S = TypeVar("S")
T = TypeVar("T")
P = ParamSpec("P")


class _Wrapped(Generic[S]):
    def __init__(self, blocking: S) -> None:
        self._blocking = blocking

    def __repr__(self) -> str:
        return repr(self._blocking)


def _awaited(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[_Wrapped[S], P], Coroutine[Any, Any, T]]:
    @functools.wraps(method)
    async def call(self: _Wrapped[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(method, self._blocking, *args, **kwargs)

    return call


def _followed(
    method: Callable[Concatenate[Run, P], Follower],
) -> Callable[Concatenate[AsyncRun, P], AsyncGenerator[Event, None]]:
    @functools.wraps(method)
    def call(self: AsyncRun, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Event, None]:
        return _events(method(self._blocking, *args, **kwargs))

    return call


async def _events(follower: Follower) -> AsyncGenerator[Event, None]:
    # A wait for hours must not occupy a thread of the shared pool.
    thread = ThreadPoolExecutor(1, "streamtask-follow")
    try:
        loop = asyncio.get_running_loop()
        while (events := await loop.run_in_executor(thread, follower.batch)) is not None:
            for event in events:
                yield event
    finally:
        # Ends the thread's wait.
        follower.close()
        thread.shutdown(wait=False)


def _started(
    method: Callable[Concatenate[S, P], Run],
) -> Callable[Concatenate[_Wrapped[S], P], Coroutine[Any, Any, AsyncRun]]:
    @functools.wraps(method)
    async def call(self: _Wrapped[S], /, *args: P.args, **kwargs: P.kwargs) -> AsyncRun:
        return AsyncRun(await asyncio.to_thread(method, self._blocking, *args, **kwargs))

    return call


class AsyncRun(_Wrapped[Run]):
    """A run of a host. Its methods are those of `Run`, as coroutines."""

    @property
    def id(self) -> str:
        return self._blocking.id

    follow = _followed(Run.follow)
    info = _awaited(Run.info)
    progress = _awaited(Run.progress)
    cancel = _awaited(Run.cancel)
    pause = _awaited(Run.pause)
    resume = _awaited(Run.resume)
    signal = _awaited(Run.signal)
    set_parameter = _awaited(Run.set_parameter)
    parameters = _awaited(Run.parameters)
    children = _awaited(Run.children)
    files = _awaited(Run.files)
    file = _awaited(Run.file)
    delete = _awaited(Run.delete)
    retry = _started(Run.retry)

    async def result(self, *, timeout: float | None = None) -> Any:
        """See `Run.result`."""
        async with aclosing(_events(self._blocking._until_end(timeout))) as end:
            async for _ in end:
                pass
        return await asyncio.to_thread(self._blocking._result)


class AsyncHost(_Wrapped[Host]):
    """A host. Its methods are those of `Host`, as coroutines."""

    def __init__(
        self, url: str, *, headers: Headers | None = None, context: ssl.SSLContext | None = None, timeout: float = 30.0
    ) -> None:
        """See `Host`."""
        super().__init__(Host(url, headers=headers, context=context, timeout=timeout))

    def run(self, id: str) -> AsyncRun:
        """The run with this ID, without a request to the host."""
        return AsyncRun(self._blocking.run(id))

    start = _started(Host.start)
    runs = _awaited(Host.runs)
    tasks = _awaited(Host.tasks)
    task = _awaited(Host.task)
