"""The pure host at both ends of a move, in each phase: done, refused, called off, forgotten."""

import pytest

from arts.protocol import messages as m
from runtime import effects as do
from runtime import events as ev
from runtime.held import Condition
from tests.runtime.hosts import (
    MOVE,
    UUID,
    Driver,
    abort,
    freeze,
    prepare,
    release,
    resume,
    stop,
)


@pytest.fixture
def driver() -> Driver:
    return Driver()


# ---------------------------------------------------------------------------- source


def test_the_source_freezes_reports_and_releases(driver: Driver) -> None:
    driver.running(session=True)
    assert driver.tell(freeze()) == []
    assert driver.effects == [do.Freeze(1, MOVE)]
    assert driver.tell(ev.ModuleFrozen(1, "digest", 5, 7.5, 0.25)) == ["frozen"]
    report = driver.last
    assert report.pause_seconds == 0.25
    assert (report.object_id, report.generation, report.migration) == ("freeze", 2, MOVE)
    assert (report.digest, report.size, report.at) == ("digest", 5, 7.5)
    assert driver.tell(release()) == []
    assert driver.effects == [do.Release(1)]
    assert driver.tell(ev.SessionReleased(1)) == ["released"]
    assert driver.condition is Condition.RELEASED
    assert driver.tell(stop(1, forget_session=False)) == ["stopped"]
    assert driver.condition is None


def test_a_frozen_source_never_goes_on_by_itself(driver: Driver) -> None:
    driver.frozen()
    driver.tell(ev.BusDisconnected())
    driver.connect()
    driver.accept()
    driver.wait(1e6)
    assert driver.condition is Condition.FROZEN
    assert not driver.did(do.Run)


def test_the_steps_of_a_source_are_repeated_when_asked_again(driver: Driver) -> None:
    driver.freezing()
    assert driver.tell(freeze()) == []
    driver.tell(ev.ModuleFrozen(1, "digest", 5, 7.5))
    assert driver.tell(freeze()) == ["frozen"]
    driver.tell(release())
    assert driver.tell(release()) == []
    driver.tell(ev.SessionReleased(1))
    assert driver.tell(release()) == ["released"]


def test_a_freeze_that_fails_is_refused_and_the_module_runs_on(driver: Driver) -> None:
    driver.freezing()
    assert driver.tell(ev.FreezeFailed(1, "snapshot_error", "no safepoint")) == ["refused"]
    assert driver.last.detail == "no safepoint"
    assert (do.Thaw(1) in driver.effects, do.Run(1, 1) in driver.effects) == (True, True)
    assert driver.tell(freeze()) == ["refused"]  # that move is over
    assert driver.tell(freeze(migration="move-2")) == []
    assert driver.condition is Condition.FREEZING


def test_a_freeze_whose_session_was_cut_waits_for_the_realm(driver: Driver) -> None:
    driver.freezing(session=True).tell(ev.SessionLost(1))
    assert driver.tell(ev.FreezeFailed(1, "bus_error", "cut")) == ["refused"]
    assert driver.condition is Condition.DETACHED
    driver.wait(0.0)
    driver.accept()
    driver.tell(ev.SessionOpened(1))
    assert driver.did(do.Run)


def test_freezing_has_a_deadline(driver: Driver) -> None:
    driver.freezing()
    assert driver.wait(15.0) == ["refused"]
    assert driver.condition is Condition.RUNNING


def test_a_freeze_of_an_older_generation_is_refused(driver: Driver) -> None:
    assert driver.running().tell(freeze(1)) == ["refused"]


@pytest.mark.parametrize(
    ("end", "kinds"),
    [
        (ev.ModuleExited(1, 0), ["refused", "exited"]),
        (ev.ModuleFailed(1, "engine_error", "x"), ["refused", "failed"]),
    ],
)
def test_a_module_may_end_while_it_is_frozen(
    driver: Driver, end: ev.Event, kinds: list[str]
) -> None:
    assert driver.freezing().tell(end) == kinds
    assert driver.condition is None


def test_while_memory_goes_ahead_nobody_is_late(driver: Driver) -> None:
    driver.freezing()
    for sent in range(5):
        driver.wait(14.0)
        assert driver.tell(ev.MemoryAhead(1, sent)) == ["ahead"]
        assert (driver.last.object_id, driver.last.size) == ("freeze", sent)
    assert driver.tell(ev.ModuleFrozen(1, "digest", 5, 7.5)) == ["frozen"]
    assert driver.tell(ev.MemoryAhead(1, 9)) == []  # too late


def test_a_target_to_which_memory_comes_waits_for_the_snapshot(driver: Driver) -> None:
    driver.ready()
    for _ in range(5):
        driver.wait(59.0)
        assert driver.tell(ev.MemoryAhead(1, 0)) == []
    assert driver.condition is Condition.READY


def test_stopping_a_freezing_module_refuses_the_freeze(driver: Driver) -> None:
    assert driver.freezing().tell(stop()) == ["refused"]
    assert driver.tell(ev.ModuleTerminated(1)) == ["stopped"]


