"""`Done`: the result of a host call that has already completed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any


class Done:
    """A completed call. A task with `async` may `await` it, but does not have to."""

    def __await__(self) -> Generator[Any, None, None]:
        yield from ()


DONE = Done()
