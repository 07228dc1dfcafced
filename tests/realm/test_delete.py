"""How modules end: by themselves, on request, or by force."""

from collections.abc import Callable

import pytest
from support.builders import World


@pytest.fixture
def one(world: World) -> World:
    """Module m runs on runtime a."""
    world.register("a")
    world.running("m", on="a")
    return world


def test_exit(one: World) -> None:
    done = one.report("exited", "m", exit_code=7)
    assert done.commands == []
    assert one.state("m") == "exited"
    assert (one.module("m").exit_code, one.module("m").detail) == (7, "exit code 7")
    assert one.report("exited", "m", exit_code=7).records == [], "a repetition"


def test_trap(one: World) -> None:
    one.report("failed", "m", code="engine_error", detail="unreachable")
    assert one.state("m") == "failed"
    assert one.module("m").detail == "unreachable"


def test_trap_of_a_starting_module_without_a_word_why(world: World) -> None:
    world.register("a")
    world.starting("m", on="a")
    world.report("failed", "m")
    assert world.module("m").detail == "failed to start"


def test_exit_before_anybody_said_that_it_started(world: World) -> None:
    world.register("a")
    world.starting("m", on="a")
    world.report("exited", "m", exit_code=0)
    assert world.state("m") == "exited"


def test_what_has_ended_is_forgotten_after_a_while(make_world: Callable[..., World]) -> None:
    world = make_world(keep_ended=50.0)
    world.register("a")
    world.running("m", on="a")
    world.report("exited", "m", exit_code=0)
    world.wait(49)
    assert world.state("m") == "exited"
    done = world.wait(1)
    assert world.state("m") is None
    assert done.replies == []


def test_delete_is_answered_when_it_is_done(one: World) -> None:
    done = one.delete("m")
    assert done.commands == [("a", "delete")]
    assert not done.command("a").force
    assert done.command("a").forget_session
    assert done.replies == []
    done = one.report("stopped", "m")
    assert done.response.details == {"type": "module", "uuid": "m", "name": "module m"}
    assert one.state("m") is None
    assert [record.value for record in done.records] == [None]


def test_delete_by_name_and_by_the_beginning_of_a_uuid(world: World) -> None:
    world.register("a")
    world.create("1234-5678", name="counter")
    assert world.delete("12").error[0] == "not_found"
    assert world.delete("1234", force=True).command
    assert world.state("1234-5678") == "stopping"
    world.create("9999", name="other")
    world.delete("other")
    assert world.state("9999") == "stopping"


def test_delete_of_nothing_and_of_too_much(world: World) -> None:
    world.register("a")
    world.create("m", name="twin")
    world.create("n", name="twin")
    assert world.delete("x").error == ("not_found", "no module 'x'")
    text = "2 modules are meant by 'twin'; say which by uuid"
    assert world.delete("twin").error == ("invalid", text)


def test_delete_while_waiting(world: World) -> None:
    world.create("m")
    assert world.delete("m").response.ok
    assert world.state("m") is None


def test_delete_while_its_program_is_fetched_answers_both(world: World) -> None:
    world.register("a")
    world.create("m")
    done = world.delete("m")
    assert done.error[1] == "the module was deleted before it had started"
    assert world.fetched("m").effects == []
    assert world.report("stopped", "m").response.ok


def test_delete_while_starting(world: World) -> None:
    world.register("a")
    world.starting("m", on="a")
    assert world.delete("m").commands == [("a", "delete")]
    assert world.report("started", "m").records == [], "too late"
    assert world.report("failed", "m").response.ok, "gone is gone"
    assert world.state("m") is None


@pytest.mark.parametrize("kind", ["exited", "failed"])
def test_delete_of_what_ends_at_the_same_moment(one: World, kind: str) -> None:
    one.delete("m")
    assert one.report(kind, "m").response.ok
    assert one.state("m") is None


def test_delete_of_what_has_ended(one: World) -> None:
    one.report("exited", "m", exit_code=0)
    done = one.delete("m")
    assert done.response.ok
    assert done.commands == []


def test_delete_again_is_answered_at_once_and_may_be_less_gentle(one: World) -> None:
    one.delete("m")
    again = one.delete("m")
    assert again.response.ok
    assert again.commands == []
    forced = one.delete("m", force=True)
    assert forced.command("a").force
    assert len(one.report("stopped", "m").replies) == 1, "the first one"


def test_the_same_delete_again_has_one_answer(one: World) -> None:
    one.delete("m", object_id="same")
    assert one.delete("m", object_id="same").effects == []
    assert one.report("stopped", "m").response.ok


def test_stop_that_is_not_heard_is_repeated_by_force_and_then_given_up(one: World) -> None:
    one.delete("m")
    for _ in range(one.settings.stop_attempts - 1):
        done = one.wait(one.settings.stop_timeout)
        assert done.command("a").force
    done = one.wait(one.settings.stop_timeout)
    assert done.response.ok
    assert one.state("m") is None
    assert one.keepalive("a", children=[{"uuid": "m", "generation": 1}]).commands == [
        ("a", "delete")
    ], "and should it live on, it is told to go"


def test_stop_of_what_a_silent_runtime_has_is_not_repeated(one: World) -> None:
    one.will("a")
    one.delete("m")
    assert one.wait(one.settings.stop_timeout).response.ok


def test_old_runtimes_never_confirm(world: World) -> None:
    world.register_old("a")
    world.create("m")
    done = world.delete("m")
    assert done.commands == [("a", "delete")]
    assert done.response.ok
    assert world.state("m") is None


def test_its_place_is_free_for_who_waits(world: World) -> None:
    world.register("a", max_nmodules=1)
    world.running("m", on="a")
    world.create("n")
    world.delete("m")
    assert world.state("n") == "pending"
    world.report("stopped", "m")
    assert world.where("n") == ("a", 1)


def test_a_runtime_that_dropped_it_unasked_no_longer_has_it(one: World) -> None:
    done = one.report("stopped", "m")
    assert done.commands == [("a", "create")], "it is pinned there"
    assert one.where("m") == ("a", 2)


def test_reports_about_nothing(world: World) -> None:
    world.register("a")
    assert world.report("exited", "x", "a").effects == []
    assert world.report("stopped", "x", "a").effects == []
    done = world.report("started", "x", "a", generation=4)
    assert done.command("a").generation == 4
    assert done.command("a").forget_session, "it lives nowhere else"


def test_reports_that_say_nothing_new(one: World) -> None:
    assert one.report("ready", "m").effects == [], "without a move"
    one.report("exited", "m", exit_code=0)
    assert one.report("stopped", "m").effects == []


def test_a_namesake_keeps_its_name(world: World) -> None:
    world.create("m", name="twin")
    world.create("n", name="twin")
    world.delete("m")
    assert world.ask("module", "twin").response.details["uuid"] == "n"
