"""A supervisor with twins in memory around it, which come and go as a test likes.

Knows how to start one on a store that outlives it, to hear everything it says, and to speak for a
runtime. Does not know what is tested.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from arts.bus.base import Received
from arts.bus.memory import MemoryBroker, MemoryBus
from arts.client import Client
from arts.errors import ProgramError
from arts.model import FormWish, Program
from arts.protocol import codec
from arts.protocol import messages as m
from arts.protocol.topics import Topics
from arts.realm.state import RealmSettings
from arts.store.memory import MemoryStore
from arts.supervisor import Supervisor

TOPICS = Topics("realm")
SETTINGS = RealmSettings(name="realm", link_grace=1.0, lost_after=5.0, keep_ended=60.0)
PROGRAM = Program(digest="d" * 64, size=1, source_digest="s" * 64)
RUNTIME = "rt-1"


class Programs:
    """Knows ``hello`` at once, fetches ``slow`` when told to, and has nothing else."""

    def __init__(self) -> None:
        self.fetched = asyncio.Event()
        self.pauses: list[tuple[str, float]] = []

    def known(self, filename: str, digest: str | None, form: FormWish) -> Program | None:
        """Without waiting."""
        return PROGRAM if filename == "hello" else None

    async def resolve(self, filename: str, digest: str | None, form: FormWish) -> Program:
        """With waiting."""
        if filename == "buggy":
            raise RuntimeError("a bug")
        if filename != "slow":
            raise ProgramError(f"no program {filename!r}")
        await self.fetched.wait()
        return PROGRAM

    def learn_pause(self, digest: str, seconds: float) -> None:
        """Somebody was slow."""
        self.pauses.append((digest, seconds))


class Clock:
    """Monotonic seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """One broker and one disk, and the supervisors that come and go between them."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.store = MemoryStore()
        self.programs = Programs()
        self.clock = Clock()
        self.heard: list[tuple[str, bytes]] = []
        """Everything below ``proc``, as an observer saw it."""

    @asynccontextmanager
    async def supervisor(self) -> AsyncIterator[Supervisor]:
        """A supervisor process: when it ends, only the store remembers."""
        bus = MemoryBus(self.broker, "supervisor")
        supervisor = Supervisor(SETTINGS, bus, self.store, self.programs, clock=self.clock)
        await bus.start()
        running = asyncio.create_task(supervisor.run())
        try:
            yield supervisor
            supervisor.realm.validate()
        finally:
            running.cancel()
            await asyncio.wait([running])
            await bus.stop()

    @asynccontextmanager
    async def observer(self) -> AsyncIterator[MemoryBus]:
        """Hears everything, and speaks for runtimes and strangers."""
        bus = MemoryBus(self.broker, "observer")
        bus.subscribe(f"{TOPICS.proc}/#")
        await bus.start()

        async def listen() -> None:
            while True:
                for event in await bus.receive():
                    if isinstance(event, Received):
                        self.heard.append((event.topic, event.payload))

        listening = asyncio.create_task(listen())
        try:
            yield bus
        finally:
            listening.cancel()
            await asyncio.wait([listening])
            await bus.stop()

    async def until(self, holds: Callable[[], object]) -> None:
        """Let everything that is under way happen, until ``holds``."""
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110
                await asyncio.sleep(0.001)

    def on(self, topic: str) -> list[dict[str, Any]]:
        """The objects that were published on a topic."""
        return [json.loads(payload or b"{}") for name, payload in self.heard if name == topic]


def register(bus: MemoryBus, *held: m.HeldModule, ended: tuple[m.Report, ...] = ()) -> None:
    """A native runtime announces itself."""
    request = m.RegisterRuntime(
        object_id=f"reg-{uuid.uuid4()}",
        uuid=RUNTIME,
        name="runtime",
        max_nmodules=3,
        instance="i1",
        features=frozenset({"events", "programs", "snapshot"}),
        modules=held,
        ended=ended,
    )
    bus.publish(TOPICS.registry, codec.encode_request(request, reply_to="none"), qos=1)


def report(kind: m.ReportKind, module: str, generation: int = 1, **fields: Any) -> m.Report:
    """What that runtime says about a module."""
    return m.Report(
        kind=kind, runtime=RUNTIME, instance="i1", uuid=module, generation=generation, **fields
    )


def say(bus: MemoryBus, said: m.Report) -> None:
    """Report it."""
    bus.publish(TOPICS.events_of(RUNTIME), codec.encode_report(said), qos=1)


async def running(world: World, client: Client, observer: MemoryBus, **fields: Any) -> str:
    """A module that runs on the runtime."""
    register(observer)
    await world.until(lambda: world.on(TOPICS.runtime_state(RUNTIME)))
    key: str = (await client.create("hello", **fields))["uuid"]
    say(observer, report("started", key))
    await client.wait_state(key, {"running"})
    return key


def commands(world: World) -> list[tuple[str, str]]:
    """What the runtime was told: (action, module)."""
    told = world.on(TOPICS.control_of(RUNTIME))
    return [(c["action"], c["data"]["uuid"]) for c in told if c["action"] != "announce"]
