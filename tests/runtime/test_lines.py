"""Large memories may go past the broker; and whatever goes wrong with that, they go through it."""

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from runtime import lines
from runtime.lines import Lines
from runtime.transfers import Transfers
from tests.runtime.fleet import TOPICS, Fleet, Move
from tests.runtime.test_precopy import dirty, ticks_on

HERE = "127.0.0.1"


@pytest.fixture
async def pair(fleet: Fleet) -> Fleet:
    """Runtimes ``a`` and ``b`` that take lines."""
    for name in "ab":
        await fleet.runtime(name, direct=HERE)
    return fleet


@pytest.fixture
def by_bus(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many frames of transfers went through the broker, by the last level of their topic."""
    counted: Counter[str] = Counter()
    publish = Transfers._publish

    def count(self: Transfers, topic: str, frames: list[bytes]) -> None:
        def take(topic: str, frame: bytes) -> bool:
            taken = detour is not None and detour(topic, frame)
            counted[topic.rpartition("/")[2]] += not taken
            return taken

        prefix = topic.rpartition("/")[0]
        detour = self._detours.get(prefix)
        self._detours[prefix] = take
        try:
            publish(self, topic, frames)
        finally:
            self.reroute(prefix, detour)

    monkeypatch.setattr(Transfers, "_publish", count)
    return counted


async def until(met: Callable[[], bool]) -> None:
    while not met():  # noqa: ASYNC110 - what it looks at tells nobody
        await asyncio.sleep(0.001)


async def test_memory_goes_past_the_broker(pair: Fleet, by_bus: Counter[str]) -> None:
    module = await dirty(pair)
    for source, target in (("a", "b"), ("b", "a")):
        module, _ = await pair.move(module, source, target)
        await ticks_on(pair)
    assert by_bus["line"] == 2
    assert by_bus["pages"] == by_bus["data"] == by_bus["kept"] == 0
    await asyncio.sleep(0)
    for agent in pair.agents.values():
        assert not agent._transfers._detours
        assert not agent._moves._lines._tasks


async def test_both_must_want_it(fleet: Fleet, by_bus: Counter[str]) -> None:
    await fleet.runtime("a", direct=HERE)
    await fleet.runtime("b")
    await fleet.move(await dirty(fleet), "a", "b")
    assert by_bus["line"] == 1
    assert by_bus["pages"]
    await ticks_on(fleet)


async def test_a_small_module_needs_none(pair: Fleet, by_bus: Counter[str]) -> None:
    await pair.move(await pair.start("counter", args=("1",)), "a", "b")
    assert by_bus["line"] == 0


async def test_an_address_that_is_not_here_costs_nothing(
    fleet: Fleet, by_bus: Counter[str]
) -> None:
    await fleet.runtime("a", direct="192.0.2.1")
    await fleet.runtime("b", direct=HERE)
    await fleet.move(await dirty(fleet), "a", "b")
    assert by_bus["line"] == 0
    await ticks_on(fleet)


async def test_a_line_that_breaks_is_replaced_by_the_broker(
    pair: Fleet, by_bus: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = asyncio.StreamWriter.write, [20]

    def broken(self: asyncio.StreamWriter, data: bytes) -> None:
        left[0] -= 1
        if left[0] == 0:
            self.transport.abort()
        write(self, data)

    monkeypatch.setattr(asyncio.StreamWriter, "write", broken)
    await pair.move(await dirty(pair), "a", "b")
    assert left[0] <= 0
    assert by_bus["data"]
    await ticks_on(pair)


async def test_called_off_the_line_ends(pair: Fleet) -> None:
    module = await dirty(pair)
    moving = Move(pair, module, "a", "b")
    await moving.prepare()
    moving.send_freeze()
    source = pair.agents["a"]._moves._lines
    await until(lambda: bool(source._tasks))
    (task,) = source._tasks.values()
    await moving.abort()
    await asyncio.wait([task])
    assert not source._tasks
    assert not pair.agents["b"]._moves._lines._tasks
    await ticks_on(pair)


# ---------------------------------------------------------------------------- who dials


@pytest.fixture
def offered(pair: Fleet, monkeypatch: pytest.MonkeyPatch) -> "asyncio.Queue[lines._Offer]":
    """Offers that nobody hears but the test."""
    heard: asyncio.Queue[lines._Offer] = asyncio.Queue()

    def say(self: Transfers, topic: str, payload: bytes) -> None:
        heard.put_nowait(msgspec.msgpack.decode(payload, type=lines._Offer))

    monkeypatch.setattr(Transfers, "say", say)
    return heard


@pytest.mark.parametrize("said", [bytes(32), b"short", b""], ids=["wrong", "short", "nothing"])
async def test_who_has_no_token_is_not_let_in(
    pair: Fleet, offered: "asyncio.Queue[lines._Offer]", said: bytes
) -> None:
    source = pair.agents["a"]._moves._lines
    offering = asyncio.create_task(source.offer("move"))
    offer = await offered.get()
    reader, writer = await asyncio.open_connection(offer.host, offer.port)
    writer.write(said)
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    assert not await offering
    assert not source._tasks


async def test_a_token_opens_one_line(pair: Fleet, offered: "asyncio.Queue[lines._Offer]") -> None:
    source = pair.agents["a"]._moves._lines
    offering = asyncio.create_task(source.offer("move"))
    offer = await offered.get()
    _, first = await asyncio.open_connection(offer.host, offer.port)
    first.write(offer.token)
    assert await offering
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(offer.host, offer.port)
    first.write(lines._SIZES.pack(4, 1 << 30) + b"data")  # a frame that no one may send
    await until(lambda: not pair.agents["a"]._transfers._detours)
    first.close()
    source.close("move")


async def test_of_two_with_the_token_one_is_let_in(
    pair: Fleet, offered: "asyncio.Queue[lines._Offer]"
) -> None:
    offering = asyncio.create_task(pair.agents["a"]._moves._lines.offer("move"))
    offer = await offered.get()
    dialled = [await asyncio.open_connection(offer.host, offer.port) for _ in range(2)]
    for _, writer in dialled:
        writer.write(offer.token)
    assert await offering
    reading = [asyncio.create_task(reader.read()) for reader, _ in dialled]
    done, left = await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == [b""]
    assert len(left) == 1
    pair.agents["a"]._moves._lines.close("move")
    await asyncio.wait(left)
    for _, writer in dialled:
        writer.close()


@pytest.mark.parametrize(
    "said", [b"nonsense", msgspec.msgpack.encode({"host": HERE, "port": 0, "token": bytes(32)})]
)
async def test_a_malformed_offer_is_ignored(pair: Fleet, said: bytes) -> None:
    target: Lines = pair.agents["b"]._moves._lines
    target.expect("move")
    pair.agents["b"]._transfers.arrived(TOPICS.snapshot_line("move"), said)
    assert not target._tasks
    target.close("move")
