"""What every bus does, whatever carries it: in memory, over mosquitto, over iotcore."""

import asyncio

import pytest

from arts.bus.base import (
    Bus,
    BusEvent,
    Connected,
    Disconnected,
    Received,
    Will,
)
from arts.errors import BusError
from tests.bus.network import Network, event_of, eventually, messages


async def started(network: Network, name: str, *filters: str, qos: int = 1) -> Bus:
    """A connected bus that listens to these filters below the test's prefix."""
    bus = await network.bus(name)
    for topic_filter in filters:
        bus.subscribe(f"{network.prefix}/{topic_filter}", qos)
    await bus.start()
    await event_of(bus, Connected)
    return bus


def payloads(events: list[Received]) -> list[bytes]:
    return [event.payload for event in events]


async def test_first_event_is_connected(network: Network) -> None:
    bus = await network.bus("a")
    assert not bus.connected
    await bus.start()
    assert await event_of(bus, Connected) == [Connected(session_present=False)]
    assert bus.connected


@pytest.mark.parametrize("qos", [0, 1])
@pytest.mark.parametrize("payload", [b"", b"\x00\xff text", bytes(range(256)) * 4096])
async def test_message_arrives_as_it_was_sent(network: Network, qos: int, payload: bytes) -> None:
    sender, receiver = await started(network, "a"), await started(network, "b", "x/y", qos=qos)
    sender.publish(f"{network.prefix}/x/y", payload, qos=qos)
    assert await messages(receiver, 1) == [Received(f"{network.prefix}/x/y", payload, qos, False)]


async def test_what_is_pushed_is_on_its_way_before_the_loop_comes_round(network: Network) -> None:
    sender, receiver = await started(network, "a"), await started(network, "b", "x")
    sender.publish(f"{network.prefix}/x", b"first", qos=1)
    sender.push()
    assert getattr(sender, "_link").idle()  # noqa: B009 - the bus itself promises less
    sender.publish(f"{network.prefix}/x", b"second", qos=1)
    assert payloads(await messages(receiver, 2)) == [b"first", b"second"]


async def test_messages_of_a_sender_stay_in_order(network: Network) -> None:
    sender, receiver = await started(network, "a"), await started(network, "b", "#")
    sent = [str(number).encode() for number in range(1000)]
    for number, payload in enumerate(sent):
        sender.publish(f"{network.prefix}/{number % 3}", payload, qos=1)
        if number % 100 == 0:
            await asyncio.sleep(0)
    received = await messages(receiver, 1000)
    for lane in range(3):
        topic = f"{network.prefix}/{lane}"
        assert [m.payload for m in received if m.topic == topic] == sent[lane::3]


async def test_wildcards_choose(network: Network) -> None:
    one = await started(network, "one", "+/in")
    rest = await started(network, "rest", "deep/#")
    sender = await started(network, "s")
    for topic in ("a/in", "a/out", "deep", "deep/er/in", "b/in", "end"):
        sender.publish(f"{network.prefix}/{topic}", topic.encode(), qos=1)
    assert payloads(await messages(one, 2)) == [b"a/in", b"b/in"]
    assert payloads(await messages(rest, 2)) == [b"deep", b"deep/er/in"]


async def test_retained_message_waits_for_subscribers(network: Network) -> None:
    sender = await started(network, "s")
    topic = f"{network.prefix}/state"
    sender.publish(topic, b"old", qos=1, retain=True)
    sender.publish(topic, b"new", qos=1, retain=True)
    assert await sender.flush(5)
    late = await started(network, "late")
    late.subscribe(f"{network.prefix}/#", 1)
    assert await messages(late, 1) == [Received(topic, b"new", 1, True)]
    sender.publish(topic, b"live", qos=1, retain=True)
    assert payloads(await messages(late, 1)) == [b"live"]


