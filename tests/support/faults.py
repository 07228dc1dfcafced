"""Real faults for real processes: killed, stopped, cut off. Each one ends with its block.

Knows signals and brokers, and how to tell from outside which runtime holds a module. Does not
know what should happen then.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import pairwise
from typing import Any

import psutil

from arts.cli.children import Child
from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.errors import NotFound
from arts.protocol.codec import decode_document
from arts.protocol.messages import SupervisorNotice
from tests.support.realm import PATIENCE, Watched, client_of, counted, is_consecutive

_ENOUGH = 10
"""So many lines of a counter show whether one or two of them write."""


# ---------------------------------------------------------------------------- processes


def send(child: Child, number: signal.Signals) -> None:
    """Send a signal, if it is there."""
    if child.pid is not None:
        with suppress(ProcessLookupError):
            os.kill(child.pid, number)


async def kill(child: Child) -> None:
    """``kill -9``, stopped or not, and wait until it is gone."""
    send(child, signal.SIGKILL)
    await child.wait()


@asynccontextmanager
async def killed(child: Child) -> AsyncIterator[None]:
    """Gone for the duration, and then started again, from what it left on disk."""
    await kill(child)
    try:
        yield
    finally:
        await child.start()


@contextmanager
def stopped(child: Child) -> Iterator[None]:
    """It stands still (SIGSTOP), connections and all, and notices nothing."""
    send(child, signal.SIGSTOP)
    try:
        yield
    finally:
        send(child, signal.SIGCONT)


@asynccontextmanager
async def without_broker(realm: LocalRealm) -> AsyncIterator[None]:
    """No broker for the duration; afterwards it is back where it was, with what it saved."""
    await realm.broker.stop()
    try:
        yield
    finally:
        await realm.broker.restart()


def is_alive(child: Child) -> bool:
    """Whether its process is there, stopped or not."""
    try:
        return child.pid is not None and psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def repair(realm: LocalRealm) -> None:
    """Whatever a test did, and wherever it gave up: everything runs, and there is no module."""
    if realm.broker.pid is None:
        await realm.broker.restart()
    for child in (realm.supervisor, *realm.runtimes):
        send(child, signal.SIGCONT)
        if not is_alive(child):
            await child.start()
    async with client_of(realm) as client:
        await until_online(client, realm)
        for module in (await _realm(client))["modules"]:
            with suppress(NotFound):
                await client.delete(module["uuid"], force=True, timeout=PATIENCE)


# ---------------------------------------------------------------------------- how things are


def child_called(realm: LocalRealm, name: str) -> Child:
    """The runtime process of this name."""
    return next(child for child in realm.runtimes if child.name == name)


async def instances(client: Client) -> dict[str, str]:
    """Which process each runtime is, by the runtime's name."""
    return {r["name"]: r["instance"] for r in (await _realm(client))["runtimes"]}


async def until_online(
    client: Client, realm: LocalRealm, *, unlike: Mapping[str, str] | None = None
) -> None:
    """Wait until all runtimes are online, as the supervisor sees it.

    ``unlike``: the ``instances`` of before, where it cannot know yet that they were killed.
    """
    wanted, gone = {child.name for child in realm.runtimes}, set((unlike or {}).values())
    async with asyncio.timeout(PATIENCE):
        while True:
            runtimes = [r for r in (await _realm(client))["runtimes"] if r["state"] == "online"]
            if wanted <= {r["name"] for r in runtimes if r["instance"] not in gone}:
                return
            await asyncio.sleep(0.1)


async def until_succeeded(client: Client, first: SupervisorNotice) -> None:
    """Wait until another supervisor than the ``first`` is in charge."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if (await client.supervisor(timeout=PATIENCE)).instance != first.instance:
                return
            await asyncio.sleep(0.02)


async def _realm(client: Client) -> dict[str, Any]:
    """The realm, from whichever supervisor is there by then."""
    await client.supervisor(timeout=PATIENCE)
    return await client.query("realm", timeout=PATIENCE)


async def holders(client: Client, realm: LocalRealm, module: str) -> dict[str, int]:
    """Which runtimes say that they run a module, and at which generation: asks themselves.

    Waits for one new keepalive of every runtime process.
    """
    names = {r["uuid"]: r["name"] for r in (await _realm(client))["runtimes"]}
    missing = {child.name for child in realm.runtimes}
    found: dict[str, int] = {}
    topic = client.topics.keepalive_of("+")
    async with asyncio.timeout(PATIENCE), client.messages(topic) as messages:
        async for message in messages:
            name = names.get(message.topic.rsplit("/", 1)[1], "")
            missing.discard(name)
            for child in _children(message.payload):
                if child["uuid"] == module:
                    found[name] = child["generation"]
            if not missing:
                return found
    raise AssertionError("the client was closed")


def _children(payload: bytes) -> list[dict[str, Any]]:
    children: list[dict[str, Any]] = decode_document(payload)["data"].get("children", [])
    return children


async def assert_alive_once(client: Client, realm: LocalRealm, module: Watched) -> None:
    """It runs, at one place, the one that the realm knows, and nothing is in between.

    Two that write would also be seen in its lines, if it is a counter.
    """
    document = await module.until(lambda d: d.get("state") == "running" and not d["migration"])
    if module.lines:
        tail = counted(await module.output.more(_ENOUGH))
        assert is_consecutive(tail), f"two of them write: {tail}"
    held = await holders(client, realm, module.uuid)
    document = await client.query("module", module.uuid, timeout=PATIENCE)
    assert (document["state"], document["migration"]) == ("running", None)
    assert held == {document["parent"]["name"]: document["generation"]}


def assert_only_restarts(counter: Watched) -> None:
    """Its lines go on, or begin again at 1: never a step back, a gap or a repeat in between."""
    numbers = counted(counter.lines)
    for before, after in pairwise(numbers):
        assert after in (before + 1, 1), f"{after} after {before} in {numbers}"
