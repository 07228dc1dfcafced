"""A whole realm on this machine, as processes: a broker, a supervisor and some runtimes.

Knows the order in which they start and stop, and what to do when one of them dies. Says what
happens through ``report``, one line of plain text at a time.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from arts.bus.broker import Broker, open_broker
from arts.cli.children import Child
from arts.client import Client
from arts.errors import BusError, RuntimeFault

Report = Callable[[str], None]

_READY = 30.0
_LOOK_AGAIN = 0.1
_WATCH_BROKER = 0.5
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class RealmPlan:
    """What to start. Ports: 0 is any free one; ``port`` None is 1883 if that is free."""

    data_dir: Path
    realm: str = "realm"
    broker: str = "auto"
    host: str = "127.0.0.1"
    port: int | None = None
    http_port: int = 0
    runtimes: int = 2
    config: Path | None = None
    runtime_arguments: tuple[str, ...] = ()
    """More of them, for each runtime."""


class LocalRealm:
    """The processes of one realm; made by ``local_realm``."""

    def __init__(self, plan: RealmPlan, broker: Broker, report: Report) -> None:
        self.name = plan.realm
        self.broker = broker
        self.data_dir = plan.data_dir
        self.http_url: str | None = None
        self._report = report
        self.supervisor = self._child(plan, "supervisor", _supervisor_arguments(plan))
        self.runtimes = [
            self._child(plan, name, _runtime_arguments(plan, name))
            for name in (f"runtime-{number + 1}" for number in range(plan.runtimes))
        ]

    @property
    def broker_url(self) -> str:
        """Where clients connect."""
        return self.broker.url

    def _child(self, plan: RealmPlan, name: str, arguments: list[str]) -> Child:
        # Not as arguments: everybody can read those, and the URL may hold a password.
        where = {"ARTS_BROKER": self.broker.url, "ARTS_REALM": plan.realm}
        return Child(name, arguments, where, plan.data_dir / "logs" / f"{name}.log")

    async def start(self) -> None:
        """Start everything and wait until all runtimes are registered. Raises ``ArtsError``."""
        for child in (self.supervisor, *self.runtimes):
            await child.start()
        try:
            async with asyncio.timeout(_READY):
                await _first(self._until_ready(), *map(self._until_death, self._children()))
        except TimeoutError:
            raise RuntimeFault(f"not everything was ready within {_READY:g} s") from None

    def _children(self) -> list[Child]:
        return [self.supervisor, *self.runtimes]

    async def _until_ready(self) -> None:
        names = {child.name for child in self.runtimes}
        async with Client.connect(self.broker.url, self.name) as client:
            self.http_url = (await client.supervisor(timeout=_READY)).http_url
            while True:
                runtimes = (await client.query("realm"))["runtimes"]
                online = {r["name"] for r in runtimes if r["state"] == "online"}
                if names <= online:
                    return
                await asyncio.sleep(_LOOK_AGAIN)

    async def _until_death(self, child: Child) -> None:
        status = await child.wait()
        tail = child.log_tail()
        raise RuntimeFault(
            f"{child.name} ended ({_cause(status)})" + (f":\n{tail}" if tail else "")
        )

    async def watch(self) -> None:
        """Keep it up until cancelled: runtimes and the broker are started again when they die.

        Raises ``RuntimeFault`` when the supervisor dies, with what it said last.
        """
        await _first(
            self._until_death(self.supervisor),
            *map(self._keep_up, self.runtimes),
            self._keep_broker_up(),
        )

    async def _keep_up(self, child: Child) -> None:
        pause = _FIRST_PAUSE
        while True:
            began = time.monotonic()
            status = await child.wait()
            if time.monotonic() - began > 60:
                pause = _FIRST_PAUSE
            self._report(f"{child.name} died ({_cause(status)}); starting it again")
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            await child.start()

    async def _keep_broker_up(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_BROKER)
            if self.broker.pid is None or _is_alive(self.broker.pid):
                continue
            self._report("the broker died; starting it again")
            with suppress(BusError):
                await self.broker.restart()

    async def stop(self) -> None:
        """Stop the runtimes, then the supervisor: it hears them take leave."""
        await asyncio.gather(*(child.stop() for child in self.runtimes))
        await self.supervisor.stop()


@asynccontextmanager
async def local_realm(plan: RealmPlan, report: Report) -> AsyncIterator[LocalRealm]:
    """The realm, started and registered, for the duration. Raises ``ArtsError``."""
    plan.data_dir.mkdir(parents=True, exist_ok=True)
    async with open_broker(
        plan.broker,
        plan.data_dir / "broker",
        port=plan.port,
        host=plan.host,
    ) as broker:
        realm = LocalRealm(plan, broker, report)
        try:
            await realm.start()
            yield realm
        finally:
            await asyncio.shield(realm.stop())


def _supervisor_arguments(plan: RealmPlan) -> list[str]:
    arguments = ["serve", "--data-dir", str(plan.data_dir), "--http-port", str(plan.http_port)]
    return [*arguments, "--config", str(plan.config)] if plan.config else arguments


def _runtime_arguments(plan: RealmPlan, name: str) -> list[str]:
    directory = str(plan.data_dir / "runtimes" / name)
    return ["runtime", "--name", name, "--data-dir", directory, *plan.runtime_arguments]


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _cause(status: int) -> str:
    return f"exit status {status}" if status >= 0 else f"signal {-status}"


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Do all at once; the first to end or fail ends it, and the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
