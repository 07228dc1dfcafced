"""The program manager: what the panel shows, what its buttons do, and what ``arts scene`` asks."""

import pytest

from arts.protocol.messages import MoveModule, Response
from arts.protocol.topics import Scene
from arts.scenes.events import ButtonClicked, Linked
from tests.scenes.stage import KEY, OTHER, SCENE, Stage


def click(stage: Stage, button: str, *, panel: str = "init3d", scene: Scene = SCENE) -> None:
    stage.handle(ButtonClicked(scene, panel, button, by="camera_joe"))


@pytest.fixture
def stage() -> Stage:
    """A scene with its panel and a program that runs."""
    stage = Stage(panels=("public/*",))
    stage.put(name="box")
    return stage


def test_the_panel_is_an_object_of_arena_with_programs_and_buttons(stage: Stage) -> None:
    create = stage.panels()[0]
    assert {key: create[key] for key in ("object_id", "action", "type", "persist")} == {
        "object_id": "init3d",
        "action": "create",
        "type": "object",
        "persist": False,
    }
    assert create["data"]["object_type"] == "arenaui-button-panel"
    assert create["data"].keys() >= {"title", "buttons", "vertical", "position", "rotation"}
    update = stage.panels()[-1]
    assert update["action"] == "update"
    assert update["data"]["title"] == "Programs of public/lobby\nbox: running on rt-1"
    assert "position" not in update["data"], "somebody may have moved it"
    assert stage.buttons() == ["Stop box", "Restart box", "Move box"]


def test_stop_and_start(stage: Stage) -> None:
    click(stage, "Stop box")
    assert stage.modules == {}
    assert stage.info()["state"] == "stopped"
    assert stage.buttons() == ["Start box"]
    assert stage.panels()[-1]["data"]["title"].endswith("box: stopped")
    click(stage, "Start box")
    assert stage.info()["state"] == "running"
    assert stage.kinds() == ["create", "delete", "create"]
    assert stage.notes[-1].event == "scene.start"
    assert stage.notes[-1].fields["by"] == "camera_joe"


def test_stopped_is_remembered(stage: Stage) -> None:
    click(stage, "Stop box")
    stage.restart()
    stage.handle(Linked())
    stage.update(args=["1"])
    assert stage.kinds() == ["create", "delete"]
    stage.put()
    assert stage.kinds() == ["create", "delete", "create"]


def test_stopped_before_it_has_started() -> None:
    stage = Stage(answering=False)
    stage.put()
    stage.ask("stop", KEY)
    stage.answer()
    assert stage.kinds() == ["create", "delete"]


def test_restart(stage: Stage) -> None:
    click(stage, "Restart box")
    assert stage.kinds() == ["create", "delete", "create"]
    stage.module(KEY, "failed")
    assert stage.buttons() == ["Start box"]
    stage.ask("restart", KEY)
    assert stage.kinds() == ["create", "delete", "create", "create"]


def test_move(stage: Stage) -> None:
    click(stage, "Move box")
    move = stage.asked[-1]
    assert isinstance(move, MoveModule)
    assert move.target is None
    assert stage.info()["state"] == "running"


def test_a_move_that_is_refused_says_why_and_restarts_nothing(stage: Stage) -> None:
    stage.refusals[MoveModule] = Response(
        ok=False, details="box cannot be moved", code="failed_precondition"
    )
    click(stage, "Move box")
    assert stage.kinds() == ["create", "move"]
    assert stage.info()["detail"] == "box cannot be moved"


def test_what_is_gone_cannot_be_moved(stage: Stage) -> None:
    stage.module(KEY, "exited")
    stage.ask("move", KEY)
    assert stage.kinds() == ["create"]


@pytest.mark.parametrize("button", ["Start box", "Stop bax", "", "Delete box"])
def test_buttons_that_are_not_there_do_nothing(stage: Stage, button: str) -> None:
    click(stage, button)
    assert stage.kinds() == ["create"]


def test_clicks_elsewhere_do_nothing(stage: Stage) -> None:
    click(stage, "Stop box", panel="another")
    click(stage, "Stop box", scene=Scene("public", "attic"))
    stage.ask("hide")
    click(stage, "Stop box")
    assert stage.kinds() == ["create"]


