"""What becomes of program objects: created, changed, deleted, ended, refused."""

from typing import Any

import pytest

from arts.protocol.messages import (
    CreateModule,
    MoveModule,
    Response,
)
from arts.protocol.topics import Scene
from arts.scenes.events import (
    Answered,
    Linked,
    ModuleChanged,
    ObjectRefused,
    RuntimeChanged,
)
from arts.scenes.model import (
    ProgramKey,
)
from tests.scenes.stage import KEY, OTHER, SCENE, Stage


def refused(code: str, why: str = "no") -> Response:
    return Response(ok=False, details=why, code=code)


# ---------------------------------------------------------------------------- single


def test_a_program_becomes_one_module_with_the_objects_uuid() -> None:
    stage = Stage(mqtt_host="broker.example")
    stage.put(
        args=["${scene}", "${userid}"],
        env=["NS=${namespace}", "H=${mqtth}", "M=${moduleid}", "R=${runtimeid}", "U=${username}"],
        channels=[
            {"path": "/ch/${scene}", "mode": "rw", "params": {"topic": "realm/s/${namespace}"}}
        ],
    )
    (create,) = stage.asked
    assert isinstance(create, CreateModule)
    assert (create.uuid, create.name, create.filename) == (KEY, "box", "box.wasm")
    assert create.args == ("lobby", "jane_web")
    assert create.env == (
        "NS=public",
        "H=broker.example",
        f"M={KEY}",
        "R=${runtimeid}",
        "U=jane_web",
    )
    assert (create.channels[0].path, create.channels[0].topic) == ("/ch/lobby", "realm/s/public")
    assert stage.info()["state"] == "running"
    assert stage.info()["args"] == "lobby jane_web"


def test_viewers_do_not_multiply_a_single_program() -> None:
    stage = Stage()
    stage.join("joe")
    stage.put()
    stage.join("jim")
    assert stage.kinds() == ["create"]
    stage.leave("joe")
    assert stage.kinds() == ["create"]


def test_a_single_program_is_for_whoever_put_it_there_even_when_they_have_left() -> None:
    stage = Stage()
    stage.join("jane", name="Jane", query={"color": "red"})
    stage.put(args=["${userid}", "${username}", "${cameraid}", "${color}"])
    stage.leave("jane")
    stage.update(affinity="none")
    (create,) = stage.asked
    assert isinstance(create, CreateModule)
    assert create.args == ("jane", "Jane", "camera_jane", "red")


def test_the_same_again_changes_nothing() -> None:
    stage = Stage()
    stage.put()
    told = len(stage.told)
    stage.put()
    stage.update(name="box")
    stage.update(run_info={"pub_msgs": 3})
    assert stage.kinds() == ["create"]
    assert len(stage.told) == told


def test_a_change_restarts_it() -> None:
    stage = Stage()
    stage.put()
    stage.update(args=["fast"])
    assert stage.kinds() == ["create", "delete", "create"]
    assert stage.specs[KEY].args == ("fast",)
    assert stage.specs[KEY].name == "box"
    states = [info["state"] for info in stage.infos()]
    assert states == ["starting", "running", "stopping", "starting", "running"]


def test_a_change_in_the_middle_of_a_change() -> None:
    stage = Stage(answering=False)
    stage.put()
    stage.update(args=["1"])
    stage.answer(1)
    stage.update(args=["2"])
    stage.answer()
    assert stage.kinds() == ["create", "delete", "create"]
    assert stage.specs[KEY].args == ("2",)


def test_overwriting_forgets_what_was_said_before() -> None:
    stage = Stage()
    stage.put(args=["fast"])
    stage.update(overwrite=True, name="box", file="box.wasm", instantiate="single")
    assert stage.specs[KEY].args == ()


def test_an_update_of_something_unknown_is_a_create_if_it_is_complete() -> None:
    stage = Stage()
    stage.update(args=["1"])
    assert "name: Field required" in stage.info()["detail"]
    stage.update(name="box", file="box.wasm", instantiate="single")
    assert stage.kinds() == ["create"]


def test_deleting_the_object_deletes_the_module() -> None:
    stage = Stage()
    stage.put()
    told = len(stage.told)
    stage.delete()
    assert stage.kinds() == ["create", "delete"]
    assert stage.modules == {}
    assert stage.disk == {}
    assert len(stage.told) == told, "an update would revive the object"
    stage.delete()
    assert stage.kinds() == ["create", "delete"]


def test_deleted_and_put_back_before_the_realm_has_answered() -> None:
    stage = Stage(answering=False)
    stage.put()
    stage.answer()
    stage.delete()
    stage.put(args=["new"])
    stage.answer()
    assert stage.kinds() == ["create", "delete", "create"]
    assert stage.specs[KEY].args == ("new",)


def test_deleted_before_it_has_started() -> None:
    stage = Stage(answering=False)
    stage.put()
    stage.delete()
    stage.answer()
    assert stage.kinds() == ["create", "delete"]
    assert stage.modules == {}


