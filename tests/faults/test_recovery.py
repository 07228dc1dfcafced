"""A runtime is killed (kill -9): durable modules go on elsewhere from their newest good checkpoint.

A counter never counts back behind a checkpoint that was kept; a module with channels answers every
message at least once, however often it is killed.
"""

import asyncio
from pathlib import Path

import pytest

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.errors import FailedPrecondition, NotFound, SnapshotError
from tests.support.broker import unique
from tests.support.echo import DURABLE, conversation
from tests.support.faults import assert_alive_once, child_called, killed, until_online
from tests.support.realm import PATIENCE, Document, Watched, counted, module

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(150),
    pytest.mark.slow,
]


async def kept(client: Client, watched: Watched, count: int = 3) -> list[Document]:
    """Wait for ``count`` checkpoints; all that there are then."""
    async with asyncio.timeout(PATIENCE):
        while True:
            found: list[Document] = (await client.query("snapshots", watched.uuid))["snapshots"]
            if found and found[-1]["number"] >= count:
                return found
            await asyncio.sleep(0.05)


async def lose_its_runtime(client: Client, realm: LocalRealm, watched: Watched) -> Document:
    """Kill the runtime of a module; its document as soon as it runs elsewhere."""
    before = watched.document
    async with killed(child_called(realm, before["parent"]["name"])):
        after = await watched.until(
            lambda d: d["state"] == "running" and d["generation"] > before["generation"]
        )
    await until_online(client, realm)
    assert after["parent"]["name"] != before["parent"]["name"]
    return after


def pieces(realm: LocalRealm) -> list[Path]:
    """The files of all checkpoints, the newest last."""
    found = (realm.data_dir / "checkpoints" / "pieces").glob("*/*")
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


async def test_a_counter_goes_on_from_its_newest_checkpoint(
    realm: LocalRealm, client: Client
) -> None:
    async with module(client, "counter", 20, **DURABLE) as counter:
        await kept(client, counter)
        floor = counted(counter.lines)[-1]
        known = await client.checkpoint(counter.uuid)
        document = await lose_its_runtime(client, realm, counter)
        assert document["restored_from"]["number"] >= known["number"]
        assert document["restored_from"]["damaged"] == []
        lines = await counter.output.more(20)
        assert min(counted(lines[10:])) > floor, f"went back behind {floor}: {lines}"
        await assert_alive_once(client, realm, counter)


async def test_a_module_with_channels_loses_no_input(realm: LocalRealm, client: Client) -> None:
    async with conversation(client, interval=0.01, **DURABLE) as (echo, talking):
        talking.judge = talking.assert_nothing_lost
        await talking.answers.more(20)
        for _ in range(2):
            await kept(client, echo)
            document = await lose_its_runtime(client, realm, echo)
            assert document["restored_from"] is not None
            await talking.answers.more(50)
            await client.move(echo.uuid)  # and killed again before its next checkpoint
        print(realm.broker.kind, talking.summary())


async def test_a_sequenced_channel_repeats_nothing(realm: LocalRealm, client: Client) -> None:
    async with conversation(client, interval=0.01, sequenced=True, **DURABLE) as (echo, talking):
        await talking.answers.more(20)
        for _ in range(2):
            await kept(client, echo)
            document = await lose_its_runtime(client, realm, echo)
            assert document["restored_from"] is not None
            await talking.answers.more(50)
            await client.move(echo.uuid)
        print(realm.broker.kind, talking.summary())


async def test_always_is_a_checkpoint_before_each_acknowledgement(
    realm: LocalRealm, client: Client
) -> None:
    fields = {"durability": "always", "checkpoint_interval": 3600}
    async with conversation(client, interval=0.02, **fields) as (echo, talking):
        talking.judge = talking.assert_nothing_lost
        await kept(client, echo)
        document = await lose_its_runtime(client, realm, echo)
        assert document["restored_from"] is not None
        await talking.answers.more(30)


async def test_a_planned_move_is_exactly_once_for_durable_modules(
    realm: LocalRealm, client: Client
) -> None:
    async with conversation(client, interval=0.01, **DURABLE) as (echo, talking):
        for _ in range(3):
            await talking.answers.more(20)
            await client.move(echo.uuid)
        await talking.answers.more(20)