def test_one_that_goes_leaves_the_others(stage: Stage) -> None:
    stage.put(OTHER, name="ball")
    stage.delete()
    assert stage.buttons() == ["Stop ball", "Restart ball", "Move ball"]


def test_two_of_one_name_are_told_apart(stage: Stage) -> None:
    stage.put(OTHER, name="box")
    assert f"Stop box ({OTHER})" in stage.buttons()
    click(stage, f"Stop box ({OTHER})")
    assert stage.modules.keys() == {KEY}


def test_one_for_each_viewer() -> None:
    stage = Stage(panels=("*",))
    stage.put("box", instantiate="client")
    assert stage.panels()[-1]["data"]["title"].endswith("box: no viewer")
    stage.join("joe")
    stage.join("jim")
    assert stage.panels()[-1]["data"]["title"].endswith("box: 2 running")
    click(stage, "Stop box")
    assert stage.panels()[-1]["data"]["title"].endswith("box: 2 stopped")
    stage.leave("joe")
    stage.leave("jim")
    assert stage.panels()[-1]["data"]["title"].endswith("box: stopped")


def test_a_panel_has_room_for_so_many() -> None:
    stage = Stage(panels=("*",))
    for number in range(14):
        stage.put(f"box-{number}", name=f"box-{number}", instantiate="client")
    assert stage.panels()[-1]["data"]["title"].endswith("and 2 more: arts scene public/lobby")
    assert "Stop box-11" in stage.buttons()
    assert "Stop box-12" not in stage.buttons()


def test_whoever_comes_later_sees_it(stage: Stage) -> None:
    stage.join("joe")
    (create,) = stage.panels(to="joe")
    assert create["action"] == "create"
    assert create["data"]["buttons"]


def test_nothing_is_said_twice(stage: Stage) -> None:
    told = len(stage.told)
    stage.handle(Linked())
    assert [message["action"] for message in stage.panels()][-1] == "create"
    assert len(stage.told) == told + 1, "only the panel: somebody may have cleared the scene"
    stage.ask("show")
    assert len(stage.told) == told + 1


def test_shown_and_hidden_on_request_for_good() -> None:
    stage = Stage()
    stage.put()
    assert stage.panels() == []
    assert stage.document()["panel"] is False
    stage.ask("show")
    assert stage.document()["panel"] is True
    stage.restart()
    stage.handle(Linked())
    assert [message["action"] for message in stage.panels()].count("create") == 2
    stage.ask("hide")
    stage.ask("hide")
    assert stage.panels()[-1] == {"object_id": "init3d", "action": "delete"}
    assert [message["action"] for message in stage.panels()].count("delete") == 1


def test_a_scene_without_programs_shows_it_only_when_asked() -> None:
    stage = Stage(panels=("*",))
    stage.put()
    stage.delete()
    assert stage.panels()[-1]["action"] == "delete"
    stage.ask("show")
    assert stage.panels()[-1]["data"]["title"].endswith("none yet")


def test_nobody_leaves_dead_buttons_behind(stage: Stage) -> None:
    (farewell,) = stage.scenes.farewell()
    assert farewell.message == {"object_id": "init3d", "action": "delete"}  # type: ignore[union-attr]


# ---------------------------------------------------------------------------- requests


def test_what_a_scene_is_like(stage: Stage) -> None:
    stage.join("joe")
    stage.put(OTHER, name="own", instantiate="client")
    document = stage.document()
    assert (document["namespace"], document["scene"]) == ("public", "lobby")
    assert (document["panel"], document["viewers"]) == (True, 1)
    box, own = document["programs"]
    assert (box["object_id"], box["name"], box["instantiate"]) == (KEY, "box", "single")
    assert box["instances"] == [
        {"module": KEY, "viewer": None, "state": "running", "runtime": "rt-1", "detail": None}
    ]
    assert (own["instantiate"], own["instances"][0]["viewer"]) == ("client", "joe")


def test_programs_are_meant_by_id_or_name(stage: Stage) -> None:
    assert stage.ask("stop", "box").ok
    assert stage.ask("start", KEY).ok
    stage.put(OTHER, name="box")
    assert "2 programs are called 'box'" in str(stage.ask("stop", "box").details)
    assert stage.ask("stop", "bax").code == "not_found"
    assert stage.ask("explode", "box").code == "invalid"