# ---------------------------------------------------------------------------- where it runs


def test_only_another_parent_moves_it() -> None:
    stage = Stage()
    stage.put()
    stage.update(parent="rt-2")
    move = stage.asked[-1]
    assert isinstance(move, MoveModule)
    assert (move.uuid, move.target) == (KEY, "rt-2")
    assert stage.kinds() == ["create", "move"]
    stage.update(parent=None)
    assert stage.kinds() == ["create", "move"], "anywhere is here, too"


def test_another_parent_and_something_else_restarts_it_there() -> None:
    stage = Stage()
    stage.put()
    stage.update(parent={"uuid": "rt-2"}, args=["1"])
    assert stage.kinds() == ["create", "delete", "create"]
    assert stage.specs[KEY].parent == "rt-2"


def test_what_cannot_be_moved_is_restarted_there() -> None:
    stage = Stage()
    stage.put()
    stage.refusals[MoveModule] = refused("failed_precondition", "box cannot be moved")
    stage.update(parent="rt-2")
    assert stage.kinds() == ["create", "move", "delete", "create"]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("failed_precondition", "module box is on rt-2 already"),
        ("unplaceable", "no suitable runtime"),
        ("not_found", "no runtime 'rt-2'"),
        ("migration_failed", "the target died"),
    ],
)
def test_a_move_that_fails_otherwise_leaves_it_where_it_is(code: str, why: str) -> None:
    stage = Stage()
    stage.put()
    stage.refusals[MoveModule] = refused(code, why)
    stage.update(parent="rt-2")
    assert stage.kinds() == ["create", "move"]
    assert (stage.info()["state"], stage.info()["detail"]) == ("running", why)


def test_it_moves_when_it_can() -> None:
    stage = Stage()
    stage.put()
    stage.module(KEY, "starting")
    stage.update(parent="rt-2")
    assert stage.kinds() == ["create"]
    stage.module(KEY, "running")
    assert stage.kinds() == ["create", "move"]


def test_what_waits_for_a_runtime_is_asked_for_anew() -> None:
    stage = Stage()
    stage.put()
    stage.module(KEY, "pending", detail="waits", reasons={"rt-1": "full", "rt-2": "full"})
    assert stage.info()["detail"] == "waits (rt-1: full; rt-2: full)"
    stage.update(parent="rt-2")
    assert stage.kinds() == ["create", "delete", "create"]


def test_what_waits_says_on_which_runtime_it_is_not() -> None:
    stage = Stage()
    stage.put()
    stage.module(KEY, "pending", parent=None, detail=None, reasons={"rt-1": "full"})
    assert "runtime" not in stage.info()
    assert stage.info()["detail"] == "rt-1: full"


def test_before_the_realm_has_shown_it_it_is_taken_for_running() -> None:
    stage = Stage(answering=False)
    stage.put()
    stage.handle(Answered(stage.asked[0].object_id, Response(ok=True, details="ok")))
    assert stage.info()["state"] == "running"
    stage.update(parent="rt-2")
    assert stage.kinds() == ["create", "move"]


def test_affinity_to_the_client_means_the_runtime_of_the_viewer() -> None:
    stage = Stage()
    stage.runtime("far", name="jim")
    stage.runtime("full", name="joe", max_nmodules=0)
    stage.runtime("off", name="joe", state="suspect")
    stage.runtime("own", name="browser", labels={"viewer": "joe"})
    stage.join()
    stage.put("box", instantiate="client", affinity="client", parent="rt-1")
    (create,) = stage.asked
    assert isinstance(create, CreateModule)
    assert create.parent == "own"


def test_the_viewers_own_runtime_may_come_later() -> None:
    stage = Stage()
    stage.join()
    stage.put("box", instantiate="client", affinity="client")
    assert stage.kinds() == ["create"]
    stage.runtime("own", name="joe")
    assert stage.kinds() == ["create", "move"]
    stage.handle(ModuleChanged("somebody else's", None))
    stage.runtime("other", name="jim")
    stage.handle(RuntimeChanged("own", None))
    assert stage.kinds() == ["create", "move"]


# ---------------------------------------------------------------------------- ends


@pytest.mark.parametrize("end", ["exited", "failed"])
def test_what_ends_by_itself_stays_ended_until_something_is_new(end: str) -> None:
    stage = Stage()
    stage.put()
    stage.module(KEY, end, detail="exit code 3")
    assert (stage.info()["state"], stage.info()["detail"]) == (end, "exit code 3")
    stage.update(affinity="none")
    stage.handle(ModuleChanged(KEY, None))
    stage.handle(Linked())
    assert stage.kinds() == ["create"]
    assert stage.info()["state"] == end
    stage.update(args=["again"])
    assert stage.kinds() == ["create", "create"]


