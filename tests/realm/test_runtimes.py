"""Registrations, signs of life, farewells, silence, and what they mean for the modules."""

from collections.abc import Callable
from typing import Any

import pytest
from support.builders import World

from arts.model import Load
from arts.protocol.messages import HeldModule, Report
from arts.realm.effects import LinkLost, LinkRestored


def leased(world: World, uuid: str) -> None:
    """A runtime that promises a keepalive each second."""
    world.register(uuid, ka_interval_sec=1.0)


class TestRegistration:
    """A runtime announces itself."""

    def test_first(self, world: World) -> None:
        details = world.register("a", apis="x y", labels={"room": "1"}).response.details
        assert details["uuid"] == "a"
        assert details["ka_interval_sec"] == 60
        assert details["apis"] == ["x", "y"]
        assert world.runtime("a") == "online"

    def test_again_is_ok_and_changes_nothing(self, world: World) -> None:
        world.register("a")
        done = world.register("a")
        assert done.response.ok
        assert done.records == []

    def test_again_with_another_name(self, world: World) -> None:
        world.register("a", name="first")
        world.register("a", name="second")
        assert world.ask("runtime", "second").response.ok
        assert not world.ask("runtime", "first").response.ok

    def test_after_a_restart_it_has_nothing(self, pair: World) -> None:
        done = pair.register("a", instance="a-2")
        assert done.commands == [("a", "create")]
        assert pair.where("m") == ("a", 2)
        assert "runtime runtime a restarted" in str(pair.realm.story("m"))

    def test_after_a_reconnect_it_goes_on(self, pair: World) -> None:
        assert pair.register("a", ("m", 1)).commands == []
        assert pair.where("m") == ("a", 1)

    def test_what_was_just_sent_is_sent_again(self, world: World) -> None:
        world.register("a")
        world.starting("m", on="a")
        assert world.register("a").commands == [("a", "create")]
        assert world.register("a", ("m", 1)).commands == [("a", "create")], "and answered"

    def test_what_is_still_fetched_is_not_sent(self, world: World) -> None:
        world.register("a")
        world.create("m")
        assert world.register("a").commands == []

    def test_stop_is_repeated_or_done(self, pair: World) -> None:
        pair.delete("m")
        assert pair.register("a", ("m", 1)).commands == [("a", "delete")]
        assert len(pair.register("a").replies) == 2, "the registration and the delete"
        assert pair.state("m") is None

    @pytest.mark.parametrize(
        ("held", "session"),
        [(("x", 3), True), (("m", 0), False), (("m", 9), False)],
    )
    def test_stale_copies_are_discarded(
        self, pair: World, held: tuple[str, int], session: bool
    ) -> None:
        stop = pair.register("b", held).command("b")
        assert (stop.uuid, stop.generation, stop.force) == (*held, True)
        assert stop.forget_session == session

    def test_a_copy_of_what_waits_or_has_ended_is_discarded(self, world: World) -> None:
        world.create("m")
        world.register("a")
        world.running("n", on="a")
        world.report("exited", "n", exit_code=0)
        done = world.register("b", ("m", 1), ("n", 1), max_nmodules=0)
        assert done.commands == [("b", "delete"), ("b", "delete")]

    def test_what_is_taken_away_is_so_before_the_answer(self, pair: World) -> None:
        done = pair.register("b", ("m", 0))
        assert [type(effect).__name__ for effect in done.effects] == ["Command", "Reply"]

    def test_a_copy_that_stands_still_for_no_move_goes_on(self, pair: World) -> None:
        frozen = HeldModule(uuid="m", generation=1, migration="old", state="frozen")
        abort = pair.register("a", modules=(frozen,)).command("a")
        assert (abort.action, abort.migration) == ("abort", "old")

    @pytest.mark.parametrize("lost", [False, True])
    def test_it_tells_again_how_modules_ended(self, world: World, lost: bool) -> None:
        world.register("a", max_nmodules=2)
        world.running("m", on="a", on_runtime_lost="wait")
        world.running("n", on="a", on_runtime_lost="wait")
        if lost:
            world.lose("a")
        facts = {"runtime": "a", "instance": "a-1", "uuid": "m"}
        ends = (
            Report(kind="exited", generation=1, exit_code=3, **facts),
            Report(kind="exited", generation=0, exit_code=4, **facts),
            Report(kind="failed", generation=1, **facts | {"uuid": "x"}),
        )
        done = world.register("a", ("n", 1), ended=ends, max_nmodules=2)
        assert done.commands == []
        assert (world.state("m"), world.module("m").exit_code) == ("exited", 3)
        assert world.where("n") == ("a", 1)

    def test_an_old_runtime_gets_its_modules_again_after_a_silence(self, world: World) -> None:
        world.register_old("a", ka_interval_sec=1.0)
        world.create("m")
        world.wait(3)
        assert world.runtime("a") == "suspect"
        done = world.register_old("a", settle=False)
        assert done.commands == [], "it listens only after its answer"
        assert world.wait(world.settings.arrival_grace).commands == [("a", "create")]
        assert world.register_old("a").commands == []

    def test_an_old_runtime_gets_nothing_before_it_listens(self, world: World) -> None:
        world.register_old("a", settle=False)
        done = world.create("m")
        assert (done.commands, done.replies, world.state("m")) == ([], [], "starting")
        done = world.wait(world.settings.arrival_grace)
        assert (done.commands, world.state("m")) == ([("a", "create")], "running")
        assert done.response.ok
        assert world.wait(5).commands == []

    def test_an_old_runtime_may_be_gone_before_it_listens(self, world: World) -> None:
        world.register_old("a", settle=False)
        world.create("m")
        world.leave("a", instance="", reason=None)
        assert world.state("m") == "pending"
        assert world.wait(5).commands == []

    def test_the_supervisor_may_be_gone_before_an_old_runtime_listens(self, world: World) -> None:
        world.register_old("a", settle=False)
        world.create("m")
        assert world.restart().commands == [("a", "create")]
        assert world.state("m") == "running"


