"""What the network does, and what comes of it."""

from __future__ import annotations

import asyncio
import threading
import unittest
from contextlib import aclosing
from http.server import BaseHTTPRequestHandler
from unittest import mock

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
        first, second = (request.headers["idempotency-key"] for request in server.requests)
        self.assertEqual((first, len(first)), (second, 32))


if __name__ == "__main__":
    unittest.main()
