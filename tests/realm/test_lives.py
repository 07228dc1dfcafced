"""A durable module that begins anew leaves the checkpoints of its former life alone."""

import pytest

from arts.protocol.messages import CloneModule, PrepareModule, RestoreModule
from arts.realm.effects import FindSnapshot, NoSnapshot, SnapshotFound, SnapshotUnfit
from tests.support.builders import NATIVE, Done, World

DURABLE = {"durability": "checkpoint", "checkpoint_interval": 60.0, "on_crash": "restart"}


def sought(done: Done) -> list[FindSnapshot]:
    return [effect for effect in done.effects if isinstance(effect, FindSnapshot)]


@pytest.fixture
def crashed(world: World) -> World:
    """Module m has trapped on a, the only runtime then, and begun anew there; b is empty."""
    world.register("a", features=NATIVE | {"checkpoint"})
    world.roaming("m", on="a", **DURABLE)
    world.report("failed", "m", detail="trap")
    assert world.wait(0.5).commands == [("a", "create")]
    world.report("started", "m")
    assert world.where("m") == ("a", 2)
    world.register("b", features=NATIVE | {"checkpoint"})
    return world


def test_one_that_trapped_begins_anew(crashed: World) -> None:
    """From its checkpoint it would trap again."""
    assert crashed.state("m") == "running"
    assert crashed.module("m").restored is None


def test_its_runtime_lost_it_goes_on_from_its_own(crashed: World) -> None:
    assert sought(crashed.lose("a")) == [FindSnapshot("m", 3, "m", since=2)]
    done = crashed.handle(NoSnapshot("m", 3, "there is no checkpoint of m", ()))
    assert done.commands == [("b", "create")], "none of this life: from the beginning"


def test_also_when_older_ones_are_tried_and_when_that_one_is_lost(crashed: World) -> None:
    crashed.lose("a")
    crashed.handle(SnapshotFound("m", 3, "m", 7, "d", 5, 1.0, ()))
    done = crashed.handle(SnapshotUnfit("m", 3, 7, "damaged"))
    assert sought(done) == [FindSnapshot("m", 3, "m", before=7, since=2)]
    crashed.register("c", features=NATIVE | {"checkpoint"})
    assert [found.since for found in sought(crashed.lose("b"))] == [2]


def test_back_to_any_when_asked(crashed: World) -> None:
    asked = crashed.handle(RestoreModule(uuid="m", number=3))
    assert sought(asked) == [FindSnapshot("m", 2, "m", at=3)]
    crashed.handle(SnapshotFound("m", 2, "m", 3, "d", 5, 1.0, ()))
    assert crashed.module("m").life == 3


def restored(world: World, generation: int, source: str, number: int, uuid: str = "m") -> None:
    """The store and the runtime do what is needed to go on from a checkpoint."""
    world.handle(SnapshotFound(uuid, generation, source, number, "d", 5, 1.0, ()))
    move = world.module(uuid).recovery
    assert move is not None
    for report in ("ready", "restored", "resumed"):
        world.report(report, uuid, digest="d", migration=move.id)
    assert world.state(uuid) == "running"


@pytest.fixture
def set_back(crashed: World) -> World:
    """Module m has gone back to checkpoint 3, because somebody wanted it, and is on b."""
    crashed.handle(RestoreModule(uuid="m", number=3))
    crashed.handle(SnapshotFound("m", 2, "m", 3, "d", 5, 1.0, ()))
    restored(crashed, 3, "m", 3)
    crashed.register("c", features=NATIVE | {"checkpoint"})
    return crashed


def test_what_came_after_the_one_it_was_set_back_to_is_of_a_former_life(set_back: World) -> None:
    owner, generation = set_back.where("m")
    assert generation == 3
    assert sought(set_back.lose(owner)) == [FindSnapshot("m", 4, "m", since=3)]
    done = set_back.handle(NoSnapshot("m", 4, "there is no checkpoint of m", ()))
    assert sought(done) == [FindSnapshot("m", 4, "m", before=4)], "that one, or an older one"
    restored(set_back, 4, "m", 3)
    assert set_back.module("m").life == 3


def test_and_again_until_it_has_one_of_its_own(set_back: World) -> None:
    set_back.lose(set_back.where("m")[0])
    set_back.handle(NoSnapshot("m", 4, "there is no checkpoint of m", ()))
    restored(set_back, 4, "m", 3)
    set_back.register("d", features=NATIVE | {"checkpoint"})
    assert sought(set_back.lose(set_back.where("m")[0])) == [FindSnapshot("m", 5, "m", since=3)]
    restored(set_back, 5, "m", 9)


def test_only_when_that_one_is_no_good_either_it_begins_anew(set_back: World) -> None:
    set_back.lose(set_back.where("m")[0])
    set_back.handle(NoSnapshot("m", 4, "there is no checkpoint of m", ()))
    done = set_back.handle(NoSnapshot("m", 4, "damaged", (3,)))
    assert [action for _, action in done.commands] == ["create"]


def test_its_numbers_begin_anew_and_a_runtime_that_dies_does_not_change_that(
    set_back: World,
) -> None:
    done = set_back.lose(set_back.where("m")[0])
    set_back.handle(NoSnapshot("m", 4, "there is no checkpoint of m", ()))
    done = set_back.handle(SnapshotFound("m", 4, "m", 3, "d", 5, 1.0, ()))
    prepare = done.command(set_back.where("m")[0])
    assert isinstance(prepare, PrepareModule)
    assert prepare.module.origin == 3


def test_a_clone_that_has_none_yet_goes_on_from_the_others(crashed: World) -> None:
    crashed.handle(CloneModule(uuid="m", clone="n"))
    restored(crashed, 1, "m", 6, uuid="n")
    crashed.register("c", features=NATIVE | {"checkpoint"})
    owner, generation = crashed.where("n")
    done = crashed.lose(owner)
    assert FindSnapshot("n", generation + 1, "n") in sought(done)
    done = crashed.handle(NoSnapshot("n", generation + 1, "there is no checkpoint of n", ()))
    assert sought(done) == [FindSnapshot("n", generation + 1, "m", before=7)]


def test_another_module_of_the_same_name_has_its_own(world: World) -> None:
    world.register("a", features=NATIVE | {"checkpoint"})
    world.roaming("m", on="a", **DURABLE)
    world.report("exited", "m", exit_code=0)
    world.create("m", **DURABLE)
    assert world.module("m").life == world.module("m").generation == 2