class TestSignsOfLife:
    """Keepalives and reports."""

    def test_renew_the_lease(self, world: World) -> None:
        leased(world, "a")
        for _ in range(5):
            world.wait(2.9)
            world.keepalive("a")
        assert world.runtime("a") == "online"
        world.wait(3)
        assert world.runtime("a") == "suspect"

    def test_who_promised_nothing_may_be_silent(self, world: World) -> None:
        world.register("a")
        world.wait(1e6)
        assert world.runtime("a") == "online"

    def test_a_promise_can_be_taken_back(self, world: World) -> None:
        leased(world, "a")
        world.register("a")
        world.wait(1e6)
        assert world.runtime("a") == "online"

    def test_statistics(self, pair: World) -> None:
        stats = {"uuid": "m", "generation": 1, "mem_usage": 65536}
        pair.keepalive("a", children=[stats], load=Load(cpu_percent=50.0))
        document = pair.realm.documents()
        assert document["modules"][0]["stats"]["mem_usage"] == 65536
        assert document["runtimes"][0]["load"]["cpu_percent"] == 50.0

    def test_a_copy_that_must_not_act_is_discarded(self, pair: World) -> None:
        done = pair.keepalive("b", children=[{"uuid": "m", "generation": 0}])
        assert done.command("b").generation == 0

    def test_old_runtimes_know_no_generations(self, world: World) -> None:
        world.register_old("a")
        done = world.keepalive("a", instance="", children=[{"uuid": "x"}])
        assert done.effects == []

    @pytest.mark.parametrize("sign", ["keepalive", "report"])
    def test_end_suspicion(self, pair: World, sign: str) -> None:
        pair.will("a")
        assert pair.runtime("a") == "suspect"
        if sign == "keepalive":
            pair.keepalive("a")
        else:
            pair.report("started", "m")
        assert pair.runtime("a") == "online"
        pair.wait(100)
        assert pair.where("m") == ("a", 1)

    def test_ends_of_suspicion_make_room(self, world: World) -> None:
        world.register("a")
        world.will("a")
        world.create("m")
        assert world.state("m") == "pending"
        assert world.keepalive("a").fetches

    @pytest.mark.parametrize("unknown", ["lost", "never seen"])
    def test_of_a_stranger_it_is_asked_to_register(self, world: World, unknown: str) -> None:
        if unknown == "lost":
            world.register("a")
            world.lose("a")
        done = world.keepalive("a")
        assert done.commands == [("a", "announce")]
        assert world.report("started", "m", "a").commands == [("a", "announce")]
        assert world.keepalive("a", instance="").commands == [], "old ones would not understand"

    def test_of_another_process_mean_nothing(self, pair: World) -> None:
        pair.will("a")
        assert pair.keepalive("a", instance="a-0").effects == []
        assert pair.report("exited", "m", instance="a-0").records == []
        assert pair.runtime("a") == "suspect"