def test_calling_off_while_freezing_runs_on(driver: Driver) -> None:
    assert driver.freezing().tell(abort()) == ["refused", "aborted"]
    assert driver.effects[1:3] == [do.Thaw(1), do.Run(1, 1)]
    assert driver.tell(ev.ModuleFrozen(1, "digest", 5, 7.5)) == []  # too late
    assert driver.condition is Condition.RUNNING


def test_calling_off_when_frozen_runs_on(driver: Driver) -> None:
    assert driver.frozen(session=True).tell(abort()) == ["aborted"]
    assert driver.effects[:2] == [do.Thaw(1), do.Run(1, 1)]
    assert driver.tell(freeze()) == ["refused"]


def test_calling_off_when_frozen_and_cut_takes_the_session_again(driver: Driver) -> None:
    driver.frozen(session=True).tell(ev.SessionLost(1))
    assert driver.tell(abort()) == ["aborted"]
    assert driver.did(do.Connect)
    driver.tell(ev.SessionOpened(1))
    assert driver.did(do.Run)


def test_behind_the_commit_point_there_is_no_way_back(driver: Driver) -> None:
    driver.frozen().tell(release())
    assert driver.tell(abort()) == ["refused"]
    assert driver.condition is Condition.RELEASED


def test_a_source_may_be_made_the_next_owner(driver: Driver) -> None:
    driver.frozen(session=True).tell(release())
    driver.tell(ev.SessionReleased(1))
    assert driver.tell(resume(3)) == []
    assert driver.effects == [do.Thaw(1), do.Connect(1)]
    assert driver.tell(ev.SessionOpened(1)) == ["resumed"]
    assert (driver.held.generation, driver.last.generation) == (3, 3)
    assert driver.tell(resume(3)) == ["resumed"]


def test_release_of_what_is_not_frozen_is_refused(driver: Driver) -> None:
    assert driver.tell(release()) == ["released"]
    assert driver.freezing().tell(release()) == ["refused"]
    assert driver.running().tell(release(1, "other")) == ["refused"]


def test_a_second_late_answer_of_the_agent_is_ignored(driver: Driver) -> None:
    driver.running()
    for late in (
        ev.ModuleFrozen(1, "d", 1, 1.0),
        ev.FreezeFailed(1, "x", "x"),
        ev.SnapshotReceived(1),
        ev.ModuleRestored(1, "d", 1),
        ev.RestoreFailed(1, "x", "x"),
        ev.SessionReleased(1),
        ev.LoadFailed(1, "x", "x"),
        ev.ModuleLoaded(1, session=False),
    ):
        assert driver.tell(late) == []
        assert driver.effects == []


# ---------------------------------------------------------------------------- target


def test_the_target_prepares_restores_and_resumes(driver: Driver) -> None:
    driver.connect()
    assert driver.tell(prepare()) == []
    (effect,) = driver.effects
    assert isinstance(effect, do.Prepare)
    assert (effect.migration, effect.generation) == (MOVE, 2)
    assert driver.tell(ev.ModuleLoaded(1, session=True)) == ["ready"]
    assert driver.tell(ev.SnapshotReceived(1)) == []
    assert driver.effects == [do.Restore(1)]
    assert driver.tell(ev.ModuleRestored(1, "digest", 5)) == ["restored"]
    assert (driver.last.digest, driver.last.size, driver.last.migration) == ("digest", 5, MOVE)
    assert driver.tell(resume()) == []
    assert driver.effects == [do.Connect(1)]
    assert driver.tell(ev.SessionOpened(1)) == ["resumed"]
    assert driver.effects[0] == do.Run(1, 2)
    assert driver.held.generation == 2


def test_a_module_without_session_resumes_at_once(driver: Driver) -> None:
    assert driver.restored().tell(resume()) == ["resumed"]


def test_the_steps_of_a_target_are_repeated_when_asked_again(driver: Driver) -> None:
    driver.preparing()
    assert driver.tell(prepare()) == []
    driver.tell(ev.ModuleLoaded(1, session=True))
    assert driver.tell(prepare()) == ["ready"]
    driver.tell(ev.SnapshotReceived(1))
    driver.tell(ev.ModuleRestored(1, "digest", 5))
    driver.tell(resume())
    assert driver.tell(resume()) == []
    driver.tell(ev.SessionOpened(1))
    assert driver.tell(resume()) == ["resumed"]


def test_a_program_that_does_not_load_refuses_the_move(driver: Driver) -> None:
    assert driver.preparing().tell(ev.LoadFailed(1, "program_error", "x")) == ["refused"]
    assert (driver.last.code, driver.last.migration) == ("program_error", MOVE)
    assert driver.condition is None
    assert driver.tell(prepare()) == ["refused"]


def test_preparing_has_a_deadline(driver: Driver) -> None:
    assert driver.preparing().wait(60.0) == ["refused"]


