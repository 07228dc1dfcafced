"""The wire contract over real brokers: the same rows as in memory, the same bytes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from arts.bus.broker import Broker, open_broker
from arts.bus.mqtt import MqttBus
from tests.protocol.contract import all_rows
from tests.support.broker import require
from tests.support.wire import wire

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS = all_rows()


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["mosquitto", "embedded"])
async def broker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Broker]:
    """Each kind of broker in turn, with nothing else on it."""
    require(request.param)
    directory: Path = tmp_path_factory.mktemp("wire")
    async with open_broker(request.param, directory) as broker:
        yield broker


@pytest.mark.parametrize("name", ROWS)
async def test_row(name: str, broker: Broker) -> None:
    async with wire(lambda client_id: MqttBus(broker.url, client_id)) as connected:
        await ROWS[name](connected)
