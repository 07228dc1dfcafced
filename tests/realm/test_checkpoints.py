"""Checkpoints as the realm sees them: who may keep one, who goes on from one, and what if not."""

from typing import Any

import pytest
from support.builders import ABLE, DURABLE, UNMOVABLE, Done, World

from arts.protocol.messages import CheckpointModule, HeldModule, Query, RestoreModule
from arts.realm.effects import (
    CheckpointKept,
    FindSnapshot,
    ForgetSnapshots,
    ListSnapshots,
    NoSnapshot,
    SendSnapshot,
    SnapshotFound,
    SnapshotUnfit,
)


@pytest.fixture
def pair(durable_pair: World) -> World:
    return durable_pair


def of(done: Done, kind: type[Any]) -> list[Any]:
    """The effects of this kind."""
    return [effect for effect in done.effects if isinstance(effect, kind)]


def found(world: World, number: int = 7, digest: str = "s", **given: Any) -> Done:
    module = world.module("m")
    generation = given.pop("generation", module.generation)
    return world.handle(SnapshotFound("m", generation, "m", number, digest, 1000, 5.0, **given))


def none(world: World, *damaged: int) -> Done:
    return world.handle(NoSnapshot("m", world.module("m").generation, "there is none", damaged))


def says(world: World, kind: str, runtime: str = "b", **fields: Any) -> Done:
    """The runtime that is to go on from the checkpoint reports."""
    module = world.module("m")
    move = fields.pop("migration", module.recovery.id if module.recovery else None)
    return world.report(kind, "m", runtime, migration=move, **fields)


def take(world: World, uuid: str = "m") -> Done:
    reply = world.reply_to()
    return world.handle(CheckpointModule(object_id=reply.object_id, reply=reply, uuid=uuid))


def restore(world: World, number: int | None = None, uuid: str = "m") -> Done:
    reply = world.reply_to()
    return world.handle(
        RestoreModule(object_id=reply.object_id, reply=reply, uuid=uuid, number=number)
    )


def kept(world: World, number: int = 1, uuid: str = "m") -> Done:
    return world.handle(CheckpointKept(uuid, 1, number, 1000, 5.0, sent=300, stood=0.0021))


class TestTaking:
    """``arts checkpoint``."""

    def test_it_is_answered_when_it_is_kept(self, pair: World) -> None:
        done = take(pair)
        assert done.commands == [("a", "checkpoint")]
        assert done.replies == []
        details = kept(pair, 4).response.details
        document = {
            "number": 4,
            "bytes": 1000,
            "taken_at": 5.0,
            "sent_bytes": 300,
            "stood_ms": 2.1,
        }
        assert details == {"module": "m", "name": "module m", **document}
        assert pair.ask("module", "m").response.details["checkpoint"] == document

    def test_everybody_who_waits_is_answered(self, pair: World) -> None:
        take(pair)
        take(pair)
        assert len(kept(pair).replies) == 2
        assert kept(pair).replies == []

    def test_a_refusal_is_passed_on(self, pair: World) -> None:
        take(pair)
        response = pair.report("refused", "m", code="snapshot_error", detail="too big").response
        assert (response.ok, response.code) == (False, "snapshot_error")
        assert "too big" in str(response.details)
        take(pair)
        assert "runtime refused" in str(pair.report("refused", "m").response.details)

    def test_silence_is_a_refusal(self, pair: World) -> None:
        take(pair)
        response = pair.wait(pair.settings.checkpoint_timeout).response
        assert "no checkpoint within 20 s" in str(response.details)

    def test_without_anybody_who_asks(self, pair: World) -> None:
        done = pair.handle(CheckpointModule(object_id="x", uuid="m"))
        assert done.commands == [("a", "checkpoint")]

    def test_not_of_what_does_not_run(self, world: World) -> None:
        world.create("m")
        assert "pending" in str(take(world).response.details)
        assert take(world, "nobody").response.code == "not_found"

    def test_not_on_a_runtime_that_cannot(self, world: World) -> None:
        world.register("a")
        world.roaming("m", on="a")
        assert "takes no checkpoints" in str(take(world).response.details)

    def test_not_of_what_cannot_become_data(self, world: World) -> None:
        world.register("a", features=ABLE)
        world.create("m")
        world.fetched("m", UNMOVABLE)
        world.report("started", "m")
        assert "it uses threads" in str(take(world).response.details)

    def test_who_waits_hears_that_the_module_is_gone(self, pair: World) -> None:
        take(pair)
        pair.delete("m")
        done = pair.report("stopped", "m")
        assert [r.response.ok for r in done.replies] == [False, True]

    def test_of_a_module_that_is_gone_it_is_nothing(self, world: World) -> None:
        assert kept(world).effects == []


