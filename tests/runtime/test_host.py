"""The pure host: starting, stopping, ending, registering; what repetitions and ghosts get."""

import pytest

from arts.errors import InvariantError
from arts.model import Limits
from arts.protocol import messages as m
from runtime import effects as do
from runtime import events as ev
from runtime.held import Condition
from tests.runtime.hosts import UUID, Driver, freeze, start, stop


@pytest.fixture
def driver() -> Driver:
    return Driver()


# ---------------------------------------------------------------------------- starting


def test_a_module_is_loaded_run_and_reported(driver: Driver) -> None:
    driver.connect()
    assert driver.tell(start(limits=Limits(wall_seconds=1.0))) == []
    (load,) = driver.effects
    assert isinstance(load, do.Load)
    assert load.limits == Limits(memory_bytes=1 << 20, wall_seconds=1.0)
    assert driver.tell(ev.ModuleLoaded(load.copy, session=False)) == ["started"]
    assert driver.did(do.Run)
    assert driver.last == m.Report(
        object_id="start-1",
        kind="started",
        runtime="rt",
        instance="process",
        uuid=UUID,
        generation=1,
    )


def test_a_module_with_channels_runs_when_its_session_is_ours(driver: Driver) -> None:
    driver.tell(start())
    assert driver.tell(ev.ModuleLoaded(1, session=True)) == []
    assert driver.did(do.Connect)
    assert driver.condition is Condition.OPENING
    assert driver.tell(ev.SessionOpened(1)) == ["started"]
    assert driver.did(do.Run)


def test_a_session_that_cannot_be_had_is_tried_again_and_then_given_up(driver: Driver) -> None:
    driver.tell(start())
    driver.tell(ev.ModuleLoaded(1, session=True))
    assert driver.tell(ev.SessionFailed(1, "no broker")) == []
    assert driver.wait(0.4) == []
    assert not driver.did(do.Connect)
    driver.wait(0.2)
    assert driver.did(do.Connect)
    driver.wait(20.0)
    assert driver.tell(ev.SessionFailed(1, "no broker")) == ["failed"]
    assert (driver.last.code, driver.last.detail) == ("bus_error", "no broker")
    assert driver.condition is None


def test_a_program_that_does_not_load_fails_the_module(driver: Driver) -> None:
    driver.tell(start())
    assert driver.tell(ev.LoadFailed(1, "program_error", "not wasm")) == ["failed"]
    assert (driver.last.code, driver.last.detail) == ("program_error", "not wasm")
    assert driver.did(do.Discard)


def test_loading_has_a_deadline(driver: Driver) -> None:
    driver.tell(start())
    assert driver.host.next_deadline() == 60.0
    assert driver.wait(60.0) == ["failed"]
    assert driver.condition is None
    assert driver.tell(ev.ModuleLoaded(1, session=False)) == []  # too late


def test_the_same_start_again_repeats_the_report(driver: Driver) -> None:
    driver.tell(start())
    assert driver.tell(start()) == []
    assert not driver.did(do.Load)
    driver.tell(ev.ModuleLoaded(1, session=False))
    assert driver.tell(start()) == ["started"]
    driver.tell(ev.ModuleExited(1, 3))
    assert driver.tell(start()) == ["exited"]
    assert driver.last.exit_code == 3
    assert driver.condition is None


def test_a_ghost_start_is_told_which_generation_is_the_newest(driver: Driver) -> None:
    driver.tell(start(5))
    assert driver.tell(start(4)) == ["stopped"]
    assert (driver.last.generation, driver.last.newest) == (4, 5)
    driver.tell(ev.LoadFailed(1, "program_error", "x"))
    assert driver.tell(start(4)) == ["stopped"]
    assert driver.last.newest == 5
    assert driver.tell(start(5)) == ["failed"]
    driver.tell(start(6))
    assert driver.did(do.Load)


