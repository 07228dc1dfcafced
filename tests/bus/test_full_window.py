"""Why checkpoints carry what is not confirmed: a full window silences the embedded broker."""

from pathlib import Path

import pytest

from arts.bus.base import Delivery, Publication, SessionEvent
from arts.bus.broker import open_broker
from arts.bus.mqtt import MqttBus
from arts.bus.session import MqttSession
from tests.bus.network import eventually
from tests.support.broker import unique

WINDOW = 100
"""Messages that it hands out without an acknowledgement; no setting changes that."""


@pytest.mark.asyncio
async def test_the_embedded_broker_confirms_nothing_to_who_owes_it_a_window(
    tmp_path: Path,
) -> None:
    topic, seen = unique(), list[Delivery]()

    def listen(event: SessionEvent) -> None:
        if isinstance(event, Delivery):
            seen.append(event)

    async with open_broker("embedded", tmp_path) as broker:
        session = MqttSession(broker.url, unique())
        await session.connect(listen, 5)
        await session.subscribe({topic: 1}, 5)
        bus = MqttBus(broker.url, unique())
        await bus.start()
        for number in range(WINDOW + 20):
            bus.publish(topic, str(number).encode(), qos=1)
        await eventually(lambda: len(seen) >= WINDOW)
        session.publish(Publication(f"{topic}/out", b"said"))
        assert not await session.flush(0.3)
        assert session.unacknowledged() == (Publication(f"{topic}/out", b"said"),)
        session.acknowledge(seen[-1])
        assert await session.flush(5)
        await bus.stop()
        await session.close()
