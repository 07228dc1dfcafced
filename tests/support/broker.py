"""Real brokers for tests: one of each kind a test session, each on a free port of its own.

Import the fixtures you need into your folder's ``conftest.py``. The brokers are shared by all
tests of a process: use topics and client ids that nobody else uses (``unique`` makes one). A test
that stops its broker takes ``own_broker``.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from arts.bus.broker import Broker, find_mosquitto, open_broker

BROKER_KINDS = ("mosquitto", "embedded")

OpenBroker = Callable[[str], Coroutine[Any, Any, Broker]]


def require(kind: str) -> None:
    """Skip the test if this kind of broker cannot run here. In CI that is a failure instead."""
    if kind == "mosquitto" and find_mosquitto() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("mosquitto is not installed")


def unique(name: str = "test") -> str:
    """A name for topics and client ids that no other test uses."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


@contextmanager
def running_broker(kind: str, directory: Path) -> Iterator[Broker]:
    """A broker with a websocket listener, for synchronous code."""
    require(kind)

    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        opening = stack.enter_async_context(open_broker(kind, directory, ws_port=0))
        broker = runner.run(_awaited(opening))
        try:
            yield broker
        finally:
            runner.run(stack.aclose())


async def _awaited(opening: Awaitable[Broker]) -> Broker:
    return await opening


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A mosquitto for the whole session."""
    with running_broker("mosquitto", tmp_path_factory.mktemp("mosquitto")) as broker:
        yield broker


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The broker that comes with ARTS, for the whole session."""
    with running_broker("embedded", tmp_path_factory.mktemp("embedded")) as broker:
        yield broker


@pytest.fixture(scope="session", params=BROKER_KINDS)
def broker(request: pytest.FixtureRequest) -> Broker:
    """Each kind of broker in turn."""
    shared: Broker = request.getfixturevalue(request.param)
    return shared


@pytest.fixture
async def own_broker(tmp_path: Path) -> AsyncIterator[OpenBroker]:
    """``await own_broker(kind)``: a broker that the test may stop, kill and restart."""
    async with AsyncExitStack() as stack:

        async def start(kind: str) -> Broker:
            require(kind)
            return await stack.enter_async_context(open_broker(kind, tmp_path / kind))

        yield start