class TestFarewell:
    """Leaving, and wills."""

    def test_modules_move_on_at_once(self, pair: World) -> None:
        done = pair.leave("a")
        assert done.response.ok
        assert [child["uuid"] for child in done.response.details["children"]] == ["m"]
        assert done.commands == [("b", "create")]
        assert pair.runtime("a") is None

    def test_a_stranger_cannot_leave(self, world: World) -> None:
        code, text = world.leave("a").error
        assert code == "not_found"
        assert text == "no runtime 'a'"

    @pytest.mark.parametrize("how", ["will", "leave"])
    def test_a_process_that_has_a_successor(self, pair: World, how: str) -> None:
        pair.register("a", ("m", 1), instance="a-2")
        if how == "will":
            assert pair.will("a", instance="a-1").effects == []
        else:
            assert pair.leave("a", instance="a-1").error[0] == "not_found"
        assert pair.runtime("a") == "online"

    def test_a_will_is_suspicion_and_not_death(self, pair: World) -> None:
        done = pair.will("a")
        assert done.replies == []
        assert pair.runtime("a") == "suspect"
        assert pair.where("m") == ("a", 1)
        done = pair.wait(pair.settings.lost_after)
        assert pair.runtime("a") == "lost"
        assert done.commands == [("b", "create")]

    def test_a_second_will_changes_nothing(self, pair: World) -> None:
        pair.will("a")
        pair.wait(9)
        assert pair.will("a").effects == []
        pair.wait(1)
        assert pair.runtime("a") == "lost"

    def test_a_will_of_a_stranger(self, world: World) -> None:
        assert world.will("a").effects == []

    def test_old_runtimes_give_no_reason_and_are_gone(self, world: World) -> None:
        world.register_old("a")
        world.create("m")
        done = world.leave("a", instance="", reason=None)
        assert done.response.ok
        assert world.runtime("a") is None
        assert world.state("m") == "pending"

    def test_somebody_else_can_only_cast_doubt_on_a_native_one(self, pair: World) -> None:
        assert pair.leave("a", instance="", reason=None).response.ok
        assert pair.runtime("a") == "suspect"
        pair.keepalive("a")
        assert pair.runtime("a") == "online"


