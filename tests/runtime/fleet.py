"""Runtimes on a broker, and a hand in place of the realm: it sends commands and reads all.

Nothing here decides anything; a test says each step. Waiting is always for something that must
come, never for time to pass.
"""

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from arts.bus.base import Bus, Received, Session, Will
from arts.bus.memory import MemoryBroker, MemoryBus, MemorySession
from arts.model import ChannelSpec, Filetype, Program
from arts.protocol import codec
from arts.protocol import messages as m
from arts.protocol.topics import Topics
from runtime.agent import Agent
from runtime.engines.base import Engine
from runtime.settings import RuntimeSettings
from tests.support.native import request_in

PATIENCE = 30.0
TOPICS = Topics("realm")


def echo_channels(prefix: str) -> tuple[ChannelSpec, ...]:
    """What the program ``echo`` wants."""
    return (
        ChannelSpec(path="/ch/in", topic=f"{prefix}/in", mode="r"),
        ChannelSpec(path="/ch/out", topic=f"{prefix}/out", mode="w"),
    )


ECHO = echo_channels("echo")


@dataclass
class Moved:
    """What the two ends said about a move."""

    frozen: m.Report
    restored: m.Report
    resumed: m.Report

    @property
    def downtime(self) -> float:
        """Seconds that the module stood still."""
        return self.resumed.at - self.frozen.at


@dataclass
class Fleet:
    """``programs``: name -> bytes; ``directory``: where the runtimes live; all on one memory
    broker unless a subclass says otherwise."""

    engine: Engine
    programs: dict[str, bytes]
    directory: Path
    broker: MemoryBroker = field(default_factory=MemoryBroker)
    realm: str = "realm"
    accept: bool = True
    """Whether registrations are answered."""
    agents: dict[str, Agent] = field(default_factory=dict)
    reports: list[m.Report] = field(default_factory=list)
    registrations: list[m.RegisterRuntime] = field(default_factory=list)
    farewells: list[m.RemoveRuntime] = field(default_factory=list)
    keepalives: list[m.Keepalive] = field(default_factory=list)
    messages: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    """Everything else, by topic."""

    def __post_init__(self) -> None:
        self.topics = Topics(self.realm)
        self.bus: Bus = self.make_bus(f"{self.realm}-hand", None)
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._news = asyncio.Condition()
        self._claimed: set[int] = set()

    def make_bus(self, client_id: str, will: Will | None) -> Bus:
        return MemoryBus(self.broker, client_id, will=will)

    def make_session(self, client_id: str) -> Session:
        return MemorySession(self.broker, client_id)

    everything = "#"
    """The filter of all that the hand reads."""

    # ---- life

    async def __aenter__(self) -> "Fleet":
        self.bus.subscribe(self.everything)
        await self.bus.start()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.broker.heal()
        for name in list(self.agents):
            await self.stop_runtime(name)
        self._reading.cancel()
        await self.bus.stop()

    async def runtime(self, name: str, **settings: Any) -> Agent:
        """Start a runtime and wait until it has registered."""
        agent = self.launch(name, **settings)
        await self.until(lambda: any(r.uuid == name for r in self.registrations))
        return agent

    def launch(self, name: str, **settings: Any) -> Agent:
        """Start a runtime."""
        home = self.seed(name)
        agent = self.agents[name] = Agent(
            RuntimeSettings(data_dir=home, realm=self.realm, name=name, uuid=name, **settings),
            make_bus=self.make_bus,
            make_session=self.make_session,
            engine=self.engine,
        )
        self.tasks[name] = asyncio.create_task(agent.run())
        return agent

    def seed(self, name: str) -> Path:
        """A home for a runtime, with all programs in it."""
        home = self.directory / name
        (home / "programs").mkdir(parents=True, exist_ok=True)
        for data in self.programs.values():
            (home / "programs" / hashlib.sha256(data).hexdigest()).write_bytes(data)
        return home

    async def stop_runtime(self, name: str) -> None:
        """Let a runtime take its leave."""
        self.agents.pop(name).stop()
        await asyncio.wait_for(self.tasks.pop(name), PATIENCE)

    # ---- what is heard

    async def _read(self) -> None:
        while True:
            for event in await self.bus.receive():
                if isinstance(event, Received):
                    self._on_message(event.topic, event.payload)
            async with self._news:
                self._news.notify_all()

    def _on_message(self, topic: str, payload: bytes) -> None:
        if topic.startswith(self.topics.events_of("")):
            self.reports.append(codec.decode_report(payload))
        elif topic == self.topics.registry or topic.startswith(self.topics.keepalive):
            self._on_request(request_in(topic, payload))
        elif not topic.startswith((self.topics.control, f"{self.topics.proc}/snapshot")):
            self.messages[topic].append(payload)

    def _on_request(self, request: m.AnyRequest | None) -> None:
        match request:
            case m.RegisterRuntime():
                self.registrations.append(request)
                if self.accept:
                    self.answer(request, m.Response(ok=True, details={}))
            case m.RemoveRuntime():
                self.farewells.append(request)
            case m.Keepalive():
                self.keepalives.append(request)

    def answer(self, request: m.RegisterRuntime, response: m.Response) -> None:
        assert request.reply is not None
        payload = codec.encode_response(request.reply, response)
        self.bus.publish(request.reply.topic, payload, qos=1)

    async def until(self, predicate: Callable[[], object]) -> None:
        """Wait until something that has been heard makes ``predicate`` true."""

        async def wait() -> None:
            async with self._news:
                await self._news.wait_for(predicate)

        await asyncio.wait_for(wait(), PATIENCE)

    async def report(self, kind: str, uuid: str = "m") -> m.Report:
        """The next report of this kind about this module; each is returned once."""

        def find() -> m.Report | None:
            for report in self.reports:
                if (report.kind, report.uuid) == (kind, uuid) and id(report) not in self._claimed:
                    return report
            return None

        await self.until(find)
        found = find()
        assert found is not None
        self._claimed.add(id(found))
        return found

    def lines(self, uuid: str = "m", stream: str = "stdout") -> list[str]:
        """What a module has printed so far."""
        return [line.decode() for line in self.messages[self.topics.stdio(stream, uuid)]]

    async def printed(self, count: int, uuid: str = "m") -> list[str]:
        """Wait for so many more lines of a module; all lines so far."""
        wanted = len(self.lines(uuid)) + count
        await self.until(lambda: len(self.lines(uuid)) >= wanted)
        return self.lines(uuid)

    # ---- what is said

    def send(self, runtime: str, command: m.AnyCommand) -> None:
        self.bus.publish(self.topics.control_of(runtime), codec.encode_command(command), qos=1)

    def start_command(
        self, program: str, runtime: str = "a", uuid: str = "m", generation: int = 1, **fields: Any
    ) -> m.StartModule:
        digest = hashlib.sha256(self.programs[program]).hexdigest()
        return m.StartModule(
            object_id=f"start-{uuid}-{generation}",
            uuid=uuid,
            generation=generation,
            name=program,
            filename=f"{program}.wasm",
            filetype=Filetype.WASM,
            program=Program(digest, len(self.programs[program]), digest),
            parent=runtime,
            **fields,
        )

    async def start(self, program: str, runtime: str = "a", **fields: Any) -> m.StartModule:
        """Start a module and wait until it runs."""
        command = self.start_command(program, runtime, **fields)
        self.send(runtime, command)
        await self.report("started", command.uuid)
        return command

    async def stop(self, runtime: str, uuid: str = "m", generation: int = 1, **fields: Any) -> None:
        """Stop a module and wait until it has."""
        self.send(runtime, m.StopModule(uuid=uuid, generation=generation, **fields))
        await self.report("stopped", uuid)

    async def move(
        self,
        module: m.StartModule,
        source: str,
        target: str,
        *,
        before_freeze: Callable[[], Awaitable[None]] | None = None,
    ) -> tuple[m.StartModule, Moved]:
        """Move a module, step by step as the realm does; what it is now, and what was said."""
        moving = Move(self, module, source, target)
        await moving.prepare()
        if before_freeze is not None:
            await before_freeze()
        frozen, restored = await moving.freeze()
        resumed = await moving.switch()
        return moving.moved, Moved(frozen, restored, resumed)


