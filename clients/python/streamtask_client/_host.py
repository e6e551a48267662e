"""A host's API: its tasks and runs."""

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
    """A host, by its address. Every method raises `HostError` if the host refuses, and `OSError` if there is none."""

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
        """Starts a run of the task `app/name`. Repeats the request if no answer comes, which starts no second run.

        `input` is any JSON value. `idempotency_key`: the same one starts the same run once; by default it is
        random. The run begins after `delay`, such as `10m`, or no sooner than `not_before`. `priority` is from
        -100 to 100, and higher goes first. `resources` is what the run has for itself alone; `if_busy` what is
        to happen if one of these is taken. With `on_disconnect="cancel"` it is cancelled some seconds after the
        last who followed it went away.
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
        """The run with this id, without asking the host."""
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
        """Runs, the newest first: of a task, with a status, with a label `key:value`, started by another, of a time.

        A time is RFC 3339, or how long ago, such as `15m`. `cursor` is the `next` of the page before.
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
        """What is loaded, with description, schemas and version; what is not, and why."""
        return cast("list[dict[str, Any]]", self.request("GET", "/api/tasks")["tasks"])

    def task(self, name: str) -> dict[str, Any]:
        """The same of one task."""
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
        """The events of the run as they come, each once and in order, until it has ended.

        It begins after the event with the number `after`; or with the newest `tail` of them; or `now`, with what
        comes, or with the `latest`. `types` and `channels` are the only ones wanted, and the end.

        A lost connection is made again, after `retry` seconds at first. One over which nothing comes for 2.5
        times `heartbeat` seconds counts as lost; 0 trusts it for ever. Where no stream comes through at all, the
        run is asked every `poll` seconds. After `give_up` seconds without a sign of the host, the last error is
        raised. `on_state` hears how the connection is.
        """
        wish = Wish(after, tail, from_, _names(types), _names(channels), heartbeat)
        return self._follow(wish, Waiting(), retry=retry, poll=poll, give_up=give_up, on_state=on_state)

    def _follow(self, wish: Wish, waiting: Waiting, **options: Any) -> Follower:
        line = Line(self.host, self.id, self._stream, wish)
        return Follower(line, Log(wish.after, wish.is_whole), waiting=waiting, **options)

    def result(self, *, timeout: float | None = None) -> Any:
        """Waits for the end. The result of a run that completed; of any other it raises a `RunError`.

        Raises `TimeoutError` if it goes on after `timeout` seconds.
        """
        with self._until_end(timeout) as end:
            for _ in end:
                pass
        return self._result()

    def _until_end(self, timeout: float | None) -> Follower:
        # Nothing but the end is read, so it does not matter where a lost connection begins anew.
        return self._follow(Wish(from_="now", types=tuple(end_types())), Waiting(timeout))

    def _result(self) -> Any:
        run = self.info()
        if run["status"] != "completed":
            raise RunError(run)
        return run["final_value"]

    def info(self) -> RunInfo:
        """The run as it is now."""
        return cast(RunInfo, self._ask("GET"))

    def progress(self) -> dict[str, Any]:
        """How far it is: fraction, time left, and the tree of its items."""
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
        """Starts it again, as another run, once it has ended: with the same input, or with another.

        Labels and priority are those that it had, and what is said here besides, as for `Host.start`.
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
        """Asks it to end."""
        return cast(RunInfo, self._ask("POST", "/cancel"))

    def pause(self) -> RunInfo:
        """Holds it where it is."""
        return cast(RunInfo, self._ask("POST", "/pause"))

    def resume(self) -> RunInfo:
        """Lets it go on."""
        return cast(RunInfo, self._ask("POST", "/resume"))

    def signal(self, name: str, payload: Any = None) -> None:
        """Sends a signal, which waits until the run takes it."""
        self._ask("POST", f"/signals/{segment(name)}", body=payload)

    def set_parameter(self, name: str, value: Any) -> None:
        """Sets a parameter, which the run reads when it likes."""
        self._ask("PUT", f"/parameters/{segment(name)}", body=value)

    def parameters(self) -> dict[str, Any]:
        """All that are set."""
        return cast("dict[str, Any]", self._ask("GET", "/parameters"))

    def children(self) -> list[dict[str, Any]]:
        """The runs that it has started, each with its own `children`; a thousand of them at the most."""
        return cast("list[dict[str, Any]]", self._ask("GET", "/children")["children"])

    def files(self) -> list[FileInfo]:
        """The files that it has left."""
        return cast("list[FileInfo]", self._ask("GET", "/files")["files"])

    def file(self, path: str) -> bytes:
        """One of them, whole."""
        place = "/".join(segment(part) for part in path.split("/"))
        with self.host.answer("GET", f"{self._path}/files/{place}") as (response, _):
            return response.read()

    def delete(self) -> None:
        """Removes it from the host. Refused while it goes on."""
        self._ask("DELETE")

    @property
    def _path(self) -> str:
        return f"/api/runs/{segment(self.id)}"

    def _ask(self, method: str, path: str = "", **options: Any) -> Any:
        return self.host.request(method, self._path + path, **options)


def _names(names: Iterable[str] | None) -> tuple[str, ...] | None:
    if isinstance(names, str):
        raise TypeError(f"a list of names is wanted, such as [{names!r}]")
    return None if names is None else tuple(names)


def _task_path(name: str) -> str:
    parts = name.split("/") if "/" in name else ["default", name]
    return "/api/tasks/" + "/".join(map(segment, parts))
