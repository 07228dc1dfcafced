"""The broker in memory: what a test can make go wrong, and that it is deterministic."""

import random

import pytest

from arts.bus.base import (
    BusEvent,
    Connected,
    Disconnected,
    Publication,
    Received,
    SessionEvent,
    SubscriptionRefused,
    Will,
)
from arts.bus.memory import MemoryBroker, MemoryBus, MemoryLink, MemorySession
from arts.errors import BusError
from tests.bus.network import event_of, messages


async def started(
    broker: MemoryBroker, name: str, *filters: str, will: Will | None = None
) -> MemoryBus:
    bus = MemoryBus(broker, name, will=will)
    for topic_filter in filters:
        bus.subscribe(topic_filter)
    await bus.start()
    await event_of(bus, Connected)
    return bus


def payloads(events: list[BusEvent]) -> list[bytes]:
    return [event.payload for event in events if isinstance(event, Received)]


async def test_nothing_moves_until_it_is_delivered() -> None:
    broker = MemoryBroker(auto=False)
    a, b = await started(broker, "a"), await started(broker, "b", "#")
    a.publish("x", b"1", qos=1)
    a.publish("x", b"2")
    assert broker.in_flight == 2
    assert not await a.flush(0)
    assert broker.deliver(1) == 1
    assert broker.deliver(2) == 2
    assert broker.deliver() == 2
    assert broker.deliver() == 0
    assert await a.flush(0)
    assert payloads(await b.receive()) == [b"1", b"2"]


