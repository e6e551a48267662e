"""Tasks made of functions and classes."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import json
import linecache
import os
import sys
import traceback
import typing
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Generator, Iterable, Iterator
from decimal import Decimal
from typing import Any, Generic, TypeVar

from . import _context, _loop, _types
from ._context import Context
from ._done import Done
from ._errors import Failure, InvalidInput, as_failure, is_expected
from ._host import Host
from ._json import to_json
from ._types import REQUIRED, Member, Type

if sys.version_info >= (3, 11):
    from typing import dataclass_transform
else:  # Only used by type checkers.

    def dataclass_transform(**_: Any) -> Any:
        return lambda cls: cls


F = TypeVar("F", bound=Callable[..., Any])

Export = Callable[["Task[Any]"], None]
on_new_task: Export | None = None
"""Creates the component's exports for a task; None outside of a component."""

_STREAMS = (
    typing.get_origin(Generator[int, None, int]),
    typing.get_origin(AsyncGenerator[int, None]),
    typing.get_origin(typing.AsyncIterator[int]),
    typing.get_origin(AsyncIterable[int]),
    typing.get_origin(Iterator[int]),
)


class Task(Generic[F]):
    """A task: its entry point and its description. It can be called like the function or
    class that it wraps."""

    def __init__(self, target: F, start: Callable[[Context, Any], Any], described: Callable[[], _Described]):
        self.target = target
        self.module: str = target.__module__
        self._start = start
        self._described = described
        self._known: _Described | None = None
        self.__doc__ = target.__doc__
        self.__name__ = getattr(target, "__name__", "task")
        self.__wrapped__ = target
        try:
            self._description()
        except NameError:
            # A type that is defined later in the file. It exists when the description is needed.
            pass

    @property
    def __call__(self) -> F:
        """A property, so that tools see the function's own parameters."""
        return self.target

    def describe(self) -> dict[str, Any]:
        """The description for the host: `description`, `input_schema`, `output_schema`."""
        return dict(self._description().said)

    def run(self, host: Host, text: str) -> str:
        """Executes one attempt: from JSON to JSON. Raises only `Failure`."""
        context = Context(host)
        before = _context.set_current(context)
        try:
            value = self._start(context, self._read(text))
            return to_json(_drive(context, value))
        except Failure as failure:
            # The exception that led to the failure, unless the task used `from None`.
            if failure.__cause__ or (failure.__context__ and not failure.__suppress_context__):
                _print_traceback(failure)
            raise
        except SystemExit as end:
            if end.code in (None, 0):
                return "null"
            raise as_failure(end) from end
        except BaseException as error:
            made = as_failure(error)
            if not is_expected(error):
                _print_traceback(error)
                made.message += _place(error, self.module)
            raise made from error
        finally:
            _context.set_current(before)

    def _read(self, text: str) -> Any:
        input = self._description().input
        try:
            value = json.loads(text, parse_float=Decimal if input.exact else None)
        except (ValueError, RecursionError) as error:
            raise InvalidInput("#", f"can't be read: {error}") from None
        return input.read(value, "#")

    def _description(self) -> _Described:
        if self._known is None:
            self._known = self._described()
        return self._known


@dataclasses.dataclass(frozen=True)
class _Described:
    said: dict[str, Any]
    input: Type


def task(function: F) -> Task[F]:
    """Makes a function the task of its file.

        @task
        def count(ctx: Context, steps: int, delay: float = 0.1):
            "Counts."
            for step in range(steps):
                yield {"step": step + 1, "total": steps}
                ctx.sleep(delay)

    The parameters are the properties of the input; a single parameter called `input` is the
    whole input. A parameter of type `Context` is the run's context. A generator's values
    are sent as `progress` events; its return value is the result, or else its last value.
    Functions and generators can be `async`.
    """
    if not inspect.isfunction(function):
        raise TypeError("`task` decorates functions; for a class, extend `StreamTask`")
    made: Task[F] = Task(function, *_of_function(function))
    _publish(made)
    return made


def _of_function(
    function: Callable[..., Any],
) -> tuple[Callable[[Context, Any], Any], Callable[[], _Described]]:
    parameters = inspect.signature(function).parameters
    takes_context: list[str] = []
    takes_whole: list[str] = []

    def described() -> _Described:
        hints = typing.get_type_hints(function, include_extras=True)
        members = []
        for name, parameter in parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise TypeError(f"{function.__name__}: a task has no `*{name}`: each property has a name")
            if _is_context(name, hints.get(name)):
                takes_context[:] = [name]
            else:
                has_default = parameter.default is not REQUIRED
                members.append(Member(name, hints.get(name, Any), parameter.default, not has_default))
        if [member.name for member in members] == ["input"]:
            takes_whole[:] = ["input"]
            read = _types.of(members[0].type)
            if not members[0].required:
                read = _or_default(read, members[0].default)
        else:
            takes_whole.clear()
            read = _types.of_members(members)
        return _describe(function, read, hints.get("return", REQUIRED))

    def start(context: Context, value: Any) -> Any:
        arguments = {takes_whole[0]: value} if takes_whole else dict(value)
        for name in takes_context:
            arguments[name] = context
        positional = [
            arguments.pop(name)
            for name, parameter in parameters.items()
            if parameter.kind is parameter.POSITIONAL_ONLY and name in arguments
        ]
        return function(*positional, **arguments)

    return start, described


