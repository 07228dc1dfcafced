"""``arts export`` and ``arts import`` as the realm sees them."""

from typing import Any

import pytest
from support.builders import NATIVE, PROGRAM, Done, World

from arts.protocol.messages import CheckpointModule, ExportModule, ImportModule
from arts.realm.effects import (
    CheckpointKept,
    ExportSnapshot,
    FindSnapshot,
    ForgetSnapshots,
    NoSnapshot,
    SnapshotFound,
    SnapshotUnfit,
)


@pytest.fixture
def able(world: World) -> World:
    """Two runtimes that take checkpoints."""
    for name in ("a", "b"):
        world.register(name, features=NATIVE | {"checkpoint", "hold"})
    return world


def of(done: Done, kind: type[Any]) -> list[Any]:
    return [effect for effect in done.effects if isinstance(effect, kind)]


def announce(world: World, uuid: str = "m", *, object_id: str | None = None, **given: Any) -> Done:
    reply = world.reply_to(object_id)
    request = ImportModule(
        object_id=reply.object_id,
        reply=reply,
        uuid=uuid,
        importer="me",
        form=PROGRAM,
        size=1000,
        generation=7,
        **given,
    )
    return world.handle(request)


def kept(world: World) -> Done:
    return world.handle(CheckpointKept("m", 7, 1, 1000, 5.0, sent=300, stood=0.0))


def restoring(world: World) -> str:
    """The module came and its runtime rebuilds it; the name of that move."""
    announce(world)
    kept(world)
    world.handle(SnapshotFound("m", 8, "m", 1, "s", 1000, 5.0))
    move = world.module("m").recovery
    assert move is not None
    return move.id


def test_who_comes_starts_when_its_checkpoint_is_kept(able: World) -> None:
    assert announce(able).response.details == {"module": "m"}
    refuses = able.realm.refuses_checkpoint
    assert refuses("m", "me", 7) is None
    assert refuses("m", "you", 7) == refuses("n", "me", 7) == "nobody knows the module"
    assert able.realm.module("m") is None
    assert of(kept(able), FindSnapshot) == [FindSnapshot("m", 8, "m", 1)]
    assert refuses("m", "me", 7) is not None
    assert able.where("m") == ("a", 8)
    assert able.module("m").spec.program == PROGRAM.source_digest
    able.handle(SnapshotFound("m", 8, "m", 1, "s", 1000, 5.0))
    move = able.module("m").recovery
    assert move is not None
    able.report("restored", "m", "a", migration=move.id, digest="s")
    able.report("resumed", "m", "a", migration=move.id)
    assert able.state("m") == "running"


@pytest.mark.parametrize("how", ["refused", "unfit", "gone", "another digest"])
def test_without_its_checkpoint_it_does_not_begin_anew(able: World, how: str) -> None:
    move = restoring(able)
    if how == "refused":
        fields = {"code": "snapshot_error", "detail": "too big"}
        able.report("refused", "m", "a", migration=move, **fields)
    elif how == "unfit":
        able.handle(SnapshotUnfit("m", 8, 1, "damaged"))
    elif how == "gone":
        able.handle(NoSnapshot("m", 8, "there is none"))
    else:
        able.report("restored", "m", "a", migration=move, digest="t")
    assert able.state("m") == "failed"


def test_a_runtime_that_dies_meanwhile_is_replaced(able: World) -> None:
    restoring(able)
    assert of(able.lose("a"), FindSnapshot) == [FindSnapshot("m", 9, "m", 1)]
    assert able.module("m").recovery.required  # type: ignore[union-attr]


def test_who_lives_here_cannot_come(able: World) -> None:
    able.roaming("m", on="a")
    assert announce(able).response.code == "already_exists"
    assert able.realm.refuses_checkpoint("m", "me", 7) is not None


def test_who_has_ended_here_may_come_again(able: World) -> None:
    able.roaming("m", on="a")
    able.report("exited", "m", exit_code=0)
    announce(able)
    kept(able)
    assert able.where("m") == ("a", 8)


def test_while_it_comes_nobody_else_takes_its_place(able: World) -> None:
    announce(able, object_id="q")
    assert announce(able, object_id="q").response.ok
    assert "just being imported" in str(announce(able).response.details)
    assert able.create("m").response.code == "already_exists"
    kept(able)
    assert announce(able, object_id="q").response.details["state"] == "starting"


def test_a_checkpoint_that_does_not_come(able: World) -> None:
    announce(able)
    assert of(able.wait(60), ForgetSnapshots) == [ForgetSnapshots("m")]
    assert able.realm.refuses_checkpoint("m", "me", 7) == "nobody knows the module"
    able.roaming("n", on="a")
    able.report("exited", "n", exit_code=0)
    announce(able, "n")
    assert of(able.wait(60), ForgetSnapshots) == []


def test_where_it_is_to_run(able: World) -> None:
    assert announce(able, parent="nobody").response.code == "not_found"
    announce(able, parent="b")
    kept(able)
    assert able.where("m") == ("b", 8)


def test_export(able: World) -> None:
    able.roaming("m", on="a")
    reply = able.reply_to()
    done = able.handle(ExportModule(reply=reply, uuid="m", number=3, transfer="t"))
    (wanted,) = of(done, ExportSnapshot)
    assert (wanted.module, wanted.number, wanted.transfer) == ("m", 3, "t")
    assert wanted.document["limits"]["memory_bytes"] is None
    assert able.handle(ExportModule(uuid="m", transfer="t")).effects == []
    done = able.handle(ExportModule(reply=able.reply_to(), uuid="x", transfer="t"))
    assert done.response.code == "not_found"


def test_standing_still_is_for_runtimes_that_can(able: World) -> None:
    able.register("c", features=NATIVE | {"checkpoint"})
    for on in ("a", "c"):
        able.running(on * 2, on=on)
        request = CheckpointModule(object_id=on, reply=able.reply_to(), uuid=on * 2, hold=5)
        done = able.handle(request)
        if on == "a":
            assert done.command("a").hold == 5  # type: ignore[union-attr]
        else:
            assert "lets no module stand still" in str(done.response.details)


def test_a_runtime_that_has_left_meanwhile_is_waited_for(able: World) -> None:
    announce(able, parent="b")
    able.leave("b")
    kept(able)
    assert able.state("m") == "pending"
