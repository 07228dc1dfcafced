"""Realms to break: one for each kind of broker, repaired after each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from tests.support.broker import BROKER_KINDS
from tests.support.faults import repair
from tests.support.realm import client_of, running_realm


@pytest.fixture(scope="session", params=BROKER_KINDS)
def broker_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of broker in turn."""
    kind: str = request.param
    return kind


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def processes(
    broker_kind: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LocalRealm]:
    """The processes of a realm with two runtimes."""
    async with running_realm(broker_kind, tmp_path_factory.mktemp("faults")) as realm:
        yield realm


@pytest_asyncio.fixture(loop_scope="session")
async def realm(processes: LocalRealm) -> AsyncIterator[LocalRealm]:
    """A sound realm; the test may do with it what it likes."""
    yield processes
    await repair(processes)


@pytest_asyncio.fixture(loop_scope="session")
async def client(realm: LocalRealm) -> AsyncIterator[Client]:
    """A client of the realm."""
    async with client_of(realm) as client:
        yield client