def _or_default(type: Type, default: Any) -> Type:
    def read(value: Any, place: str) -> Any:
        return default if value is None else type.read(value, place)

    return Type({"anyOf": [type.schema, {"type": "null"}]} if type.schema else {}, read, type.exact)


def _is_context(name: str, hint: Any) -> bool:
    if hint is None:
        return name in ("ctx", "context")
    return isinstance(hint, type) and issubclass(hint, Context)


def _describe(target: Any, input: Type, returns: Any) -> _Described:
    said: dict[str, Any] = {}
    description = inspect.getdoc(target) if target.__doc__ else None
    if description:
        said["description"] = description
    if input.schema:
        said["input_schema"] = _types.closed(input.schema)
    output = _output(returns)
    if output:
        said["output_schema"] = output
    return _Described(said, input)


def _output(returns: Any) -> dict[str, Any]:
    """The schema of the result; empty if it is not annotated."""
    if typing.get_origin(returns) in _STREAMS:
        arguments = typing.get_args(returns)
        returned = arguments[2] if len(arguments) == 3 else None
        returns = arguments[0] if returned in (None, type(None)) else returned
        if returns is Any:
            return {}
        # The result of a generator without values is null.
        schema = _types.of(returns).schema
        return schema if returned not in (None, type(None)) else {"anyOf": [schema, {"type": "null"}]}
    if returns in (REQUIRED, Any, None, type(None)) or returns in _STREAMS:
        return {}
    return _types.of(returns).schema


@dataclass_transform(kw_only_default=True)
class StreamTask:
    """Base class of a class that is the task of its file. Its annotated attributes are the
    input, its method `process` does the work.

        class MyTask(StreamTask):
            "Says a message in five steps."

            message: str
            steps: int = 5

            async def process(self):
                for step in range(self.steps):
                    await asyncio.sleep(1)
                    await self.send_event("progress", {"step": step + 1, "total": self.steps})
                return {"final": self.message}

    `process` can be a function or a generator, with or without `async`. Its return value is
    the result. `self.ctx` is the run's context.
    """

    _final: Any = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        dataclasses.dataclass(kw_only=True, repr=False, eq=False)(cls)
        if cls.process is not StreamTask.process and not inspect.isabstract(cls):
            _publish(Task(cls, _start_object, lambda: _of_class(cls)))

    def process(self) -> Any:
        """Executes one attempt."""
        raise NotImplementedError

    @property
    def ctx(self) -> Context:
        """The run's context."""
        return _context.current()

    def send_event(self, event_type: str, data: Any = None, *, channel: str = "") -> Done:
        """Sends one event. Can be awaited, but does not have to."""
        return self.ctx.send(event_type, data, channel=channel)

    async def process_generator(self, generator: AsyncIterable[Any]) -> Any:
        """Sends each value of an asynchronous generator as a `progress` event; returns the last."""
        return await self.ctx.astream(generator)

    async def process_sync_generator(self, generator: Iterable[Any]) -> Any:
        """Sends each value of a generator as a `progress` event; returns the last."""
        values = _AsAsync(generator)
        last = await self.ctx.astream(values)
        return last if values.returned is None else values.returned

    async def mark_completed(self, final_value: Any = None) -> None:
        """Sets the result, for a `process` that returns None."""
        self._final = final_value


def _start_object(_: Context, object: StreamTask) -> Any:
    value = object.process()
    if inspect.iscoroutine(value):
        return _and_final(object, value)
    return value if value is not None else object._final


async def _and_final(object: StreamTask, coroutine: Coroutine[Any, Any, Any]) -> Any:
    value = await coroutine
    return value if value is not None else object._final


def _of_class(cls: type[StreamTask]) -> _Described:
    read = _types.of_members(_types.members_of(cls))
    hints = typing.get_type_hints(cls.process, include_extras=True)
    build = read.read

    def make(value: Any, place: str) -> StreamTask:
        try:
            return cls(**build(value, place))
        except InvalidInput:
            raise
        except (ValueError, TypeError) as error:
            raise InvalidInput(place, str(error)) from error

    described = _describe(cls, Type(read.schema, make, read.exact), hints.get("return", REQUIRED))
    if cls.__doc__ and cls.__doc__.startswith(f"{cls.__name__}("):
        # The docstring that `dataclass` generates for a class without one.
        described.said.pop("description", None)
    return described


