"""``arts run`` shows how far a large program is on its way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from arts.cli import modules


class Status:
    """What stands on the terminal."""

    def __init__(self, text: str) -> None:
        self.shown = [text]

    def __enter__(self) -> "Status":
        return self

    def __exit__(self, *_: object) -> None:
        self.shown.append("")

    def update(self, text: str) -> None:
        """Another text."""
        self.shown.append(text)


class Journal:
    """A client that hears of three programs."""

    @asynccontextmanager
    async def journal(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """What happens in the realm."""

        async def news() -> AsyncIterator[dict[str, Any]]:
            yield {"event": "module.placed"}
            for name in ("other.wasm", "mine[b].wasm"):
                yield {"event": "program.preparing", "filename": name, "done": 1, "total": 9}
            await asyncio.Event().wait()

        yield news()


async def test_progress_of_the_program_that_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses: list[Status] = []

    def status(text: str) -> Status:
        statuses.append(Status(text))
        return statuses[-1]

    monkeypatch.setattr(modules.err, "status", status)
    async with modules._watching(Journal(), "mine[b].wasm"):  # type: ignore[arg-type]
        await asyncio.sleep(0.01)
    (shown,) = statuses
    assert shown.shown == [
        "Starting mine\\[b].wasm",
        "Preparing mine\\[b].wasm: 1 of 9 functions",
        "",
    ]
