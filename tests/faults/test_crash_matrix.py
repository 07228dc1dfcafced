"""Somebody dies (kill -9) in the middle of a move, in each phase: the module is alive exactly once.

Each cell of ``crash_matrix`` is one run with real processes. A counter, a module with channels and
a durable one with sequenced channels move at once; where memory is on its way there is no counter,
and the other two have much to carry.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from tests.faults.crash_matrix import (
    ANEW,
    DURABLE,
    MOVES,
    PHASES,
    PLAIN,
    RECOVERED,
    RETURNS,
    STAYS,
    VICTIMS,
    expected,
    note,
)
from tests.support.broker import BROKER_KINDS
from tests.support.echo import DURABLE as DURABLE_FIELDS
from tests.support.echo import Conversation, conversation, scripted
from tests.support.faults import (
    assert_alive_once,
    assert_only_restarts,
    killed,
    send,
    until_online,
    until_succeeded,
)
from tests.support.held_moves import (
    Answer,
    Hold,
    Move,
    ahead,
    freezing,
    frozen,
    held_move,
    preparing,
    restored,
    switching,
    transferring,
)
from tests.support.realm import Watched, counted, is_consecutive, module

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(150),
    pytest.mark.slow,
]

INTERVAL_MS = 20
FIRST_GENERATION = 1

LARGE = 3000
"""KB of memory that takes several windows to send, and goes ahead."""


@dataclass(frozen=True)
class Subjects:
    """Who moves: all on one runtime, in the middle of something."""

    echo: Watched
    talking: Conversation
    tally: Watched
    """Durable. It counts its messages, over sequenced channels."""
    counting: Conversation
    counter: Watched | None = None

    @property
    def modules(self) -> dict[Watched, str]:
        """All, and of which kind each is."""
        found = {self.echo: PLAIN, self.tally: DURABLE}
        return found | ({self.counter: PLAIN} if self.counter else {})

    async def more(self, count: int) -> None:
        """Wait for so many more answers of each."""
        await asyncio.gather(self.talking.answers.more(count), self.counting.answers.more(count))

    async def assert_alive_once(self, client: Client, realm: LocalRealm) -> None:
        """All of them, wherever they are."""
        await asyncio.gather(*(assert_alive_once(client, realm, one) for one in self.modules))


@asynccontextmanager
async def subjects(client: Client, hold: Hold) -> AsyncIterator[Subjects]:
    """What ``hold`` needs: where memory is on its way there must be much."""
    large = LARGE if hold in (ahead, transferring) else 0
    async with AsyncExitStack() as stack:
        fields = scripted(kilobytes=large) if large else {}
        echo, talking = await stack.enter_async_context(
            conversation(client, interval=0.02, **fields)
        )
        here = echo.document["parent"]["name"]
        fields = DURABLE_FIELDS | scripted(kilobytes=large, counting=True)
        tally, counting = await stack.enter_async_context(
            conversation(client, interval=0.02, parent=here, sequenced=True, **fields)
        )
        found = Subjects(echo, talking, tally, counting)
        if not large:
            counter = await stack.enter_async_context(
                module(client, "counter", INTERVAL_MS, parent=here)
            )
            await counter.output.more(3)
            found = replace(found, counter=counter)
        await found.more(5)
        await client.checkpoint(tally.uuid)
        yield found


def how_it_ended(module: Watched, answer: Answer, move: Move) -> str:
    """Where the module is and how it got there, in one word."""
    if module.document["restored_from"] is not None:
        return RECOVERED
    generation = module.document["generation"]
    if module.document["parent"]["name"] == move.source.name:
        ends = {FIRST_GENERATION: STAYS, FIRST_GENERATION + 2: RETURNS}
        return ends.get(generation, ANEW)
    return ANEW if answer.exception() else MOVES


async def die(client: Client, move: Move, victim: str) -> None:
    """Kill somebody, let the others go on, and start the victim again when it was missed."""
    if victim == "broker":
        move.realm.broker.kill()
        await move.realm.broker.restart()
        move.let_go()
    else:
        realm = move.realm
        child = {"source": move.source, "target": move.target}.get(victim, realm.supervisor)
        async with killed(child):
            move.let_go()
            if victim != "supervisor":
                await move.over()
    await move.over()
    await until_online(client, move.realm)


def is_turn(broker_kind: str, hold: Hold, victim: str) -> bool:
    """By default each cell is run on one broker, in a chequered pattern: it is minutes."""
    if os.environ.get("ARTS_CRASH_MATRIX") or os.environ.get("ARTS_TEST_PROFILE") == "soak":
        return True
    number = list(PHASES).index(hold) + VICTIMS.index(victim)
    return broker_kind == BROKER_KINDS[number % len(BROKER_KINDS)]


@pytest.mark.combinations(run=is_turn)
@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("hold", PHASES)
async def test_a_cell(realm: LocalRealm, client: Client, hold: Hold, victim: str) -> None:
    async with subjects(client, hold) as moving:
        async with held_move(realm, client, list(moving.modules), hold) as move:
            await die(client, move, victim)
        await moving.assert_alive_once(client, realm)
        await moving.more(5)
        ends: dict[str, set[str]] = {}
        for (watched, kind), answer in zip(moving.modules.items(), move.answers, strict=True):
            ends.setdefault(kind, set()).add(how_it_ended(watched, answer, move))
        for kind, seen in ends.items():
            why = [str(answer.exception()) for answer in move.answers if answer.exception()]
            assert seen <= expected(kind, hold, victim), (kind, why)
        if victim == "broker":  # whoever talks and listens misses something as well
            moving.counting.judge = moving.counting.assert_nothing_repeated
        if victim == "broker" or ANEW in ends[PLAIN]:
            moving.talking.judge = moving.talking.assert_in_order
        if moving.counter is not None and victim != "broker":
            assert_only_restarts(moving.counter)
            assert is_consecutive(counted(moving.counter.lines)) or ANEW in ends[PLAIN]
    # To be seen with -rP: what a crash cost.
    summaries = moving.talking.summary(), moving.counting.summary()
    print(hold.__name__, victim, realm.broker.kind, ends, summaries)
    for kind, seen in ends.items():
        for end in seen:
            note(kind, hold, victim, realm.broker.kind, end)


async def the_next_supervisor(client: Client, move: Move) -> None:
    """It has taken the move up from the store, and dies before it hears how far the target is."""
    supervisor = move.realm.supervisor
    first = await client.supervisor()
    async with killed(supervisor):
        pass
    await until_succeeded(client, first)
    send(supervisor, signal.SIGSTOP)
    send(move.target, signal.SIGCONT)
    await move.reported("restored")
    async with killed(supervisor):
        move.let_go()


async def the_target_that_has_it_all(client: Client, move: Move) -> None:
    """Nobody knows but the target, and the source has died already."""
    async with killed(move.source), killed(move.target):
        move.let_go()


async def the_source_that_took_it_back(client: Client, move: Move) -> None:
    """The target has died behind the commit point."""
    async with killed(move.target):
        move.let_go()
        await move.over()
        for module in move.modules:
            await module.until(lambda d: d["generation"] == FIRST_GENERATION + 2)
        async with killed(move.source):
            pass


async def the_supervisor_that_has_to_notice(client: Client, move: Move) -> None:
    """The only holder dies, and the supervisor before it hears of that."""
    send(move.realm.supervisor, signal.SIGSTOP)
    async with killed(move.source), killed(move.realm.supervisor):
        move.let_go()


SECOND: dict[Callable[[Client, Move], Awaitable[None]], Hold] = {
    the_next_supervisor: frozen,
    the_target_that_has_it_all: restored,
    the_source_that_took_it_back: switching,
    the_supervisor_that_has_to_notice: freezing,
}
"""Who dies while the first death is being repaired -> in which phase."""


@pytest.mark.parametrize("die_too", SECOND)
async def test_who_takes_over_dies_too(
    realm: LocalRealm, client: Client, die_too: Callable[[Client, Move], Awaitable[None]]
) -> None:
    hold = SECOND[die_too]
    async with subjects(client, hold) as moving:
        assert moving.counter is not None
        async with held_move(realm, client, list(moving.modules), hold) as move:
            await die_too(client, move)
            await move.over()
            await until_online(client, realm)
        await moving.assert_alive_once(client, realm)
        await moving.more(5)
        assert_only_restarts(moving.counter)
        # In all cases but the first, every holder has died.
        anew = counted(moving.counter.lines).count(1) > 1
        recovered = moving.tally.document["restored_from"] is not None
        assert (anew, recovered) == (die_too is not the_next_supervisor,) * 2
        if anew:
            moving.talking.judge = moving.talking.assert_in_order


async def test_standing_still_is_no_death(realm: LocalRealm, client: Client) -> None:
    """Nobody dies: the move waits in each phase, then is completed, and nobody noticed."""
    for hold in (preparing, freezing, frozen, restored, switching):
        async with subjects(client, hold) as moving:
            async with held_move(realm, client, list(moving.modules), hold) as move:
                move.let_go()
                for answer in move.answers:
                    assert (await answer)["to"] == move.target.name
            await moving.assert_alive_once(client, realm)
            assert moving.counter is not None
            assert is_consecutive(counted(moving.counter.lines))