@pytest.mark.parametrize("phase", ["ready", "restoring"])
def test_a_snapshot_that_does_not_fit_refuses_the_move(driver: Driver, phase: str) -> None:
    getattr(driver, phase)()
    assert driver.tell(ev.RestoreFailed(1, "snapshot_error", "x")) == ["refused"]
    assert driver.condition is None


@pytest.mark.parametrize("phase", ["ready", "restoring", "restored"])
def test_a_target_that_hears_nothing_forgets(driver: Driver, phase: str) -> None:
    getattr(driver, phase)()
    assert driver.wait(60.0) == ["aborted"]
    assert driver.did(do.Discard)
    assert driver.tell(prepare()) == ["refused"]


def test_silence_does_not_count_while_nobody_could_be_heard(driver: Driver) -> None:
    driver.restored().tell(ev.BusDisconnected())
    assert driver.wait(600.0) == []
    driver.connect()
    assert driver.wait(59.0) == []
    assert driver.wait(1.0) == ["aborted"]


def test_a_target_that_becomes_ready_offline_waits_without_a_deadline(driver: Driver) -> None:
    driver.preparing().tell(ev.BusDisconnected())
    assert driver.tell(ev.ModuleLoaded(1, session=False)) == ["ready"]
    assert driver.host.next_deadline() is None


@pytest.mark.parametrize("phase", ["preparing", "ready", "restoring", "restored"])
def test_calling_off_makes_the_target_forget(driver: Driver, phase: str) -> None:
    getattr(driver, phase)()
    assert driver.tell(abort()) == ["aborted"]
    assert driver.did(do.Discard)
    assert driver.tell(abort()) == ["aborted"]
    assert driver.tell(prepare()) == ["refused"]
    assert driver.tell(prepare(migration="move-2")) == []


def test_a_call_off_that_overtakes_the_prepare_counts(driver: Driver) -> None:
    assert driver.tell(abort()) == ["aborted"]
    assert driver.tell(prepare()) == ["refused"]


@pytest.mark.parametrize("phase", ["preparing", "restored"])
def test_stopping_a_target_copy_never_touches_the_session(driver: Driver, phase: str) -> None:
    getattr(driver, phase)()
    assert driver.tell(stop(2)) == ["stopped"]
    assert driver.effects[0] == do.Discard(1)
    assert driver.tell(prepare(migration="move-2")) == []


def test_a_call_off_after_resuming_is_refused(driver: Driver) -> None:
    driver.restored().tell(resume())
    assert driver.tell(abort()) == ["refused"]
    assert driver.condition is Condition.RUNNING


def test_a_target_whose_module_went_back_lets_go(driver: Driver) -> None:
    driver.restored(session=True).tell(resume())
    driver.tell(ev.SessionOpened(1))
    assert driver.tell(release(3)) == ["released"]
    assert driver.effects[0] == do.Discard(1)


@pytest.mark.parametrize(
    ("held", "reason"),
    [("running", "is here, running"), ("freezing", "is here, freezing")],
)
def test_a_target_that_has_the_module_refuses(driver: Driver, held: str, reason: str) -> None:
    getattr(driver, held)()
    assert driver.tell(prepare(3, "move-2")) == ["refused"]
    assert reason in (driver.last.detail or "")


def test_a_released_copy_makes_room_for_its_return(driver: Driver) -> None:
    driver.frozen().tell(release())
    assert driver.tell(prepare(3, "back")) == []
    assert [type(effect) for effect in driver.effects] == [do.Discard, do.Prepare]


def test_resuming_what_is_not_here_fails(driver: Driver) -> None:
    assert driver.tell(resume()) == ["failed"]
    assert driver.last.code == "not_found"
    driver.ready()
    assert driver.tell(resume()) == ["failed"]
    assert driver.last.code == "failed_precondition"


def test_a_resume_that_loses_the_bus_waits_for_the_realm(driver: Driver) -> None:
    driver.restored(session=True).tell(resume())
    driver.tell(ev.BusDisconnected())
    driver.connect()
    driver.accept()
    assert driver.did(do.Connect)
    assert driver.tell(ev.SessionOpened(1)) == ["resumed"]


def test_called_off_moves_are_forgotten_in_the_end(driver: Driver) -> None:
    for number in range(1100):
        driver.tell(abort(migration=f"move-{number}"))
    assert driver.tell(prepare(migration="move-1099")) == ["refused"]
    assert driver.tell(prepare(migration="move-0")) == []


@pytest.mark.parametrize(
    ("phase", "state", "migration"),
    [
        ("running", "running", None),
        ("freezing", "running", None),
        ("frozen", "frozen", MOVE),
        ("preparing", "restored", MOVE),
        ("restored", "restored", MOVE),
    ],
)
def test_announcements_say_what_each_copy_is(
    driver: Driver, phase: str, state: str, migration: str | None
) -> None:
    getattr(driver, phase)()
    driver.tell(ev.SupervisorChanged())
    (announce,) = driver.effects
    assert isinstance(announce, do.Announce)
    (held,) = announce.modules
    assert (held.state, held.migration) == (state, migration)
    assert isinstance(held, m.HeldModule)
    assert held.uuid == UUID
