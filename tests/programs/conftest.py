"""Fixtures of the program tests: real programs, and a web server that can misbehave."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from arts.programs.store import ProgramStore
from arts.settings import ProgramSettings
from tests.programs.fake_web import APPS, FakeWeb


@pytest.fixture
def counter() -> bytes:
    """A program that can be made migratable."""
    return (APPS / "counter" / "counter.wasm").read_bytes()


@pytest.fixture
def settings() -> ProgramSettings:
    """The example programs, and little patience."""
    return ProgramSettings(search_path=(APPS,), fetch_timeout=5, fetch_attempts=3)


@pytest.fixture
async def store(tmp_path: Path, settings: ProgramSettings) -> AsyncIterator[ProgramStore]:
    """An empty store."""
    store = ProgramStore(tmp_path / "programs", settings)
    yield store
    await store.close()


@pytest.fixture
async def fake_web() -> AsyncIterator[FakeWeb]:
    """A web server on a free port."""
    fake = FakeWeb()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("/counter.wasm"))
        yield fake
