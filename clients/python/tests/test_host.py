"""A real host: what it answers, and that nothing is lost when it is killed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
import threading
import unittest
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from unittest import mock

from streamtask_client import AsyncHost, Event, Host, HostError, RunError

from .harness import Server, States, TestHost

README = Path(__file__).resolve().parents[1] / "README.md"


def holding(test: unittest.TestCase, host: Host) -> str:
    """A proxy that sends nothing of an answer before it has all of it."""

    def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
        names = ("accept", "last-event-id")
        headers = {name: request.headers[name] for name in names if name in request.headers}
        # A stream that is given up here goes on there, until its run ends.
        with host.answer("GET", request.path, headers=headers) as (response, _):
            whole = response.read()
        request.send_response(response.status)
        request.send_header("content-type", response.headers.get("content-type", ""))
        request.send_header("content-length", str(len(whole)))
        request.end_headers()
        with contextlib.suppress(OSError):
            request.wfile.write(whole)

    return Server(test, answer).url


class RealHost(unittest.TestCase):
    def test_a_run_is_started_followed_and_has_a_result(self) -> None:
        host = Host(TestHost(self, "counter").url)
        run = host.start("demo/counter", {"steps": 3, "delay_ms": 1}, id="mine", labels={"a": "b:c"})
        self.assertEqual(run.id, "mine")
        events = list(run.follow())
        self.assertEqual([event.seq for event in events], list(range(1, len(events) + 1)))
        self.assertEqual([event.data["step"] for event in events if event.type == "progress"], [1, 2, 3])
        self.assertTrue(events[-1].is_end)
        self.assertEqual(run.result(), {"steps": 3})
        self.assertEqual(list(run.follow(after=len(events) - 1)), events[-1:])
        self.assertEqual(list(run.follow(after=len(events))), [])
        self.assertEqual([event.type for event in run.follow(types=["start"])], ["start", "run.completed"])
        info = run.info()
        self.assertEqual((info["status"], info["labels"]), ("completed", {"a": "b:c"}))
        # The same id is the same run.
        self.assertEqual(host.start("demo/counter", {"steps": 3, "delay_ms": 1}, id="mine", labels={"a": "b:c"}).id, "mine")
        self.assertEqual([run["id"] for run in host.runs(label="a:b:c")["runs"]], ["mine"])
        self.assertEqual([task["task"] for task in host.tasks()], ["counter"])
        self.assertIn("steps", host.task("demo/counter")["input_schema"]["properties"])
        self.assertEqual((run.files(), run.children()), ([], []))
        self.assertEqual(run.progress()["fraction"], 1)
        self.assertEqual(run.retry().result(), {"steps": 3})
        other = run.retry({"steps": 1, "delay_ms": 0}, labels={"again": "yes"})
        self.assertEqual(other.result(), {"steps": 1})
        self.assertEqual(other.info()["labels"], {"a": "b:c", "again": "yes", "retry-of": "mine"})
        self.assertEqual(host.runs(created_before="1h")["runs"], [])
        run.delete()
        with self.assertRaises(HostError) as raised:
            run.info()
        self.assertEqual((raised.exception.status, raised.exception.kind), (404, "unknown-run"))

    def test_a_run_is_steered(self) -> None:
        host = Host(TestHost(self, "probe").url)
        run = host.start("demo/probe", {"do": "signals", "count": 2})
        self.assertEqual(run.pause()["status"], "paused")
        self.assertNotEqual(run.resume()["status"], "paused")
        run.signal("one", {"n": 1})
        run.signal("two")
        self.assertEqual(run.result(timeout=60), [{"n": 1}, None])

        run = host.start("demo/probe", {"do": "until-parameter", "name": "speed"})
        run.set_parameter("speed", 7)
        self.assertEqual(run.result(timeout=60), 7)
        self.assertEqual(run.parameters(), {"speed": 7})

        run = host.start("demo/probe", {"do": "until-cancelled"})
        with self.assertRaises(TimeoutError):
            run.result(timeout=0.01)
        run.cancel()
        with self.assertRaises(RunError) as raised:
            run.result(timeout=60)
        self.assertEqual(raised.exception.status, "cancelled")

    def test_a_failure_and_a_refusal_say_why(self) -> None:
        host = Host(TestHost(self, "probe").url)
        with self.assertRaises(RunError) as raised:
            host.start("demo/probe", {"do": "fail"}).result()
        error = raised.exception
        self.assertEqual((error.status, error.kind, error.code, str(error)), ("failed", "failure", "asked", "as asked"))
        with self.assertRaises(HostError) as refused:
            host.start("demo/probe", {"do": 1})
        self.assertEqual(refused.exception.status, 400)
        self.assertEqual(refused.exception.problem["errors"][0]["pointer"], "#/do")

    def test_bytes_and_channels_arrive(self) -> None:
        host = Host(TestHost(self, "probe").url)
        sent = {"do": "bytes", "channel": "image", "type": "png", "content_type": "image/png", "length": 300}
        [event, _] = host.start("demo/probe", sent).follow(channels=["image"])
        self.assertEqual((event.type, event.channel, event.content_type), ("png", "image", "image/png"))
        self.assertEqual(event.content, bytes(n % 256 for n in range(300)))

    def test_a_host_that_is_killed_and_started_again_is_followed_without_a_gap(self) -> None:
        own = TestHost(self, "probe")
        states = States()
        run = Host(own.url).start("demo/probe", {"do": "steps", "n": 300, "ms": 10})
        events: list[Event] = []
        for event in run.follow(retry=0.01, on_state=states):
            events.append(event)
            if len(events) in (20, 200):
                own.kill()
                own.start()
        self.assertEqual([event.seq for event in events], list(range(1, len(events) + 1)))
        self.assertEqual(events, list(run.follow()))
        self.assertEqual(run.result(), "done")
        self.assertEqual([event.type for event in events].count("run.retrying"), 2)
        self.assertTrue(any(state.state == "waiting" for state in states))

    def test_behind_a_proxy_that_keeps_answers_until_they_are_whole_what_is_there_comes_while_the_run_goes_on(self) -> None:
        host = Host(TestHost(self, "probe").url)
        run = host.start("demo/probe", {"do": "until-parameter", "name": "stop"}, on_disconnect="cancel")
        self.assertEqual(run.info()["on_disconnect"], "cancel")
        behind = Host(holding(self, host)).run(run.id)
        events = []
        with mock.patch("streamtask_client._line._OPEN", 0.5):
            for event in behind.follow(retry=0.001, poll=0.01):
                events.append(event)
                # It does not end before it was heard.
                if event.type == "run.started":
                    run.set_parameter("stop", True)
            self.assertEqual(events, list(run.follow()))
            waiting = host.start("demo/probe", {"do": "until-parameter", "name": "stop"})
            threading.Timer(0, waiting.set_parameter, ("stop", 7)).start()
            self.assertEqual(Host(holding(self, host)).run(waiting.id).result(timeout=60), 7)

    def test_asyncio_sees_the_same(self) -> None:
        own = TestHost(self, "probe")

        async def main() -> None:
            host = AsyncHost(own.url)
            run = await host.start("demo/probe", {"do": "steps", "n": 100, "ms": 10})
            watchers = [asyncio.create_task(watch(run.id)) for _ in range(40)]
            await asyncio.sleep(0)
            own.kill()
            own.start()
            [first, *others] = await asyncio.gather(*watchers)
            self.assertEqual([event.seq for event in first], list(range(1, len(first) + 1)))
            self.assertTrue(all(other == first for other in others))
            self.assertEqual(await run.result(timeout=60), "done")
            self.assertEqual((await run.info())["status"], "completed")

        async def watch(id: str) -> list[Event]:
            return [event async for event in AsyncHost(own.url).run(id).follow(retry=0.01)]

        asyncio.run(main())

    def test_every_example_of_the_readme_runs(self) -> None:
        own = TestHost(self, "counter", "long-operation")
        blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
        self.assertGreaterEqual(len(blocks), 4)
        # One goes on where the one before it ended.
        names: dict[str, object] = {"__name__": "readme"}
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            for block in blocks:
                exec(compile(block.replace("http://127.0.0.1:8080", own.url), "README.md", "exec"), names)
        lines = printed.getvalue().splitlines()
        self.assertEqual(lines.count("{'steps': 3}"), 2, lines)
        self.assertIn("3 progress {'step': 1, 'total': 3, 'message': 'step 1 of 3'}", lines)
        self.assertIn("cancelled, as asked", lines)


if __name__ == "__main__":
    unittest.main()
