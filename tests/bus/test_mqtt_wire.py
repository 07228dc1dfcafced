"""``MqttBus`` and ``MqttSession`` against brokers that refuse, mumble, stall or lie."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arts.bus.base import (
    Connected,
    Disconnected,
    Publication,
    Received,
    SessionEvent,
    SubscriptionRefused,
)
from arts.bus.mqtt import MqttBus
from arts.bus.session import MqttSession
from arts.errors import BusError
from tests.bus.certificate import make_certificate
from tests.bus.fake_broker import (
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PUBLISH,
    SUBSCRIBE,
    FakeBroker,
    fake_broker,
    packet,
    publish,
)
from tests.bus.network import event_of, eventually, messages


@pytest.fixture
async def fake() -> AsyncIterator[FakeBroker]:
    """A broker that can misbehave."""
    async with fake_broker() as broker:
        yield broker


@contextlib.asynccontextmanager
async def started(url: str, *filters: str, keepalive: int = 30) -> AsyncIterator[MqttBus]:
    bus = MqttBus(url, "client", keepalive=keepalive, connect_timeout=0.2)
    for topic_filter in filters:
        bus.subscribe(topic_filter)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.stop()


async def test_whoever_says_goodbye_lets_the_broker_hang_up(fake: FakeBroker) -> None:
    """rumqttd takes our hanging up for news of whoever has the client id by then, and cuts it off:
    one move in a thousand repeated messages."""
    fake.patience = 0.02
    session = MqttSession(fake.url, "client")
    await session.connect(lambda event: None, 5)
    await session.close()
    assert (fake.count(DISCONNECT), fake.left_early) == (1, 0)


async def test_refused_connection_is_reported_and_tried_again(fake: FakeBroker) -> None:
    fake.connack_code = 5
    async with started(fake.url) as bus:
        [event] = await event_of(bus, Disconnected)
        assert isinstance(event, Disconnected)
        assert "Not authorized" in event.reason
        await eventually(lambda: fake.count(CONNECT) >= 3)
        fake.connack_code = 0
        assert await event_of(bus, Connected) == [Connected(False)]


async def test_user_and_password_come_from_the_url(fake: FakeBroker) -> None:
    url = fake.url.replace("mqtt://", "mqtt://us%40er:pass%2Fword@")
    async with started(url) as bus:
        await event_of(bus, Connected)
    _, body = fake.packets[0]
    assert body.endswith(b"\x00\x06client\x00\x05us@er\x00\x09pass/word")


async def test_refused_subscription_is_told_before_connected(fake: FakeBroker) -> None:
    fake.suback_code = 0x80
    async with started(fake.url, "a/#") as bus:
        assert await event_of(bus, Connected) == [
            SubscriptionRefused("a/#", 0x80),
            Connected(False),
        ]
        bus.subscribe("b")
        assert await bus.receive() == [SubscriptionRefused("b", 0x80)]


async def test_refused_subscription_of_a_session_is_an_error(fake: FakeBroker) -> None:
    fake.suback_code = 0x80
    session = MqttSession(fake.url, "client")
    await session.connect(lambda event: None, 1)
    with pytest.raises(BusError, match="refused: a/b"):
        await session.subscribe({"a/b": 1}, 1)
    fake.silent_about.add(SUBSCRIBE)
    with pytest.raises(BusError, match="no answer"):
        await session.subscribe({"a/b": 1}, 0.05)
    await session.close()


async def test_many_filters_are_subscribed_in_parts(fake: FakeBroker) -> None:
    async with started(fake.url, *(f"filter/{number}" for number in range(450))) as bus:
        await event_of(bus, Connected)
    assert fake.count(SUBSCRIBE) == 3


async def test_unanswered_subscription_leads_to_a_new_connection(fake: FakeBroker) -> None:
    fake.silent_about.add(SUBSCRIBE)
    async with started(fake.url, "a") as bus:
        await event_of(bus, Disconnected)
        await eventually(lambda: fake.count(CONNECT) >= 2)
        assert not bus.connected
        fake.silent_about.clear()
        await event_of(bus, Connected)


async def test_silent_broker_is_given_up(fake: FakeBroker) -> None:
    fake.silent_about.add(CONNECT)
    session = MqttSession(fake.url, "client")
    with pytest.raises(BusError, match=r"did not answer within 0\.05 s"):
        await session.connect(lambda event: None, 0.05)
    async with started(fake.url) as bus:
        [event] = await event_of(bus, Disconnected)
        assert isinstance(event, Disconnected)
        assert "did not answer" in event.reason


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x00",
        b"\xf0\x00",
        b"\x30\xff\xff\xff\xff\xff",
        packet(PUBLISH, b"\x00\x0atopic"),
        packet(PUBLISH | 2, b"\x00\x01t\x00"),
        packet(PUBLISH | 4, b"\x00\x01t\x00\x01QoS 2"),
        packet(PUBLISH | 6, b"\x00\x01t\x00\x01QoS 3"),
        packet(0x90, b"\x00"),
        packet(0x20, b"\x00"),
    ],
)
async def test_garbage_leads_to_a_new_connection(fake: FakeBroker, garbage: bytes) -> None:
    fake.greeting = garbage
    async with started(fake.url, "a") as bus:
        await event_of(bus, Disconnected)
        fake.greeting = publish(b"a", b"fine again")
        await event_of(bus, Connected)
        fake.send(publish(b"a", b"and still"))
        await messages(bus, 1)


async def test_unreadable_topics_do_no_harm(fake: FakeBroker) -> None:
    async with started(fake.url, "#") as bus:
        await event_of(bus, Connected)
        fake.send(publish(b"\xff\xfe", b"1") + publish(b"a", b"2"))
        assert [message.payload for message in await messages(bus, 2)] == [b"1", b"2"]


async def test_packets_may_come_in_any_pieces(fake: FakeBroker) -> None:
    async with started(fake.url, "#") as bus:
        await event_of(bus, Connected)
        stream = b"".join(publish(b"a/b", bytes([n]) * n * 20) for n in range(12))
        for piece in (1, 2, 3, 127, 1000):
            for at in range(0, len(stream), piece):
                fake.send(stream[at : at + piece])
                if at % 7 == 0:
                    await asyncio.sleep(0)
            received = await messages(bus, 12)
            assert [len(message.payload) for message in received] == [n * 20 for n in range(12)]


async def test_a_message_bigger_than_any_buffer_arrives(fake: FakeBroker) -> None:
    async with started(fake.url, "#") as bus:
        await event_of(bus, Connected)
        payload = bytes(range(256)) * (20 * 4096)
        fake.send(publish(b"a", b"before") + publish(b"big", payload) + publish(b"a", b"after"))
        sizes = [len(message.payload) for message in await messages(bus, 3)]
        assert sizes == [6, len(payload), 5]


async def test_idle_connection_is_kept_alive(fake: FakeBroker) -> None:
    async with started(fake.url, keepalive=1) as bus:
        await event_of(bus, Connected)
        await eventually(lambda: fake.count(PINGREQ) >= 2)
        assert fake.count(CONNECT) == 1


async def test_dead_broker_is_noticed(fake: FakeBroker) -> None:
    fake.silent_about.add(PINGREQ)
    async with started(fake.url, keepalive=1) as bus:
        await event_of(bus, Connected)
        [event] = await event_of(bus, Disconnected)
        assert isinstance(event, Disconnected)
        assert "Keep alive" in event.reason


async def test_a_broker_that_reads_nothing_is_not_fed_for_ever(fake: FakeBroker) -> None:
    bus = MqttBus(fake.url, "client", outbox_bytes=8_000_000)
    await bus.start()
    await event_of(bus, Connected)
    fake.reading.clear()
    with pytest.raises(BusError, match="does not take"):  # noqa: PT012
        for _ in range(200):
            bus.publish("a", bytes(100_000))
            await asyncio.sleep(0)
    with pytest.raises(BusError, match="outbox is full"):  # noqa: PT012
        for _ in range(200):
            bus.publish("a", bytes(100_000), qos=1)
    fake.reading.set()
    assert await bus.flush(10)
    bus.publish("a", b"it flows again")
    await bus.stop()


async def test_nobody_receives_so_nothing_is_read(
    fake: FakeBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arts.bus.reconnecting._INBOX_LIMIT", 100)
    async with started(fake.url, "#") as bus:
        await event_of(bus, Connected)
        for number in range(20):
            fake.send(b"".join(publish(b"a", b"%d" % (number * 50 + n)) for n in range(50)))
            await asyncio.sleep(0.001)
        received: list[Received] = []
        while len(received) < 1000:
            batch = [event for event in await bus.receive() if isinstance(event, Received)]
            assert len(batch) <= 101
            received += batch
        assert [int(message.payload) for message in received] == list(range(1000))


async def test_cancelling_a_connect_leaves_no_connection(fake: FakeBroker) -> None:
    fake.silent_about.add(CONNECT)
    session = MqttSession(fake.url, "client")
    connecting = asyncio.ensure_future(session.connect(lambda event: None, 10))
    await eventually(lambda: fake.count(CONNECT) == 1)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await eventually(lambda: not fake._writers)


@pytest.mark.parametrize("scheme", ["mqtt", "ws"])
async def test_closed_port_is_an_error_that_names_it(scheme: str) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"{scheme}://127.0.0.1:{unused.getsockname()[1]}"
        session = MqttSession(url, "client")
        with pytest.raises(BusError, match=f"cannot reach {url}"):
            await session.connect(lambda event: None, 1)


async def test_a_websocket_to_something_else_is_an_error(fake: FakeBroker) -> None:
    session = MqttSession(fake.url.replace("mqtt", "ws"), "client")
    with pytest.raises(BusError):
        await session.connect(lambda event: None, 0.3)


async def test_tls_carries_everything_and_trusts_nobody_else(tmp_path: Path) -> None:
    server, client = await asyncio.to_thread(make_certificate, tmp_path)
    async with fake_broker(server) as fake:
        bus = MqttBus(fake.url, "client", tls=client)
        bus.subscribe("#")
        await bus.start()
        await event_of(bus, Connected)
        fake.send(publish(b"a", bytes(3_000_000)) + publish(b"a", b"end"))
        assert [len(message.payload) for message in await messages(bus, 2)] == [3_000_000, 3]
        bus.publish("b", bytes(3_000_000), qos=1)
        assert await bus.flush(10)
        await bus.stop()
        session = MqttSession(fake.url, "client")
        with pytest.raises(BusError, match="certificate"):
            await session.connect(lambda event: None, 5)


async def test_cancelled_handshake_is_cleaned_up_when_it_ends(fake: FakeBroker) -> None:
    session = MqttSession(fake.url.replace("mqtt", "ws"), "client")
    connecting = asyncio.ensure_future(session.connect(lambda event: None, 0.3))
    await eventually(lambda: len(fake._writers) == 1)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    await eventually(lambda: not fake._writers)


async def test_names_are_resolved_and_every_address_is_tried(fake: FakeBroker) -> None:
    url = fake.url.replace("127.0.0.1", "localhost")  # often ::1 first, where nobody listens
    async with started(url) as bus:
        assert await event_of(bus, Connected) == [Connected(False)]
    session = MqttSession("mqtt://no-such-host.invalid", "client")
    with pytest.raises(BusError, match="cannot reach"):
        await session.connect(lambda event: None, 5)


async def test_lost_right_after_the_connack(fake: FakeBroker) -> None:
    fake.silent_about.add(CONNECT)
    session = MqttSession(fake.url, "client")
    connecting = asyncio.ensure_future(session.connect(lambda event: None, 5))
    await eventually(lambda: fake.count(CONNECT) == 1)
    fake.send(packet(0x20, b"\x00\x00") + b"\xf0\x00")
    with pytest.raises(BusError, match="lost while connecting"):
        await connecting


async def test_messages_behind_the_connack_are_not_lost(fake: FakeBroker) -> None:
    events: list[SessionEvent] = []
    session = MqttSession(fake.url, "client")
    fake.silent_about.add(CONNECT)
    connecting = asyncio.ensure_future(session.connect(events.append, 5))
    await eventually(lambda: fake.count(CONNECT) == 1)
    fake.send(packet(0x20, b"\x01\x00") + publish(b"in", b"1"))
    assert await connecting is True
    assert len(events) == 1
    session.publish(Publication("out", b"x"))
    assert await session.flush(5)
    await session.close()
