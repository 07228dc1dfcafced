"""A durable module that begins anew leaves the checkpoints of its former life alone."""

import pytest

from arts.protocol.messages import RestoreModule
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
    assert crashed.module("m").life == 0


def test_another_module_of_the_same_name_has_its_own(world: World) -> None:
    world.register("a", features=NATIVE | {"checkpoint"})
    world.roaming("m", on="a", **DURABLE)
    world.report("exited", "m", exit_code=0)
    world.create("m", **DURABLE)
    assert world.module("m").life == world.module("m").generation == 2
