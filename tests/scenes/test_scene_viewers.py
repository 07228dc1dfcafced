"""One instance for each viewer: it comes and goes with them, whatever is lost in between."""

from arts.protocol.messages import CreateModule
from arts.scenes.events import Linked
from arts.scenes.model import ProgramKey
from tests.scenes.stage import KEY, SCENE, Stage


def instances(stage: Stage) -> dict[str, str]:
    """Viewer -> state, of all programs."""
    return {
        instance["viewer"]: instance["state"]
        for program in stage.document()["programs"]
        for instance in program["instances"]
    }


def test_each_viewer_has_one() -> None:
    stage = Stage()
    stage.join("joe")
    stage.put("box", instantiate="client", args=["${userid}"])
    stage.join("jim", name="Jim")
    assert instances(stage) == {"joe": "running", "jim": "running"}
    assert sorted(spec.args for spec in stage.specs.values()) == [("jim",), ("joe",)]
    assert len({request.uuid for request in stage.asked if isinstance(request, CreateModule)}) == 2
    assert stage.info("box", to="jim")["args"] == "jim"
    assert stage.infos("box") == [], "each is told about the own one only"


def test_it_ends_with_the_viewer() -> None:
    stage = Stage()
    stage.put("box", instantiate="client")
    stage.join("joe")
    told = len(stage.told)
    stage.leave("joe")
    assert instances(stage) == {}
    assert stage.modules == {}
    assert len(stage.told) == told, "there is nobody to tell"
    stage.leave("joe")
    stage.join("joe")
    assert instances(stage) == {"joe": "running"}
    assert stage.kinds() == ["create", "delete", "create"]


def test_a_viewer_who_is_back_before_the_old_one_has_ended() -> None:
    stage = Stage(answering=False)
    stage.put("box", instantiate="client")
    stage.join()
    stage.answer()
    stage.leave()
    stage.join()
    stage.answer()
    assert stage.kinds() == ["create", "delete", "create"]


def test_a_new_name_is_no_reason_to_restart() -> None:
    stage = Stage()
    stage.put("box", instantiate="client", args=["${username}"])
    stage.join("joe", name="Joe")
    stage.join("joe", name="Joseph", query={"a": "b"})
    stage.update("box", affinity="none")
    assert stage.kinds() == ["create"]


def test_a_viewer_seen_by_the_camera_only_is_called_by_the_id() -> None:
    stage = Stage()
    stage.put("box", instantiate="client", args=["${username}"])
    stage.join("joe")
    (spec,) = stage.specs.values()
    assert spec.args == ("joe",)


def test_the_query_string_of_each_viewer() -> None:
    stage = Stage()
    stage.put("box", instantiate="client", args=["${color}"])
    stage.join("joe", query={"color": "red"})
    stage.join("jim")
    assert instances(stage) == {"joe": "running", "jim": "refused"}
    assert "nobody says what ${color} is" in stage.info("box", to="jim")["detail"]


def test_where_viewers_start_their_own_we_start_none() -> None:
    stage = Stage(per_viewer=False)
    stage.put("box", instantiate="client")
    stage.join()
    stage.put(instantiate="single")
    assert stage.kinds() == ["create"]
    assert stage.specs.keys() == {KEY}


def test_from_one_for_all_to_one_for_each_and_back() -> None:
    stage = Stage()
    stage.join("joe")
    stage.put()
    stage.update(instantiate="client")
    assert instances(stage) == {"joe": "running"}
    assert KEY not in stage.modules
    stage.update(instantiate="single")
    assert stage.modules.keys() == {KEY}


def test_so_many_viewers_and_no_more() -> None:
    stage = Stage(max_viewers=1)
    stage.put("box", instantiate="client")
    stage.join("joe")
    stage.join("jim")
    assert instances(stage) == {"joe": "running"}
    assert stage.notes[-1].event == "scene.viewer_ignored"


def test_a_viewer_who_left_while_we_were_deaf() -> None:
    """The farewell is lost: who is not heard of for a while has left."""
    stage = Stage(viewer_grace=60)
    stage.put("box", instantiate="client")
    for viewer in ("joe", "jim"):
        stage.join(viewer)
    stage.handle(Linked())
    stage.later(30)
    stage.join("jim")
    stage.later(30)
    assert instances(stage) == {"jim": "running"}
    assert stage.scenes.next_deadline() is None


def test_viewers_are_expected_back_after_a_restart() -> None:
    stage = Stage(viewer_grace=60)
    stage.put("box", instantiate="client")
    for viewer in ("joe", "jim"):
        stage.join(viewer, name=viewer.title())
    stage.restart()
    stage.later(30)
    stage.handle(Linked())
    stage.join("jim")
    assert instances(stage) == {"joe": "running", "jim": "running"}
    stage.later(60)
    assert instances(stage) == {"jim": "running"}
    assert set(stage.started.values()) == {1}


def test_a_deleted_program_takes_all_with_it() -> None:
    stage = Stage()
    stage.put("box", instantiate="client")
    for viewer in ("joe", "jim"):
        stage.join(viewer)
    stage.delete("box")
    assert stage.modules == {}
    assert not stage.scenes.knows(ProgramKey(SCENE, "box"))
    assert stage.disk == {}
