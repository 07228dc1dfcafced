"""What every module session does: takeover, acknowledgement by hand, barriers. On each broker."""

import asyncio

import pytest

from arts.bus.base import Bus, Closed, Connected, Delivery, Publication, Session, SessionEvent
from arts.errors import BusError
from tests.bus.network import Network, event_of, eventually, messages


class Module:
    """A session with a listener that remembers."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.deliveries: list[Delivery] = []
        self.closed: list[Closed] = []
        self.consuming = False

    def listen(self, event: SessionEvent) -> None:
        """Remember."""
        if isinstance(event, Delivery):
            self.deliveries.append(event)
            if self.consuming:
                self.session.acknowledge(event)
        else:
            self.closed.append(event)

    async def connect(self) -> bool:
        """Take the session."""
        return await self.session.connect(self.listen, 5)

    async def receive(self, count: int) -> list[bytes]:
        """Wait for this many deliveries; all payloads so far."""
        await eventually(lambda: len(self.deliveries) >= count)
        return [delivery.payload for delivery in self.deliveries]


async def module(network: Network, name: str, *topics: str) -> Module:
    """A module that has its session, subscribed below the test's prefix."""
    new = Module(await network.session(name))
    await new.connect()
    await new.session.subscribe({f"{network.prefix}/{topic}": 1 for topic in topics}, 5)
    return new


async def publisher(network: Network) -> Bus:
    bus = await network.bus("publisher")
    await bus.start()
    await event_of(bus, Connected)
    return bus


def numbers(first: int, last: int) -> list[bytes]:
    return [str(number).encode() for number in range(first, last)]


async def publish(network: Network, bus: Bus, payloads: list[bytes], topic: str = "in") -> None:
    for payload in payloads:
        bus.publish(f"{network.prefix}/{topic}", payload, qos=1)
    assert await bus.flush(5)


async def test_session_outlives_its_connection(network: Network) -> None:
    bus, first = await publisher(network), await module(network, "m", "in")
    await first.session.close()
    assert [type(event) for event in first.closed] == [Closed]
    await publish(network, bus, numbers(0, 100))
    second = Module(await network.session("m"))
    assert await second.connect() is True
    assert await second.receive(100) == numbers(0, 100)


async def test_unknown_session_is_new(network: Network) -> None:
    assert await Module(await network.session("m")).connect() is False


async def test_takeover_moves_exactly_the_rest_in_order(network: Network) -> None:
    bus, a = await publisher(network), await module(network, "m", "in")
    await publish(network, bus, numbers(0, 10))
    await a.receive(10)
    for delivery in a.deliveries[:4]:
        a.session.acknowledge(delivery)
    assert await a.session.flush(5)
    b = Module(await network.session("m"))
    assert await b.connect() is True
    await eventually(lambda: a.closed != [])
    await publish(network, bus, numbers(10, 20))
    assert await b.receive(16) == numbers(4, 20)
    await asyncio.sleep(0.05)
    assert len(b.deliveries) == 16
    assert len(a.deliveries) == 10


async def test_graceful_move_under_traffic_loses_nothing(network: Network) -> None:
    bus, owner = await publisher(network), await module(network, "m", "in")
    consumed: list[bytes] = []
    for move in range(8):
        await publish(network, bus, numbers(move * 50, move * 50 + 50))
        await owner.receive(20)
        taken = owner.deliveries[:20]
        consumed += [delivery.payload for delivery in taken]
        owner.session.acknowledge(taken[-1])
        assert await owner.session.flush(5)
        await owner.session.close()
        owner = Module(await network.session("m"))
        assert await owner.connect() is True
    owner.consuming = True  # brokers hold back what exceeds their window of unacknowledged ones
    await owner.receive(50)
    owner.session.acknowledge(owner.deliveries[-1])
    await owner.receive(400 - len(consumed))
    assert consumed + [delivery.payload for delivery in owner.deliveries] == numbers(0, 400)


