"""A runtime says what a move of a module would carry, and the module runs on."""

import asyncio

import pytest

from arts.protocol.plan import Ask, Measured, encode, measured
from runtime import measuring
from tests.runtime.fleet import TOPICS, Fleet
from tests.runtime.test_precopy import MIB, dirty, ticks_on


async def ask(fleet: Fleet, payload: bytes) -> Measured:
    """What the runtime answers."""
    topic = TOPICS.measured("a", "me")
    fleet.bus.publish(TOPICS.measure("a"), payload, qos=1)
    async with asyncio.timeout(30):
        while not fleet.messages[topic]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
    return measured(fleet.messages[topic].pop())


@pytest.mark.parametrize(("precopy", "stops"), [(4.0, False), (0.0, True)])
async def test_how_much_there_is_and_how_fast_it_changes(
    fleet: Fleet, precopy: float, stops: bool
) -> None:
    await fleet.runtime("a", precopy=precopy)
    await dirty(fleet, 16, 1000)
    found = await ask(fleet, encode(Ask("m", "me")))
    assert found.unknown is None
    assert 16 * MIB <= found.used_bytes < 18 * MIB
    assert found.used_bytes <= found.memory_bytes < 40 * MIB
    assert 100_000 < found.written_bytes_per_second < 4_000_000
    assert bool(found.stops_first) is stops
    assert found.line_bytes_per_second > MIB
    all_of_it = found.used_bytes / found.line_bytes_per_second
    assert (found.stop_seconds > all_of_it) is stops
    await ticks_on(fleet)


async def test_a_small_module_would_stop_first(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.start("counter", args=("1",))
    await fleet.printed(1)
    assert "soon enough" in ((await ask(fleet, encode(Ask("m", "me")))).stops_first or "")


async def test_nobody_is_known_here(fleet: Fleet) -> None:
    await fleet.runtime("a")
    assert (await ask(fleet, encode(Ask("x", "me")))).unknown == "no such module runs here"


async def test_one_that_ends_meanwhile(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "WINDOW", 1.0)
    await fleet.runtime("a")
    await fleet.start("dirty", args=("1024", "1000", "30"))
    await fleet.printed(1)
    assert (await ask(fleet, encode(Ask("m", "me")))).unknown == "the module has ended"


async def test_without_a_broker_that_answers_nothing_is_known(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "_ECHOES", 0.1)
    agent = await fleet.runtime("a")
    say = agent._transfers.say

    def lose_echoes(topic: str, payload: bytes) -> None:
        if len(payload) > 1:
            say(topic, payload)

    monkeypatch.setattr(agent._transfers, "say", lose_echoes)
    await fleet.start("counter", args=("1",))
    await fleet.printed(1)
    unknown = (await ask(fleet, encode(Ask("m", "me")))).unknown
    assert unknown == "the broker did not send back in time what was sent"


async def test_nonsense_is_not_answered(fleet: Fleet) -> None:
    await fleet.runtime("a")
    fleet.bus.publish(TOPICS.measure("a"), b"nonsense", qos=1)
    assert (await ask(fleet, encode(Ask("x", "me")))).unknown
