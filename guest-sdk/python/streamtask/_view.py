"""The event type `view`, which updates a page."""

from __future__ import annotations

from typing import Any, Literal

from ._done import DONE, Done
from ._host import Host
from ._json import to_json


class View:
    """Updates of a page: `ctx.view`. A target names an element with `data-stream="NAME"`.

    Texts are plain text and never read as HTML. What is given as HTML is: put nothing
    into it that you did not escape (`html.escape`).
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def start(self, target: str) -> Done:
        """It is being written."""
        return self._send("start", target=target)

    def text(
        self, target: str, text: str, mode: Literal["append", "prepend", "replace"] = "append"
    ) -> Done:
        """Adds plain text to it."""
        return self._send("text", target=target, text=text, mode=None if mode == "append" else mode)

    def html(self, target: str, html: str) -> Done:
        """Replaces what is in it."""
        return self._send("html", target=target, html=html)

    def insert(self, target: str, html: str, at: Literal["append", "prepend"] = "append") -> Done:
        """Adds HTML at its end or beginning."""
        return self._send("insert", target=target, html=html, at=None if at == "append" else at)

    def remove(self, target: str, selector: str) -> Done:
        """Removes what matches within it."""
        return self._send("remove", target=target, selector=selector)

    def prune(self, target: str, limit: int, edge: Literal["top", "bottom"] = "top") -> Done:
        """Removes children at that edge until so many are left."""
        return self._send("prune", target=target, limit=limit, edge=None if edge == "top" else edge)

    def done(self, target: str) -> Done:
        """It is complete."""
        return self._send("done", target=target)

    def error(self, target: str, message: str) -> Done:
        """It failed; what is there stays."""
        return self._send("error", target=target, message=message)

    def state(self, state: Any) -> Done:
        """Any JSON value, for the page's own code."""
        return self._send_view({"op": "state", "state": state})

    def _send(self, op: str, **said: Any) -> Done:
        # What is left out is the default.
        given = {key: value for key, value in said.items() if value is not None}
        return self._send_view({"op": op, **given})

    def _send_view(self, data: dict[str, Any]) -> Done:
        self._host.send_event("", "view", to_json(data))
        return DONE