async def test_empty_retained_message_clears(network: Network) -> None:
    sender = await started(network, "s")
    for payload in (b"x", b""):
        sender.publish(f"{network.prefix}/state", payload, qos=1, retain=True)
    sender.publish(f"{network.prefix}/other", b"y", qos=1, retain=True)
    assert await sender.flush(5)
    late = await started(network, "late")
    late.subscribe(f"{network.prefix}/#")
    assert payloads(await messages(late, 1)) == [b"y"]


async def test_will_speaks_when_the_client_dies(network: Network) -> None:
    observer = await started(network, "o", "will")
    mortal = await network.bus("m", will=Will(f"{network.prefix}/will", b"died"))
    await mortal.start()
    await event_of(mortal, Connected)
    network.cut("m")
    assert payloads(await messages(observer, 1)) == [b"died"]


async def test_will_is_silent_after_a_farewell(network: Network) -> None:
    observer = await started(network, "o", "#")
    mortal = await network.bus("m", will=Will(f"{network.prefix}/will", b"died"))
    mortal.subscribe(f"{network.prefix}/noise", 1)
    await mortal.start()
    await event_of(mortal, Connected)
    for _ in range(50):  # unread input must not turn the farewell into a reset
        mortal.publish(f"{network.prefix}/noise", bytes(5000), qos=0)
    await mortal.stop()
    assert not mortal.connected
    sentinel = await started(network, "s")
    sentinel.publish(f"{network.prefix}/end", b"end", qos=1)
    received: list[bytes] = []
    while b"end" not in received:
        received += payloads(await messages(observer, 1))
    assert b"died" not in received


async def test_stop_sends_what_is_queued(network: Network) -> None:
    receiver = await started(network, "r", "#")
    sender = await started(network, "s")
    for number in range(200):
        sender.publish(f"{network.prefix}/x", str(number).encode(), qos=number % 2)
    await sender.stop()
    assert len(await messages(receiver, 200)) == 200


async def test_unsubscribe_ends_delivery_for_good(network: Network) -> None:
    receiver, sender = await started(network, "r", "a", "b"), await started(network, "s")
    receiver.unsubscribe(f"{network.prefix}/a")
    receiver.unsubscribe(f"{network.prefix}/never-subscribed")
    receiver.publish(f"{network.prefix}/b", b"fence", qos=1)
    assert payloads(await messages(receiver, 1)) == [b"fence"]
    network.cut("r")
    await event_of(receiver, Connected)
    for topic in ("a", "b"):
        sender.publish(f"{network.prefix}/{topic}", topic.encode(), qos=1)
    assert payloads(await messages(receiver, 1)) == [b"b"]


async def test_subscribing_while_connected_works_at_once(network: Network) -> None:
    receiver = await started(network, "r")
    receiver.subscribe(f"{network.prefix}/x")
    receiver.publish(f"{network.prefix}/x", b"1", qos=1)
    assert payloads(await messages(receiver, 1)) == [b"1"]


async def test_a_cut_is_reported_and_repaired(network: Network) -> None:
    receiver, sender = await started(network, "r", "x"), await started(network, "s")
    network.cut("r")
    events = await event_of(receiver, Connected)
    assert [type(event) for event in events] == [Disconnected, Connected]
    sender.publish(f"{network.prefix}/x", b"after", qos=1)
    assert payloads(await messages(receiver, 1)) == [b"after"]


async def test_what_is_kept_while_offline(network: Network) -> None:
    receiver, sender = await started(network, "r", "#"), await started(network, "s")
    network.refuse("s")
    await event_of(sender, Disconnected)
    assert not sender.connected

    def publish(topic: str, payload: bytes, qos: int, retain: bool) -> None:
        sender.publish(f"{network.prefix}/{topic}", payload, qos=qos, retain=retain)

    publish("a", b"qos1 first", 1, False)
    publish("a", b"qos0 is forgotten", 0, False)
    publish("state", b"replaced", 0, True)
    publish("a", b"qos1 second", 1, False)
    publish("state", b"last value", 0, True)
    assert not await sender.flush(0.01)
    network.accept("s")
    await event_of(sender, Connected)
    publish("a", b"newer", 1, False)
    assert payloads(await messages(receiver, 4)) == [
        b"qos1 first",
        b"qos1 second",
        b"last value",
        b"newer",
    ]
    assert await sender.flush(5)


