"""The ways to a real broker: TCP, TLS, websockets, and both; with a foreign client at the end."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import aiomqtt
import pytest

from arts.bus.base import Closed, Connected, Delivery, SessionEvent
from arts.bus.broker import Broker
from arts.bus.mqtt import MqttBus
from arts.bus.session import MqttSession
from tests.bus.certificate import make_certificate
from tests.bus.network import event_of, eventually, messages
from tests.support.broker import unique
from tests.support.proxy import Proxy


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts", "ws", "wss"])
async def test_every_scheme_carries_messages(broker: Broker, scheme: str, tmp_path: Path) -> None:
    server, client = await asyncio.to_thread(make_certificate, tmp_path)
    assert broker.ws_url is not None
    target = urlsplit(broker.ws_url if scheme.startswith("ws") else broker.url).port or 0
    proxy = Proxy(target, server if scheme.endswith("s") and scheme != "ws" else None)
    await proxy.start()
    topic = unique()
    bus = MqttBus(f"{scheme}://127.0.0.1:{proxy.port}", unique(), tls=client)
    bus.subscribe(f"{topic}/#")
    await bus.start()
    await event_of(bus, Connected)
    # More than this over a websocket is more than mosquitto 2.0 can do.
    for size in (0, 1, 200, 40_000):
        bus.publish(f"{topic}/a", b"x" * size, qos=1)
        assert [len(message.payload) for message in await messages(bus, 1)] == [size]
    bus.unsubscribe(f"{topic}/#")
    bus.publish(f"{topic}/elsewhere", bytes(500_000), qos=1)
    assert await bus.flush(10)
    await bus.stop()
    await proxy.stop()


async def test_we_understand_a_foreign_client(broker: Broker) -> None:
    topic, host, port = unique(), "127.0.0.1", urlsplit(broker.url).port or 0
    bus = MqttBus(broker.url, unique())
    bus.subscribe(f"{topic}/in", 1)
    await bus.start()
    await event_of(bus, Connected)
    async with aiomqtt.Client(host, port, identifier=unique()) as foreign:
        await foreign.subscribe(f"{topic}/out", qos=1)
        for qos in (0, 1, 2):
            await foreign.publish(f"{topic}/in", f"qos {qos}", qos=qos)
        received = await messages(bus, 3)
        assert [message.payload for message in received] == [b"qos 0", b"qos 1", b"qos 2"]
        bus.publish(f"{topic}/out", b"answer", qos=1)
        async for message in foreign.messages:
            assert message.payload == b"answer"
            break
    await bus.stop()


async def test_a_foreign_takeover_closes_our_session(broker: Broker) -> None:
    topic, client_id = unique(), unique()
    events: list[SessionEvent] = []
    session = MqttSession(broker.url, client_id)
    await session.connect(events.append, 5)
    await session.subscribe({f"{topic}/in": 1}, 5)
    port = urlsplit(broker.url).port or 0
    async with aiomqtt.Client(
        "127.0.0.1", port, identifier=client_id, clean_session=False
    ) as thief:
        await eventually(lambda: [type(event) for event in events] == [Closed])
        await thief.publish(f"{topic}/in", "mine", qos=1)
        async for message in thief.messages:
            assert message.payload == b"mine"
            break
    assert await session.connect(events.append, 5) is True
    await session.purge()
    assert not any(isinstance(event, Delivery) for event in events)
