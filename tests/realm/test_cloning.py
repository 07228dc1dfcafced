"""``arts clone`` as the realm sees it: a module that goes on from the checkpoint of another."""

from typing import Any

import pytest
from support.builders import ABLE, DURABLE, Done, World

from arts.protocol.messages import CloneModule
from arts.realm.effects import FindSnapshot, NoSnapshot, SnapshotFound


@pytest.fixture
def pair(durable_pair: World) -> World:
    return durable_pair


def clone(world: World, uuid: str = "m", **given: Any) -> Done:
    reply = world.reply_to(given.pop("object_id", None))
    request = CloneModule(object_id=reply.object_id, reply=reply, uuid=uuid, clone="n", **given)
    return world.handle(request)


def test_from_the_checkpoint_of_the_other(pair: World) -> None:
    done = clone(pair, name="twin")
    assert done.response.details["name"] == "twin"
    assert [e for e in done.effects if isinstance(e, FindSnapshot)] == [FindSnapshot("n", 1, "m")]
    prepare = pair.handle(SnapshotFound("n", 1, "m", 7, "s", 10, 5.0)).command("b")
    assert prepare.uuid == "n"
    move = pair.module("n").recovery
    assert move is not None
    pair.report("restored", "n", migration=move.id, digest="s")
    pair.report("resumed", "n", migration=move.id)
    restored = pair.module("n").restored
    assert restored is not None
    assert (restored.source, restored.number) == ("m", 7)
    pair.lose("b")
    assert pair.module("n").recovery is not None
    assert pair.module("n").recovery.source == "n"  # type: ignore[union-attr]


def test_of_nothing_there_is_no_clone(pair: World) -> None:
    clone(pair)
    pair.handle(NoSnapshot("n", 1, "there is no checkpoint of m"))
    assert pair.state("n") == "failed"
    assert pair.module("n").detail == "there is no checkpoint of m"


def test_again_is_the_same(world: World) -> None:
    world.register("a", features=ABLE)
    world.roaming("m", on="a")
    assert clone(world, object_id="q").response.ok
    assert clone(world, object_id="q").response.ok
    assert clone(world).response.code == "already_exists"


def test_again_before_it_is_answered(pair: World) -> None:
    pair.register_old("o", settle=False)
    pair.create("m2", parent="a", **DURABLE)
    assert clone(pair, "m2").response.code == "failed_precondition"
    assert clone(pair, "nobody").response.code == "not_found"
