"""The API of a host: its tasks and runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Literal, cast

from ._address import NOTHING, Address, segment
from ._errors import RunError
from ._event import end_types
from ._follow import Follower, State
from ._info import FileInfo, RunInfo, RunPage, RunStatus
from ._line import POLL, Line, Wish
from ._log import Log
from ._pauses import RETRY, Waiting
from ._start import IfBusy, OnDisconnect, launch


class Host(Address):
    """A host. Every method raises `HostError` if the host rejects the request, and `OSError` if it can't
    be reached."""

    def start(
        self,
        task: str,
        input: Any = {},
        *,
        id: str | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        not_before: datetime | str | None = None,
        delay: str | None = None,
        priority: int | None = None,
        resources: Iterable[str] | None = None,
        if_busy: IfBusy | None = None,
        on_disconnect: OnDisconnect | None = None,
    ) -> Run:
        """Starts a run of the task `app/name`. Repeats the request if it gets no response, without
        starting a second run.

        `input` is any JSON value. `idempotency_key`: starts with the same key start one run only; by
        default it is random. The run starts after `delay`, such as `10m`, or not before `not_before`.
        `priority` is from -100 to 100; higher priorities start first. `resources` are exclusive resources
        to lock; `if_busy` says what to do if one is in use. With `on_disconnect="cancel"`, the run is
        cancelled some seconds after its last subscriber has disconnected.
        """
        run = launch(
            self,
            f"{_task_path(task)}/runs",
            input,
            id=id,
            labels=labels,
            idempotency_key=idempotency_key,
            not_before=not_before,
            delay=delay,
            priority=priority,
            resources=resources,
            if_busy=if_busy,
            on_disconnect=on_disconnect,
        )
        return Run(self, run)

    def run(self, id: str) -> Run:
        """The run with this ID, without a request to the host."""
        return Run(self, id)

    def runs(
        self,
        *,
        task: str | None = None,
        status: RunStatus | None = None,
        label: str | None = None,
        parent: str | None = None,
        created_after: str | None = None,
        created_before: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
    ) -> RunPage:
        """Lists runs, newest first, by task, status, label `key:value`, parent and time.

        A time is RFC 3339, or an age such as `15m`. `cursor` is the `next` of the previous page.
        """
        query = {
            "task": task,
            "status": status,
            "label": label,
            "parent": parent,
            "created_after": created_after,
            "created_before": created_before,
            "limit": limit,
            "cursor": cursor,
        }
        return cast(RunPage, self.request("GET", "/api/runs", query=query))

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks, with description, schemas and version; and files that could not be loaded, with the
        reason."""
        return cast("list[dict[str, Any]]", self.request("GET", "/api/tasks")["tasks"])

    def task(self, name: str) -> dict[str, Any]:
        """One task."""
        return cast("dict[str, Any]", self.request("GET", _task_path(name)))


