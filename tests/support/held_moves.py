"""Moves that stand still in one of their phases, so that somebody can be killed there.

Nothing in the product is instrumented. A phase is held by stopping (SIGSTOP) whoever has to take
the next step, and seen from outside: in the retained documents of the modules and in what the
runtimes report. Knows how to hold a move; does not know who dies, or what should happen then.
"""

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from arts.cli.children import Child
from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.protocol.codec import decode_report
from arts.protocol.transfer import CHUNK_SIZE, WINDOW
from tests.support.faults import child_called, send
from tests.support.realm import Observer, Watched

Answer = asyncio.Task[dict[str, Any]]


@dataclass
class Move:
    """Modules on their way from one runtime to another, all in the same phase."""

    realm: LocalRealm
    modules: Sequence[Watched]
    source: Child
    target: Child
    answers: Sequence[Answer]
    reports: Observer[tuple[str, str]]
    """What the runtimes have sent since before the move (``reports_of``)."""

    def let_go(self) -> None:
        """Everybody who was stopped goes on."""
        for child in (self.source, self.target, self.realm.supervisor):
            send(child, signal.SIGCONT)

    async def phase(self, phase: str) -> None:
        """Wait until all modules are in this phase."""
        for module in self.modules:
            await module.phase(phase)

    async def reported(self, kind: str, times: int = 1) -> None:
        """Wait until the runtimes have said this, so many times of each module."""

        def all_have(seen: list[tuple[str, str]]) -> bool:
            said = Counter(whose for what, whose in seen if what == kind)
            return sum(count >= times for count in said.values()) >= len(self.modules)

        await self.reports.until(all_have)

    async def over(self) -> list[BaseException | dict[str, Any]]:
        """Wait until whoever asked for the moves has been told how they ended."""
        return list(await asyncio.gather(*self.answers, return_exceptions=True))


async def preparing(move: Move) -> None:
    """The target does not say that it is ready."""
    send(move.target, signal.SIGSTOP)
    await move.phase("preparing")


async def freezing(move: Move) -> None:
    """The target is ready, and the source does not stop the module."""
    send(move.source, signal.SIGSTOP)
    await move.phase("freezing")


async def ahead(move: Move) -> None:
    """The source has begun to send memory ahead, the target takes none, and nobody stops it."""
    await freezing(move)
    send(move.target, signal.SIGSTOP)
    send(move.source, signal.SIGCONT)
    await move.reported("pages")
    send(move.source, signal.SIGSTOP)


async def frozen(move: Move) -> None:
    """The source has frozen the module, its snapshot is at the broker; the target takes none."""
    await freezing(move)
    send(move.target, signal.SIGSTOP)
    send(move.source, signal.SIGCONT)
    await move.phase("restoring")
    await move.reported("snapshot")


async def transferring(move: Move) -> None:
    """A window of a large snapshot is at the broker, and the target asks for no more."""
    await frozen(move)
    await move.reported("snapshot", WINDOW // CHUNK_SIZE)


async def restored(move: Move) -> None:
    """The target has rebuilt the module and says so, and the supervisor does not decide."""
    await frozen(move)
    send(move.realm.supervisor, signal.SIGSTOP)
    send(move.target, signal.SIGCONT)
    await move.reported("restored")


async def switching(move: Move) -> None:
    """The realm has decided that the target may go on, but it does not."""
    await restored(move)
    send(move.target, signal.SIGSTOP)
    send(move.realm.supervisor, signal.SIGCONT)
    await move.phase("switching")


Hold = Callable[[Move], Awaitable[None]]


@asynccontextmanager
async def held_move(
    realm: LocalRealm, client: Client, modules: Sequence[Watched], hold: Hold
) -> AsyncIterator[Move]:
    """Modules of one runtime whose move to the other one stands still where ``hold`` says."""
    async with reports_of(client) as reports:
        here = modules[0].document["parent"]["name"]
        there = next(child.name for child in realm.runtimes if child.name != here)
        source, target = child_called(realm, here), child_called(realm, there)
        send(target if hold is preparing else source, signal.SIGSTOP)
        answers = [asyncio.create_task(client.move(module.uuid, there)) for module in modules]
        move = Move(realm, modules, source, target, answers, reports)
        try:
            await hold(move)
            yield move
        finally:
            move.let_go()
            for answer in answers:
                answer.cancel()
            await asyncio.wait(answers)


@asynccontextmanager
async def reports_of(client: Client) -> AsyncIterator[Observer[tuple[str, str]]]:
    """The kinds of all reports as they come, with the module; and a word for each piece of what is
    sent, with the move: ``pages`` while it is memory that goes ahead, ``snapshot`` then."""
    reports: Observer[tuple[str, str]] = Observer()
    topics = client.topics
    pieces = {"data": "snapshot", "pages": "pages"}
    heard = topics.events_of("+"), topics.snapshot_data("+"), topics.snapshot_pages("+")
    async with client.messages(*heard) as messages:

        async def collect() -> None:
            async for message in messages:
                *_, move, last = message.topic.split("/")
                if (piece := pieces.get(last)) is not None:
                    reports.add((piece, move))
                else:
                    report = decode_report(message.payload)
                    reports.add((report.kind, report.uuid))

        collecting = asyncio.create_task(collect(), name="reports")
        try:
            yield reports
        finally:
            collecting.cancel()
            await asyncio.wait([collecting])
