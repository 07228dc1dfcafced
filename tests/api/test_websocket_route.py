"""MQTT over websockets through the supervisor's HTTP: what a browser tab uses."""

from pathlib import Path

import pytest

from arts.api.http import serve
from arts.bus.base import Connected, Received
from arts.bus.broker import open_broker
from arts.bus.mqtt import MqttBus
from arts.programs.store import ProgramStore


@pytest.mark.parametrize("size", [10, 300_000])
async def test_messages_of_any_size_come_through(tmp_path: Path, size: int) -> None:
    store = ProgramStore(tmp_path / "programs")
    async with (
        open_broker("embedded", tmp_path / "broker", port=0) as broker,
        serve(store, broker_url=broker.url) as url,
    ):
        bus = MqttBus(url.replace("http", "ws", 1) + "/mqtt", "tab")
        bus.subscribe("t", 1)
        await bus.start()
        seen: list[bytes] = []
        while not seen:
            for event in await bus.receive():
                if isinstance(event, Connected):
                    bus.publish("t", b"x" * size, qos=1)
                elif isinstance(event, Received):
                    seen.append(event.payload)
        await bus.stop()
        assert seen == [b"x" * size]
    await store.close()