class TestLoss:
    """What becomes of the modules of a runtime that is given up."""

    def test_replace(self, pair: World) -> None:
        pair.lose("a")
        assert pair.where("m") == ("b", 2)
        done = pair.register("a", ("m", 1))
        assert done.commands == [("a", "delete")]

    def test_pinned_modules_wait_for_it(self, world: World) -> None:
        world.register("a")
        world.register("b")
        world.running("m", on="a")
        world.lose("a")
        assert world.state("m") == "pending"
        world.register("a", instance="a-2")
        assert world.where("m") == ("a", 2)

    def test_wait_and_find_it_running(self, world: World) -> None:
        world.register("a")
        world.register("b")
        world.running("m", on="a", on_runtime_lost="wait")
        world.lose("a")
        assert world.state("m") == "lost"
        done = world.register("a", ("m", 1))
        assert done.commands == []
        assert world.where("m") == ("a", 1)
        assert world.state("m") == "running"

    def test_wait_and_start_it_again(self, world: World) -> None:
        world.register("a")
        world.running("m", on="a", on_runtime_lost="wait")
        world.lose("a")
        done = world.register("a", instance="a-2")
        assert done.command("a").generation == 2

    def test_wait_until_there_is_room(self, world: World) -> None:
        world.register("a", max_nmodules=1)
        world.running("m", on="a", on_runtime_lost="wait")
        world.lose("a")
        world.register("a", instance="a-2", max_nmodules=0)
        assert world.state("m") == "lost"
        world.register("a", instance="a-2", max_nmodules=1)
        assert world.where("m") == ("a", 2)

    def test_delete_while_waiting(self, world: World) -> None:
        world.register("a")
        world.running("m", on="a", on_runtime_lost="wait")
        world.running("n", on="a", on_runtime_lost="wait")
        world.lose("a")
        assert world.delete("m").response.ok
        assert world.register("a", ("m", 1), ("n", 1)).commands == [("a", "delete")]

    def test_while_its_program_is_fetched(self, world: World) -> None:
        world.register("a")
        world.create("m", on_runtime_lost="wait")
        world.create("n")
        done = world.lose("a")
        assert [reply.response.details["state"] for reply in done.replies] == ["lost", "pending"]

    def test_while_stopping(self, pair: World) -> None:
        pair.delete("m")
        assert pair.leave("a").replies[1].response.ok
        assert pair.state("m") is None

    def test_lost_runtimes_are_forgotten_in_the_end(self, world: World) -> None:
        world.register("a")
        world.lose("a")
        world.wait(world.settings.keep_lost)
        assert world.runtime("a") is None

    def test_unless_somebody_waits_for_them(self, world: World) -> None:
        world.register("a")
        world.running("m", on="a", on_runtime_lost="wait")
        world.lose("a")
        world.wait(world.settings.keep_lost * 3)
        assert world.runtime("a") == "lost"
        world.delete("m")
        world.wait(world.settings.keep_lost)
        assert world.runtime("a") is None

    def test_a_lost_runtime_may_still_take_leave(self, world: World) -> None:
        world.register("a")
        world.lose("a")
        assert world.leave("a").response.ok
        assert world.runtime("a") is None


class TestOwnLink:
    """The supervisor itself loses the broker."""

    @pytest.fixture
    def deaf(self, make_world: Callable[..., World]) -> World:
        world = make_world(keep_lost=50.0)
        world.register("c")
        world.lose("c")
        world.register("d")
        world.starting("n", on="d")
        leased(world, "b")
        world.will("b")
        leased(world, "a")
        world.handle(LinkLost())
        return world

    def test_nothing_runs_out_meanwhile(self, deaf: World) -> None:
        assert deaf.realm.next_deadline() is None
        deaf.now += 1000
        assert deaf.realm.tick(deaf.now) == []

    def test_afterwards_everybody_has_time_to_be_heard(self, deaf: World) -> None:
        deaf.wait(1000)
        done = deaf.handle(LinkRestored())
        assert sorted(done.commands) == [(uuid, "announce") for uuid in "abcd"]
        deaf.wait(deaf.settings.link_grace - 0.1)
        states = [deaf.runtime(uuid) for uuid in "abcd"]
        assert states == ["online", "suspect", "lost", "online"]
        assert deaf.state("n") == "starting"
        deaf.wait(3 + 0.2)
        assert deaf.runtime("a") == "suspect"
        deaf.wait(1000)
        assert [deaf.runtime(uuid) for uuid in "abcd"] == [None, None, None, "online"]

    def test_whoever_is_heard_of_stays(self, deaf: World) -> None:
        deaf.wait(1000)
        deaf.handle(LinkRestored())
        deaf.keepalive("b")
        assert deaf.runtime("b") == "online"

    def test_old_runtimes_are_not_asked(self, world: World) -> None:
        world.register_old("a")
        world.handle(LinkLost())
        assert world.handle(LinkRestored()).commands == []


def test_registration_fields_reach_the_scheduler(world: World) -> None:
    fields: dict[str, Any] = {"filetypes": frozenset({"PY"}), "engine": "wasmtime", "apis": "x"}
    world.register("a", labels={"k": "v"}, **fields)
    runtime = world.realm.runtime("a")
    assert runtime is not None
    assert (runtime.labels, runtime.engine) == ((("k", "v"),), "wasmtime")
    assert (runtime.apis, runtime.filetypes) == ({"x"}, {"PY"})
