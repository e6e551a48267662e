"""What a task can do, and what asyncio does in it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import unittest
from collections.abc import Callable
from typing import Any

from streamtask import Cancelled, ChildFailed, Context, Error, Failure, current
from streamtask._task import Task, _of_function
from streamtask.http import AsyncClient
from streamtask.testing import Recording, Reply


def run(function: Callable[..., Any], host: Recording | None = None) -> Any:
    with contextlib.redirect_stderr(io.StringIO()):
        return (host or Recording()).run(Task(function, *_of_function(function)))


class Events(unittest.TestCase):
    def test_events_bytes_and_logs(self) -> None:
        def says(ctx: Context) -> None:
            ctx.send("a", {"é": "✓\ud800"})
            ctx.send("b", channel="c")
            ctx.send_bytes("picture", b"\0", "image/png", channel="c")
            ctx.log("careful", "warn")
            ctx.flush()

        host = Recording()
        run(says, host)
        self.assertEqual(
            [(event.type, event.data, event.channel, event.content_type) for event in host.events],
            [
                ("a", {"é": "✓\ufffd"}, "", None),
                ("b", None, "c", None),
                ("picture", b"\0", "c", "image/png"),
                ("log", {"level": "warn", "message": "careful"}, "", None),
            ],
        )

    def test_broken_text_has_one_replacement_for_each_lone_surrogate(self) -> None:
        broken, mended = "a\ud83cb", "a\ufffdb"

        def says(ctx: Context) -> Any:
            ctx.send(broken, {broken: [broken, "\udf89\ud83c"]}, channel=broken)
            ctx.send_bytes(broken, b"\0", "image/" + broken, channel=broken)
            ctx.log(broken)
            ctx.progress(broken, id=broken)
            ctx.view.text(broken, broken)
            ctx.save_checkpoint(broken, broken)
            signal = ctx.receive_signal(broken, 0)
            started = ctx.start_child(broken, broken, key=broken)
            assert signal is not None and signal.name == mended
            assert ctx.parameter(broken) == 1 and ctx.load_checkpoint(mended) == mended
            assert ctx.start_child("other", key=mended).id == started.id
            return [started.result(), broken]

        host = Recording(signals=[(0, mended, None)], parameters={mended: 1}, children={mended: lambda said: said})
        self.assertEqual(run(says, host), [mended, mended])
        self.assertEqual(
            [(event.type, event.data, event.channel) for event in host.events],
            [
                (mended, {mended: [mended, "\ufffd\ufffd"]}, mended),
                (mended, b"\0", mended),
                ("log", {"level": "info", "message": mended}, ""),
                ("progress", {"id": mended, "message": mended}, ""),
                ("view", {"op": "text", "target": mended, "text": mended}, ""),
            ],
        )
        self.assertEqual(host.events[1].content_type, "image/" + mended)

    def test_everything_that_does_not_wait_may_be_awaited(self) -> None:
        async def says(ctx: Context) -> None:
            await ctx.send("a")
            await ctx.progress(step=1)
            await ctx.view.start("out")
            await ctx.save_checkpoint("a", 1)

        run(says, Recording())

    def test_progress_says_only_what_it_was_told(self) -> None:
        def says(ctx: Context) -> None:
            ctx.progress("half", step=1, total=2)
            ctx.progress(id="index", parent="import", weight=3, status="waiting")
            ctx.progress(id="index", done=0)

        host = Recording()
        run(says, host)
        self.assertEqual(
            host.data("progress"),
            [
                {"step": 1, "total": 2, "message": "half"},
                {"id": "index", "parent": "import", "weight": 3, "status": "waiting"},
                {"id": "index", "done": 0},
            ],
        )

    def test_views(self) -> None:
        def says(ctx: Context) -> None:
            ctx.view.text("out", "a<b")
            ctx.view.text("out", "c", mode="replace")
            ctx.view.prune("out", 5, edge="bottom")
            ctx.view.state(None)

        host = Recording()
        run(says, host)
        self.assertEqual(
            host.data("view"),
            [
                {"op": "text", "target": "out", "text": "a<b"},
                {"op": "text", "target": "out", "text": "c", "mode": "replace"},
                {"op": "prune", "target": "out", "limit": 5, "edge": "bottom"},
                {"op": "state", "state": None},
            ],
        )

    def test_names_that_belong_to_the_host_are_refused(self) -> None:
        def says(ctx: Context) -> list[str]:
            codes = []
            for type in ("run.mine", "gap", "", "a\n", "x" * 129):
                try:
                    ctx.send(type)
                except Error as error:
                    codes.append(error.code)
            return codes

        self.assertEqual(run(says), ["invalid-argument"] * 5)


class State(unittest.TestCase):
    def test_checkpoints_last_from_one_attempt_to_the_next(self) -> None:
        def counts(ctx: Context) -> Any:
            done = ctx.load_checkpoint("done", 0)
            if not done:
                ctx.save_checkpoint("done", 7)
                raise Failure("once more", retryable=True)
            ctx.remove_checkpoint("done")
            return [done, ctx.load_checkpoint("done")]

        host = Recording()
        with self.assertRaises(Failure):
            run(counts, host)
        self.assertEqual(run(counts, host), [7, None])

    def test_parameters_info_and_time_left(self) -> None:
        def asks(ctx: Context) -> Any:
            ctx.sleep(1)
            facts = [ctx.parameter("speed"), ctx.parameter("none", 5), ctx.remaining()]
            return [*facts, ctx.info().labels, current() is ctx]

        host = Recording(parameters={"speed": 2}, deadline=5, labels={"a": "b"})
        self.assertEqual(run(asks, host), [2, 5, 4.0, {"a": "b"}, True])

    def test_signals_by_name(self) -> None:
        def asks(ctx: Context) -> Any:
            second = ctx.receive_signal("b", 10)
            return [second, ctx.receive_signal(timeout=0), ctx.receive_signal("a", 1)]

        host = Recording(signals=[(1, "a", 1), (2, "b", 2)])
        first, second = {"name": "a", "payload": 1}, {"name": "b", "payload": 2}
        self.assertEqual(run(asks, host), [second, first, None])
        self.assertEqual(host.now, 3.0)

    def test_waiting_for_a_signal_hears_that_the_run_is_cancelled(self) -> None:
        def asks(ctx: Context) -> Any:
            try:
                return ctx.receive_signal()
            except Cancelled:
                return "cancelled"

        self.assertEqual(run(asks, Recording(cancel_at=3)), "cancelled")

    def test_children(self) -> None:
        def starts(ctx: Context) -> Any:
            good, bad = ctx.start_child("double", 4), ctx.start_child("bad")
            outcome = bad.wait()
            assert outcome is not None
            return [good.result(), outcome.kind, outcome.code, ctx.start_child("double", 1, key="k").id
                    == ctx.start_child("double", 1, key="k").id]

        def bad(_: Any) -> None:
            raise Failure("no", code="never")

        host = Recording(children={"double": lambda n: 2 * n, "bad": bad})
        self.assertEqual(run(starts, host), [8, "failure", "never", True])

    def test_a_child_that_fails_fails_who_awaits_it(self) -> None:
        async def starts(ctx: Context) -> Any:
            good = [ctx.start_child("double", n) for n in range(3)]
            results = await asyncio.gather(*good)
            try:
                await ctx.start_child("bad")
            except ChildFailed as error:
                return [results, error.code]

        def bad(_: Any) -> None:
            raise Failure("no", code="never")

        host = Recording(children={"double": lambda n: 2 * n, "bad": bad})
        self.assertEqual(run(starts, host), [[0, 2, 4], "never"])


class Asyncio(unittest.TestCase):
    def test_sleeps_go_on_side_by_side(self) -> None:
        async def sleeps(ctx: Context) -> Any:
            async def one(seconds: float) -> float:
                await asyncio.sleep(seconds)
                ctx.send("slept", seconds)
                return seconds

            return await asyncio.gather(one(3), one(1), one(2))

        host = Recording()
        self.assertEqual(run(sleeps, host), [3, 1, 2])
        self.assertEqual(host.data("slept"), [1, 2, 3])
        self.assertEqual(host.now, 3.0)

    def test_time_outs_queues_and_threads_that_are_none(self) -> None:
        async def works() -> Any:
            try:
                await asyncio.wait_for(asyncio.sleep(10), 2)
            except asyncio.TimeoutError:
                pass
            queue: asyncio.Queue[int] = asyncio.Queue()

            async def fill() -> None:
                await asyncio.sleep(1)
                await queue.put(5)

            filling = asyncio.create_task(fill())
            got = await queue.get()
            await filling
            return [got, await asyncio.to_thread(lambda: 42)]

        host = Recording()
        self.assertEqual(run(works, host), [5, 42])
        self.assertEqual(host.now, 3.0)

    def test_a_cancelled_run_is_a_cancelled_task_that_may_still_wait_and_return(self) -> None:
        async def works(ctx: Context) -> Any:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(1)
                return "partial"

        host = Recording(cancel_at=5)
        self.assertEqual(run(works, host), "partial")
        self.assertEqual(host.now, 6.0)

    def test_what_is_left_behind_is_cancelled_and_may_clean_up(self) -> None:
        async def works(ctx: Context) -> str:
            async def background() -> None:
                try:
                    await asyncio.sleep(100)
                finally:
                    ctx.send("cleaned-up")

            ctx.background = asyncio.create_task(background())  # type: ignore[attr-defined]
            await asyncio.sleep(0)
            return "done"

        host = Recording()
        self.assertEqual(run(works, host), "done")
        self.assertEqual([event.type for event in host.events], ["cleaned-up"])
        self.assertEqual(host.now, 0)

    def test_signals_of_several_names_children_requests_and_time_together(self) -> None:
        async def works(ctx: Context) -> Any:
            async def ticks() -> None:
                for _ in range(3):
                    await asyncio.sleep(0.5)
                    ctx.send("tick")

            signals = (ctx.areceive_signal("b"), ctx.areceive_signal("a"), ctx.areceive_signal("c", 1))
            request = AsyncClient().get("http://example.com/")
            *got, answer, child, _ = await asyncio.gather(
                *signals, request, ctx.start_child("one"), ticks()
            )
            return [got, answer.text, child]

        host = Recording(
            signals=[(0.3, "a", 1), (1.2, "b", 2)],
            children={"one": lambda _: 1},
            http=lambda request: Reply(content="hello", delay=0.7),
        )
        got = [{"name": "b", "payload": 2}, {"name": "a", "payload": 1}, None]
        self.assertEqual(run(works, host), [got, "hello", 1])
        self.assertEqual(len(host.data("tick")), 3)
        self.assertLess(host.now, 2)

    def test_a_task_that_waits_for_nothing_waits_until_it_is_cancelled(self) -> None:
        async def waits() -> Any:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                return "cancelled"

        self.assertEqual(run(waits, Recording(cancel_at=1000)), "cancelled")


if __name__ == "__main__":
    unittest.main()
