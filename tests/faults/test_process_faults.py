"""Runtimes and supervisors that die, stand still or come back: nothing acknowledged is lost."""

import asyncio
import contextlib
import copy
import uuid
from pathlib import Path

import pytest

from arts.cli.children import Child
from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.errors import BusError
from tests.support.faults import (
    assert_alive_once,
    assert_only_restarts,
    child_called,
    instances,
    is_alive,
    kill,
    killed,
    stopped,
    until_online,
)
from tests.support.realm import PATIENCE, Watched, counted, is_consecutive, module

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(150),
    pytest.mark.slow,
]

INTERVAL_MS = 20
LEASE_MS = 4_000
"""So long a runtime of these realms may be silent."""


# ---------------------------------------------------------------------------- the supervisor


async def test_the_supervisor_is_killed_under_load(realm: LocalRealm, client: Client) -> None:
    """Every create that was acknowledged exists; what ran goes on running, not from the start."""
    acknowledged: list[str] = []

    async def create_until_silence() -> None:
        with contextlib.suppress(BusError):
            while True:
                key = str(uuid.uuid4())
                await client.create("counter", uuid=key, args=("500",), timeout=3)
                acknowledged.append(key)

    async with module(client, "counter", INTERVAL_MS) as counter:
        creating = [asyncio.create_task(create_until_silence()) for _ in range(4)]
        while len(acknowledged) < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        async with killed(realm.supervisor):
            await asyncio.wait(creating)
            await counter.output.more(10)
        await until_online(client, realm)
        states = await _states(client)
        assert set(acknowledged) <= set(states)
        for key in acknowledged:
            await client.wait_state(key, {"running"}, timeout=PATIENCE)
        await assert_alive_once(client, realm, counter)
        assert counter.document["generation"] == 1
        assert is_consecutive(counted(counter.lines))


async def _states(client: Client) -> dict[str, str]:
    modules = (await client.query("realm", timeout=PATIENCE))["modules"]
    return {module["uuid"]: module["state"] for module in modules}


async def test_what_happens_while_nobody_supervises(realm: LocalRealm, client: Client) -> None:
    """A module exits, another is told what to do: known, and done, when there is one again."""
    async with (
        module(client, "stdinread") as reader,
        module(client, "counter", 100, 15) as counter,
    ):
        async with killed(realm.supervisor):
            client.write_stdin(reader.uuid, b"hello")
            await reader.output.until(lambda lines: lines == ["got: hello"])
            await counter.output.until(lambda lines: "count 15" in lines)
        assert (await counter.reaches("exited"))["exit_code"] == 0
        assert is_consecutive(counted(counter.lines))
        await client.move(reader.uuid)
        client.write_stdin(reader.uuid, b"again")
        await reader.output.until(lambda lines: lines == ["got: hello", "got: again"])


async def test_requests_while_nobody_supervises(realm: LocalRealm, client: Client) -> None:
    """Who asks hears that there is nobody to answer."""
    async with killed(realm.supervisor):
        await _until_unsupervised(client)
        with pytest.raises(BusError, match="no supervisor in realm"):
            await client.create("hello")


async def _until_unsupervised(client: Client) -> None:
    """Wait until the supervisor's last will has spoken."""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(BusError):
            while await client.supervisor(timeout=0.1):  # noqa: ASYNC110
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("which", ["supervisor", "runtime-1"])
async def test_two_processes_cannot_share_a_directory(
    realm: LocalRealm, client: Client, which: str
) -> None:
    """The second says so and leaves the first alone."""
    first = next(c for c in (realm.supervisor, *realm.runtimes) if c.name == which)
    second = copy.copy(first)
    await second.start()
    assert await second.wait() != 0
    assert "another" in second.log_tail()
    async with module(client, "hello", until=("exited",)):
        assert is_alive(first)


