"""One copy of a module on this runtime: its program, its instance, its traffic, its end.

Knows no realm and no host: it does what it is told and says through ``emit`` how it ended.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Final

from arts.log import get_logger
from arts.model import Limits
from arts.protocol.messages import StartModule
from arts.protocol.topics import Topics
from runtime import events as ev
from runtime.engines.base import (
    Exited,
    Instance,
    InstanceSpec,
    Nest,
    Outcome,
    Program,
    Trapped,
)
from runtime.outlet import Outlet
from runtime.runner import Runner
from runtime.shadow import Change, Shadow
from runtime.snapshot import Snapshot
from runtime.traffic import Traffic
from runtime.workers import Workers

log = get_logger(__name__)

_DEFAULT_SLICE: Final = 0.05
_LAST_WORDS: Final = 2.0
"""Seconds for the broker to confirm what an ended module wrote."""
_HOST: Final = "host"
"""The hold of whoever decides whether this copy may run at all."""

Spawn = Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]]
Emit = Callable[[ev.Event], None]


class Copy:
    """A copy of a module. ``number``: the host's; ``generation`` keeps receipts of hops apart."""

    def __init__(
        self,
        number: int,
        generation: int,
        module: StartModule,
        limits: Limits,
        *,
        topics: Topics,
        workers: Workers,
        outlet: Outlet,
        spawn: Spawn,
        emit: Emit,
    ) -> None:
        self.number, self.generation = number, generation
        self.module, self.limits = module, limits
        self.runner = Runner(workers, limits.slice_seconds or _DEFAULT_SLICE, self._on_outcome)
        self.runner.hold(_HOST)
        self.traffic = Traffic(
            module,
            generation,
            self.runner,
            topics=topics,
            outlet=outlet,
            on_lost=lambda: emit(ev.SessionLost(number)),
            on_fault=lambda detail: self._fail("bus_error", detail),
        )
        self.program: Program | None = None
        self.nest: Nest | None = None
        """Where its memory arrives ahead of its snapshot."""
        self.left = False
        """Whether it has been taken over by another runtime."""
        self._spawn, self._emit = spawn, emit
        self._ending = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._lived = 0.0
        self._running_since: float | None = None
        self._lifetime: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------------------ making it

    @property
    def instance(self) -> Instance | None:
        """The instance, as long as there is one."""
        return self.runner.instance

    def equip(self, program: Program) -> bool:
        """Take the compiled program; whether the module needs an MQTT session."""
        self.program = program
        return self.traffic.equip(program, self.generation << 32)

    def start(self) -> None:
        """Make the instance, parked before its first instruction. Raises ``EngineError``."""
        assert self.program is not None
        self.runner.instance = self.program.start(self._spec(), self.traffic.listen)

    def capture(self, carry: Collection[int], shadow: Shadow | None = None) -> Snapshot:
        """The whole state of the held instance; arguments: see ``Instance.snapshot``.

        Raises ``SnapshotError``.
        """
        assert self.instance is not None
        return replace(
            self.instance.snapshot(carry, shadow),
            lived_seconds=self._age(),
            traffic=self.traffic.state,
        )

    def _age(self) -> float:
        since = self._running_since
        return self._lived + (self._loop.time() - since if since is not None else 0.0)

    def restore(self, snapshot: Snapshot) -> None:
        """Make the instance of a snapshot, parked. Raises ``SnapshotError``."""
        assert self.program is not None
        self._lived = snapshot.lived_seconds
        self.traffic.restore(snapshot.traffic)
        nest, self.nest = self.nest, None
        if snapshot.base and nest is not None:
            self.runner.instance = nest.hatch(snapshot)
            return
        if nest is not None:
            nest.close()
        self.runner.instance = self.program.restore(self._spec(), snapshot, self.traffic.listen)

    def receive(self, change: Change) -> None:
        """Take memory ahead of the snapshot. Raises ``SnapshotError``."""
        assert self.program is not None
        if self.nest is None:
            self.nest = self.program.nest(self._spec(), self.traffic.listen)
        self.nest.receive(change)
        if self.ended:  # discarded meanwhile
            self.abandon()

    def abandon(self) -> None:
        """Drop the memory that came ahead."""
        nest, self.nest = self.nest, None
        if nest is not None:
            nest.close()

    def _spec(self) -> InstanceSpec:
        module = self.module
        return InstanceSpec(
            uuid=module.uuid,
            name=PurePosixPath(module.filename).stem,
            args=module.args,
            env=module.env,
            channels=module.channels,
            limits=self.limits,
        )

    def do(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do something for this copy, until done or the copy is discarded."""
        task = self._spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # ------------------------------------------------------------------------ running

    def own(self, generation: int) -> None:
        """Be this generation of the module: what it writes and its checkpoints say so."""
        self.generation = self.traffic.generation = generation

    def run(self) -> None:
        """Let it run, and grow older, until it is held."""
        if self._running_since is None:
            self._running_since = self._loop.time()
            if self.limits.wall_seconds:
                left = self.limits.wall_seconds - self._lived
                self._lifetime = self._loop.call_later(max(0.0, left), self._outlived)
        self.runner.release(_HOST)

    def hold(self) -> None:
        """Let it not run; a turn under way ends at the next safepoint."""
        self.runner.hold(_HOST)
        if self._running_since is not None:
            self._lived += self._loop.time() - self._running_since
            self._running_since = None
        if self._lifetime is not None:
            self._lifetime.cancel()
            self._lifetime = None

    async def pause(self, timeout: float) -> bool:
        """Hold it and wait until it stands; False if that takes longer than ``timeout``."""
        self.hold()
        return await self.runner.standstill(timeout)

    # ------------------------------------------------------------------------ its end

    @property
    def ended(self) -> bool:
        """Whether it will not run any more."""
        return self._ending.is_set()

    def _on_outcome(self, outcome: Outcome) -> None:
        self.traffic.drain()
        if isinstance(outcome, Exited):
            self._finish(ev.ModuleExited(self.number, outcome.code))
        elif isinstance(outcome, Trapped):
            self._fail("engine_error", outcome.reason)

    def _outlived(self) -> None:
        self._fail("limit_exceeded", f"it ran for {self.limits.wall_seconds:g} s, its limit")

    def _fail(self, code: str, detail: str) -> None:
        self._finish(ev.ModuleFailed(self.number, code, detail))

    def _finish(self, event: ev.ModuleExited | ev.ModuleFailed) -> None:
        if not self.ended:
            self._ending.set()
            self.do(self._tell_end(event))

    async def _tell_end(self, event: ev.ModuleExited | ev.ModuleFailed) -> None:
        """What it wrote goes out before the news of its end; then nobody needs its session."""
        await self._stop_running()
        if not await self.traffic.confirmed(_LAST_WORDS):
            log.warning("output.not_confirmed", module=self.module.uuid)
        await self.traffic.purge()
        self._emit(event)

    async def _stop_running(self) -> None:
        if self.instance is not None:
            self.instance.kill()
        await self.pause(_LAST_WORDS)

    async def terminate(self, grace: float) -> None:
        """End it: if it listens, after a TERM signal and ``grace`` seconds. -> ModuleTerminated,
        unless it ends by itself meanwhile."""
        if grace and self.instance is not None and self.instance.listens and self.runner.free:
            self.instance.signal("TERM")
            self.runner.wake()
            try:
                async with asyncio.timeout(grace):
                    await self._ending.wait()
            except TimeoutError:
                pass
        if self.ended:
            return
        self._ending.set()
        await self._stop_running()
        await self.traffic.purge()
        self._emit(ev.ModuleTerminated(self.number))

    def silence(self) -> None:
        """Drop it: from this call on nothing of it acts. What is left to do is to
        ``traffic.leave`` its session, which the broker keeps, and to close its ``runner``."""
        self._ending.set()
        self.traffic.mute()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        self.hold()
        self.abandon()