class Move:
    """One move, a step at a time."""

    def __init__(
        self, fleet: Fleet, module: m.StartModule, source: str, target: str, name: str = ""
    ) -> None:
        self.fleet, self.module = fleet, module
        self.source, self.target = source, target
        generation = module.generation + 1
        self.moved = module.model_copy(update={"generation": generation, "parent": target})
        self.step: dict[str, Any] = {
            "uuid": module.uuid,
            "generation": generation,
            "migration": name or f"move-{module.uuid}-{generation}",
        }

    async def prepare(self) -> None:
        command = m.PrepareModule(module=self.moved, source=self.source, **self.step)
        self.fleet.send(self.target, command)
        await self.fleet.report("ready", self.module.uuid)

    def send_freeze(self, *, rehearse: bool = False) -> None:
        freeze = m.FreezeModule(target=self.target, rehearse=rehearse, **self.step)
        self.fleet.send(self.source, freeze)

    async def freeze(self, *, rehearse: bool = False) -> tuple[m.Report, m.Report]:
        self.send_freeze(rehearse=rehearse)
        frozen = await self.fleet.report("frozen", self.module.uuid)
        restored = await self.fleet.report("restored", self.module.uuid)
        assert (frozen.digest, frozen.size) == (restored.digest, restored.size)
        return frozen, restored

    async def switch(self) -> m.Report:
        self.fleet.send(self.target, m.ResumeModule(**self.step))
        self.fleet.send(self.source, m.ReleaseModule(**self.step))
        resumed = await self.fleet.report("resumed", self.module.uuid)
        await self.fleet.report("released", self.module.uuid)
        await self.fleet.stop(
            self.source,
            self.module.uuid,
            self.module.generation,
            force=True,
            forget_session=False,
        )
        return resumed

    async def abort(self) -> None:
        for runtime in (self.source, self.target):
            self.fleet.send(runtime, m.AbortMigration(**self.step))
            await self.fleet.report("aborted", self.module.uuid)