def test_putting_it_there_again_starts_it_again() -> None:
    stage = Stage()
    stage.put()
    stage.module(KEY, "exited")
    stage.put()
    assert stage.kinds() == ["create", "create"]


def test_what_somebody_deletes_stays_deleted() -> None:
    stage = Stage()
    stage.put()
    stage.vanish(KEY)
    assert (stage.info()["state"], stage.info()["detail"]) == ("deleted", "somebody deleted it")
    assert stage.kinds() == ["create"]


def test_a_change_of_something_that_has_ended_in_the_meantime() -> None:
    stage = Stage(answering=False)
    stage.put()
    stage.answer()
    stage.update(parent="rt-2")
    stage.module(KEY, "exited")
    stage.answer()
    assert stage.info()["state"] == "exited"
    assert stage.kinds() == ["create", "move"]


def test_a_module_that_the_realm_refuses() -> None:
    stage = Stage()
    stage.refusals[CreateModule] = refused("program_error", "no program 'box.wasm'")
    stage.put()
    assert (stage.info()["state"], stage.info()["detail"]) == ("failed", "no program 'box.wasm'")
    stage.put()
    assert stage.info()["state"] == "running"


def test_a_module_that_somebody_else_has_started_already() -> None:
    """Web clients create the single programs of a scene, too, with the same uuid."""
    stage = Stage()
    stage.refusals[CreateModule] = refused("already_exists")
    stage.put()
    assert stage.info()["state"] == "running"


# ---------------------------------------------------------------------------- clear errors


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ({"name": None}, "name: Field required"),
        ({"file": None}, "file: Field required"),
        ({"file": ""}, "file: must not be empty"),
        ({"file": "../box.wasm"}, "file: must be a path without"),
        ({"location": "jane//x"}, "location: must be a path without"),
        ({"location": "jane/x?y"}, "location: must be a path without"),
        ({"instantiate": "twice"}, "instantiate: Input should be 'single' or 'client'"),
        ({"affinity": "server"}, "affinity: Input should be 'client' or 'none'"),
        ({"filetype": "EXE"}, "filetype: must be one of"),
        ({"args": {"a": 1}}, "args: must be text or a list of texts"),
        ({"instanciate": "single"}, "instanciate: no such field of a program"),
        ({"channels": [{"path": "/etc", "topic": "x"}]}, "channels: a channel's path must start"),
        ({"channels": [{"path": "/ch/a", "params": 3}]}, "channels: channel /ch/a needs a topic"),
        ({"args": ["${nobody}"]}, "nobody says what ${nobody} is"),
    ],
)
def test_what_is_wrong_with_a_program_is_said_in_the_scene(data: dict[str, Any], why: str) -> None:
    stage = Stage()
    stage.put(**data)
    assert stage.info()["state"] == "refused"
    assert why in stage.info()["detail"]
    assert stage.asked == []


def test_a_single_program_needs_a_uuid_for_its_id() -> None:
    stage = Stage()
    stage.put("box")
    assert "object_id: must be a uuid" in stage.info("box")["detail"]
    stage.put("box", instantiate="client")
    assert len(stage.infos("box")) == 1, "it has no viewer"


def test_a_fault_leaves_what_runs_alone() -> None:
    stage = Stage()
    stage.put()
    stage.update(filetype="EXE")
    assert stage.info()["state"] == "refused"
    assert stage.kinds() == ["create"]
    stage.update(args=["${nobody}"])
    assert stage.kinds() == ["create", "delete"], "this one is a program, but cannot be run"
    assert (stage.info()["state"], stage.modules) == ("refused", {})


def test_a_fault_is_not_repeated_as_often_as_it_is_made() -> None:
    stage = Stage()
    key = ProgramKey(SCENE, KEY)
    for _ in range(5):
        stage.handle(ObjectRefused(key, "not JSON"))
    assert len(stage.infos()) == 1
    stage.handle(ObjectRefused(key, "no action"))
    stage.later(11)
    stage.handle(ObjectRefused(key, "no action"))
    assert len(stage.infos()) == 3
    for number in range(1001):
        stage.handle(ObjectRefused(ProgramKey(SCENE, str(number)), "not JSON"))
    assert len(stage.scenes._state.refusals) < 1001


def test_two_scenes_cannot_share_a_module() -> None:
    stage = Stage()
    stage.put()
    other = Scene("public", "attic")
    stage.put(scene=other)
    topic, message = stage.told[-1]
    assert topic == f"realm/s/public/attic/o/arts-scenes/{KEY}"
    assert (
        "a program in scene public/lobby has the same one" in message["data"]["run_info"]["detail"]
    )
    assert stage.kinds() == ["create"]


def test_a_scene_has_room_for_so_many_programs() -> None:
    stage = Stage(max_programs=1)
    stage.put()
    stage.put(OTHER)
    assert "has 1 programs already" in stage.info(OTHER)["detail"]
    stage.put(args=["1"])
    assert stage.kinds() == ["create", "delete", "create"]