async def test_unconfirmed_messages_are_repeated_before_newer_ones(network: Network) -> None:
    receiver, sender = await started(network, "r", "#"), await started(network, "s")
    network.stall_answers("s")
    for number in range(3):
        sender.publish(f"{network.prefix}/x", str(number).encode(), qos=1)
    assert not await sender.flush(0.05)
    network.accept("s")
    network.cut("s")
    await event_of(sender, Connected)
    sender.publish(f"{network.prefix}/x", b"3", qos=1)
    assert await sender.flush(5)
    received: list[bytes] = []
    while not received or received[-1] != b"3":
        received += payloads(await messages(receiver, 1))
    assert received[-4:] == [b"0", b"1", b"2", b"3"]
    assert set(received) == {b"0", b"1", b"2", b"3"}


async def test_flush_waits_for_what_was_published_before_it_only(network: Network) -> None:
    bus = await started(network, "a")
    assert await bus.flush(0)
    bus.publish(f"{network.prefix}/x", b"1", qos=1)
    flushing = asyncio.ensure_future(bus.flush(10))
    await asyncio.sleep(0)
    for _ in range(100):
        bus.publish(f"{network.prefix}/x", b"more", qos=1)
    assert await flushing


async def test_full_outbox_refuses(network: Network) -> None:
    bus = await network.bus("a", outbox_limit=2)
    for payload in (b"1", b"2"):
        bus.publish(f"{network.prefix}/x", payload, qos=1)
    with pytest.raises(BusError, match="outbox is full"):
        bus.publish(f"{network.prefix}/x", b"3", qos=1)
    receiver = await started(network, "r", "x")
    await bus.start()
    assert payloads(await messages(receiver, 2)) == [b"1", b"2"]
    assert await bus.flush(5)
    bus.publish(f"{network.prefix}/x", b"4", qos=1)
    assert payloads(await messages(receiver, 1)) == [b"4"]


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b", "x" * 65_536, "\ud800"])
async def test_impossible_topics_are_refused(network: Network, topic: str) -> None:
    bus = await started(network, "a")
    with pytest.raises(BusError, match="cannot publish"):
        bus.publish(topic, b"")
    assert bus.connected


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a+", "x/y#", "a\0b", "x" * 65_536])
async def test_impossible_filters_are_refused(network: Network, topic_filter: str) -> None:
    bus = await started(network, "a")
    with pytest.raises(BusError, match="cannot subscribe"):
        bus.subscribe(topic_filter)
    assert bus.connected


async def test_unreachable_at_start_is_reported_once(network: Network) -> None:
    bus = await network.bus("a")
    network.refuse("a")
    await bus.start()
    events: list[BusEvent] = await event_of(bus, Disconnected)
    assert [type(event) for event in events] == [Disconnected]
    network.accept("a")
    assert [type(event) for event in await event_of(bus, Connected)] == [Connected]


async def test_bus_can_be_started_again(network: Network) -> None:
    bus = await started(network, "a", "x")
    await bus.stop()
    await bus.stop()
    await bus.start()
    await bus.start()
    await event_of(bus, Connected)
    bus.publish(f"{network.prefix}/x", b"1", qos=1)
    assert payloads(await messages(bus, 1)) == [b"1"]


async def test_stopping_while_it_cannot_connect(network: Network) -> None:
    bus = await network.bus("a")
    network.refuse("a")
    await bus.start()
    await event_of(bus, Disconnected)
    await asyncio.wait_for(bus.stop(), 5)
    assert not bus.connected


async def test_a_taken_client_id_changes_hands(network: Network) -> None:
    first = await started(network, "same")
    second = await network.bus("same")
    await second.start()
    await event_of(second, Connected)
    await event_of(first, Disconnected)
    await second.stop()
    await eventually(lambda: first.connected)
