"""A process dies in the middle of a move, in each phase: the module is alive exactly once.

Nothing in the product is instrumented. A phase is held by stopping (SIGSTOP) whoever has to take
the next step, and seen in the retained document of the module; then somebody is killed.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from arts.cli.children import Child
from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.errors import MigrationFailed
from arts.protocol.codec import decode_report
from tests.support.echo import conversation
from tests.support.faults import (
    assert_alive_once,
    assert_only_restarts,
    child_called,
    killed,
    send,
    until_online,
)
from tests.support.realm import Observer, Watched, counted, is_consecutive, module

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(150),
    pytest.mark.slow,
]

INTERVAL_MS = 20
FIRST_GENERATION = 1


@dataclass
class Move:
    """A move that stands still in one of its phases."""

    realm: LocalRealm
    client: Client
    module: Watched
    source: Child
    target: Child
    answer: "asyncio.Task[dict[str, Any]]"
    reports: Observer[str]
    """What the runtimes have sent since before the move (``reports_of``)."""

    def let_go(self) -> None:
        """Everybody who was stopped goes on."""
        for child in (self.source, self.target, self.realm.supervisor):
            send(child, signal.SIGCONT)


async def preparing(move: Move) -> None:
    """The target does not say that it is ready."""
    send(move.target, signal.SIGSTOP)


async def freezing(move: Move) -> None:
    """The source does not stop the module."""
    send(move.source, signal.SIGSTOP)


async def restoring(move: Move) -> None:
    """The source has frozen the module, and the target does not take it."""
    send(move.source, signal.SIGSTOP)
    await move.module.phase("freezing")
    send(move.target, signal.SIGSTOP)
    send(move.source, signal.SIGCONT)


async def switching(move: Move) -> None:
    """The target has rebuilt the module and the realm says that it may go on, but it does not."""
    await restoring(move)
    await move.module.phase("restoring")
    send(move.realm.supervisor, signal.SIGSTOP)
    send(move.target, signal.SIGCONT)
    await move.reports.until(lambda seen: "restored" in seen)
    send(move.target, signal.SIGSTOP)
    send(move.realm.supervisor, signal.SIGCONT)


@asynccontextmanager
async def reports_of(client: Client) -> AsyncIterator[Observer[str]]:
    """The kinds of all reports as they come, and ``snapshot`` for each piece of one."""
    reports: Observer[str] = Observer()
    topics = client.topics
    async with client.messages(topics.events_of("+"), topics.snapshot_data("+")) as messages:

        async def collect() -> None:
            async for message in messages:
                is_data = message.topic.endswith("/data")
                reports.add("snapshot" if is_data else decode_report(message.payload).kind)

        collecting = asyncio.create_task(collect(), name="reports")
        try:
            yield reports
        finally:
            collecting.cancel()
            await asyncio.wait([collecting])


Hold = Callable[[Move], Awaitable[None]]


@asynccontextmanager
async def held(realm: LocalRealm, client: Client, hold: Hold) -> AsyncIterator[Move]:
    """A counter whose move stands still in the phase after which ``hold`` is called."""
    async with module(client, "counter", INTERVAL_MS) as counter:
        await counter.output.more(3)
        async with held_move(realm, client, counter, hold) as move:
            yield move


@asynccontextmanager
async def held_move(
    realm: LocalRealm, client: Client, module: Watched, hold: Hold
) -> AsyncIterator[Move]:
    """The same, of any module."""
    async with reports_of(client) as reports:
        here = module.document["parent"]["name"]
        there = next(child.name for child in realm.runtimes if child.name != here)
        source, target = child_called(realm, here), child_called(realm, there)
        first = source if hold in (freezing, restoring, switching) else target
        send(first, signal.SIGSTOP)
        answer = asyncio.create_task(client.move(module.uuid, there))
        move = Move(realm, client, module, source, target, answer, reports)
        try:
            await hold(move)
            await module.phase(hold.__name__)
            yield move
        finally:
            move.let_go()
            answer.cancel()
            await asyncio.wait([answer])


BEFORE_THE_COMMIT = pytest.mark.parametrize("hold", [preparing, freezing, restoring])


@BEFORE_THE_COMMIT
async def test_the_target_dies_before_the_commit(
    realm: LocalRealm, client: Client, hold: Hold
) -> None:
    """The source goes on as if nothing had been, and the asker hears why."""
    async with held(realm, client, hold) as move:
        async with killed(move.target):
            move.let_go()
            with pytest.raises(MigrationFailed, match=r"not moved: runtime .* is lost"):
                await move.answer
            await move.module.output.more(3)
        await until_online(client, realm)
        await assert_alive_once(client, realm, move.module)
        assert move.module.document["parent"]["name"] == move.source.name
        assert move.module.document["generation"] == FIRST_GENERATION
        assert is_consecutive(counted(move.module.lines))


@pytest.mark.parametrize("hold", [preparing, freezing])
async def test_the_source_dies_before_the_commit(
    realm: LocalRealm, client: Client, hold: Hold
) -> None:
    """Nobody else has the module yet: it begins anew on the runtime that is left."""
    async with held(realm, client, hold) as move:
        async with killed(move.source):
            move.let_go()
            with pytest.raises(MigrationFailed, match=r"not moved: runtime .* is lost"):
                await move.answer
            await move.module.until(
                lambda d: d["state"] == "running" and d["generation"] > FIRST_GENERATION
            )
            assert move.module.document["parent"]["name"] == move.target.name
        await until_online(client, realm)
        await assert_alive_once(client, realm, move.module)
        assert_only_restarts(move.module)
        assert counted(move.module.lines).count(1) == 2


async def test_the_source_dies_when_the_snapshot_is_at_the_broker(
    realm: LocalRealm, client: Client
) -> None:
    """The snapshot outlives its sender: the move is completed, and not a line is lost."""
    async with held(realm, client, restoring) as move:
        await move.reports.until(lambda seen: "snapshot" in seen)
        async with killed(move.source):
            move.let_go()
            assert (await move.answer)["to"] == move.target.name
        await until_online(client, realm)
        await assert_alive_once(client, realm, move.module)
        assert move.module.document["generation"] == FIRST_GENERATION + 1
        assert is_consecutive(counted(move.module.lines))


@BEFORE_THE_COMMIT
async def test_the_supervisor_dies_before_the_commit(
    realm: LocalRealm, client: Client, hold: Hold
) -> None:
    """The next one takes the move up where it stands, and tells the asker of the first."""
    async with held(realm, client, hold) as move:
        async with killed(realm.supervisor):
            move.let_go()
        assert (await move.answer)["to"] == move.target.name
        await assert_alive_once(client, realm, move.module)
        assert move.module.document["parent"]["name"] == move.target.name
        assert move.module.document["generation"] == FIRST_GENERATION + 1
        assert is_consecutive(counted(move.module.lines))


async def test_the_source_dies_behind_the_commit(realm: LocalRealm, client: Client) -> None:
    """It is no longer needed."""
    async with held(realm, client, switching) as move:
        async with killed(move.source):
            move.let_go()
            assert (await move.answer)["to"] == move.target.name
        await until_online(client, realm)
        await assert_alive_once(client, realm, move.module)
        assert move.module.document["generation"] == FIRST_GENERATION + 1
        assert is_consecutive(counted(move.module.lines))


async def test_the_target_dies_behind_the_commit(realm: LocalRealm, client: Client) -> None:
    """The source kept its frozen copy, and goes on from it: nothing is lost."""
    async with held(realm, client, switching) as move:
        async with killed(move.target):
            move.let_go()
            with pytest.raises(MigrationFailed, match="the target failed"):
                await move.answer
            await move.module.output.more(3)
        await until_online(client, realm)
        await assert_alive_once(client, realm, move.module)
        assert move.module.document["parent"]["name"] == move.source.name
        assert move.module.document["generation"] == FIRST_GENERATION + 2
        assert is_consecutive(counted(move.module.lines))


async def test_the_supervisor_dies_behind_the_commit(realm: LocalRealm, client: Client) -> None:
    """The next one goes on forward, and even the answer comes."""
    async with held(realm, client, switching) as move:
        async with killed(realm.supervisor):
            move.let_go()
        assert (await move.answer)["to"] == move.target.name
        await assert_alive_once(client, realm, move.module)
        assert move.module.document["generation"] == FIRST_GENERATION + 1
        assert is_consecutive(counted(move.module.lines))


@pytest.mark.parametrize("victim", ["target", "supervisor"])
async def test_channels_outlive_a_death_behind_the_commit(
    realm: LocalRealm, client: Client, victim: str
) -> None:
    """Messages came all the time: each is answered exactly once, wherever the module ended up."""
    async with (
        conversation(client, interval=0.02) as (echo, talking),
        held_move(realm, client, echo, switching) as move,
    ):
        async with killed(move.target if victim == "target" else realm.supervisor):
            move.let_go()
            if victim == "target":  # it is missed, and the source goes on
                await asyncio.wait([move.answer])
        await asyncio.wait([move.answer])
        await talking.answers.more(10)
        await until_online(client, realm)


@pytest.mark.parametrize("hold", [preparing, freezing, restoring, switching])
async def test_nobody_dies(realm: LocalRealm, client: Client, hold: Hold) -> None:
    """Standing still for a while is no reason to give a move up."""
    async with held(realm, client, hold) as move:
        move.let_go()
        assert (await move.answer)["to"] == move.target.name
        await assert_alive_once(client, realm, move.module)
        assert is_consecutive(counted(move.module.lines))