async def test_a_damaged_checkpoint_is_passed_over_and_said(
    realm: LocalRealm, client: Client
) -> None:
    fields = {"durability": "checkpoint", "checkpoint_interval": 3600}
    async with module(client, "counter", 20, **fields) as counter:
        for _ in range(3):
            await client.checkpoint(counter.uuid)
        pieces(realm)[-1].write_bytes(b"nonsense")
        document = await lose_its_runtime(client, realm, counter)
        assert document["restored_from"]["number"] == 2
        assert document["restored_from"]["damaged"] == [3]
        story = (await client.query("module", counter.uuid))["story"]
        assert any("from checkpoint 2; 3 could not be used" in line["what"] for line in story)


async def test_with_no_good_checkpoint_it_begins_anew_and_says_so(
    realm: LocalRealm, client: Client
) -> None:
    fields = {"durability": "checkpoint", "checkpoint_interval": 3600}
    async with module(client, "counter", 20, **fields) as counter:
        for _ in range(2):
            await client.checkpoint(counter.uuid)
        for path in pieces(realm):
            path.write_bytes(path.read_bytes()[:-1])
        document = await lose_its_runtime(client, realm, counter)
        assert document["restored_from"] is None
        assert "from the beginning" in document["detail"]
        assert "damaged: 2, 1" in document["detail"]
        # What is damaged is no base for what comes then.
        await client.checkpoint(counter.uuid)
        assert (await lose_its_runtime(client, realm, counter))["restored_from"]["number"] == 3


async def test_the_supervisor_is_killed_while_checkpoints_are_written(
    realm: LocalRealm, client: Client
) -> None:
    fields = {"durability": "checkpoint", "checkpoint_interval": 0.05}
    async with module(client, "counter", 20, **fields) as counter:
        for _ in range(3):
            before = (await kept(client, counter))[-1]["number"]
            async with killed(realm.supervisor):
                pass
            await client.supervisor(timeout=PATIENCE)
            found = await kept(client, counter, before + 1)
            assert not any(entry["damaged"] for entry in found)
        document = await lose_its_runtime(client, realm, counter)
        assert document["restored_from"]["damaged"] == []


async def test_back_to_a_checkpoint(realm: LocalRealm, client: Client) -> None:
    async with module(client, "counter", 20) as counter:
        number = (await client.checkpoint(counter.uuid))["number"]
        then = counted(counter.lines)[-1]
        await counter.output.more(30)
        await client.restore(counter.uuid, number)
        await counter.until(lambda d: d["state"] == "running" and d["generation"] == 2)
        assert counter.document["restored_from"]["number"] == number
        lines = counted(await counter.output.more(5))
        assert min(lines) < then + 25, f"{lines} is not where it was at {then}"
        with pytest.raises(NotFound, match="no checkpoint 99"):
            await client.restore(counter.uuid, 99)


async def test_a_clone_goes_on_beside_the_original(realm: LocalRealm, client: Client) -> None:
    async with module(client, "counter", 20) as counter:
        await counter.output.more(20)
        await client.checkpoint(counter.uuid)
        clone = await client.clone(counter.uuid, unique("clone"))
        document = await client.wait_state(clone["uuid"], {"running"})
        assert document["restored_from"]["source"] == counter.uuid
        async with client.output(clone["uuid"]) as lines:
            async with asyncio.timeout(PATIENCE):
                first = await anext(lines)
        assert counted([first.line])[0] > 20
        await counter.output.more(5)
        await client.delete(clone["uuid"], force=True)


async def test_what_cannot_be_durable_is_refused(realm: LocalRealm, client: Client) -> None:
    async with module(client, "hello", until=(), labels={"nobody": "has"}, **DURABLE) as waiting:
        await waiting.reaches("pending")
        with pytest.raises(FailedPrecondition, match="pending"):
            await client.checkpoint(waiting.uuid)
    with pytest.raises((NotFound, SnapshotError)):
        await client.restore("nobody")
