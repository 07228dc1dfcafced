"""A web server that answers as a test tells it to, well or badly."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

APPS = Path(__file__).parents[2] / "wasm-apps"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class FakeWeb:
    """Serves whatever ``answer`` does, and counts how often it was asked."""

    def __init__(self) -> None:
        self.answer: Handler = _not_found
        self.asked = 0
        self.was_asked = asyncio.Event()
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """One request."""
        self.asked += 1
        self.was_asked.set()
        return await self.answer(request)

    def serve(self, data: bytes, *, delay: float = 0.0) -> None:
        """Answer with these bytes, ``delay`` seconds late."""

        async def answer(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(delay)
            return web.Response(body=data)

        self.answer = answer


async def _not_found(_: web.Request) -> web.StreamResponse:
    raise web.HTTPNotFound


def files_below(directory: Path) -> list[Path]:
    """Every file that somebody left in ``directory``."""
    return [path for path in directory.rglob("*") if path.is_file()]
