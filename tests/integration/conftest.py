"""One realm of real processes for each kind of broker, shared by all tests here.

Tests do not disturb each other: each has modules of its own, and leaves the processes alone.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from tests.support.broker import BROKER_KINDS
from tests.support.realm import client_of, running_realm
from tests.support.script import Script, script


@pytest.fixture(scope="session", params=BROKER_KINDS)
def broker_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of broker in turn."""
    kind: str = request.param
    return kind


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def realm(
    broker_kind: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[LocalRealm]:
    """A realm with two runtimes."""
    async with running_realm(broker_kind, tmp_path_factory.mktemp("realm")) as realm:
        yield realm


@pytest_asyncio.fixture(loop_scope="session")
async def client(realm: LocalRealm) -> AsyncIterator[Client]:
    """A client of the realm."""
    async with client_of(realm) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def bare(realm: LocalRealm) -> AsyncIterator[Script]:
    """A client that knows nothing of ARTS but its messages."""
    async with script(realm.broker_url, realm.name) as bare:
        yield bare