def test_another_start_at_the_same_generation_is_no_repetition(driver: Driver) -> None:
    driver.tell(start(5))
    other = start(5).model_copy(update={"object_id": "other"})
    assert driver.tell(other) == ["stopped"]
    assert driver.last.newest == 5
    driver.tell(ev.LoadFailed(1, "program_error", "x"))
    assert driver.tell(other) == ["stopped"]


def test_asked_to_announce_itself_it_does(driver: Driver) -> None:
    driver.tell(m.AnnounceRuntime(uuid="rt"))
    assert driver.effects == []  # not connected: it will then
    driver.connect()
    driver.tell(m.AnnounceRuntime(uuid="rt"))
    assert driver.effects == [do.Announce(2, ())]


def test_a_newer_start_replaces_what_is_here(driver: Driver) -> None:
    driver.running().tell(start(2))
    assert [type(effect) for effect in driver.effects] == [do.Discard, do.Load]
    assert driver.held.generation == 2
    assert driver.tell(ev.ModuleExited(1, 0)) == []  # news of the copy that is gone


def test_a_newer_start_while_stopping_answers_the_stop_first(driver: Driver) -> None:
    driver.running().tell(stop())
    assert driver.tell(start(2)) == ["stopped"]
    assert driver.condition is Condition.LOADING


def test_a_newer_start_while_freezing_refuses_the_freeze_first(driver: Driver) -> None:
    driver.freezing()
    assert driver.tell(start(3)) == ["refused"]
    assert driver.condition is Condition.LOADING


def test_old_endings_are_forgotten_in_the_end(driver: Driver) -> None:
    for number in range(1100):
        driver.tell(start(uuid=f"m{number}"))
        driver.tell(ev.LoadFailed(driver.copies, "program_error", "x"))
    assert driver.tell(start(uuid="m1099")) == ["failed"]
    assert driver.tell(start(uuid="m0")) == []
    assert driver.did(do.Load)


# ---------------------------------------------------------------------------- ending


def test_a_failure_is_reported_with_its_reason(driver: Driver) -> None:
    driver.running()
    assert driver.tell(ev.ModuleFailed(1, "engine_error", "unreachable executed")) == ["failed"]
    assert driver.last.detail == "unreachable executed"
    assert driver.did(do.Discard)


def test_stopping_terminates_then_reports(driver: Driver) -> None:
    driver.running()
    assert driver.tell(stop()) == []
    assert driver.effects == [do.Terminate(1, force=False)]
    assert driver.tell(ev.ModuleTerminated(1)) == ["stopped"]
    assert driver.last.object_id == "stop"
    assert driver.tell(start()) == ["stopped"]


@pytest.mark.parametrize(
    "end", [ev.ModuleExited(1, 4), ev.ModuleFailed(1, "engine_error", "x"), ev.ModuleTerminated(1)]
)
def test_however_a_stopping_module_ends_it_is_stopped(driver: Driver, end: ev.Event) -> None:
    driver.running().tell(stop())
    assert driver.tell(end) == ["stopped"]
    assert driver.condition is None


def test_a_forced_stop_after_a_polite_one_is_passed_on(driver: Driver) -> None:
    driver.running().tell(stop())
    driver.tell(stop())
    assert driver.effects == []
    driver.tell(stop(force=True))
    assert driver.effects == [do.Terminate(1, force=True)]
    assert driver.tell(ev.ModuleTerminated(1)) == ["stopped"]


def test_stopping_has_a_deadline(driver: Driver) -> None:
    driver.running().tell(stop())
    assert driver.wait(10.0) == ["stopped"]
    assert driver.did(do.Discard)


def test_stopping_what_is_not_here_is_done_at_once(driver: Driver) -> None:
    assert driver.tell(stop()) == ["stopped"]


def test_a_ghost_stop_touches_nothing(driver: Driver) -> None:
    driver.tell(start(5))
    assert driver.tell(stop(4)) == ["stopped"]
    assert driver.condition is Condition.LOADING