async def test_publishing_from_the_listener_right_after_a_takeover(network: Network) -> None:
    bus, a = await publisher(network), await module(network, "m", "in")
    bus.subscribe(f"{network.prefix}/out")
    await a.session.close()
    await publish(network, bus, numbers(0, 20))
    a.session.publish(Publication(f"{network.prefix}/out", b"older"))

    def echo(event: SessionEvent) -> None:
        if isinstance(event, Delivery):
            a.session.publish(Publication(f"{network.prefix}/out", event.payload))

    await a.session.connect(echo, 5)
    out: list[bytes] = []
    while out[-1:] != [b"19"]:
        out += [message.payload for message in await messages(bus, 1)]
    assert await a.session.flush(5)
    bus.publish(f"{network.prefix}/out", b"end", qos=1)
    while out[-1] != b"end":
        out += [message.payload for message in await messages(bus, 1)]
    assert out == [b"older", *numbers(0, 20), b"end"]


async def test_acknowledging_one_acknowledges_all_before(network: Network) -> None:
    bus, a = await publisher(network), await module(network, "m", "in")
    await publish(network, bus, numbers(0, 5))
    await a.receive(5)
    a.session.acknowledge(a.deliveries[2])
    a.session.acknowledge(a.deliveries[1])
    a.session.acknowledge(a.deliveries[2])
    assert await a.session.flush(5)
    await a.session.close()
    b = Module(await network.session("m"))
    await b.connect()
    assert await b.receive(2) == numbers(3, 5)


async def test_old_receipts_mean_nothing_to_the_next_connection(network: Network) -> None:
    bus, a = await publisher(network), await module(network, "m", "in")
    await publish(network, bus, numbers(0, 3))
    await a.receive(3)
    await a.session.close()
    a.session.acknowledge(a.deliveries[2])
    await a.connect()
    assert await a.receive(6) == numbers(0, 3) * 2
    a.session.acknowledge(a.deliveries[0])
    assert await a.session.flush(5)
    await a.session.close()
    b = Module(await network.session("m"))
    await b.connect()
    assert await b.receive(3) == numbers(0, 3)


async def test_own_publishes_are_confirmed(network: Network) -> None:
    bus, a = await publisher(network), await module(network, "m")
    bus.subscribe(f"{network.prefix}/out")
    await publish(network, bus, [b"fence"], "out")
    await messages(bus, 1)
    a.session.publish(Publication(f"{network.prefix}/out", b"1"))
    a.session.publish(Publication(f"{network.prefix}/out", b"2", qos=0))
    assert a.session.unacknowledged() == (Publication(f"{network.prefix}/out", b"1"),)
    assert [message.payload for message in await messages(bus, 2)] == [b"1", b"2"]
    assert await a.session.flush(5)
    assert a.session.unacknowledged() == ()


async def test_unacknowledged_publishes_survive_a_cut(network: Network) -> None:
    bus, a = await publisher(network), await module(network, "m")
    bus.subscribe(f"{network.prefix}/out")
    await publish(network, bus, [b"fence"], "out")
    await messages(bus, 1)
    network.stall_answers("m")
    sent = tuple(Publication(f"{network.prefix}/out", p) for p in numbers(0, 3))
    for publication in sent:
        a.session.publish(publication)
    assert not await a.session.flush(0.05)
    network.accept("m")
    network.cut("m")
    await eventually(lambda: a.closed != [])
    a.session.publish(Publication(f"{network.prefix}/out", b"offline, QoS 0", qos=0))
    a.session.publish(Publication(f"{network.prefix}/out", b"3"))
    assert a.session.unacknowledged() == (*sent, Publication(f"{network.prefix}/out", b"3"))
    assert not await a.session.flush(5)
    await a.connect()
    assert await a.session.flush(5)
    assert a.session.unacknowledged() == ()
    out: list[bytes] = []
    while not out or out[-1] != b"3":
        out += [message.payload for message in await messages(bus, 1)]
    assert out[-4:] == numbers(0, 4)
    assert b"offline, QoS 0" not in out