class TestWhoMayKeepOne:
    """A ghost's checkpoint must not become the newest."""

    def test_the_owner(self, pair: World) -> None:
        assert pair.realm.refuses_checkpoint("m", "a", 1) is None
        pair.moving("m", "b", "freezing")
        assert pair.realm.refuses_checkpoint("m", "a", 1) is None

    def test_nobody_else(self, pair: World) -> None:
        refuses = pair.realm.refuses_checkpoint
        assert refuses("x", "a", 1) == "nobody knows the module"
        assert refuses("m", "b", 1) == refuses("m", "a", 0) == "the module lives on at generation 1"
        pair.lose("a")
        assert refuses("m", "a", 1) == "the module lives on at generation 2"
        assert refuses("m", "b", 2) == "the module is starting"


class TestWhereItMayRun:
    """Durability asks something of runtimes and programs."""

    def test_only_where_checkpoints_are_taken(self, world: World) -> None:
        world.register("a")
        world.create("m", **DURABLE)
        assert world.state("m") == "pending"
        (reason,) = dict(world.module("m").reasons).values()
        assert reason == "takes no checkpoints, and the module wants them"

    def test_not_with_a_program_that_cannot_become_data(self, world: World) -> None:
        world.register("a", features=ABLE)
        world.create("m", **DURABLE)
        response = world.fetched("m", UNMOVABLE).response
        assert (response.ok, response.code) == (False, "program_error")
        assert "it cannot be checkpoint: it uses threads" in str(response.details)
        assert world.state("m") == "failed"

    def test_the_runtime_is_told(self, world: World) -> None:
        world.register("a", features=ABLE)
        world.create("m", durability="always", checkpoint_interval=2)
        start = world.fetched("m").command("a")
        assert (start.durability, start.checkpoint_interval) == ("always", 2.0)  # type: ignore[union-attr]


