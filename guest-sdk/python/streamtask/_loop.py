"""An asyncio event loop that waits in the host.

Queues, timers and tasks are those of asyncio. Other loops wait in a selector of the
operating system; this one waits in the host. So `asyncio.sleep`, `gather`, `timeout`,
queues and locks work, and a waiting run occupies no thread.
"""

from __future__ import annotations

import asyncio
import math
from asyncio.base_events import BaseEventLoop
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from ._host import FOREVER, Host, Outcome, Steps

T = TypeVar("T")

# How soon a run that waits for the network detects its cancellation, in milliseconds.
_NETWORK_SLICE = 200

# How often each kind is polled if a run waits for more than one kind, in milliseconds.
_MIXED_SLICE = 20


class Loop(BaseEventLoop):
    """The event loop of one run. Cancels its main task once the run is cancelled."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._selector = _Selector(host, self._cancel_main)
        self._main: asyncio.Future[Any] | None = None

    def time(self) -> float:
        return self._selector.host.monotonic()

    def run_until_complete(self, future: Any) -> Any:
        self._main = asyncio.ensure_future(future, loop=self)
        return super().run_until_complete(self._main)

    def _cancel_main(self) -> None:
        if self._main is not None:
            self._main.cancel()

    def _process_events(self, event_list: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        # There are no other threads that would need to wake the loop.
        pass

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Calls the function directly, because there are no threads. So `asyncio.to_thread`
        works, but blocks the event loop."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    async def steps(self, steps: Steps[T]) -> T:
        """Executes steps, and lets other tasks run while they wait."""
        try:
            while True:
                pollable = next(steps)
                await self._selector.wait_for(self._selector.pollables, pollable, self.create_future())
        except StopIteration as end:
            return cast(T, end.value)
        finally:
            steps.close()

    async def receive_signal(self, name: str | None) -> tuple[str, str]:
        """Waits for a signal."""
        signal: tuple[str, str] = await self._selector.wait_for(
            self._selector.signals, name, self.create_future()
        )
        return signal

    async def child(self, run: str) -> Outcome:
        """Waits until a child has ended."""
        outcome: Outcome = await self._selector.wait_for(
            self._selector.children, run, self.create_future()
        )
        return outcome


_Waiting = list[tuple[Any, "asyncio.Future[Any]"]]


class _Selector:
    """Waits for all that the tasks of a loop wait for."""

    def __init__(self, host: Host, on_cancel: Callable[[], None]) -> None:
        self.host = host
        self.pollables: _Waiting = []
        self.signals: _Waiting = []
        self.children: _Waiting = []
        self._on_cancel = on_cancel
        self._cancel_reported = False

    async def wait_for(self, waiting: _Waiting, what: Any, future: asyncio.Future[Any]) -> Any:
        entry = (what, future)
        waiting.append(entry)
        try:
            return await future
        finally:
            waiting.remove(entry)

    def select(self, timeout: float | None) -> list[Any]:
        """Waits until a task of the loop can continue, for at most `timeout` seconds."""
        if not self._cancel_reported and self.host.cancelled():
            self._cancel_reported = True
            self._on_cancel()
            return []
        ms = FOREVER if timeout is None else min(math.ceil(timeout * 1000), FOREVER)
        kinds = [kind for kind in (self.pollables, self.signals, self.children) if kind]
        if not kinds:
            self._sleep(ms)
        elif len(kinds) == 1 and (not self._cancel_reported or kinds[0] is self.pollables):
            self._poll(kinds[0], ms)
        # In a cancelled run, the host no longer waits for signals and children.
        elif not any([self._poll(kind, 0) for kind in kinds]):
            self._sleep(min(ms, _MIXED_SLICE))
        return []

    def close(self) -> None:
        """Part of the selector interface."""

    def _sleep(self, ms: int) -> None:
        if self._cancel_reported:
            # The contract's sleep would return at once.
            self.host.pause(ms)
        elif ms:
            self.host.sleep_ms(ms)

    def _poll(self, kind: _Waiting, ms: int) -> bool:
        """Waits for one kind. Returns whether a task can continue."""
        if kind is self.pollables:
            return self._poll_network(ms)
        if kind is self.signals:
            return self._poll_signals(ms)
        return self._poll_children(ms)

    def _poll_network(self, ms: int) -> bool:
        ready = self.host.poll([what for what, _ in self.pollables], min(ms, _NETWORK_SLICE))
        for place in ready:
            _resolve(self.pollables[place][1], None)
        return bool(ready)

    def _poll_signals(self, ms: int) -> bool:
        names = {name for name, _ in self.signals}
        if len(names) > 1 and ms:
            # Waiting for any name would also receive signals that no task waits for.
            if self._poll_signals(0):
                return True
            self._sleep(min(ms, _MIXED_SLICE))
        got = False
        for name, future in list(self.signals):
            if future.done():
                continue
            signal = self.host.receive_signal(name, 0 if len(names) > 1 else ms)
            # Only the first waits, because the timeout is the same for all.
            ms = 0
            if signal is not None:
                got = _resolve(future, signal)
        return got

    def _poll_children(self, ms: int) -> bool:
        runs = list({run for run, future in self.children if not future.done()})
        got = False
        while runs:
            try:
                ended = self.host.wait_children(runs, 0 if got else ms)
            except Exception as error:
                # Raised in the waiting tasks, because an exception from the loop itself could not be handled.
                for _, future in list(self.children):
                    if not future.done():
                        future.set_exception(error)
                return True
            if ended is None:
                break
            run = runs.pop(ended[0])
            for waited_for, future in list(self.children):
                if waited_for == run:
                    _resolve(future, ended[1])
            got = True
        return got


def _resolve(future: asyncio.Future[Any], value: Any) -> bool:
    if future.done():
        return False
    future.set_result(value)
    return True


def run_async(host: Host, coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end, then cancels its remaining tasks."""
    loop = Loop(host)
    # The component's own loop, which can't wait, always counts as running.
    outer = asyncio._get_running_loop()
    asyncio._set_running_loop(None)
    try:
        return cast(T, loop.run_until_complete(coroutine))
    finally:
        try:
            _cancel_remaining(loop)
        finally:
            loop.close()
            asyncio._set_running_loop(outer)


def _cancel_remaining(loop: Loop) -> None:
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    if rest:
        loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())


def running() -> Loop | None:
    """The running event loop, if it is a `Loop`."""
    loop = asyncio._get_running_loop()
    return loop if isinstance(loop, Loop) else None
