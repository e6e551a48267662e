"""What the network does, and what comes of it."""

from __future__ import annotations

import asyncio
import threading
import unittest
from contextlib import aclosing
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler
from typing import Any
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from streamtask_client import AsyncHost, Event, Follower, Host, HostError, StreamError

from .harness import END, PATIENCE, Server, States, free_port, line, locate, reply, stream


def follow(server: Server, states: States | None = None, **options: object) -> Follower:
    return Host(server.url).run("r").follow(retry=0.001, on_state=states, **options)  # type: ignore[arg-type]


def numbers(events: list[Event]) -> list[int | None]:
    return [event.seq for event in events]


class Follow(unittest.TestCase):
    def test_a_lost_connection_is_made_again_after_the_last_event(self) -> None:
        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if locate(request):
                return
            after = int(request.headers.get("last-event-id", "0"))
            # Cut within the second line.
            if after < 5:
                stream(request, line(after + 1), line(after + 2)[:-9])
            else:
                stream(request, line(6, END))

        server = Server(self, answer)
        self.assertEqual(numbers(list(follow(server))), [1, 2, 3, 4, 5, 6])
        self.assertEqual(server.positions(), [0, 1, 2, 3, 4, 5])
        self.assertTrue(all("heartbeat=15" in request.path for request in server.requests[1:]))

    def test_what_comes_twice_is_given_once(self) -> None:
        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if not locate(request):
                stream(request, line(1), line(1), line(2), line(1), line(3, END), line(4))

        self.assertEqual(numbers(list(follow(Server(self, answer)))), [1, 2, 3])

    def test_what_did_not_come_is_asked_for_again_and_told_if_it_never_comes(self) -> None:
        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if locate(request):
                return
            asked = len(server.positions())
            # The third is lost on the way; the sixth the host does not have.
            first = [line(1), line(2), line(4)] if asked == 1 else [line(3), line(4), line(5), line(7, END)]
            stream(request, *first)

        server = Server(self, answer)
        events = list(follow(server))
        self.assertEqual(numbers(events), [1, 2, 3, 4, 5, None, 7])
        self.assertEqual(events[5].data, {"from": 6, "to": 6, "reason": "missing"})
        self.assertEqual(server.positions(), [0, 2, 5])

    def test_a_log_that_begins_anew_is_told_and_read_from_its_beginning(self) -> None:
        notice = b'{"type":"gap","data":{"reason":"unknown-position","requested":"9"}}\n'

        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if not locate(request):
                stream(request, notice, line(1), line(2, END))

        server = Server(self, answer)
        self.assertEqual(numbers(list(follow(server, after=9))), [None, 1, 2])
        self.assertEqual(server.positions(), [9])

    def test_damage_is_a_lost_connection_and_what_came_before_it_counts(self) -> None:
        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if locate(request):
                return
            asked = len(server.positions())
            broken = [b'{"type":', b"[1]\n", b'{"type":"x","data":1,"seq":"2"}\n', b"\xff\n", b'{"seq":2}\n']
            stream(request, line(asked), (broken[asked - 1].rstrip() + b"\n") if asked < 6 else line(7, END))

        server = Server(self, answer)
        self.assertEqual(numbers(list(follow(server))), [1, 2, 3, 4, 5, 6, 7])

    def test_a_host_in_trouble_is_asked_again_and_no_sooner_than_it_says(self) -> None:
        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if nth < 4:
                reply(request, [503, 429, 502][nth - 1], {"detail": "later"}, retry_after="1")
            elif not locate(request):
                stream(request, line(1, END))

        states = States()
        events = Host(Server(self, answer).url).run("r").follow(retry=0.001, on_state=states)
        with mock.patch("streamtask_client._pauses.Waiting.pause"):
            self.assertEqual(numbers(list(events)), [1])
        waits = [state.retry_in for state in states if state.state == "waiting"]
        self.assertEqual(waits, [1.0, 1.0, 1.0])
        self.assertEqual([state.state for state in states][-3:], ["connecting", "open", "ended"])

    def test_a_refusal_is_raised(self) -> None:
        problem = {"type": "urn:streamtask:problem:unknown-run", "detail": "there is none", "status": 404}
        server = Server(self, lambda request, _: reply(request, 404, problem))
        with self.assertRaises(HostError) as raised:
            list(follow(server))
        error = raised.exception
        self.assertEqual((error.status, error.kind, str(error)), (404, "unknown-run", "there is none"))
        self.assertEqual(error.problem, problem)

    def test_a_redirect_is_not_followed(self) -> None:
        server = Server(self, lambda request, _: reply(request, 302, location="http://example.com/"))
        with self.assertRaises(HostError) as raised:
            list(follow(server))
        self.assertEqual((raised.exception.status, raised.exception.kind), (302, ""))

    def test_a_page_that_is_no_stream_is_tried_again(self) -> None:
        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if locate(request):
                return
            if len(server.positions()) < 3:
                reply(request, 200, "please log in")
            else:
                stream(request, line(1, END))

        states = States()
        server = Server(self, answer)
        self.assertEqual(numbers(list(follow(server, states))), [1])
        errors = [state.error for state in states if state.state == "waiting"]
        self.assertEqual([type(error) for error in errors], [StreamError, StreamError])

    def test_who_has_seen_the_end_gets_nothing(self) -> None:
        server = Server(self, lambda request, _: None if locate(request) else reply(request, 204))
        self.assertEqual(list(follow(server, after=7)), [])

    def test_a_connection_over_which_nothing_comes_counts_as_lost(self) -> None:
        over = threading.Event()
        self.addCleanup(over.set)

        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if locate(request):
                return
            if len(server.positions()) == 1:
                stream(request, line(1), b"\n")
                over.wait(PATIENCE)
            else:
                stream(request, line(2, END))

        server = Server(self, answer)
        states = States()
        with mock.patch("streamtask_client._line._SILENCE_HEARTBEATS", 0.1):
            self.assertEqual(numbers(list(follow(server, states, heartbeat=1))), [1, 2])
        [waited] = [state for state in states if state.state == "waiting"]
        self.assertIsInstance(waited.error, TimeoutError)
        self.assertEqual(server.positions(), [0, 1])

    def test_where_no_stream_comes_through_the_run_is_polled(self) -> None:
        over = threading.Event()
        self.addCleanup(over.set)

        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if locate(request):
                return
            if "live=false" not in request.path:
                # What is held back until it is whole, which a stream never is.
                over.wait(PATIENCE)
                return
            after = int(request.headers.get("last-event-id", "0"))
            polls = sum("live=false" in request.path for request in server.requests)
            # Every other time there is nothing new.
            stream(request, *[] if polls % 2 else [line(after + 1, END if after == 2 else "tick")])

        server = Server(self, answer)
        states = States()
        with mock.patch("streamtask_client._line._OPEN", 0.3):
            self.assertEqual(numbers(list(follow(server, states, poll=0.001))), [1, 2, 3])
        kinds = [state.state for state in states]
        self.assertEqual(kinds[:4], ["connecting", "waiting", "connecting", "waiting"])
        self.assertEqual(set(kinds[4:]) - {"waiting"}, {"polling", "ended"})
        streams = [request.path for request in server.requests if "heartbeat" in request.path]
        self.assertEqual(len(streams), 2)

    def test_a_stream_over_which_no_byte_comes_is_polled_from_the_moment_that_was_wanted(self) -> None:
        over = threading.Event()
        self.addCleanup(over.set)

        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if locate(request):
                return
            if request.path.endswith("/status"):
                reply(request, 200, {"last_seq": 5})
            elif "live=false" not in request.path:
                stream(request)
                over.wait(PATIENCE)
            else:
                polls.append(int(request.headers["last-event-id"]))
                stream(request, *[line(6), line(7, END)] if len(polls) == 3 else [])

        polls: list[int] = []
        server = Server(self, answer)
        with mock.patch("streamtask_client._line._SILENCE_HEARTBEATS", 0.1):
            events = list(follow(server, from_="now", heartbeat=1, poll=0.001))
        self.assertEqual(numbers(events), [6, 7])
        self.assertEqual(polls, [5, 5, 5])
        self.assertEqual(sum(request.path.endswith("/status") for request in server.requests), 1)

    def test_after_some_polls_a_stream_is_tried_again(self) -> None:
        over = threading.Event()
        self.addCleanup(over.set)

        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if locate(request):
                return
            kinds.append("poll" if "live=false" in request.path else "stream")
            if kinds[-1] == "poll":
                stream(request)
            elif len(kinds) < 3:
                over.wait(PATIENCE)
            else:
                stream(request, line(1, END))

        kinds: list[str] = []
        server = Server(self, answer)
        with mock.patch("streamtask_client._line._OPEN", 0.3), mock.patch("streamtask_client._line._POLLS_IN_A_ROW", 3):
            self.assertEqual(numbers(list(follow(server, poll=0.001))), [1])
        self.assertEqual(kinds, ["stream", "stream", "poll", "poll", "poll", "stream"])

    def test_who_gives_up_gets_the_last_error(self) -> None:
        host = Host(f"http://127.0.0.1:{free_port()}")
        with self.assertRaises(ConnectionRefusedError):
            list(host.run("r").follow(retry=0.001, give_up=0))

    def test_another_thread_can_close_it_while_it_waits(self) -> None:
        over = threading.Event()
        self.addCleanup(over.set)

        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if not locate(request):
                stream(request, line(1))
                over.wait(PATIENCE)

        events = follow(Server(self, answer))
        self.assertEqual(next(events).seq, 1)
        closing = threading.Thread(target=events.close)
        closing.start()
        self.assertEqual(list(events), [])
        closing.join(PATIENCE)

    def test_what_a_listener_raises_is_raised(self) -> None:
        def listen(_: object) -> None:
            raise OSError("its own")

        with self.assertRaisesRegex(OSError, "its own"):
            list(Host("http://127.0.0.1:9").run("r").follow(on_state=listen))

    def test_a_task_of_asyncio_can_be_cancelled_while_it_waits(self) -> None:
        over, gone = threading.Event(), threading.Event()
        self.addCleanup(over.set)

        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if locate(request):
                return
            stream(request, line(1))
            # Ends when the client has closed the connection.
            request.connection.settimeout(PATIENCE)
            if request.connection.recv(1) == b"":
                gone.set()

        async def main(url: str) -> None:
            seen = asyncio.Event()

            async def watch() -> None:
                async with aclosing(AsyncHost(url).run("r").follow()) as events:
                    async for _ in events:
                        seen.set()

            watching = asyncio.create_task(watch())
            await asyncio.wait_for(seen.wait(), PATIENCE)
            watching.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await watching

        asyncio.run(main(Server(self, answer).url))
        self.assertTrue(gone.wait(PATIENCE))

    def test_headers_and_a_path_of_a_proxy_go_with_every_request(self) -> None:
        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            self.assertEqual(request.headers["authorization"], f"Bearer {nth}")
            request.path = request.path.removeprefix("/below")
            if not locate(request):
                stream(request, line(1, END))

        server = Server(self, answer)
        tokens = iter(range(1, 9))
        host = Host(f"{server.url}/below/", headers=lambda: {"authorization": f"Bearer {next(tokens)}"})
        self.assertEqual(numbers(list(host.run("r").follow())), [1])

    def test_a_start_without_an_answer_is_repeated_under_the_same_key(self) -> None:
        def answer(request: BaseHTTPRequestHandler, nth: int) -> None:
            if nth == 1:
                request.connection.close()
            else:
                reply(request, 202, {"id": "r", "stream": "/stream/a/t/r"})

        server = Server(self, answer)
        with mock.patch("streamtask_client._pauses.Waiting.pause"):
            self.assertEqual(Host(server.url).start("a/t", {"x": 1}).id, "r")
            self.assertEqual(Host(server.url).run("r").retry().id, "r")
        first, second, other = (request.headers["idempotency-key"] for request in server.requests)
        self.assertEqual((first, len(first)), (second, 32))
        self.assertNotEqual(first, other)

    def test_what_is_wanted_of_a_start_goes_with_it_and_with_a_retry(self) -> None:
        server = Server(self, lambda request, _: reply(request, 202, {"id": "r", "stream": "/stream/a/t/r"}))
        wish: dict[str, Any] = {
            "id": "r",
            "labels": {"team": "a b", "n": "1"},
            "idempotency_key": "k",
            "not_before": datetime(2100, 1, 2, tzinfo=timezone.utc),
            "delay": "10m",
            "priority": -3,
            "resources": iter(["x", "y"]),
            "if_busy": "fail",
            "on_disconnect": "cancel",
        }
        host = Host(server.url)
        host.start("a/t", **wish)
        host.run("old").retry(**{**wish, "resources": ["x", "y"]})
        asyncio.run(AsyncHost(server.url).run("old").retry(on_disconnect="continue"))
        started, retried, other = (urlsplit(request.path) for request in server.requests)
        wanted = [
            ("id", "r"),
            ("label", "team:a b"),
            ("label", "n:1"),
            ("not_before", "2100-01-02T00:00:00+00:00"),
            ("delay", "10m"),
            ("priority", "-3"),
            ("resource", "x"),
            ("resource", "y"),
            ("if_busy", "fail"),
            ("on_disconnect", "cancel"),
        ]
        self.assertEqual((started.path, parse_qsl(started.query)), ("/api/tasks/a/t/runs", wanted))
        self.assertEqual((retried.path, parse_qsl(retried.query)), ("/api/runs/old/retry", wanted))
        self.assertEqual(parse_qsl(other.query), [("on_disconnect", "continue")])
        self.assertEqual([request.headers["idempotency-key"] for request in server.requests[:2]], ["k", "k"])


if __name__ == "__main__":
    unittest.main()