class _AsAsync:
    """Wraps a generator as an asynchronous one."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = iter(values)
        self.returned: Any = None

    def __aiter__(self) -> _AsAsync:
        return self

    async def __anext__(self) -> Any:
        return self._step(lambda: next(self._values))

    async def athrow(self, error: BaseException) -> Any:
        if not isinstance(self._values, Generator):
            raise error
        return self._step(lambda: self._values.throw(error))  # type: ignore[attr-defined]

    async def aclose(self) -> None:
        if isinstance(self._values, Generator):
            self._values.close()

    def _step(self, step: Callable[[], Any]) -> Any:
        try:
            return step()
        except StopIteration as end:
            self.returned = end.value
            # Outside of the handler: a coroutine can't raise StopIteration.
        raise StopAsyncIteration


def _drive(context: Context, value: Any) -> Any:
    """Runs the coroutine or generator that a task has returned, if it is one, to its end."""
    if inspect.iscoroutine(value):
        return _loop.run_async(context._host, value)
    if inspect.isasyncgen(value):
        return _loop.run_async(context._host, context.astream(value))
    if inspect.isgenerator(value):
        return context.stream(value)
    return value


def _publish(made: Task[Any]) -> None:
    """Registers the task of a file in its module, where the build and tests find it."""
    module = sys.modules.get(made.module)
    if module is None:
        return
    present: Task[Any] | None = getattr(module, _NAME, None)
    if present is not None and not _replaces(made, present):
        raise TypeError(
            f"a file can have one task, but {made.module} has two: {present.__name__} and {made.__name__}"
        )
    setattr(module, _NAME, made)
    _remember_source(module)
    if on_new_task is not None:
        on_new_task(made)


_NAME = "__streamtask__"


def _replaces(new: Task[Any], present: Task[Any]) -> bool:
    """Whether the new task replaces the present one: as its subclass, or because the module is executed again."""
    if isinstance(new.target, type) and isinstance(present.target, type):
        return issubclass(new.target, present.target) or new.__name__ == present.__name__
    return new.__name__ == present.__name__


def task_of(target: Any) -> Task[Any]:
    """The task of a `Task`, class or module."""
    if isinstance(target, Task):
        return target
    if isinstance(target, type) and issubclass(target, StreamTask):
        return Task(target, _start_object, lambda: _of_class(target))
    found = getattr(target, _NAME, None)
    if not isinstance(found, Task):
        raise TypeError(f"{target!r} is not a task")
    return found


def _remember_source(module: Any) -> None:
    """Caches the source of the task's files for tracebacks, because a run can't read them."""
    folder = os.path.dirname(getattr(module, "__file__", None) or "")
    for other in list(sys.modules.values()) if folder and on_new_task is not None else []:
        file = getattr(other, "__file__", None)
        if isinstance(file, str) and file.endswith(".py") and os.path.dirname(file) == folder:
            lines = linecache.getlines(file)
            # Without a modification time, linecache does not check the disk.
            linecache.cache[file] = (sum(map(len, lines)), None, lines, file)


def _place(error: BaseException, module: str) -> str:
    """Where the exception came from: its innermost frame in the task's own files; without one,
    the innermost outside of the SDK."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_OURS)]
    file = getattr(sys.modules.get(module), "__file__", None)
    folder = os.path.join(os.path.dirname(file), "") if file else ""
    own = [
        frame for frame in frames if frame.filename.startswith(folder) and "site-packages" not in frame.filename
    ]
    for frame in (own or frames)[-1:]:
        return f", in {frame.name} at {os.path.basename(frame.filename)}:{frame.lineno}"
    return ""


def print_stack(why: str) -> None:
    """Prints the current stack in the format of an exception."""
    stack = [frame for frame in traceback.extract_stack() if not frame.filename.startswith(_OURS)]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(stack), f"{why}\n"]
    print("".join(lines), end="", file=sys.stderr)


def _print_traceback(error: BaseException) -> None:
    report = traceback.TracebackException.from_exception(error)
    seen: set[int] = set()
    part: traceback.TracebackException | None = report
    while part is not None and id(part) not in seen:
        seen.add(id(part))
        # Frames of the SDK and the event loop are not useful to a task's author.
        frames = [frame for frame in part.stack if not frame.filename.startswith(_OURS)]
        if frames:
            part.stack[:] = frames
        part = part.__cause__ or part.__context__
    print("".join(report.format()), end="", file=sys.stderr)


_OURS = (os.path.dirname(__file__), asyncio.base_events.__file__)