class TestRecovery:
    """Its runtime is lost."""

    def test_from_the_newest(self, pair: World) -> None:
        done = pair.lose("a")
        assert of(done, FindSnapshot) == [FindSnapshot("m", 2, "m")]
        assert ("b", "create") not in done.commands
        prepare = found(pair).command("b")
        assert (prepare.action, prepare.generation) == ("prepare", 2)
        assert prepare.source == "store"  # type: ignore[union-attr]
        move = prepare.migration  # type: ignore[union-attr]
        assert of(says(pair, "ready"), SendSnapshot) == [SendSnapshot("m", 2, move, "m", 7)]
        assert says(pair, "restored", digest="s").commands == [("b", "resume")]
        says(pair, "resumed")
        assert (pair.state("m"), pair.where("m")) == ("running", ("b", 2))
        document = pair.ask("module", "m").response.details
        assert document["restored_from"] == {
            "number": 7,
            "source": "m",
            "taken_at": 5.0,
            "damaged": (),
        }
        assert "from checkpoint 7" in str(pair.realm.story("m"))

    def test_an_older_one_where_newer_ones_are_damaged(self, pair: World) -> None:
        pair.lose("a")
        found(pair, 5, damaged=(7, 6))
        says(pair, "restored", digest="s")
        says(pair, "resumed")
        restored = pair.module("m").restored
        assert restored is not None
        assert (restored.number, restored.damaged) == (5, (7, 6))
        assert "from checkpoint 5; 7, 6 could not be used" in str(pair.realm.story("m"))

    def test_from_the_beginning_where_there_is_none(self, pair: World) -> None:
        pair.lose("a")
        start = none(pair).command("b")
        assert (start.action, start.generation) == ("create", 2)
        pair.report("started", "m")
        assert pair.module("m").restored is None
        assert "module.cold_start on runtime b (there is none)" in str(pair.realm.story("m"))

    def test_from_the_beginning_where_all_are_damaged(self, pair: World) -> None:
        pair.lose("a")
        none(pair, 7, 6)
        pair.report("started", "m")
        detail = pair.module("m").detail
        assert detail == "from the beginning: there is none (damaged: 7, 6)"

    @pytest.mark.parametrize("how", ["another digest", "refused", "not sent"])
    def test_one_that_does_not_do_gives_way_to_the_one_before(self, pair: World, how: str) -> None:
        pair.lose("a")
        found(pair)
        if how == "another digest":
            done = says(pair, "restored", digest="t")
        elif how == "refused":
            done = says(pair, "refused", code="snapshot_error")
        else:
            done = pair.handle(SnapshotUnfit("m", 2, 7, "damaged"))
        assert of(done, FindSnapshot) == [FindSnapshot("m", 2, "m", before=7)]
        found(pair, 6)
        says(pair, "restored", digest="s")
        says(pair, "resumed")
        restored = pair.module("m").restored
        assert restored is not None
        assert (restored.number, restored.damaged) == (6, (7,))

    def test_a_runtime_that_cannot_take_it_is_left_for_another(self, pair: World) -> None:
        pair.register("c", features=ABLE)
        pair.lose("a")
        found(pair)
        done = says(pair, "refused", code="program_error", detail="no such program")
        assert pair.where("m") == ("c", 3)
        assert of(done, FindSnapshot) == [FindSnapshot("m", 3, "m")]

    def test_silence_too(self, pair: World) -> None:
        pair.register("c", features=ABLE)
        pair.lose("a")
        found(pair)
        pair.wait(pair.settings.start_timeout + 1)
        assert pair.where("m") == ("c", 3)

    def test_what_had_not_begun_begins(self, world: World) -> None:
        world.register("a", features=ABLE)
        world.starting("m", on="a", **DURABLE)
        world.handle(RestoreModule(uuid="m"))  # nobody waits for the refusal
        world.register("b", features=ABLE)
        world.lose("a")
        assert world.module("m").recovery is None

    def test_what_waits_for_its_runtime_goes_on_there(self, world: World) -> None:
        world.register("a", features=ABLE)
        world.running("m", on="a", on_runtime_lost="wait", **DURABLE)
        world.lose("a")
        assert world.state("m") == "lost"
        done = world.register("a", instance="a-2", features=ABLE)
        assert of(done, FindSnapshot) == [FindSnapshot("m", 2, "m")]

    def test_what_was_only_away_goes_on_as_it_is(self, world: World) -> None:
        world.register("a", features=ABLE)
        world.running("m", on="a", on_runtime_lost="wait", **DURABLE)
        world.lose("a")
        world.register("a", ("m", 1), features=ABLE)
        assert (world.state("m"), world.module("m").recovery) == ("running", None)

    def test_a_runtime_that_registers_again_is_asked_again(self, pair: World) -> None:
        pair.lose("a")
        found(pair)
        move = pair.module("m").recovery
        assert move is not None
        held = HeldModule(uuid="m", generation=2, migration=move.id, state="restored")
        done = pair.register("b", modules=(held,), features=ABLE)
        assert of(done, FindSnapshot) == [FindSnapshot("m", 2, "m")]
        assert ("b", "abort") not in done.commands
        assert found(pair).command("b").object_id == found(pair).command("b").object_id

    def test_a_next_supervisor_takes_it_up(self, pair: World) -> None:
        pair.lose("a")
        found(pair)
        again = World()
        module, runtime = pair.module("m"), pair.realm.runtime("b")
        assert runtime is not None
        effects = again.realm.restore([runtime, module], 0.0)
        assert FindSnapshot("m", 2, "m") in effects

    def test_late_words_change_nothing(self, pair: World) -> None:
        pair.lose("a")
        found(pair)
        move = pair.module("m").recovery
        assert move is not None
        assert found(pair, generation=1).effects == []
        assert pair.handle(NoSnapshot("m", 1, "late")).effects == []
        assert pair.handle(NoSnapshot("x", 1, "late")).effects == []
        assert pair.handle(SnapshotUnfit("m", 2, 3, "another")).effects == []
        assert pair.handle(SnapshotUnfit("x", 2, 3, "of nobody")).effects == []
        assert says(pair, "stopped").effects == []
        says(pair, "restored", digest="s")
        says(pair, "resumed")
        assert found(pair).effects == []
        assert none(pair).effects == []
        assert pair.handle(SnapshotUnfit("m", 2, 7, "late")).effects == []
        assert says(pair, "resumed", migration=move.id).effects == []

    def test_the_checkpoints_of_a_module_end_with_it(self, pair: World) -> None:
        pair.delete("m")
        assert of(pair.report("stopped", "m"), ForgetSnapshots) == [ForgetSnapshots("m")]

    def test_who_has_none_has_none_to_end(self, world: World) -> None:
        world.register("a", features=ABLE)
        world.running("m", on="a")
        world.running("n", on="a")
        kept(world, uuid="n")
        world.delete("m")
        assert of(world.report("stopped", "m"), ForgetSnapshots) == []
        world.delete("n")
        assert of(world.report("stopped", "n"), ForgetSnapshots) == [ForgetSnapshots("n")]


