"""What scenes do over time: counters shown now and then, restarts of the supervisor, silence."""

import pytest

from arts.protocol.messages import (
    CreateModule,
    DeleteModule,
    ModuleStats,
    MoveModule,
    Query,
    Response,
)
from arts.scenes.events import (
    Answered,
    Linked,
    ModuleChanged,
    StatsHeard,
)
from arts.scenes.model import (
    ProgramKey,
)
from tests.scenes.stage import KEY, SCENE, Stage


def refused(code: str, why: str = "no") -> Response:
    return Response(ok=False, details=why, code=code)


# ---------------------------------------------------------------------------- counters


def stats(out: int, into: int = 0, *, generation: int = 1, key: str = KEY) -> StatsHeard:
    return StatsHeard(
        (
            ModuleStats(
                uuid=key,
                generation=generation,
                messages_out=out,
                messages_in=into,
                idle_seconds=2.0,
            ),
        )
    )


def test_counters_are_shown_now_and_then() -> None:
    stage = Stage(run_info_interval=5)
    stage.put()
    stage.handle(stats(0))
    told = len(stage.infos())
    for out in range(10, 60, 10):
        stage.later(1)
        stage.handle(stats(out, 1))
    stage.later(1)
    assert len(stage.infos()) == told + 1
    info = stage.info()
    assert (info["pub_msgs"], info["rcv_msgs"]) == (40, 1)
    assert (info["pub_msgs_per_sec"], info["rcv_msgs_per_sec"]) == (10.0, 0.0)
    assert info["last_pub_time"] == "T1004"
    assert info["last_rcv_time"] == "T1001"
    assert info["last_active_time"] == "T1002"


def test_another_runtime_counts_from_the_beginning() -> None:
    stage = Stage(run_info_interval=1)
    stage.put()
    stage.handle(stats(100))
    stage.later(1)
    stage.handle(stats(3, generation=2))
    stage.later(1)
    info = stage.info()
    assert (info["pub_msgs"], info["pub_msgs_per_sec"]) == (3, 0.0)
    stage.handle(stats(1, key="stranger"))
    assert stage.scenes.next_deadline() is None


def test_counters_of_what_is_gone_are_not_shown() -> None:
    stage = Stage()
    stage.put()
    stage.handle(stats(1))
    stage.delete()
    told = len(stage.told)
    stage.later(60)
    assert len(stage.told) == told


# ---------------------------------------------------------------------------- restarts


def test_after_a_restart_what_runs_is_asked_after_and_left_alone() -> None:
    stage = Stage()
    stage.put()
    stage.restart()
    assert stage.scenes.knows(ProgramKey(SCENE, KEY))
    stage.handle(Linked())
    assert stage.kinds() == ["create", "query"]
    assert stage.info()["state"] == "running"
    stage.update(args=["1"])
    assert stage.specs[KEY].args == ("1",)


@pytest.mark.parametrize("kind", [CreateModule, MoveModule, DeleteModule])
@pytest.mark.parametrize("heard", [True, False])
def test_what_was_under_way_at_a_restart_is_asked_again(kind: type, heard: bool) -> None:
    """Whether or not the realm had heard it before: it happens once."""
    stage = Stage(answering=False)
    stage.put()
    if kind is not CreateModule:
        stage.answer()
        if kind is MoveModule:
            stage.update(parent="rt-2")
        else:
            stage.delete()
    before = stage.asked[-1]
    if heard:
        stage._obey(before)
    stage.restart()
    stage.handle(Linked())
    assert stage.asked[-1] == before
    assert isinstance(before, kind)
    stage.answer()
    assert stage.started == {KEY: 1}
    assert (KEY in stage.modules) == (kind is not DeleteModule)


def test_what_was_lost_while_we_were_away_starts_again() -> None:
    stage = Stage()
    stage.put()
    stage.modules.clear()
    stage.restart()
    stage.handle(Linked())
    assert stage.kinds() == ["create", "query", "create"]


def test_what_ended_while_we_were_away_stays_ended() -> None:
    stage = Stage()
    stage.put()
    stage.modules[KEY] |= {"state": "exited"}
    stage.restart()
    stage.handle(Linked())
    assert stage.kinds() == ["create", "query"]
    assert stage.info()["state"] == "exited"


def test_a_button_s_move_survives_too() -> None:
    stage = Stage(answering=False)
    stage.put()
    stage.answer()
    stage.ask("move", KEY)
    stage.restart()
    stage.handle(Linked())
    again = stage.asked[-1]
    assert isinstance(again, MoveModule)
    assert again.target is None
    assert stage.asked[-2] == again


def test_silence_is_not_the_last_word() -> None:
    stage = Stage(answering=False, answer_timeout=10)
    stage.put()
    stage.later(9)
    assert stage.kinds() == ["create"]
    stage.later(1)
    assert stage.asked[1] == stage.asked[0]
    stage.answer()
    assert stage.started == {KEY: 1}
    assert stage.scenes.next_deadline() is None


def test_silence_about_what_is_gone_is() -> None:
    stage = Stage(answering=False, answer_timeout=10)
    stage.put()
    stage.answer()
    stage.handle(Linked())
    assert isinstance(stage.asked[-1], Query)
    stage.delete()
    assert isinstance(stage.waiting.pop(1), DeleteModule)
    delete = stage.asked[-1]
    stage.handle(Answered(delete.object_id, Response(ok=True, details={})))
    stage.later(10)
    assert stage.asked[-1] == delete


def test_answers_that_are_none_of_ours() -> None:
    stage = Stage()
    stage.handle(Answered("nobody asked", Response(ok=True, details={})))
    stage.handle(ModuleChanged(KEY, {"state": "running"}))
    assert stage.told == []


def test_late_answers_change_nothing() -> None:
    stage = Stage(answering=False)
    stage.put()
    create = stage.asked[0]
    stage.answer()
    stage.handle(Linked())  # asks after it
    stage.ask("stop", KEY)
    query = stage.waiting[0]
    stage.handle(Answered(query.object_id, refused("not_found")))
    assert stage.document()["programs"][0]["instances"][0]["state"] == "stopping"
    stage.handle(Answered(create.object_id, refused("invalid")))
    assert stage.document()["programs"][0]["instances"][0]["state"] == "stopping"


def test_a_sweep_is_due_one_second_after_the_last() -> None:
    stage = Stage(answering=False)
    stage.later(5)
    assert stage.scenes.next_deadline() is None
    stage.put()
    assert stage.scenes.next_deadline() == stage.now + 1
