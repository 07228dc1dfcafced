"""Whole realms for tests: a broker, a supervisor and runtimes as processes, and who watches them.

Knows how to start one with short time-outs, how to follow a module from outside, and how to wait
for what is seen. Does not know what is tested, and breaks nothing (``tests.support.faults`` does).
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

from arts.cli.local_realm import LocalRealm, RealmPlan, local_realm
from arts.client import Client, OutputLine
from arts.errors import NotFound
from tests.support.broker import require, unique
from tests.support.proxy import Proxy

T = TypeVar("T")
Document = dict[str, Any]

APPS = Path(__file__).parents[2] / "wasm-apps"
PATIENCE = 40.0
"""Seconds for anything that must happen, on a machine that does much else."""

_CONFIG = f"""
[liveness]
lease_factor = 2
lost_after = 1.5
link_grace = 1.5
start_timeout = 20
stop_timeout = 4
prepare_timeout = 8
freeze_timeout = 8
restore_timeout = 8
switch_timeout = 1

[scenes]
viewer_grace = 3
run_info_interval = 1

[programs]
search_path = [{json.dumps(str(APPS))}]
fetch_timeout = 2
fetch_attempts = 2
"""


@asynccontextmanager
async def running_realm(
    kind: str, directory: Path, *, runtimes: int = 2
) -> AsyncIterator[LocalRealm]:
    """A realm with a name of its own, on free ports, with every runtime registered."""
    require(kind)
    config = directory / "arts.toml"
    config.write_text(_CONFIG)
    plan = RealmPlan(
        data_dir=directory / "data",
        realm=unique("realm"),
        broker=kind,
        port=0,
        runtimes=runtimes,
        config=config,
    )
    async with local_realm(plan, print) as realm:
        yield realm


@asynccontextmanager
async def behind_proxies(realm: LocalRealm) -> AsyncIterator[dict[str, Proxy]]:
    """Each runtime restarted behind a line of its own to the broker, by name; undone at the end."""
    broker = urlsplit(realm.broker_url)
    proxies: dict[str, Proxy] = {}
    try:
        for child in realm.runtimes:
            proxy = proxies[child.name] = Proxy(broker.port or 1883)
            await proxy.start()
            await child.stop()
            child.environment["ARTS_BROKER"] = f"mqtt://127.0.0.1:{proxy.port}"
            await child.start()
        yield proxies
    finally:
        for child in realm.runtimes:
            proxies[child.name].accept()
            proxies[child.name].heal()
            await child.stop()
            child.environment["ARTS_BROKER"] = realm.broker_url
            await child.start()
            await proxies[child.name].stop()


@asynccontextmanager
async def client_of(realm: LocalRealm) -> AsyncIterator[Client]:
    """A client of ``realm``."""
    async with Client.connect(realm.broker_url, realm.name, timeout=PATIENCE) as client:
        yield client


# ---------------------------------------------------------------------------- who watches


class Observer(Generic[T]):
    """What a bystander has seen so far, oldest first, and a way to wait for more of it."""

    def __init__(self) -> None:
        self.seen: list[T] = []
        self._changed = asyncio.Event()

    def add(self, item: T) -> None:
        """Something arrived."""
        self.seen.append(item)
        self._changed.set()

    async def until(
        self, enough: Callable[[list[T]], object], *, patience: float = PATIENCE
    ) -> list[T]:
        """Wait until ``enough(seen)``; fails with the end of what was seen."""
        try:
            async with asyncio.timeout(patience):
                while not enough(self.seen):
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"never saw it in: ... {self.seen[-20:]}") from None
        return self.seen

    async def more(self, count: int) -> list[T]:
        """Wait for ``count`` items more than there are now, and return those."""
        already = len(self.seen)
        return (await self.until(lambda seen: len(seen) >= already + count))[already:]


class Watched:
    """A module as seen from outside: what it wrote, and its documents as they changed."""

    def __init__(self, uuid: str, name: str) -> None:
        self.uuid = uuid
        self.name = name
        self.output: Observer[str] = Observer()
        """Lines of its stdout."""
        self.errors: Observer[str] = Observer()
        """Lines of its stderr."""
        self.history: Observer[Document] = Observer()
        """An empty document: it is gone."""

    @property
    def lines(self) -> list[str]:
        """What it has written to its stdout so far."""
        return self.output.seen

    @property
    def document(self) -> Document:
        """As it is now."""
        return self.history.seen[-1] if self.history.seen else {}

    async def wrote(self, line: str) -> None:
        """Wait until it has written this line to its stdout."""
        await self.output.until(lambda lines: line in lines)

    async def reaches(self, *states: str) -> Document:
        """Wait until it is in one of ``states``."""
        await self.until(lambda document: document.get("state") in states)
        return self.document

    async def until(self, holds: Callable[[Document], object]) -> Document:
        """Wait until its present document is as it should be."""
        await self.history.until(lambda seen: seen and holds(seen[-1]))
        return self.document

    async def phase(self, phase: str) -> None:
        """Wait until its move is in this phase."""
        await self.until(lambda document: (document.get("migration") or {}).get("phase") == phase)


@asynccontextmanager
async def watching(client: Client, module: str, name: str = "") -> AsyncIterator[Watched]:
    """Follow a module (uuid), which need not exist yet."""
    watched = Watched(module, name)
    async with client.follow(module) as happenings:

        async def collect() -> None:
            async for happening in happenings:
                if isinstance(happening, OutputLine):
                    sink = watched.output if happening.stream == "stdout" else watched.errors
                    sink.add(happening.line)
                else:
                    watched.history.add(happening.document or {})

        collecting = asyncio.create_task(collect(), name=f"watching {name or module}")
        try:
            yield watched
        finally:
            collecting.cancel()
            await asyncio.wait([collecting])


@asynccontextmanager
async def module(
    client: Client,
    program: str,
    *args: object,
    until: Collection[str] = ("running",),
    **fields: Any,
) -> AsyncIterator[Watched]:
    """A module of its own name for the duration, from its first line on; ``until``: its state."""
    name = unique(Path(program).name.removesuffix(".wasm"))
    key = str(uuid.uuid4())
    async with watching(client, key, name) as watched:
        await client.create(
            program, uuid=key, name=name, args=tuple(map(str, args)), timeout=PATIENCE, **fields
        )
        try:
            if until:
                await watched.reaches(*until)
            yield watched
        finally:
            with suppress(NotFound):
                await client.delete(key, force=True, timeout=PATIENCE)


def counted(lines: list[str]) -> list[int]:
    """The numbers that a counter wrote."""
    return [int(line.removeprefix("count ")) for line in lines]


def is_consecutive(numbers: list[int]) -> bool:
    """Whether each number is one more than the one before."""
    return numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else True
