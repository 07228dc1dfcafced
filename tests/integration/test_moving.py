"""Modules that move between real processes while they run, as an observer on the broker sees it."""

import asyncio
import json
import math

import pytest

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.errors import FailedPrecondition, MigrationFailed, NotFound
from tests.support.broker import unique
from tests.support.echo import conversation
from tests.support.realm import counted, is_consecutive, module
from tests.support.script import Script

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOVES = 5
STEPS_PER_CIRCLE = 120


async def test_a_counter_counts_on(client: Client) -> None:
    async with module(client, "counter", 5) as counter:
        generation = counter.document["generation"]
        for _ in range(MOVES):
            await counter.output.more(5)
            moved = await client.move(counter.uuid)
            assert moved["from"] != moved["to"]
        await counter.output.more(5)
        numbers = counted(counter.lines)
        assert numbers[0] == 1
        assert is_consecutive(numbers)
        document = await client.query("module", counter.uuid)
        assert (document["state"], document["generation"]) == ("running", generation + MOVES)


async def test_a_computation_comes_out_the_same(client: Client) -> None:
    async with (
        module(client, "queens", 12) as moving,
        module(client, "queens", 12, until=("running", "exited")) as at_rest,
    ):
        moves = 0
        try:
            for _ in range(MOVES):
                await client.move(moving.uuid)
                moves += 1
        except (FailedPrecondition, MigrationFailed):
            pass  # it was done before its last move, or during that
        assert (await moving.reaches("exited"))["exit_code"] == 0
        await at_rest.reaches("exited")
        assert moves >= 2
        assert moving.lines[-1].startswith("solutions 14200 nodes ")
        assert moving.lines == at_rest.lines


async def test_channels_follow(client: Client) -> None:
    """100 messages a second: each is answered exactly once, in order."""
    async with conversation(client, interval=0.01) as (echo, talking):
        for _ in range(MOVES):
            await talking.answers.more(10)
            await client.move(echo.uuid)
        await talking.answers.more(10)


async def test_standard_input_follows_a_module_that_waits_for_it(client: Client) -> None:
    async with module(client, "stdinread") as reader:
        for number in range(3):
            client.write_stdin(reader.uuid, b"before %d" % number)
            await reader.wrote(f"got: before {number}")
            await client.move(reader.uuid)
            client.write_stdin(reader.uuid, b"after %d" % number)
        client.write_stdin(reader.uuid, b"quit")
        assert (await reader.reaches("exited"))["exit_code"] == 0
        expected = [f"got: {when} {n}" for n in range(3) for when in ("before", "after")]
        assert reader.lines == expected


async def test_waiting_for_two_things_follows(client: Client) -> None:
    """``poll``: the time-out and the input both survive, whichever comes first."""
    async with module(client, "poll", 150) as poll:
        await poll.output.more(2)
        await client.move(poll.uuid)
        await poll.output.more(2)
        client.write_stdin(poll.uuid, b"hello")
        await poll.wrote("line: hello")
        await client.move(poll.uuid)
        await poll.output.more(2)
        client.write_stdin(poll.uuid, b"quit")
        await poll.reaches("exited")
        ticks = [int(line.split()[1]) for line in poll.lines if line.startswith("tick")]
        assert is_consecutive(ticks)
        assert [line for line in poll.lines if not line.startswith("tick")] == ["line: hello"]


async def test_a_module_moves_in_its_sleep(client: Client) -> None:
    async with module(client, "counter", 1500, 3) as sleeper:
        for line in ("count 1", "count 2"):
            await sleeper.wrote(line)
            await client.move(sleeper.uuid)
        assert (await sleeper.reaches("exited"))["exit_code"] == 0
        assert sleeper.lines == ["count 1", "count 2", "count 3"]


async def test_several_modules_move_at_once(client: Client) -> None:
    async with (
        module(client, "counter", 5) as first,
        module(client, "counter", 7) as second,
        module(client, "counter", 9) as third,
    ):
        counters = (first, second, third)
        for _ in range(3):
            await asyncio.gather(*(client.move(counter.uuid) for counter in counters))
        for counter in counters:
            await counter.output.more(3)
            numbers = counted(counter.lines)
            assert numbers[0] == 1
            assert is_consecutive(numbers)


async def test_a_box_moves_steadily_in_its_scene(client: Client, bare: Script) -> None:
    """What a scene gets is ARENA's: one ``create``, then positions without a gap or a jump."""
    scene = unique(f"{client.topics.realm}/s")
    await bare.listen(scene)
    channels = [{"path": "/ch/scene", "topic": scene, "mode": "w"}]
    async with module(client, "moving-box", 10, "box", channels=channels) as box:
        for _ in range(3):
            await bare.heard.more(10)
            await client.move(box.uuid)
        await bare.heard.more(10)
        objects = [json.loads(m.payload) for m in bare.heard.seen if m.topic == scene]
    assert objects[0]["action"] == "create"
    assert {message["action"] for message in objects[1:]} == {"update"}
    assert {message["object_id"] for message in objects} == {"box"}
    steps = [_step(message["data"]["position"]) for message in objects]
    assert steps == [number % STEPS_PER_CIRCLE for number in range(len(steps))]


def _step(position: dict[str, float]) -> int:
    angle = math.atan2(position["z"], position["x"])
    return round(angle / math.tau * STEPS_PER_CIRCLE) % STEPS_PER_CIRCLE


async def test_much_memory_leaves_while_the_module_runs(client: Client) -> None:
    """72 MiB, of which every byte is checked by the module, again and again."""
    async with module(client, "dirty", 72 * 1024, 1000, until=()) as dirty:
        await dirty.output.more(1)
        for _ in range(2):
            await client.move(dirty.uuid)
            await dirty.output.more(20)
        assert dirty.lines == [f"tick {number + 1}" for number in range(len(dirty.lines))]


async def test_to_a_named_runtime_and_back(client: Client, realm: LocalRealm) -> None:
    async with module(client, "counter", 20, parent=realm.runtimes[0].name) as counter:
        there = await client.move(counter.uuid, realm.runtimes[1].name)
        assert (there["from"], there["to"]) == ("runtime-1", "runtime-2")
        back = await client.move(counter.name, "runtime-1")
        assert (back["from"], back["to"]) == ("runtime-2", "runtime-1")
        assert back["bytes"] > 0
        assert back["downtime_ms"] > 0


async def test_moves_that_cannot_be(client: Client) -> None:
    """A clear reason each time, and the module counts on."""
    async with module(client, "counter", 20) as counter:
        here = counter.document["parent"]["name"]
        with pytest.raises(NotFound, match="no runtime 'nowhere'"):
            await client.move(counter.uuid, "nowhere")
        with pytest.raises(NotFound, match="no module 'nobody'"):
            await client.move("nobody")
        with pytest.raises(FailedPrecondition, match=f"is on {here} already"):
            await client.move(counter.uuid, here)
        await counter.output.more(3)
        assert is_consecutive(counted(counter.lines))
    with pytest.raises(NotFound):
        await client.move(counter.uuid)


async def test_a_module_that_does_not_run_cannot_move(client: Client) -> None:
    async with module(client, "counter", labels={"no": "such"}, until=("pending",)) as waiting:
        with pytest.raises(FailedPrecondition, match="is pending, not running"):
            await client.move(waiting.uuid)
