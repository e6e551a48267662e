"""Fetches pages, several at a time."""

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Annotated

from streamtask import Schema, StreamTask, get_client, http


@dataclass
class Page:
    """The result of a URL: a status and a body, or an error."""

    url: str
    status: int | None = None
    bytes: int | None = None
    sha256: str | None = None
    error: str | None = None


class HttpFetch(StreamTask):
    """Fetches pages and reports the result of each."""

    urls: Annotated[list[str], "The addresses.", Schema(minItems=1, maxItems=1000)]
    at_once: Annotated[int, "How many are under way at a time.", Schema(minimum=1, maximum=16)] = 4

    async def process(self) -> list[Page]:
        self.free = asyncio.Semaphore(self.at_once)
        self.done = 0
        return await asyncio.gather(*(self.fetch(url) for url in self.urls))

    async def fetch(self, url: str) -> Page:
        async with self.free:
            try:
                response = await get_client().async_client.get(url, timeout=30, follow_redirects=True)
                digest = hashlib.sha256(response.content).hexdigest()
                page = Page(url, response.status_code, len(response.content), digest)
            except http.HTTPError as error:
                # An unreachable server does not affect the other requests.
                page = Page(url, error=str(error))
        self.done += 1
        message = f"{page.status} {url}" if page.status else str(page.error)
        self.ctx.progress(message, step=self.done, total=len(self.urls))
        return page
