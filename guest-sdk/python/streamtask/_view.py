"""The event type `view`, which updates a web page."""

from __future__ import annotations

from typing import Any, Literal

from ._done import DONE, Done
from ._host import Host
from ._json import to_json


class View:
    """Updates of a web page: `ctx.view`. A target names an element with `data-stream="NAME"`.

    Texts are shown as plain text. HTML is inserted as HTML, so escape all data in it
    (`html.escape`).
    """

    def __init__(self, host: Host) -> None:
        self._host = host

    def start(self, target: str) -> Done:
        """Marks the target as being written."""
        return self._send("start", target=target)

    def text(
        self, target: str, text: str, mode: Literal["append", "prepend", "replace"] = "append"
    ) -> Done:
        """Adds plain text to the target."""
        return self._send("text", target=target, text=text, mode=None if mode == "append" else mode)

    def html(self, target: str, html: str) -> Done:
        """Replaces the target's content."""
        return self._send("html", target=target, html=html)

    def insert(self, target: str, html: str, at: Literal["append", "prepend"] = "append") -> Done:
        """Adds HTML at the target's end or beginning."""
        return self._send("insert", target=target, html=html, at=None if at == "append" else at)

    def remove(self, target: str, selector: str) -> Done:
        """Removes the elements in the target that match the selector."""
        return self._send("remove", target=target, selector=selector)

    def prune(self, target: str, limit: int, edge: Literal["top", "bottom"] = "top") -> Done:
        """Removes child elements at an edge until `limit` are left."""
        return self._send("prune", target=target, limit=limit, edge=None if edge == "top" else edge)

    def done(self, target: str) -> Done:
        """Marks the target as complete."""
        return self._send("done", target=target)

    def error(self, target: str, message: str) -> Done:
        """Marks the target as failed; its content stays."""
        return self._send("error", target=target, message=message)

    def state(self, state: Any) -> Done:
        """Sends any JSON value to the page's own code."""
        return self._send_view({"op": "state", "state": state})

    def _send(self, op: str, **fields: Any) -> Done:
        # Omitted values mean the default.
        given = {key: value for key, value in fields.items() if value is not None}
        return self._send_view({"op": op, **given})

    def _send_view(self, data: dict[str, Any]) -> Done:
        self._host.send_event("", "view", to_json(data))
        return DONE