class Run:
    """A run of a host."""

    def __init__(self, host: Host, run: str | RunInfo) -> None:
        self.host = host
        self.id = run if isinstance(run, str) else run["id"]
        self._stream = None if isinstance(run, str) else run["stream"]

    def __repr__(self) -> str:
        return f"<run {self.id} of {self.host.url}>"

    def follow(
        self,
        *,
        after: int | None = None,
        tail: int | None = None,
        from_: Literal["start", "now", "latest"] | None = None,
        types: Iterable[str] | None = None,
        channels: Iterable[str] | None = None,
        heartbeat: int = 15,
        retry: float = RETRY,
        poll: float = POLL,
        give_up: float | None = None,
        on_state: Callable[[State], None] | None = None,
    ) -> Follower:
        """The events of the run, live, each once and in order, until it has ended.

        Starts after the event with the number `after`, with the newest `tail` events, with `now` at new
        events only, or with the `latest` event. `types` and `channels` select events; the last event is
        always included.

        Reconnects after a lost connection, at first after `retry` seconds. A connection without data for
        2.5 times `heartbeat` seconds counts as lost; 0 turns this off. If streaming is blocked, the
        client polls every `poll` seconds. After `give_up` seconds without a response of the host, the
        last error is raised. `on_state` is called with each state of the connection.
        """
        wish = Wish(after, tail, from_, _names(types), _names(channels), heartbeat)
        return self._follow(wish, Waiting(), retry=retry, poll=poll, give_up=give_up, on_state=on_state)

    def _follow(self, wish: Wish, waiting: Waiting, **options: Any) -> Follower:
        line = Line(self.host, self.id, self._stream, wish)
        return Follower(line, Log(wish.after, wish.is_whole), waiting=waiting, **options)

    def result(self, *, timeout: float | None = None) -> Any:
        """Waits for the run's end. Returns the result of a completed run; otherwise raises `RunError`.

        Raises `TimeoutError` if the run has not ended after `timeout` seconds.
        """
        with self._until_end(timeout) as end:
            for _ in end:
                pass
        return self._result()

    def _until_end(self, timeout: float | None) -> Follower:
        # Only the last event is read, so a reconnect can start anywhere.
        return self._follow(Wish(from_="now", types=tuple(end_types())), Waiting(timeout))

    def _result(self) -> Any:
        run = self.info()
        if run["status"] != "completed":
            raise RunError(run)
        return run["final_value"]

    def info(self) -> RunInfo:
        """The current state of the run."""
        return cast(RunInfo, self._ask("GET"))

    def progress(self) -> dict[str, Any]:
        """The run's progress: fraction, time left, and the tree of its items."""
        return cast("dict[str, Any]", self._ask("GET", "/progress"))

    def retry(
        self,
        input: Any = NOTHING,
        *,
        id: str | None = None,
        labels: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        not_before: datetime | str | None = None,
        delay: str | None = None,
        priority: int | None = None,
        resources: Iterable[str] | None = None,
        if_busy: IfBusy | None = None,
        on_disconnect: OnDisconnect | None = None,
    ) -> Run:
        """Starts a new run like this ended one, with the same input or another.

        The new run has the same labels, with `labels` added, and the same priority unless one is given. The
        other options are as for `Host.start`.
        """
        run = launch(
            self.host,
            f"{self._path}/retry",
            input,
            id=id,
            labels=labels,
            idempotency_key=idempotency_key,
            not_before=not_before,
            delay=delay,
            priority=priority,
            resources=resources,
            if_busy=if_busy,
            on_disconnect=on_disconnect,
        )
        return Run(self.host, run)

    def cancel(self) -> RunInfo:
        """Requests cancellation of the run."""
        return cast(RunInfo, self._ask("POST", "/cancel"))

    def pause(self) -> RunInfo:
        """Pauses the run."""
        return cast(RunInfo, self._ask("POST", "/pause"))

    def resume(self) -> RunInfo:
        """Resumes the run."""
        return cast(RunInfo, self._ask("POST", "/resume"))

    def signal(self, name: str, payload: Any = None) -> None:
        """Sends a signal, which is queued until the run receives it."""
        self._ask("POST", f"/signals/{segment(name)}", body=payload)

    def set_parameter(self, name: str, value: Any) -> None:
        """Sets a parameter of the run."""
        self._ask("PUT", f"/parameters/{segment(name)}", body=value)

    def parameters(self) -> dict[str, Any]:
        """All parameters that are set."""
        return cast("dict[str, Any]", self._ask("GET", "/parameters"))

    def children(self) -> list[dict[str, Any]]:
        """The child runs, each with its own `children`; at most 1000 of them."""
        return cast("list[dict[str, Any]]", self._ask("GET", "/children")["children"])

    def files(self) -> list[FileInfo]:
        """The output files of the run."""
        return cast("list[FileInfo]", self._ask("GET", "/files")["files"])

    def file(self, path: str) -> bytes:
        """The content of an output file."""
        place = "/".join(segment(part) for part in path.split("/"))
        with self.host.answer("GET", f"{self._path}/files/{place}") as (response, _):
            return response.read()

    def delete(self) -> None:
        """Deletes the run from the host. Rejected until the run has ended."""
        self._ask("DELETE")

    @property
    def _path(self) -> str:
        return f"/api/runs/{segment(self.id)}"

    def _ask(self, method: str, path: str = "", **options: Any) -> Any:
        return self.host.request(method, self._path + path, **options)


def _names(names: Iterable[str] | None) -> tuple[str, ...] | None:
    if isinstance(names, str):
        raise TypeError(f"expected a list of names, such as [{names!r}]")
    return None if names is None else tuple(names)


def _task_path(name: str) -> str:
    parts = name.split("/") if "/" in name else ["default", name]
    return "/api/tasks/" + "/".join(map(segment, parts))