async def test_flush_ends_when_the_connection_does(network: Network) -> None:
    a = await module(network, "m", "in")
    a.session.publish(Publication(f"{network.prefix}/in", b"1"))
    await a.receive(1)
    assert await a.session.flush(5)
    network.stall_answers("m")
    a.session.acknowledge(a.deliveries[0])
    flushing = asyncio.ensure_future(a.session.flush(30))
    await asyncio.sleep(0.01)
    network.accept("m")
    network.cut("m")
    async with asyncio.timeout(5):
        await flushing
    await eventually(lambda: a.closed != [])


async def test_barrier_waits_for_the_broker(network: Network) -> None:
    a = await module(network, "m", "in")
    a.session.publish(Publication(f"{network.prefix}/in", b"1"))
    await a.receive(1)
    assert await a.session.flush(5)
    network.stall_answers("m")
    a.session.acknowledge(a.deliveries[0])
    if network.kind != "memory":  # there, held means held in both directions
        assert not await a.session.flush(0.05)
        assert not await a.session.flush(0.05)


async def test_reading_can_pause(network: Network) -> None:
    bus, a = await publisher(network), await module(network, "m", "in")
    a.session.pause_reading()
    await publish(network, bus, numbers(0, 50))
    await asyncio.sleep(0.03)
    assert a.deliveries == []
    a.session.resume_reading()
    assert await a.receive(50) == numbers(0, 50)


async def test_pausing_from_the_listener_stops_at_once(network: Network) -> None:
    bus, session = await publisher(network), await network.session("m")
    got: list[SessionEvent] = []

    def listen(event: SessionEvent) -> None:
        got.append(event)
        session.pause_reading()

    await session.connect(listen, 5)
    await session.subscribe({f"{network.prefix}/in": 1}, 5)
    session.publish(Publication(f"{network.prefix}/out", b"own output is under way"))
    await publish(network, bus, numbers(0, 20))
    for count in range(1, 21):
        await eventually(lambda: len(got) >= count)  # noqa: B023
        await asyncio.sleep(0.002)
        assert len(got) == count
        session.resume_reading()


async def test_purged_session_is_forgotten(network: Network) -> None:
    bus, a = await publisher(network), await module(network, "m", "in")
    await a.session.purge()
    assert a.closed != []
    await publish(network, bus, numbers(0, 3))
    b = Module(await network.session("m"))
    assert await b.connect() is False
    await asyncio.sleep(0.03)
    assert b.deliveries == []


async def test_connecting_twice_is_an_error(network: Network) -> None:
    a = await module(network, "m")
    with pytest.raises(BusError, match="already connected"):
        await a.connect()


async def test_without_a_connection(network: Network) -> None:
    session = await network.session("m")
    with pytest.raises(BusError, match="not connected"):
        await session.subscribe({"x": 1}, 1)
    assert not await session.flush(1)
    session.pause_reading()
    session.resume_reading()
    await session.close()
    with pytest.raises(BusError, match="cannot publish"):
        session.publish(Publication("a/#", b""))


async def test_unreachable_broker_is_an_error(network: Network) -> None:
    a = Module(await network.session("m"))
    network.refuse("m")
    with pytest.raises(BusError):
        await a.connect()
    assert a.closed == []
    network.accept("m")
    assert await a.connect() is False


async def test_bad_filters_are_refused(network: Network) -> None:
    a = await module(network, "m")
    with pytest.raises(BusError, match="cannot subscribe"):
        await a.session.subscribe({"a/#/b": 1}, 1)


async def test_full_outbox_refuses(network: Network) -> None:
    session = await network.session("m", outbox_limit=1)
    session.publish(Publication(f"{network.prefix}/out", b"1"))
    with pytest.raises(BusError, match="outbox is full"):
        session.publish(Publication(f"{network.prefix}/out", b"2"))


async def test_a_failing_listener_does_not_end_the_session(
    network: Network, caplog: pytest.LogCaptureFixture
) -> None:
    bus, session = await publisher(network), await network.session("m")
    got: list[SessionEvent] = []

    def listen(event: SessionEvent) -> None:
        got.append(event)
        raise ValueError("a bug in the listener")

    await session.connect(listen, 5)
    await session.subscribe({f"{network.prefix}/in": 1}, 5)
    await publish(network, bus, numbers(0, 3))
    await eventually(lambda: len(got) == 3)
    assert "listener_failed" in caplog.text