async def test_the_supervisor_stands_still(realm: LocalRealm, client: Client) -> None:
    """Longer than any lease: its own absence is no reason to give anybody up."""
    async with module(client, "counter", INTERVAL_MS) as counter:
        with stopped(realm.supervisor):
            await counter.output.more(LEASE_MS * 3 // 2 // INTERVAL_MS)
        await assert_alive_once(client, realm, counter)
        assert counter.document["generation"] == 1
        assert is_consecutive(counted(counter.lines))


async def test_a_storm_of_nonsense(realm: LocalRealm, client: Client) -> None:
    """Ten thousand messages that make no sense, in between requests that do."""
    topics = client.topics
    nonsense = (b"", b"{", b"\xff" * 100, b'{"type": "arts_req", "action": "?"}')
    async with module(client, "counter", INTERVAL_MS) as counter:
        for _ in range(25):
            for payload in nonsense:
                for topic in (topics.control, topics.registry, topics.events_of("x")):
                    for _ in range(33):
                        client.publish(topic, payload)
            document = await client.query("module", counter.uuid, timeout=PATIENCE)
            assert document["state"] == "running"
        await client.move(counter.uuid)
        await assert_alive_once(client, realm, counter)
        assert is_consecutive(counted(counter.lines))


# ---------------------------------------------------------------------------- runtimes


async def test_a_runtime_is_killed(realm: LocalRealm, client: Client) -> None:
    """Its last will speaks, its modules begin anew elsewhere, and it comes back with nothing."""
    async with module(client, "counter", INTERVAL_MS) as counter:
        first = child_called(realm, counter.document["parent"]["name"])
        async with killed(first):
            await counter.until(lambda d: d["state"] == "running" and d["generation"] == 2)
            assert counter.document["parent"]["name"] != first.name
            await counter.output.more(3)
        await until_online(client, realm)
        await assert_alive_once(client, realm, counter)
        assert_only_restarts(counter)


async def test_a_module_that_waits_for_its_runtime(realm: LocalRealm, client: Client) -> None:
    """``on_runtime_lost: wait``: it stays lost until its runtime is back, and starts there."""
    async with module(client, "counter", INTERVAL_MS, on_runtime_lost="wait") as counter:
        home = counter.document["parent"]["name"]
        async with killed(child_called(realm, home)):
            await counter.reaches("lost")
        await counter.until(lambda d: d["state"] == "running" and d["generation"] == 2)
        assert counter.document["parent"]["name"] == home
        await assert_alive_once(client, realm, counter)


async def test_a_runtime_is_back_before_anybody_missed_it(
    realm: LocalRealm, client: Client
) -> None:
    """A new process of the same runtime: what the old one ran is started again, once."""
    async with module(client, "counter", INTERVAL_MS) as counter:
        async with killed(child_called(realm, counter.document["parent"]["name"])):
            pass
        await counter.until(lambda d: d["state"] == "running" and d["generation"] > 1)
        await assert_alive_once(client, realm, counter)
        assert_only_restarts(counter)


async def test_all_runtimes_are_killed(realm: LocalRealm, client: Client) -> None:
    """Its module waits with the reasons, and starts when one is back."""
    async with module(client, "counter", INTERVAL_MS) as counter:
        async with killed(realm.runtimes[0]):
            async with killed(realm.runtimes[1]):
                waiting = await counter.reaches("pending")
                assert "waits for a runtime" in waiting["detail"]
            await counter.reaches("running")
            assert counter.document["parent"]["name"] == realm.runtimes[1].name
        await until_online(client, realm)
        await assert_alive_once(client, realm, counter)


async def test_a_runtime_and_the_supervisor_are_killed(realm: LocalRealm, client: Client) -> None:
    """The next supervisor finds out what became of the modules of both runtimes."""
    async with (
        module(client, "counter", INTERVAL_MS, parent="runtime-1") as lost,
        module(client, "counter", INTERVAL_MS, parent="runtime-2") as kept,
    ):
        before = await instances(client)
        async with killed(realm.supervisor), killed(realm.runtimes[0]):
            await kept.output.more(5)
        await until_online(client, realm, unlike={"runtime-1": before["runtime-1"]})
        await lost.until(lambda d: d["state"] == "running" and d["generation"] > 1)
        await assert_alive_once(client, realm, lost)
        await assert_alive_once(client, realm, kept)
        assert kept.document["generation"] == 1
        assert is_consecutive(counted(kept.lines))
        assert_only_restarts(lost)


async def test_a_runtime_stands_still_and_comes_back_as_a_ghost(
    realm: LocalRealm, client: Client
) -> None:
    """Given up meanwhile, it still holds the module: it is told to drop it, and does."""
    async with module(client, "counter", INTERVAL_MS) as counter:
        ghost = child_called(realm, counter.document["parent"]["name"])
        with stopped(ghost):
            await counter.until(lambda d: d["state"] == "running" and d["generation"] == 2)
            await counter.output.more(5)
        await until_online(client, realm)
        await _silent(client, counter, ghost.name)
        await assert_alive_once(client, realm, counter)
        assert counter.document["generation"] == 2


async def _silent(client: Client, counter: Watched, runtime: str) -> None:
    """Wait until the ghost's lines (far ahead of the new count) have stopped coming."""

    def only_one(lines: list[str]) -> bool:
        return len(lines) >= 5 and is_consecutive(counted(lines[-5:]))

    await counter.output.more(5)
    await counter.output.until(only_one)


async def test_a_module_that_fits_nowhere_starts_when_a_runtime_joins(
    realm: LocalRealm, client: Client, tmp_path: Path
) -> None:
    """Until then it waits, and says what speaks against each runtime."""
    wanted = {"camera": "yes"}
    where = ("--broker", realm.broker_url, "--realm", realm.name, "--data-dir", str(tmp_path))
    arguments = ("runtime", "--name", "newcomer", "--label", "camera=yes", *where)
    newcomer = Child("newcomer", arguments, {}, tmp_path / "log")
    async with module(client, "counter", INTERVAL_MS, labels=wanted, until=("pending",)) as counter:
        assert set(counter.document["reasons"]) == {"runtime-1", "runtime-2"}
        assert all("camera" in reason for reason in counter.document["reasons"].values())
        await newcomer.start()
        try:
            await counter.reaches("running")
            assert counter.document["parent"]["name"] == "newcomer"
            await counter.output.more(3)
        finally:
            await newcomer.stop()
        await counter.reaches("pending")  # it took leave: nobody waits for it


async def test_the_runtime_of_a_neighbour_is_killed_during_a_create(
    realm: LocalRealm, client: Client
) -> None:
    """The create was on its way to a runtime that is gone: it starts on the other one."""
    with stopped(realm.runtimes[0]):
        async with module(client, "counter", INTERVAL_MS, until=()) as counter:
            await counter.reaches("starting", "running")
            await kill(realm.runtimes[0])
            await counter.until(
                lambda d: d["state"] == "running" and d["parent"]["name"] == "runtime-2"
            )
            await realm.runtimes[0].start()
            await until_online(client, realm)
            await assert_alive_once(client, realm, counter)