class TestGoingBack:
    """``arts restore``."""

    def test_a_running_module(self, pair: World) -> None:
        done = restore(pair, 3)
        assert of(done, FindSnapshot) == [FindSnapshot("m", 1, "m", 3)]
        assert pair.state("m") == "running"
        done = found(pair, 3)
        assert done.commands == [("a", "delete")]
        assert done.response.details["state"] == "starting"
        assert pair.where("m") == ("a", 2)
        assert of(done, FindSnapshot) == [FindSnapshot("m", 2, "m", 3)]
        found(pair, 3)
        says(pair, "restored", "a", digest="s")
        says(pair, "resumed", "a")
        assert pair.module("m").restored is not None

    def test_without_anybody_who_asks(self, pair: World) -> None:
        pair.handle(RestoreModule(uuid="m"))
        assert found(pair, 3).replies == []
        assert pair.state("m") == "starting"

    def test_one_that_has_failed(self, pair: World) -> None:
        pair.report("failed", "m", detail="trap")
        restore(pair)
        assert found(pair, 3).response.ok
        assert pair.state("m") == "starting"

    def test_one_that_is_lost(self, world: World) -> None:
        world.register("a", features=ABLE)
        world.running("m", on="a", on_runtime_lost="wait", **DURABLE)
        world.lose("a")
        restore(world)
        assert found(world, 3).response.details["state"] == "pending"

    def test_to_nothing_is_refused(self, pair: World) -> None:
        restore(pair, 9)
        assert none(pair).response.code == "not_found"
        restore(pair, 9)
        assert none(pair, 9).response.code == "snapshot_error"
        assert pair.where("m") == ("a", 1)
        assert pair.state("m") == "running"

    def test_one_at_a_time_and_not_just_anything(self, pair: World) -> None:
        restore(pair)
        assert "being restored already" in str(restore(pair).response.details)
        assert restore(pair, uuid="nobody").response.code == "not_found"
        found(pair, 3)
        assert "is starting" in str(restore(pair).response.details)

    def test_what_has_become_something_else_meanwhile(self, pair: World) -> None:
        restore(pair)
        pair.move("m", "b")
        assert "is migrating" in str(found(pair, 3).response.details)

    def test_what_has_moved_on_meanwhile(self, pair: World) -> None:
        restore(pair, 3)
        pair.lose("a")
        found(pair)
        assert "is starting" in str(found(pair, 3, generation=1).response.details)

    def test_what_is_gone_meanwhile(self, pair: World) -> None:
        restore(pair)
        pair.delete("m")
        done = pair.report("stopped", "m")
        assert [r.response.code for r in done.replies] == ["not_found", None]


def test_they_are_listed_by_who_keeps_them(pair: World) -> None:
    done = pair.ask("snapshots", "module m")
    (wanted,) = of(done, ListSnapshots)
    assert (wanted.module, wanted.name) == ("m", "module m")
    assert pair.ask("snapshots", "nobody").response.code == "not_found"


def test_a_listing_for_nobody(pair: World) -> None:
    assert pair.handle(Query(what="snapshots", key="m")).effects == []
