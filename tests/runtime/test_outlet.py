"""Lines of many modules on their way out: in order, bounded, never lost."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from arts.bus.base import Received
from arts.bus.memory import MemoryBroker, MemoryBus
from runtime.outlet import Outlet


class Module:
    """A source that remembers whether it is choked."""

    def __init__(self) -> None:
        self.choked: list[bool] = []

    def choke(self, choked: bool) -> None:
        self.choked.append(choked)


class Way:
    """An outlet on a memory broker that moves nothing until told, and who reads behind it."""

    def __init__(self) -> None:
        self.broker = MemoryBroker(auto=False)
        self.bus = MemoryBus(self.broker, "runtime")
        self.reader = MemoryBus(self.broker, "reader")
        self.outlet = Outlet(self.bus, window=4, backlog=3)

    async def settle(self) -> None:
        """Let everything move until nothing does."""
        for _ in range(50):
            self.broker.deliver()
            await asyncio.sleep(0)

    async def lines(self) -> list[bytes]:
        """What the reader has got since the last time."""
        events = await asyncio.wait_for(self.reader.receive(), 1)
        return [event.payload for event in events if isinstance(event, Received)]


@pytest.fixture
async def way() -> AsyncIterator[Way]:
    way = Way()
    way.reader.subscribe("#")
    for bus in (way.reader, way.bus):
        await bus.start()
    running = asyncio.create_task(way.outlet.run())
    await way.settle()
    await way.lines()
    yield way
    await way.settle()
    running.cancel()
    for bus in (way.reader, way.bus):
        await bus.stop()


async def test_lines_go_out_at_once_and_in_order(way: Way) -> None:
    module = Module()
    for n in range(3):
        way.outlet.write(module, "t", b"%d" % n)
    way.broker.deliver()
    assert await way.lines() == [b"0", b"1", b"2"]
    assert module.choked == []


async def test_a_flood_is_choked_and_loses_nothing(way: Way) -> None:
    module, calm = Module(), Module()
    for n in range(20):
        way.outlet.write(module, "t", b"%d" % n)
    way.outlet.write(calm, "t", b"calm")
    assert module.choked == [True]
    assert calm.choked == []
    await way.settle()
    assert module.choked == [True, False]
    assert await way.lines() == [b"%d" % n for n in range(20)] + [b"calm"]


async def test_confirmed_means_that_the_broker_has_every_line(way: Way) -> None:
    module = Module()
    for n in range(10):
        way.outlet.write(module, "t", b"%d" % n)
    waiting = asyncio.create_task(way.outlet.confirmed(module, 5.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    await way.settle()
    assert waiting.done()
    assert await waiting


async def test_what_is_not_confirmed_in_time_is_said(way: Way) -> None:
    module = Module()
    way.outlet.write(module, "t", b"one")
    assert not await way.outlet.confirmed(module, 0.01)
    for n in range(10):
        way.outlet.write(module, "t", b"%d" % n)
    assert not await way.outlet.confirmed(module, 0.01)


async def test_a_module_that_is_gone_takes_its_backlog_along(way: Way) -> None:
    gone, here = Module(), Module()
    for n in range(6):
        way.outlet.write(gone, "t", b"gone %d" % n)
    way.outlet.write(here, "t", b"here")
    way.outlet.forget(gone)
    await way.settle()
    assert await way.lines() == [b"gone 0", b"gone 1", b"gone 2", b"gone 3", b"here"]
    assert gone.choked == []


async def test_nothing_is_lost_while_the_broker_is_away(way: Way) -> None:
    module = Module()
    way.broker.stop()
    for n in range(10):
        way.outlet.write(module, "t", b"%d" % n)
    way.broker.start()
    for _ in range(5):
        await way.settle()
    received = [line for line in await way.lines() if line]
    assert sorted(received, key=int) == [b"%d" % n for n in range(10)]
