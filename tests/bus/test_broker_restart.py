"""Buses and sessions through restarts of a real broker in the middle of traffic."""

import asyncio

import pytest

from arts.bus.base import Closed, Connected, Delivery, Disconnected, Publication, SessionEvent
from arts.bus.mqtt import MqttBus
from arts.bus.session import MqttSession
from tests.bus.network import event_of, events_until, eventually
from tests.support.broker import BROKER_KINDS, OpenBroker


class Traffic:
    """A sender that publishes numbers at a steady pace, until told to stop."""

    def __init__(self, bus: MqttBus, topic: str) -> None:
        self.sent = 0
        self._bus = bus
        self._topic = topic
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            for _ in range(5):
                self._bus.publish(self._topic, b"%d" % self.sent, qos=1)
                self.sent += 1
            await asyncio.sleep(0.002)

    async def stop(self) -> None:
        """Stop, and wait until everything is with the broker."""
        self._task.cancel()
        await asyncio.wait([self._task])
        assert await self._bus.flush(20)


async def bus_at(url: str, name: str, *filters: str) -> MqttBus:
    bus = MqttBus(url, name)
    for topic_filter in filters:
        bus.subscribe(topic_filter)
    await bus.start()
    await event_of(bus, Connected)
    return bus


def numbers(events: list[object]) -> set[int]:
    return {int(payload) for e in events if (payload := getattr(e, "payload", b"")).isdigit()}


@pytest.mark.parametrize("kind", BROKER_KINDS)
async def test_the_bus_comes_back_with_its_subscriptions(kind: str, own_broker: OpenBroker) -> None:
    broker = await own_broker(kind)
    receiver, sender = await bus_at(broker.url, "r", "in"), await bus_at(broker.url, "s")
    for round_ in range(2):
        await broker.restart() if round_ else broker.kill()
        events = await event_of(receiver, Disconnected)
        if not round_:
            sender.publish("in", b"0", qos=1)
            await broker.restart()
        events += await events_until(receiver, lambda _: receiver.connected)
        assert [type(event) for event in events][:2] == [Disconnected, Connected]
        await eventually(lambda: sender.connected)
        sender.publish("in", b"1", qos=1)
        await events_until(receiver, lambda events: 1 in numbers(list(events)))
    await receiver.stop()
    await sender.stop()


async def test_restarts_under_traffic_lose_no_input_of_a_session(own_broker: OpenBroker) -> None:
    """What was published is kept by the sender or by mosquitto, whichever had it."""
    broker = await own_broker("mosquitto")
    sender = await bus_at(broker.url, "s")
    events: list[SessionEvent] = []
    session = MqttSession(broker.url, "module")

    def consume(event: SessionEvent) -> None:
        events.append(event)
        if isinstance(event, Delivery):
            session.publish(Publication("out", event.payload))
            session.acknowledge(event)

    await session.connect(consume, 5)
    await session.subscribe({"in": 1}, 5)
    traffic = Traffic(sender, "in")
    for _ in range(2):
        await eventually(lambda: len(events) % 200 > 100)
        await broker.restart()
        await eventually(lambda: isinstance(events[-1], Closed))
        assert await session.connect(consume, 5) is True
    await traffic.stop()
    await eventually(lambda: len(numbers(list(events))) == traffic.sent)
    assert numbers(list(events)) == set(range(traffic.sent))
    assert await session.flush(5)
    await session.close()
    await sender.stop()


async def test_no_own_publication_is_lost_in_restarts(own_broker: OpenBroker) -> None:
    """The receiver is a session: a bus would miss what comes while it reconnects."""
    broker = await own_broker("mosquitto")
    got: list[SessionEvent] = []
    receiver = MqttSession(broker.url, "receiver")
    await receiver.connect(got.append, 5)
    await receiver.subscribe({"in": 1}, 5)
    await receiver.close()
    sender = await bus_at(broker.url, "s")
    traffic = Traffic(sender, "in")
    for _ in range(2):
        before = traffic.sent
        await eventually(lambda: traffic.sent > before + 100)  # noqa: B023
        await broker.restart()
        await eventually(lambda: sender.connected)
    await traffic.stop()
    await receiver.connect(lambda e: (got.append(e), _acknowledge(receiver, e)), 5)  # type: ignore[arg-type, return-value]
    await eventually(lambda: len(numbers(list(got))) == traffic.sent)
    first = {payload: at for at, payload in reversed(list(enumerate(_payloads(got))))}
    assert sorted(first, key=lambda payload: first[payload]) == sorted(first, key=int)
    await receiver.close()
    await sender.stop()


def _acknowledge(session: MqttSession, event: SessionEvent) -> None:
    if isinstance(event, Delivery):
        session.acknowledge(event)


def _payloads(events: list[SessionEvent]) -> list[bytes]:
    return [event.payload for event in events if isinstance(event, Delivery)]
