"""Fixtures of the bus tests: every broker behind one face."""

from collections.abc import AsyncIterator

import pytest

from tests.bus.network import MemoryNetwork, Network, RealNetwork
from tests.support.broker import BROKER_KINDS, broker, embedded, mosquitto, own_broker

__all__ = ["broker", "embedded", "mosquitto", "network", "own_broker"]


@pytest.fixture(params=["memory", *BROKER_KINDS])
def network_broker(request: pytest.FixtureRequest) -> tuple[str, str | None]:
    """Kind and, if it is a real one, URL of each broker in turn, the one in memory first."""
    url = None if request.param == "memory" else request.getfixturevalue(request.param).url
    return request.param, url


@pytest.fixture
async def network(network_broker: tuple[str, str | None]) -> AsyncIterator[Network]:
    """Clients of each kind of broker in turn."""
    kind, url = network_broker
    network: Network = MemoryNetwork() if url is None else RealNetwork(kind, url)
    yield network
    await network.close()
