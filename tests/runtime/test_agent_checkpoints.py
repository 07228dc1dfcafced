"""A runtime and the store: checkpoints are taken, sent in part, kept, refused, gone on from."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from arts.keeper import Keeper
from arts.protocol import messages as m
from arts.protocol.checkpoint import Origin, Parcel, decode_parcel
from arts.protocol.transfer import Receiver, Sender
from arts.realm.effects import (
    CheckpointKept,
    Event,
    FindSnapshot,
    ForgetSnapshots,
    NoSnapshot,
    SendSnapshot,
    SnapshotFound,
    SnapshotUnfit,
)
from arts.store.checkpoints import CheckpointStore
from runtime.engines.base import ChannelWrite
from tests.runtime.fleet import ECHO, PATIENCE, TOPICS, Fleet, Move
from tests.runtime.test_agent import counts

OFTEN: dict[str, Any] = {"durability": "checkpoint", "checkpoint_interval": 0.05}
SELDOM: dict[str, Any] = {"durability": "checkpoint", "checkpoint_interval": 3600}


class Kept:
    """A keeper and what it tells."""

    def __init__(self, fleet: Fleet, directory: Path) -> None:
        self.fleet = fleet
        self.store = CheckpointStore(directory, max_bytes=1 << 24)
        self.events: list[Event] = []
        self.refusal: str | None = None
        self.origins: list[Origin] = []
        self.keeper = Keeper(
            fleet.make_bus("keeper", None),
            TOPICS,
            self.store,
            max_bytes=1 << 24,
            may_keep=self._may_keep,
            tell=self.events.append,
        )

    def _may_keep(self, origin: Origin) -> str | None:
        self.origins.append(origin)
        return self.refusal

    async def until(self, count: int, kind: type[Any] = CheckpointKept) -> list[Any]:
        """Wait for so many events of a kind."""
        async with asyncio.timeout(PATIENCE):
            while True:
                found = [event for event in self.events if isinstance(event, kind)]
                if len(found) >= count:
                    return found
                await asyncio.sleep(0.005)


@pytest.fixture
async def kept(fleet: Fleet, tmp_path: Path) -> AsyncIterator[Kept]:
    """A store, and runtimes a and b."""
    kept = Kept(fleet, tmp_path / "checkpoints")
    bus = kept.keeper._bus
    await bus.start()
    running = asyncio.create_task(kept.keeper.run())
    await fleet.runtime("a", checkpoint_timeout=0.5)
    await fleet.runtime("b")
    yield kept
    running.cancel()
    await asyncio.wait([running])
    await bus.stop()


def take(fleet: Fleet) -> None:
    fleet.send("a", m.TakeCheckpoint(object_id="take", uuid="m", generation=1))


async def go_on(kept: Kept, module: m.StartModule, generation: int, found: SnapshotFound) -> None:
    """Let the module go on from a checkpoint on b, as the realm does."""
    fleet = kept.fleet
    step = {"uuid": "m", "generation": generation, "migration": f"move-{generation}"}
    start = module.model_copy(update={"generation": generation})
    fleet.send("b", m.PrepareModule(object_id="p", module=start, source="store", **step))
    await fleet.report("ready")
    wanted = SendSnapshot("m", generation, step["migration"], "m", found.number)  # type: ignore[arg-type]
    kept.keeper.send(wanted)
    assert (await fleet.report("restored")).digest == found.digest
    fleet.send("b", m.ResumeModule(object_id="r", **step))
    await fleet.report("resumed")


async def test_a_counter_goes_on_from_its_checkpoint(fleet: Fleet, kept: Kept) -> None:
    module = await fleet.start("counter", args=("1",), **OFTEN)
    await fleet.printed(5)
    await kept.until(4)
    fleet.send("a", m.StopModule(uuid="m", generation=1, force=True, forget_session=False))
    await fleet.report("stopped")
    written = counts(fleet.lines())
    kept.keeper.find(FindSnapshot("m", 2, "m"))
    (found,) = await kept.until(1, SnapshotFound)
    await go_on(kept, module, 2, found)
    after = counts(await fleet.printed(5))[len(written) :]
    assert after == list(range(after[0], after[0] + len(after)))
    assert 1 < after[0] <= written[-1] + 1


async def test_a_source_that_got_its_module_back_takes_checkpoints_of_its_own_generation(
    fleet: Fleet, kept: Kept
) -> None:
    """At the one that it had before the move nobody would keep them."""
    module = await fleet.start("echo", channels=ECHO, **OFTEN)
    move = Move(fleet, module, "a", "b")
    await move.prepare()
    await move.freeze()
    fleet.send("a", m.ReleaseModule(**move.step))
    await fleet.report("released")
    before = len(kept.origins)
    fleet.send("a", m.ResumeModule(**(move.step | {"generation": 3})))
    await fleet.report("resumed")
    fleet.bus.publish("echo/in", b"now", qos=1)
    await kept.until(len(kept.events) + 2)
    assert {origin.generation for origin in kept.origins[before:]} == {3}


async def test_only_what_has_changed_is_sent(fleet: Fleet, kept: Kept) -> None:
    await fleet.start("counter", args=("1",), **OFTEN)
    await kept.until(3)
    first, *others = (set(found.pieces()) for found in kept.store.checkpoints("m"))
    assert others
    assert all(first & other for other in others)
    question, whole, *rest = sent(fleet)
    assert len(question.pieces) == 1, "the store may have had the module before"
    assert max(len(parcel.pieces) for parcel in rest) < len(whole.pieces)
    assert all(0 < event.stood < PATIENCE and event.sent for event in await kept.until(3))


async def test_who_takes_a_module_over_does_not_send_all_of_it_again(
    fleet: Fleet, kept: Kept
) -> None:
    module = await fleet.start("dirty", args=("2048", "10"), **OFTEN)
    await fleet.printed(1)
    await kept.until(2)
    assert frames(fleet, "a") > 2_000_000
    await fleet.move(module, "a", "b")
    await kept.until(len(kept.events) + 3)
    assert frames(fleet, "b") < 1_000_000


def frames(fleet: Fleet, runtime: str) -> int:
    """Bytes of checkpoints that a runtime has sent."""
    return sum(map(len, fleet.messages[TOPICS.checkpoint_data("m", runtime)]))


def sent(fleet: Fleet) -> list[Parcel]:
    """The checkpoints that were sent, each once; they are small, a frame has all of one."""
    parcels = {}
    for frame in fleet.messages[TOPICS.checkpoint_data("m", "a")]:
        receiver = Receiver(max_bytes=1 << 20)
        receiver.handle(frame, 0.0)
        assert receiver.data is not None
        parcel = decode_parcel(receiver.data, 1 << 20)
        parcels[parcel.origin.serial] = parcel
    return list(parcels.values())


async def test_input_is_acknowledged_when_it_is_kept(fleet: Fleet, kept: Kept) -> None:
    module = await fleet.start("echo", channels=ECHO, **SELDOM)
    for number in range(5):
        fleet.bus.publish("echo/in", f"{number}".encode(), qos=1)
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == 5)
    take(fleet)
    await kept.until(1)
    for number in range(5, 8):
        fleet.bus.publish("echo/in", f"{number}".encode(), qos=1)
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == 8)
    fleet.send("a", m.StopModule(uuid="m", generation=1, force=True, forget_session=False))
    await fleet.report("stopped")
    kept.keeper.find(FindSnapshot("m", 2, "m"))
    (found,) = await kept.until(1, SnapshotFound)
    await go_on(kept, module, 2, found)
    await fleet.until(lambda: len(fleet.messages["echo/out"]) >= 11)
    assert fleet.messages["echo/out"][8:] == [b"5", b"6", b"7"]


async def test_a_broker_that_is_silent_is_waited_for_less_and_less(
    fleet: Fleet, kept: Kept
) -> None:
    """It may be so until we acknowledge, which is after the checkpoint; and what it has not
    confirmed travels."""
    await fleet.start("echo", channels=ECHO, **SELDOM)
    agent = fleet.agents["a"]
    (copy,), (series,) = agent._copies.values(), agent._checkpoints._series.values()
    fleet.broker.hold("realm-module-m")
    copy.traffic.listen(ChannelWrite("/ch/out", b"said"))
    copy.traffic.drain()

    async def patience_after(number: int) -> float:
        take(fleet)
        await kept.until(number)
        return series.patience

    silent = [await patience_after(number) for number in range(1, 6)]
    assert silent == [0.125, 0.0625, 0.03125, 0.02, 0.02]
    fleet.broker.heal()
    await fleet.until(lambda: fleet.messages["echo/out"] == [b"said"])
    assert await copy.traffic.published(PATIENCE)
    assert [await patience_after(number) for number in range(6, 11)] == [
        *(0.04, 0.08, 0.16, 0.25, 0.25)
    ]


async def test_half_a_window_makes_one_due(fleet: Fleet, kept: Kept) -> None:
    await fleet.start("echo", channels=ECHO, **SELDOM)
    for number in range(9):
        fleet.bus.publish("echo/in", f"{number}".encode(), qos=1)
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == 9)
    assert kept.events == []
    fleet.bus.publish("echo/in", b"9", qos=1)
    await kept.until(1)


async def test_always_is_due_at_once(fleet: Fleet, kept: Kept) -> None:
    await fleet.start("echo", channels=ECHO, **(SELDOM | {"durability": "always"}))
    fleet.bus.publish("echo/in", b"one", qos=1)
    await kept.until(1)


async def test_a_move_waits_for_no_checkpoint(fleet: Fleet, kept: Kept) -> None:
    """What the module has taken comes once more, is known, and is acknowledged when it is kept."""
    module = await fleet.start("echo", channels=ECHO, **SELDOM)
    said = fleet.messages["echo/out"]
    fleet.bus.publish("echo/in", b"at a", qos=1)
    await fleet.until(lambda: len(said) == 1)
    module, _ = await fleet.move(module, "a", "b")
    fleet.bus.publish("echo/in", b"at b", qos=1)
    await fleet.until(lambda: len(said) == 2)
    module, _ = await fleet.move(module, "b", "a")
    assert kept.events == []
    fleet.bus.publish("echo/in", b"at last", qos=1)
    await fleet.until(lambda: len(said) == 3)
    fleet.send("a", m.TakeCheckpoint(object_id="take", uuid="m", generation=3))
    await kept.until(1)
    fleet.bus.publish("echo/in", b"and then", qos=1)
    await fleet.until(lambda: len(said) == 4)
    fleet.send("a", m.StopModule(uuid="m", generation=3, force=True, forget_session=False))
    await fleet.report("stopped")
    kept.keeper.find(FindSnapshot("m", 4, "m"))
    (found,) = await kept.until(1, SnapshotFound)
    await go_on(kept, module, 4, found)
    await fleet.until(lambda: len(said) == 5)
    assert said == [b"at a", b"at b", b"at last", b"and then", b"and then"]


async def test_who_dies_after_a_move_goes_back_behind_it(fleet: Fleet, kept: Kept) -> None:
    """What was taken before the move is still with the broker, for the checkpoint of before."""
    module = await fleet.start("echo", channels=ECHO, **SELDOM)
    take(fleet)
    await kept.until(1)
    for number in range(3):
        fleet.bus.publish("echo/in", f"{number}".encode(), qos=1)
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == 3)
    module, _ = await fleet.move(module, "a", "b")
    fleet.send("b", m.StopModule(uuid="m", generation=2, force=True, forget_session=False))
    await fleet.report("stopped")
    kept.keeper.find(FindSnapshot("m", 3, "m"))
    (found,) = await kept.until(1, SnapshotFound)
    await go_on(kept, module, 3, found)
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == 6)
    assert fleet.messages["echo/out"][3:] == [b"0", b"1", b"2"]


async def test_without_a_store_the_module_runs_and_moves(fleet: Fleet) -> None:
    for name in ("a", "b"):
        await fleet.runtime(name, checkpoint_timeout=0.1)
    module = await fleet.start("echo", channels=ECHO, **SELDOM)
    fleet.bus.publish("echo/in", b"one", qos=1)
    await fleet.until(lambda: fleet.messages["echo/out"])
    take(fleet)
    assert "did not say that the checkpoint is kept" in str((await fleet.report("refused")).detail)
    await fleet.move(module, "a", "b")
    fleet.bus.publish("echo/in", b"two", qos=1)
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == 2)
    assert fleet.messages["echo/out"] == [b"one", b"two"]


async def test_who_may_not_is_told_why(fleet: Fleet, kept: Kept) -> None:
    kept.refusal = "the module lives on elsewhere"
    await fleet.start("counter", args=("1",), **SELDOM)
    take(fleet)
    assert "lives on elsewhere" in str((await fleet.report("refused")).detail)
    assert kept.store.modules() == []


async def test_what_the_store_has_lost_is_sent_again(fleet: Fleet, kept: Kept) -> None:
    await fleet.start("counter", args=("1",), **SELDOM)
    take(fleet)
    await kept.until(1)
    kept.store.forget("m")
    take(fleet)
    await kept.until(2)
    assert kept.store.read("m", 1)


async def test_a_module_without_durability_has_checkpoints_when_asked(
    fleet: Fleet, kept: Kept
) -> None:
    await fleet.start("counter", args=("1",))
    take(fleet)
    await kept.until(1)
    await fleet.printed(5)


async def test_not_of_what_cannot_become_data(fleet: Fleet, kept: Kept) -> None:
    await fleet.start("counter, not prepared", args=("1",))
    take(fleet)
    assert (await fleet.report("refused")).code == "snapshot_error"


async def test_nonsense_is_no_checkpoint(fleet: Fleet, kept: Kept) -> None:
    topic = TOPICS.checkpoint_data("m", "x")
    fleet.bus.publish(topic, b"nonsense", qos=1)
    for frame in Sender(b"no parcel", 0.0).start():
        fleet.bus.publish(topic, frame, qos=1)
    verdict = TOPICS.checkpoint_verdict("m", "x")
    await fleet.until(lambda: fleet.messages[verdict])
    assert b"malformed" in fleet.messages[verdict][0]


async def test_the_newest_that_is_good_is_found(fleet: Fleet, kept: Kept) -> None:
    await fleet.start("counter", args=("1",), **SELDOM)
    for number in range(3):
        take(fleet)
        await kept.until(number + 1)
    store = kept.store
    newest = store.get("m", 3)
    only = set(newest.pieces()) - set(store.get("m", 2).pieces())
    store._path(only.pop()).write_bytes(b"")
    kept.keeper.find(FindSnapshot("m", 2, "m"))
    (found,) = await kept.until(1, SnapshotFound)
    assert (found.number, found.damaged) == (2, (3,))
    kept.keeper.find(FindSnapshot("m", 2, "m", before=2))
    assert (await kept.until(2, SnapshotFound))[1].number == 1
    for wanted, why in (
        (FindSnapshot("m", 2, "m", before=1), "no checkpoint of m"),
        (FindSnapshot("m", 9, "m", since=9), "checkpoint 3 is damaged"),
        (FindSnapshot("m", 2, "m", at=3), "checkpoint 3 is damaged"),
        (FindSnapshot("m", 2, "m", at=9), "there is no checkpoint 9"),
        (FindSnapshot("n", 2, "n"), "no checkpoint of n"),
    ):
        kept.events.clear()
        kept.keeper.find(wanted)
        (none,) = await kept.until(1, NoSnapshot)
        assert why in none.detail
    kept.keeper.send(SendSnapshot("m", 2, "move", "m", 3))
    (unfit,) = await kept.until(1, SnapshotUnfit)
    assert unfit.number == 3
    assert [s["number"] for s in await kept.keeper.snapshots("m")] == [1, 2, 3]
    kept.keeper.forget(ForgetSnapshots("m"))
    await asyncio.sleep(0)
    assert await kept.keeper.snapshots("m") == []


async def test_modules_that_nobody_knows_are_swept_away(fleet: Fleet, kept: Kept) -> None:
    await fleet.start("counter", args=("1",), **SELDOM)
    take(fleet)
    await kept.until(1)
    kept.keeper.forget_all_but({"m"})
    await asyncio.sleep(0)
    assert len(await kept.keeper.snapshots("m")) == 1
    kept.keeper.forget_all_but(())
    await asyncio.sleep(0)
    assert await kept.keeper.snapshots("m") == []


async def test_it_stands_still_when_that_is_asked_for(fleet: Fleet, kept: Kept) -> None:
    await fleet.start("counter", args=("1",))
    await fleet.printed(3)
    fleet.send("a", m.TakeCheckpoint(object_id="1", uuid="m", generation=1, hold=60))
    await kept.until(1)
    written = len(fleet.lines())
    await asyncio.sleep(0.1)
    assert len(fleet.lines()) == written
    fleet.send("a", m.TakeCheckpoint(object_id="2", uuid="m", generation=1))
    await fleet.printed(written + 3)
    fleet.send("a", m.TakeCheckpoint(object_id="3", uuid="m", generation=1, hold=0.05))
    await kept.until(3)
    await fleet.printed(len(fleet.lines()) + 3)


async def test_without_a_checkpoint_it_does_not_stand(fleet: Fleet, kept: Kept) -> None:
    await fleet.start("counter", args=("1",))
    await fleet.printed(3)
    kept.refusal = "not this one"
    fleet.send("a", m.TakeCheckpoint(object_id="1", uuid="m", generation=1, hold=60))
    await fleet.report("refused")
    await fleet.printed(len(fleet.lines()) + 3)