def test_a_stop_reaches_everything_at_its_generation_or_below(driver: Driver) -> None:
    driver.running().tell(stop(7))
    assert driver.tell(ev.ModuleTerminated(1)) == ["stopped"]
    assert driver.tell(start(6)) == ["stopped"]
    assert driver.tell(start(8)) == []


def test_a_stale_copy_goes_at_once_and_leaves_the_session(driver: Driver) -> None:
    driver.running(session=True)
    assert driver.tell(stop(forget_session=False)) == ["stopped"]
    assert driver.effects[0] == do.Discard(1)
    assert not driver.did(do.Terminate)


def test_terminated_out_of_turn_means_nothing(driver: Driver) -> None:
    driver.running()
    assert driver.tell(ev.ModuleTerminated(1)) == []
    assert driver.condition is Condition.RUNNING


# ---------------------------------------------------------------------------- sessions


def test_a_cut_session_holds_the_module_until_the_realm_has_answered(driver: Driver) -> None:
    driver.running(session=True).tell(ev.SessionLost(1))
    assert driver.effects == [do.Hold(1)]
    driver.wait(0.0)
    (announce,) = driver.effects
    assert isinstance(announce, do.Announce)
    assert announce.modules == (m.HeldModule(uuid=UUID, generation=1, state="running"),)
    driver.tell(ev.RegistrationAccepted(announce.serial - 1))  # knew nothing of the loss
    assert driver.effects == []
    driver.tell(ev.RegistrationAccepted(announce.serial))
    assert driver.effects == [do.Connect(1)]
    assert driver.tell(ev.SessionOpened(1)) == []
    assert driver.effects == [do.Run(1, 1)]


def test_a_stale_holder_that_was_cut_is_stopped_instead(driver: Driver) -> None:
    driver.running(session=True).tell(ev.SessionLost(1))
    assert driver.tell(stop(forget_session=False)) == ["stopped"]
    assert driver.condition is None


def test_a_session_cut_while_offline_waits_for_the_bus(driver: Driver) -> None:
    driver.running(session=True).tell(ev.BusDisconnected())
    driver.tell(ev.SessionLost(1))
    assert driver.host.next_deadline() is None
    driver.connect()
    driver.accept()
    assert driver.condition is Condition.OPENING


def test_a_bus_lost_while_reconnecting_asks_the_realm_again(driver: Driver) -> None:
    driver.running(session=True).tell(ev.SessionLost(1))
    driver.wait(0.0)
    driver.accept()
    driver.tell(ev.BusDisconnected())
    assert driver.condition is Condition.DETACHED
    driver.tell(ev.SessionOpened(1))  # it was faster; still nobody may act
    assert not driver.did(do.Run)
    driver.connect()
    driver.accept()
    assert driver.effects == [do.Run(1, 1)]


def test_a_failed_attempt_does_not_matter_when_nobody_waits_for_it(driver: Driver) -> None:
    driver.running(session=True).tell(ev.SessionFailed(1, "x"))
    assert driver.condition is Condition.RUNNING


def test_a_session_lost_while_stopping_changes_nothing(driver: Driver) -> None:
    driver.running(session=True).tell(stop())
    driver.tell(ev.SessionLost(1))
    assert driver.condition is Condition.STOPPING


def test_a_start_keeps_trying_while_the_bus_is_away(driver: Driver) -> None:
    driver.connect()
    driver.tell(start())
    driver.tell(ev.ModuleLoaded(1, session=True))
    driver.tell(ev.BusDisconnected())
    assert driver.condition is Condition.OPENING


# ---------------------------------------------------------------------------- registration


def test_it_announces_itself_until_the_realm_answers(driver: Driver) -> None:
    driver.connect()
    (first,) = driver.effects
    driver.wait(2.0)
    (second,) = driver.effects
    assert first == second == do.Announce(1, ())
    driver.tell(ev.RegistrationRefused(1))
    driver.wait(9.0)
    assert driver.effects == []
    driver.wait(1.0)
    driver.accept()
    assert driver.host.next_deadline() is None


def test_refusals_of_older_announcements_do_not_count(driver: Driver) -> None:
    driver.connect()
    driver.tell(ev.RegistrationRefused(0))
    assert driver.host.next_deadline() == 2.0


