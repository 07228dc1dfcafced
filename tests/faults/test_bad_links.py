"""Moves over lines that are slow, cut or silent: done or called off in time, and nobody is deaf.

Each runtime has a line of its own to the broker (``tests.support.proxy``), so one side can suffer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.errors import MigrationFailed, Unplaceable
from tests.support.echo import DURABLE, Conversation, conversation
from tests.support.faults import (
    assert_alive_once,
    child_called,
    instances,
    stopped,
    until_online,
)
from tests.support.proxy import Proxy
from tests.support.realm import PATIENCE, behind_proxies, client_of

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(150),
    pytest.mark.slow,
]

MEGABIT = 125_000.0
Lines = dict[str, Proxy]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def lines(processes: LocalRealm) -> AsyncIterator[Lines]:
    """The lines of the runtimes, by their names."""
    async with client_of(processes) as client:
        before = await instances(client)
        async with behind_proxies(processes) as lines:
            await until_online(client, processes, unlike=before)
            before = await instances(client)
            yield lines
        await until_online(client, processes, unlike=before)


@pytest_asyncio.fixture(autouse=True, loop_scope="session")
async def sound(realm: LocalRealm, lines: Lines) -> AsyncIterator[None]:
    """No test inherits a bad line, and the realm is repaired over good ones."""
    yield
    for line in lines.values():
        line.slow()
        line.accept()
        line.heal()


async def move(client: Client, module: str) -> bool:
    """Whether it moved; it must be one or the other within all deadlines of a move."""
    try:
        await client.move(module, timeout=PATIENCE)
    except (MigrationFailed, Unplaceable):
        return False
    return True


@pytest.mark.parametrize(
    ("latency", "rate"),
    [(0.05, float("inf")), (0.0, MEGABIT), (0.1, MEGABIT)],
    ids=["latency", "1 Mbit/s", "both"],
)
async def test_a_slow_line_only_takes_longer(
    realm: LocalRealm, client: Client, lines: Lines, latency: float, rate: float
) -> None:
    async with conversation(client, interval=0.05) as (echo, talking):
        await talking.answers.more(3)
        for line in lines.values():
            line.slow(latency=latency, bytes_per_second=rate)
        for _ in range(2):
            assert await move(client, echo.uuid)
            await talking.answers.more(3)
        for line in lines.values():
            line.slow()
        await assert_alive_once(client, realm, echo)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize(("how", "pause"), [("cut", 0.0), ("partition", 0.05), ("partition", 0.6)])
async def test_a_line_fails_for_a_moment_during_a_move(
    realm: LocalRealm, client: Client, lines: Lines, side: str, how: str, pause: float
) -> None:
    """Shorter than any deadline: whichever way the move ends, no message is lost or, unless its
    confirmation was on a line that was cut, doubled."""
    async with conversation(client, interval=0.02) as (echo, talking):
        if how == "cut":
            talking.judge = talking.assert_nothing_lost
        await talking.answers.more(3)
        line = _line(lines, echo.document["parent"]["name"], side)
        moving = asyncio.create_task(move(client, echo.uuid))
        await asyncio.sleep(0.01)
        if how == "cut":
            line.cut()
        else:
            line.partition()
            await asyncio.sleep(pause)
            line.heal()
        await moving
        await assert_alive_once(client, realm, echo)
        await talking.answers.more(5)


@pytest.mark.parametrize("first", ["source", "target"])
async def test_both_lines_fail_and_heal_in_any_order(
    realm: LocalRealm, client: Client, lines: Lines, first: str
) -> None:
    """Whoever is back first, afterwards everybody hears and is heard."""
    async with conversation(client, interval=0.05) as (echo, talking):
        await talking.answers.more(3)
        here = echo.document["parent"]["name"]
        moving = asyncio.create_task(move(client, echo.uuid))
        for line in lines.values():
            line.partition()
        await asyncio.sleep(0.3)
        second = "target" if first == "source" else "source"
        for side in (first, second):
            _line(lines, here, side).heal()
            await asyncio.sleep(0.3)
        await moving
        await until_online(client, realm)
        await assert_alive_once(client, realm, echo)
        await move(client, echo.uuid)  # nobody is deaf
        await talking.answers.more(5)


async def test_a_target_that_stays_away_costs_the_move(
    realm: LocalRealm, client: Client, lines: Lines
) -> None:
    """It is called off in time, the source goes on, and the next move succeeds."""
    async with conversation(client, interval=0.05) as (echo, talking):
        await talking.answers.more(3)
        here = echo.document["parent"]["name"]
        away = _line(lines, here, "target")
        moving = asyncio.create_task(move(client, echo.uuid))
        away.refuse()
        assert not await moving
        assert echo.document["parent"]["name"] == here
        await talking.answers.more(5)
        away.accept()
        await until_online(client, realm)
        assert await move(client, echo.uuid)
        await assert_alive_once(client, realm, echo)


async def test_what_a_cut_line_repeats_is_left_out_on_sequenced_channels(
    realm: LocalRealm, client: Client, lines: Lines
) -> None:
    """Answers have come out, their confirmations are lost, and the modules are to move."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        plain, talking = await enter(conversation(client, interval=0.02))
        here = plain.document["parent"]["name"]
        other, numbered = await enter(
            conversation(client, interval=0.02, parent=here, sequenced=True)
        )
        talking.judge = talking.assert_nothing_lost
        source, line = child_called(realm, here), _line(lines, here, "source")
        for answers in (talking.answers, numbered.answers):
            await answers.more(3)
        with stopped(source):
            await _sent(talking, 15)  # their input is on the line, all the way
            await _sent(numbered, 15)
            moving = [asyncio.create_task(move(client, m.uuid)) for m in (plain, other)]
            line.stall_answers()
        await asyncio.gather(talking.answers.more(5), numbered.answers.more(5))
        line.cut()
        await asyncio.gather(*moving)
        for module in (plain, other):
            await assert_alive_once(client, realm, module)
        for answers in (talking.answers, numbered.answers):
            await answers.more(5)
    assert len(talking.answers.seen) > len(set(talking.answers.seen)), "nothing was repeated"