async def test_lanes_may_overtake_each_other_but_never_themselves() -> None:
    async def run(seed: int) -> list[bytes]:
        broker, choose = MemoryBroker(auto=False), random.Random(seed)
        senders = [await started(broker, name) for name in "abc"]
        receiver = await started(broker, "r", "#")
        for number in range(10):
            for name, sender in zip("abc", senders, strict=True):
                sender.publish("x", f"{name}{number}".encode(), qos=1)
        broker.deliver(choose=choose.randrange)
        return payloads(await receiver.receive())

    orders = [await run(seed) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    for order in orders:
        for name in (b"a", b"b", b"c"):
            lane = [payload for payload in order if payload.startswith(name)]
            assert lane == [name + b"%d" % number for number in range(10)]


async def test_dropped_and_duplicated_messages() -> None:
    broker = MemoryBroker()
    a, b = await started(broker, "a"), await started(broker, "b", "#")
    broker.drop(lambda parcel: parcel.payload == b"lost" and parcel.receiver == "b")
    broker.duplicate(lambda parcel: parcel.topic == "twice")
    for topic, payload in (("x", b"lost"), ("twice", b"2"), ("x", b"1")):
        a.publish(topic, payload, qos=1)
    assert [message.payload for message in await messages(b, 3)] == [b"2", b"2", b"1"]
    broker.heal()
    a.publish("x", b"lost", qos=1)
    assert [message.payload for message in await messages(b, 1)] == [b"lost"]


async def test_held_clients_notice_nothing() -> None:
    broker = MemoryBroker()
    a, b = await started(broker, "a", "#"), await started(broker, "b", "#")
    broker.hold("b")
    a.publish("x", b"1", qos=1)
    b.publish("x", b"2", qos=1)
    assert await a.flush(1)
    assert not await b.flush(0.01)
    assert b.connected
    broker.heal()
    assert await b.flush(1)
    assert {message.payload for message in await messages(b, 2)} == {b"1", b"2"}


async def test_partitioned_clients_are_lost_until_healed() -> None:
    broker = MemoryBroker()
    observer = await started(broker, "o", "will")
    bus = await started(broker, "a", will=Will("will", b"a died"))
    broker.partition("a", "never seen")
    assert [message.payload for message in await messages(observer, 1)] == [b"a died"]
    assert [type(event) for event in await bus.receive()] == [Disconnected]
    session = MemorySession(broker, "never seen")
    with pytest.raises(BusError, match="out of reach"):
        await session.connect(lambda event: None, 1)
    broker.heal()
    assert await event_of(bus, Connected) == [Connected(False)]


async def test_broker_restart_keeps_or_forgets() -> None:
    broker = MemoryBroker()
    bus = await started(broker, "a", will=Will("will", b"never said"))
    session = MemorySession(broker, "m")
    await session.connect(lambda event: None, 1)
    await session.subscribe({"in": 1}, 1)
    bus.publish("state", b"1", retain=True, qos=1)
    assert await bus.flush(1)
    for forget in (False, True):
        broker.stop(forget=forget)
        assert not broker.running
        assert [type(event) for event in await event_of(bus, Disconnected)] == [Disconnected]
        broker.start()
        await event_of(bus, Connected)
        assert await session.connect(lambda event: None, 1) is not forget
        late = await started(broker, "late", "unrelated")
        late.subscribe("#")
        late.publish("fence", b"fence", qos=1)
        expected = [b"fence"] if forget else [b"1", b"fence"]
        assert [m.payload for m in await messages(late, len(expected))] == expected
        await late.stop()
        await session.close()


async def test_sessions_keep_quality_of_service_zero_as_our_mosquitto_does() -> None:
    broker = MemoryBroker()
    bus = await started(broker, "a")
    session, events = MemorySession(broker, "m"), list[SessionEvent]()
    await session.connect(events.append, 1)
    await session.subscribe({"in": 1}, 1)
    await session.close()
    bus.publish("in", b"0")
    bus.publish("in", b"1", qos=1)
    assert await bus.flush(1)
    events.clear()
    await session.connect(events.append, 1)
    session.publish(Publication("elsewhere", b""))
    assert await session.flush(1)
    assert {event.payload for event in events} == {b"0", b"1"}  # type: ignore[union-attr]


async def test_subscriptions_can_be_refused() -> None:
    broker = MemoryBroker()
    broker.refuse("secret/#")
    bus = await started(broker, "a", "open")
    bus.subscribe("secret/#")
    assert await bus.receive() == [SubscriptionRefused("secret/#", 128)]
    bus.publish("secret/x", b"1", qos=1)
    bus.publish("open", b"2", qos=1)
    assert [message.payload for message in await messages(bus, 1)] == [b"2"]


async def test_a_held_client_cannot_say_goodbye() -> None:
    broker = MemoryBroker()
    observer = await started(broker, "o", "will")
    bus = await started(broker, "a", will=Will("will", b"died"))
    broker.hold("a")
    await bus.stop()
    assert [message.payload for message in await messages(observer, 1)] == [b"died"]


async def test_a_message_from_nowhere() -> None:
    broker = MemoryBroker()
    bus = await started(broker, "a", "#", "x")
    broker.route("x", b"1", qos=1)
    assert await messages(bus, 1) == [Received("x", b"1", 1, False)]


async def test_cutting_whom_nobody_knows_is_fine() -> None:
    broker = MemoryBroker()
    broker.cut("nobody")
    session = MemorySession(broker, "m")
    await session.connect(lambda event: None, 1)
    await session.close()
    broker.cut("m")


class _Silent:
    def on_message(self, *_: object) -> None:
        """Ignore."""

    def on_published(self, mid: int) -> None:
        """Ignore."""

    def on_lost(self, reason: str) -> None:
        """Ignore."""


async def test_an_ended_link_is_deaf_and_mute() -> None:
    broker = MemoryBroker(auto=False)
    observer = await started(broker, "o", "#")
    link = MemoryLink(broker, "a", _Silent(), clean=True)
    await link.open(1)
    link.cut()
    link.cut()
    link.publish("x", b"1", 1, False)
    with pytest.raises(BusError):
        await link.subscribe({"x": 1})
    assert broker.deliver() == 0
    assert link.idle()
    await observer.stop()


async def test_two_that_answer_each_other_do_not_stop_the_loop() -> None:
    broker = MemoryBroker()
    sessions = {name: MemorySession(broker, name) for name in ("ping", "pong")}
    count = 0

    def answer(name: str, other: str) -> None:
        nonlocal count
        count += 1
        sessions[name].publish(Publication(other, b"", 0))

    for name, other in (("ping", "pong"), ("pong", "ping")):
        await sessions[name].connect(lambda event, n=name, o=other: answer(n, o), 1)  # type: ignore[misc]
        await sessions[name].subscribe({name: 0}, 1)
    broker.route("ping", b"")
    bus = await started(broker, "bystander", "x")
    bus.publish("x", b"still served", qos=1)
    assert [message.payload for message in await messages(bus, 1)] == [b"still served"]
    assert count > 1
