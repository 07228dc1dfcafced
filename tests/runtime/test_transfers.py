"""Transfers over a bus: what the pure protocol makes really arrives, also over a bad one."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from arts.bus.memory import MemoryBroker, MemoryBus, Parcel
from arts.errors import BusError
from arts.protocol.transfer import WINDOW, Receiver
from runtime.transfers import Transfers
from tests.runtime.scripted import eventually

DATA, CREDIT = "move/data", "move/credit"


class Link:
    """Two transfer shells on one memory broker."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.buses = [MemoryBus(self.broker, "source"), MemoryBus(self.broker, "target")]
        self.source, self.target = (Transfers(bus) for bus in self.buses)
        self.done: asyncio.Future[Receiver] = asyncio.get_running_loop().create_future()

    async def listen(self, max_bytes: int = 1 << 30) -> None:
        await self.target.receive(DATA, CREDIT, Receiver(max_bytes=max_bytes), self.done.set_result)

    async def outcome(self) -> Receiver:
        return await asyncio.wait_for(self.done, 30)


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    link = Link()
    for bus in link.buses:
        await bus.start()
    running = [asyncio.create_task(end.run()) for end in (link.source, link.target)]
    await asyncio.sleep(0)
    yield link
    for task in running:
        task.cancel()
    for end in (link.source, link.target):
        end.close()
    for bus in link.buses:
        await bus.stop()


async def test_data_arrives_whole_and_both_ends_forget_it(link: Link) -> None:
    data = random.Random(3).randbytes(3 * WINDOW)
    await link.listen()
    digest = link.source.send(DATA, CREDIT, data)
    receiver = await link.outcome()
    assert receiver.data == data
    assert receiver.digest == digest
    await eventually(lambda: not link.source._senders)
    assert not link.target._receivers
    assert link.source._timer is None


async def test_a_lost_chunk_is_asked_for_again(link: Link) -> None:
    data = random.Random(4).randbytes(WINDOW)
    lost: list[Parcel] = []

    def second_chunk(parcel: Parcel) -> bool:
        if parcel.topic == DATA:
            lost.append(parcel)
        return parcel.topic == DATA and len(lost) == 2

    link.broker.drop(second_chunk)
    await link.listen()
    link.source.send(DATA, CREDIT, data)
    assert (await link.outcome()).data == data
    assert len(lost) == 5


async def test_too_much_is_said_to_fail(link: Link) -> None:
    await link.listen(max_bytes=10)
    link.source.send(DATA, CREDIT, bytes(11))
    assert (await link.outcome()).failure == "11 bytes, the limit is 10"


async def test_a_sender_that_nobody_hears_gives_up(
    link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    link.source.send(DATA, CREDIT, b"data")
    (_, sender), *_ = link.source._senders.values()
    sender._heard -= 100.0
    await eventually(lambda: not link.source._senders)
    assert "no word from the receiver" in caplog.text


async def test_what_is_forgotten_disturbs_nobody(link: Link) -> None:
    await link.listen()
    link.target.forget(DATA)
    link.target.forget(DATA)
    link.source.send(DATA, CREDIT, b"data")
    link.source.forget(CREDIT)
    await asyncio.sleep(0.01)
    assert not link.done.done()


async def test_without_a_broker_nobody_can_be_ready(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.transfers._SUBSCRIBE_TIMEOUT", 0.01)
    link.broker.stop()
    with pytest.raises(BusError, match="does not answer"):
        await link.listen()
    assert not link.target._receivers


async def test_a_full_bus_loses_frames_but_not_the_agent(
    link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> None:
        raise BusError("the outbox is full")

    link.source._bus.publish = full  # type: ignore[method-assign]
    link.source.send(DATA, CREDIT, b"data")
    assert "the outbox is full" in caplog.text