async def test_a_durable_module_whose_line_is_cut_goes_on_where_it_is(
    realm: LocalRealm, client: Client, lines: Lines
) -> None:
    async with conversation(client, interval=0.02, sequenced=True, **DURABLE) as (tally, talking):
        await client.checkpoint(tally.uuid)
        line = _line(lines, tally.document["parent"]["name"], "source")
        for _ in range(3):
            await talking.answers.more(5)
            line.cut()
        await talking.answers.more(5)
        await assert_alive_once(client, realm, tally)
        assert tally.document["generation"] == 1


async def test_a_durable_module_that_was_given_up_ends_where_it_was(
    realm: LocalRealm, client: Client, lines: Lines
) -> None:
    """It goes on from its checkpoint elsewhere; where it was it still stands, until it is told."""
    async with conversation(client, interval=0.02, sequenced=True, **DURABLE) as (tally, talking):
        await client.checkpoint(tally.uuid)
        here = tally.document["parent"]["name"]
        line = _line(lines, here, "source")
        await talking.answers.more(5)
        line.refuse()
        after = await tally.until(lambda d: d["state"] == "running" and d["generation"] == 2)
        assert after["restored_from"] is not None
        assert after["parent"]["name"] != here
        await talking.answers.more(20)
        line.accept()
        await until_online(client, realm)
        await assert_alive_once(client, realm, tally)
        await talking.answers.more(5)


async def _sent(talking: Conversation, count: int) -> None:
    """Wait until so many more messages have been sent."""
    wanted = talking.sent + count
    async with asyncio.timeout(PATIENCE):
        while talking.sent < wanted:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def _line(lines: Lines, here: str, side: str) -> Proxy:
    """The line of the source (where the module is) or of the other runtime."""
    return next(line for name, line in lines.items() if (name == here) == (side == "source"))
