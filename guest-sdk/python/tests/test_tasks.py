"""What functions and classes become as tasks."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import types
import unittest
import unittest.mock
from collections.abc import AsyncIterator, Iterator
from typing import Any

from streamtask import Cancelled, Context, Error, Failure, StreamTask, current, sleep, task
from streamtask._task import Task
from streamtask.testing import Recording


def as_task(function: Any) -> Task[Any]:
    """A task of its own, as if it were alone in its file."""
    sys.modules[__name__].__dict__.pop("__streamtask__", None)
    return task(function)


def failure_of(target: Any, input: Any = None, host: Recording | None = None) -> Failure:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            result = (host or Recording()).run(target, input)
    except Failure as failure:
        return failure
    raise AssertionError(f"it returned {result!r}")


class Functions(unittest.TestCase):
    def test_parameters_are_the_properties_of_the_input(self) -> None:
        @as_task
        def add(a: int, b: int = 5) -> int:
            """Adds."""
            return a + b

        self.assertEqual(Recording().run(add, {"a": 1}), 6)
        self.assertEqual(Recording().run(add, {"a": 1, "b": 2, "else": 3}), 3)
        self.assertEqual(
            add.describe(),
            {
                "description": "Adds.",
                "input_schema": {
                    "type": "object",
                    "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 5}},
                    "required": ["a"],
                    "additionalProperties": False,
                },
                "output_schema": {"type": "integer"},
            },
        )
        failure = failure_of(add, {"a": "x"})
        self.assertEqual(failure.code, "invalid-input")
        self.assertEqual(failure.message, "#/a: expected an integer, got a string")
        self.assertEqual(failure_of(add, {}).message, "#: 'a' is missing")
        self.assertEqual(failure_of(add, [1]).message, "#: expected an object, got an array")

    def test_a_parameter_called_input_is_the_whole_input(self) -> None:
        @as_task
        def total(ctx: Context, input: list[int]) -> int:
            return sum(input)

        self.assertEqual(Recording().run(total, [1, 2]), 3)
        schema = {"type": "array", "items": {"type": "integer"}}
        self.assertEqual(total.describe()["input_schema"], schema)
        self.assertEqual(failure_of(total, [1, None]).message, "#/1: expected an integer, got null")

    def test_a_task_can_be_called_like_its_function(self) -> None:
        @as_task
        def double(n: int) -> int:
            return 2 * n

        self.assertEqual(double(4), 8)

    def test_a_generator_sends_each_value_and_returns_the_last(self) -> None:
        @as_task
        def pages(ctx: Context, count: int) -> Iterator[dict[str, int]]:
            for page in range(count):
                ctx.sleep(2)
                yield {"page": page}

        host = Recording()
        self.assertEqual(host.run(pages, {"count": 2}), {"page": 1})
        self.assertEqual([(event.type, event.data, event.at) for event in host.events], [
            ("progress", {"page": 0}, 2.0),
            ("progress", {"page": 1}, 4.0),
        ])
        self.assertIsNone(Recording().run(pages, {"count": 0}))

    def test_what_a_generator_returns_is_the_result(self) -> None:
        @as_task
        def pages() -> Any:
            yield 1
            return "all"

        self.assertEqual(Recording().run(pages), "all")

    def test_a_cancelled_generator_hears_it_at_its_yield_and_may_return_something(self) -> None:
        @as_task
        def endless(ctx: Context) -> Any:
            try:
                while True:
                    ctx._host.now += 1  # type: ignore[attr-defined]
                    yield "working"
            except Cancelled:
                ctx.send("cleaned-up")
                return "partial"

        host = Recording(cancel_at=3)
        self.assertEqual(host.run(endless), "partial")
        self.assertEqual([event.type for event in host.events], ["progress"] * 3 + ["cleaned-up"])

    def test_an_asynchronous_generator_is_the_same(self) -> None:
        @as_task
        async def pages(count: int) -> AsyncIterator[int]:
            for page in range(count):
                await asyncio.sleep(1)
                yield page

        host = Recording()
        self.assertEqual(host.run(pages, {"count": 3}), 2)
        self.assertEqual(host.data("progress"), [0, 1, 2])
        self.assertEqual(pages.describe()["output_schema"], {"anyOf": [{"type": "integer"}, {"type": "null"}]})

    def test_an_asynchronous_generator_that_never_waits_hears_that_it_is_cancelled(self) -> None:
        @as_task
        async def endless() -> AsyncIterator[int]:
            try:
                while True:
                    current()._host.now += 1  # type: ignore[attr-defined]
                    yield 1
            except asyncio.CancelledError:
                yield 2

        host = Recording(cancel_at=3)
        self.assertEqual(host.run(endless), 2)
        self.assertEqual(len(host.events), 4)

    def test_two_tasks_in_one_file_are_refused(self) -> None:
        @as_task
        def one() -> None:
            pass

        with self.assertRaisesRegex(TypeError, "a file can have one task, but .* has two: one and two"):

            @task
            def two() -> None:
                pass

    def test_types_without_a_form_in_json_are_refused_when_the_file_is_built(self) -> None:
        with self.assertRaisesRegex(TypeError, "can't be represented in JSON"):

            @as_task
            def odd(stream: io.StringIO) -> None:
                pass

        with self.assertRaisesRegex(TypeError, r"no `\*rest`"):

            @as_task
            def open_ended(*rest: int) -> None:
                pass


class Classes(unittest.TestCase):
    def setUp(self) -> None:
        sys.modules[__name__].__dict__.pop("__streamtask__", None)

    def test_annotated_attributes_are_the_input(self) -> None:
        class MyTask(StreamTask):
            """Says a message."""

            message: str
            steps: int = 2

            async def process(self) -> dict[str, str]:
                await self.send_event("start", {"message": self.message})
                for step in range(self.steps):
                    await asyncio.sleep(1)
                    await self.send_event("progress", {"step": step + 1, "total": self.steps})
                await self.send_event("complete", {"result": "done"})
                return {"final": "value"}

        host = Recording()
        self.assertEqual(host.run(MyTask, {"message": "hi"}), {"final": "value"})
        self.assertEqual([event.type for event in host.events], ["start", "progress", "progress", "complete"])
        self.assertEqual(host.now, 2.0)
        said = Task(MyTask, *parts(MyTask)).describe()
        self.assertEqual(said["description"], "Says a message.")
        self.assertEqual(said["input_schema"]["required"], ["message"])
        self.assertEqual(MyTask(message="x").steps, 2)

    def test_both_kinds_of_generator_can_be_processed(self) -> None:
        class Pages(StreamTask):
            async def process(self) -> Any:
                async def slow() -> AsyncIterator[dict[str, Any]]:
                    for i in range(3):
                        await asyncio.sleep(0.1)
                        yield {"step": i}

                def quick() -> Iterator[dict[str, Any]]:
                    for i in "ab":
                        yield {"item": i}

                return [await self.process_generator(slow()), await self.process_sync_generator(quick())]

        host = Recording()
        self.assertEqual(host.run(Pages), [{"step": 2}, {"item": "b"}])
        self.assertEqual(len(host.data("progress")), 5)

    def test_a_result_can_be_set_aside(self) -> None:
        class Marks(StreamTask):
            async def process(self) -> None:
                await self.mark_completed({"n": 1})

        self.assertEqual(Recording().run(Marks), {"n": 1})

    def test_process_needs_no_async(self) -> None:
        class Plain(StreamTask):
            def process(self) -> Any:
                self.send_event("a")
                yield 1

        host = Recording()
        self.assertEqual(host.run(Plain), 1)
        self.assertEqual([event.type for event in host.events], ["a", "progress"])

    def test_a_class_that_is_extended_gives_its_place_to_the_other(self) -> None:
        class Base(StreamTask):
            n: int = 1

            def process(self) -> Any:
                return self.n

        class Derived(Base):
            m: int = 2

            def process(self) -> Any:
                return [self.n, self.m]

        self.assertEqual(Recording().run(sys.modules[__name__], {"n": 5}), [5, 2])

    def test_checks_of_the_class_are_of_the_input(self) -> None:
        class Checked(StreamTask):
            n: int

            def __post_init__(self) -> None:
                if self.n < 0:
                    raise ValueError("n is negative")

            def process(self) -> Any:
                return self.n

        failure = failure_of(Checked, {"n": -1})
        self.assertEqual((failure.code, failure.message), ("invalid-input", "#: n is negative"))


def parts(cls: type[StreamTask]) -> Any:
    from streamtask import _task

    return _task._start_object, lambda: _task._of_class(cls)


class Failures(unittest.TestCase):
    def test_a_failure_is_kept_as_it_is(self) -> None:
        @as_task
        def fails() -> None:
            raise Failure("busy", code="rate-limited", details={"a": 1}, retry_after=30)

        failure = failure_of(fails)
        self.assertEqual(
            (failure.message, failure.code, failure.details, failure.retryable, failure.retry_after),
            ("busy", "rate-limited", {"a": 1}, True, 30),
        )

    def test_an_exception_is_a_failure_with_its_traceback_in_the_log(self) -> None:
        @as_task
        def bug() -> None:
            raise KeyError("boom")

        errors = io.StringIO()
        with self.assertRaises(Failure) as caught, contextlib.redirect_stderr(errors):
            Recording().run(bug)
        line = bug.target.__code__.co_firstlineno + 2
        self.assertEqual(caught.exception.message, f"KeyError: 'boom', in bug at test_tasks.py:{line}")
        self.assertEqual(caught.exception.code, "key-error")
        self.assertIn('raise KeyError("boom")', errors.getvalue())
        self.assertNotIn("_task.py", errors.getvalue())

    def test_the_place_is_the_innermost_in_the_tasks_own_files(self) -> None:
        def deep(text: str) -> Any:
            return json.loads(text)

        @as_task
        def bug() -> None:
            deep("{")

        @as_task
        async def refused(ctx: Context) -> None:
            ctx.send("run.mine")

        for fails, place in (
            (bug, f"deep at test_tasks.py:{deep.__code__.co_firstlineno + 1}"),
            (refused, f"refused at test_tasks.py:{refused.target.__code__.co_firstlineno + 2}"),
        ):
            self.assertRegex(failure_of(fails).message, f", in {place}$")

    def test_a_failure_tells_the_log_what_it_came_from(self) -> None:
        @as_task
        def fails() -> None:
            try:
                raise KeyError("paper")
            except KeyError:
                raise Failure("the printer stopped", code="printer")

        @as_task
        def says_so() -> None:
            try:
                raise KeyError("paper")
            except KeyError:
                raise Failure("the printer stopped", code="printer") from None

        for task, is_told in ((fails, True), (says_so, False)):
            errors = io.StringIO()
            with self.assertRaises(Failure) as caught, contextlib.redirect_stderr(errors):
                Recording().run(task)
            self.assertEqual((caught.exception.message, caught.exception.code), ("the printer stopped", "printer"))
            self.assertEqual("KeyError: 'paper'" in errors.getvalue(), is_told, errors.getvalue())

    def test_a_program_that_exits_ends_the_run(self) -> None:
        @as_task
        def leaves(code: Any) -> None:
            sys.exit(code)

        for code in (0, None):
            self.assertIsNone(Recording().run(leaves, {"code": code}))
        failure = failure_of(leaves, {"code": 3})
        self.assertEqual(
            (failure.message, failure.code, failure.details),
            ("the task exited with code 3", "exit", {"exit_code": 3}),
        )
        failure = failure_of(leaves, {"code": "no paper"})
        self.assertEqual((failure.message, failure.details), ("no paper", {"exit_code": 1}))

    def test_want_of_memory_is_known_by_its_cause(self) -> None:
        @as_task
        def hungry() -> None:
            raise MemoryError

        failure = failure_of(hungry)
        self.assertIsInstance(failure.__cause__, MemoryError)
        self.assertRegex(failure.message, "^MemoryError, in hungry at test_tasks.py:")

    def test_a_refusal_keeps_its_code_and_only_unavailable_is_worth_a_retry(self) -> None:
        @as_task
        def refused(ctx: Context) -> None:
            ctx.send("run.mine", 1)

        failure = failure_of(refused)
        self.assertEqual((failure.code, failure.retryable), ("invalid-argument", False))

        @as_task
        def later() -> None:
            raise Error("unavailable", "later")

        self.assertTrue(failure_of(later).retryable)

    def test_a_cancelled_run_says_so(self) -> None:
        @as_task
        def naps() -> None:
            sleep(10)

        host = Recording(cancel_at=4)
        self.assertEqual(failure_of(naps, host=host).code, "cancelled")
        self.assertEqual(host.now, 4)

    def test_a_result_without_a_form_in_json_fails(self) -> None:
        for value in (float("nan"), object(), {1j: 1}):

            @as_task
            def odd() -> Any:
                return value

            self.assertIn(failure_of(odd).code, ("value-error", "type-error"))

    def test_input_that_python_does_not_read_is_invalid(self) -> None:
        @as_task
        def any(input: Any) -> None:
            pass

        for text in ("9" * 5000, "[" * 100_000):
            with self.assertRaises(Failure) as caught:
                any.run(Recording(), text)
            self.assertEqual(caught.exception.code, "invalid-input")


class Names(unittest.TestCase):
    def test_a_type_may_be_defined_below_its_task(self) -> None:
        module = types.ModuleType("forward")
        source = (
            "from __future__ import annotations\n"
            "import dataclasses, streamtask\n"
            "@streamtask.task\n"
            "def t(input: Below) -> int:\n    return input.n\n"
            "@dataclasses.dataclass\nclass Below:\n    n: int\n"
        )
        with unittest.mock.patch.dict(sys.modules, {"forward": module}):
            exec(source, module.__dict__)
        self.assertEqual(Recording().run(module, {"n": 3}), 3)


if __name__ == "__main__":
    unittest.main()
