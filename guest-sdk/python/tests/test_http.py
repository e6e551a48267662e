"""Requests, against a recording host."""

from __future__ import annotations

import unittest
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from streamtask import Failure, http
from streamtask._host import Request
from streamtask._urllib import install
from streamtask.testing import Recording, Reply

from .test_context import run


def answered(function: Callable[[], Any], answer: Callable[[Request], Reply]) -> tuple[Any, list[Request]]:
    host = Recording(http=answer)
    return run(function, host), host.requests


class Requests(unittest.TestCase):
    def test_what_is_given_is_sent(self) -> None:
        def asks() -> Any:
            response = http.post(
                "http://example.com/a b?x=1#f", params={"q": "é", "l": [1, 2]}, json={"n": 1}, headers={"X-A": "b"}
            )
            return [response.status_code, response.json(), response.headers["Content-Type"], response.is_success]

        headers = {"content-type": "application/json"}
        result, (request,) = answered(asks, lambda _: Reply(201, headers, '{"ok":true}'))
        self.assertEqual(result, [201, {"ok": True}, "application/json", True])
        self.assertEqual(request.url, "http://example.com/a%20b?x=1&q=%C3%A9&l=1&l=2")
        self.assertEqual(request.headers, [("X-A", "b"), ("content-type", "application/json")])
        self.assertEqual((request.method, request.content), ("POST", b'{"n":1}'))

    def test_a_client_adds_what_its_requests_have_in_common(self) -> None:
        def asks() -> Any:
            headers = {"Authorization": "a", "X-B": "1"}
            with http.Client(base_url="https://example.com/v1/", headers=headers, timeout=5) as client:
                return client.get("/pages", headers={"x-b": "2"}).text

        result, (request,) = answered(asks, lambda _: Reply(content="é"))
        self.assertEqual((result, request.url, request.timeout), ("é", "https://example.com/v1/pages", 5))
        self.assertEqual(request.headers, [("Authorization", "a"), ("x-b", "2")])

    def test_redirects_are_followed_if_asked_for_and_tell_others_no_secrets(self) -> None:
        def answer(request: Request) -> Reply:
            if request.url.endswith("/old"):
                return Reply(302, {"Location": "https://other.example/new"})
            return Reply(content=f"{request.method} {dict(request.headers)}")

        def asks() -> Any:
            url, headers = "https://example.com/old", {"Authorization": "secret", "X-A": "b"}
            stays = http.get(url)
            goes = http.post(url, content=b"x", headers=headers, follow_redirects=True)
            return [stays.status_code, stays.is_redirect, goes.url, goes.text]

        result, _ = answered(asks, answer)
        self.assertEqual(result, [302, True, "https://other.example/new", "GET {'X-A': 'b'}"])

    def test_a_loop_of_redirects_ends(self) -> None:
        def asks() -> Any:
            return http.get("http://example.com/", follow_redirects=True).text

        with self.assertRaises(Failure) as caught:
            answered(asks, lambda _: Reply(302, {"Location": "/"}))
        self.assertEqual(caught.exception.code, "loop-detected")

    def test_a_status_is_an_error_only_if_asked_for(self) -> None:
        def asks() -> Any:
            http.get("http://example.com/").raise_for_status()

        with self.assertRaises(Failure) as caught:
            answered(asks, lambda _: Reply(429, {"Retry-After": "7"}))
        failure = caught.exception
        self.assertEqual((failure.code, failure.details), ("http-status", {"status": 429}))
        self.assertEqual((failure.retryable, failure.retry_after), (True, 7))

    def test_what_is_denied_says_so(self) -> None:
        def asks() -> Any:
            http.get("http://example.com/")

        with self.assertRaises(Failure) as caught:
            run(asks, Recording())
        self.assertEqual((caught.exception.code, caught.exception.retryable), ("denied", False))

    def test_broken_text_is_mended_in_addresses_and_bodies(self) -> None:
        def asks() -> Any:
            http.get("http://example.com/\ud83c", params={"q": "a\ud83c"})
            http.post("http://example.com/", data={"q": "\ud83c"})
            http.post("http://example.com/", content="a\ud83c")

        host = Recording(http=lambda _: Reply())
        run(asks, host)
        self.assertEqual(
            [(request.url, request.content) for request in host.requests],
            [
                ("http://example.com/%EF%BF%BD?q=a%EF%BF%BD", b""),
                ("http://example.com/", b"q=%EF%BF%BD"),
                ("http://example.com/", b"a\xef\xbf\xbd"),
            ],
        )

    def test_an_address_that_is_none_is_refused(self) -> None:
        def asks() -> Any:
            http.get("example.com")

        with self.assertRaises(Failure) as caught:
            run(asks, Recording())
        self.assertEqual(caught.exception.code, "http-request-uri-invalid")


class Streams(unittest.TestCase):
    def test_events_are_put_together_from_parts_cut_anywhere(self) -> None:
        text = ": hello\n\nid: 1\r\ndata: é\r\ndata:b\r\n\r\nevent: end\rdata: {\"a\":1}\r\rdata: cut off".encode()
        for size in (1, 2, 3, 7, 100):
            parts = [text[start : start + size] for start in range(0, len(text), size)]

            def asks() -> Any:
                with http.stream("GET", "http://example.com/") as response:
                    return [[event.event, event.data, event.id] for event in response.iter_sse()]

            result, _ = answered(asks, lambda _: Reply(content=parts))
            self.assertEqual(result, [["message", "é\nb", "1"], ["end", '{"a":1}', "1"]], size)

    def test_parts_are_seen_when_they_come(self) -> None:
        async def asks() -> Any:
            seen = []
            async with http.AsyncClient().stream("GET", "http://example.com/") as response:
                async for line in response.aiter_lines():
                    seen.append([line, round(host.now, 3)])
            return seen

        host = Recording(http=lambda _: Reply(content=[b"a\n", b"b\nc"], delay=1))
        self.assertEqual(run(asks, host), [["a", 2], ["b", 3], ["c", 3]])


class Urllib(unittest.TestCase):
    def setUp(self) -> None:
        before = urllib.request._opener  # type: ignore[attr-defined]
        self.addCleanup(lambda: urllib.request.install_opener(before))
        install(urllib.request)

    def test_urlopen_goes_through_the_host(self) -> None:
        def answer(request: Request) -> Reply:
            if request.url.endswith("/old"):
                return Reply(301, {"Location": "/new"})
            if request.url.endswith("/none"):
                return Reply(404, content="gone")
            return Reply(200, {"X-B": "c"}, f"{request.method} {request.url} {request.content.decode()}")

        def asks() -> Any:
            with urllib.request.urlopen("https://example.com/old", timeout=3) as response:
                seen = [response.status, response.headers["x-b"], response.read().decode()]
            try:
                urllib.request.urlopen("https://example.com/none")
            except urllib.error.HTTPError as error:
                seen += [error.code, error.read().decode()]
            with urllib.request.urlopen("https://example.com/form", b"a=1") as response:
                return [*seen, list(response)[0].decode()]

        result, requests = answered(asks, answer)
        self.assertEqual(
            result,
            [200, "c", "GET https://example.com/new ", 404, "gone", "POST https://example.com/form a=1"],
        )
        self.assertEqual(requests[0].timeout, 3)
        self.assertIn(("content-type", "application/x-www-form-urlencoded"), requests[-1].headers)


if __name__ == "__main__":
    unittest.main()