def test_a_new_supervisor_is_told_everything(driver: Driver) -> None:
    driver.tell(ev.SupervisorChanged())
    assert driver.effects == []  # not connected: it will be told then
    driver.running().tell(ev.SupervisorChanged())
    (announce,) = driver.effects
    assert isinstance(announce, do.Announce)
    assert [held.uuid for held in announce.modules] == [UUID]


# ---------------------------------------------------------------------------- invariants


def test_an_illegal_transition_raises_and_names_the_module(driver: Driver) -> None:
    held = driver.running().held
    with pytest.raises(InvariantError, match=r"module-1 generation 1: released cannot follow"):
        held.to(Condition.RELEASED)


def test_a_report_that_nobody_is_owed_is_a_bug(driver: Driver) -> None:
    with pytest.raises(InvariantError, match="nobody asked"):
        _ = driver.running().held.debt


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"copy": 99}, "wrong name"),
        ({"condition": Condition.FROZEN}, "one end of no migration"),
        ({"session": True}, "without its session"),
        ({"condition": Condition.STOPPING}, "without a deadline"),
        ({"condition": Condition.STOPPING, "deadline": 1.0}, "nobody asked for"),
    ],
)
def test_validate_finds_what_must_not_be(
    driver: Driver, changes: dict[str, object], problem: str
) -> None:
    from dataclasses import replace

    driver.running()
    driver.host._held[UUID] = replace(driver.held, **changes)  # type: ignore[arg-type]
    with pytest.raises(InvariantError, match=problem):
        driver.host.validate()


def test_validate_finds_copies_that_were_not_dropped(driver: Driver) -> None:
    driver.running()
    driver.host._uuids[77] = "gone"
    with pytest.raises(InvariantError, match="without a module"):
        driver.host.validate()


def test_freezing_what_is_not_running_is_refused(driver: Driver) -> None:
    assert driver.tell(freeze()) == ["refused"]
    assert driver.last.code == "not_found"
    driver.tell(start())
    assert driver.tell(freeze()) == ["refused"]
    assert driver.last.code == "failed_precondition"


# ---------------------------------------------------------------------------- checkpoints


def checkpoint(generation: int = 1) -> m.TakeCheckpoint:
    return m.TakeCheckpoint(object_id="checkpoint", uuid=UUID, generation=generation)


def test_a_checkpoint_is_taken_of_what_runs(driver: Driver) -> None:
    driver.running()
    command = checkpoint()
    assert driver.tell(command) == []
    assert driver.effects == [do.Checkpoint(1, command)]
    assert driver.tell(ev.CheckpointFailed(1, command, "snapshot_error", "no room")) == ["refused"]
    assert (driver.last.object_id, driver.last.detail) == ("checkpoint", "no room")
    assert driver.condition is Condition.RUNNING


def test_no_checkpoint_of_what_does_not_run(driver: Driver) -> None:
    assert driver.tell(checkpoint()) == ["refused"]
    driver.tell(start())
    assert driver.tell(checkpoint()) == ["refused"]
    assert "loading" in str(driver.last.detail)
    assert driver.tell(checkpoint(generation=2)) == ["refused"]


def test_an_end_after_the_registration_is_not_told_by_it(driver: Driver) -> None:
    driver.running()
    driver.tell(ev.BusDisconnected())
    driver.connect()
    (announce,) = [effect for effect in driver.effects if isinstance(effect, do.Announce)]
    assert driver.tell(ev.ModuleExited(1, 0)) == ["exited"]
    assert driver.tell(ev.RegistrationAccepted(announce.serial)) == [], "it knew nothing of it"
    for told in (1, 0):  # the next registration tells it, and once it is accepted, no other
        driver.tell(ev.BusDisconnected())
        driver.connect()
        (announce,) = [effect for effect in driver.effects if isinstance(effect, do.Announce)]
        assert len(announce.ended) == told
        driver.accept()
