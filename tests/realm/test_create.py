"""From a request to a running module, and every way in which it does not get there."""

from collections.abc import Callable

import pytest
from support.builders import PROGRAM, World

from arts.protocol.messages import StartModule
from arts.realm.effects import ProgramFetched


def test_a_module_starts_where_there_is_room(world: World) -> None:
    world.register("a")
    done = world.create("m", filename="counter.wasm", program="5" * 64)
    (fetch,) = done.fetches
    assert (fetch.module, fetch.generation) == ("m", 1)
    assert (fetch.filename, fetch.digest) == ("counter.wasm", "5" * 64)
    assert done.commands == []
    assert done.replies == []

    done = world.fetched("m")
    assert done.commands == [("a", "create")]
    assert done.command("a").program == PROGRAM
    assert done.response.ok
    assert done.response.details["state"] == "starting"
    assert done.response.details["parent"] == {"uuid": "a", "name": "runtime a"}

    assert world.report("started", "m").replies == []
    assert world.state("m") == "running"
    assert world.where("m") == ("a", 1)


def test_late_news_of_a_module_that_was_deleted_starts_no_other(world: World) -> None:
    """Of the same uuid, and at the same generation: it has not been sent to its runtime yet."""
    world.register("a")
    world.create("m")
    world.fetched("m")
    world.delete("m", force=True)
    world.report("stopped", "m")
    assert len(world.create("m", object_id="again").fetches) == 1
    world.report("started", "m", runtime="a", generation=1)
    assert world.state("m") == "starting"
    assert world.fetched("m").commands == [("a", "create")]
    world.report("started", "m")
    assert world.state("m") == "running"


def test_a_runtime_that_fetches_by_name_needs_no_program(world: World) -> None:
    world.register("a", features=frozenset({"events"}))
    done = world.create("m")
    assert done.fetches == []
    assert done.commands == [("a", "create")]
    assert done.response.ok
    assert world.state("m") == "starting"


def test_a_module_may_ask_where_it_starts(world: World) -> None:
    world.register("a", features=frozenset({"events"}))
    done = world.create("m", args=["${runtimeid}"], env=["RT=${runtimeid}", "N=1"])
    start = done.command("a")
    assert isinstance(start, StartModule)
    assert (start.args, start.env) == (("a",), ("RT=a", "N=1"))


def test_a_python_module_needs_no_program(world: World) -> None:
    world.register("a")
    assert world.create("m", filetype="PY").commands == [("a", "create")]


def test_a_python_module_with_a_url_does(world: World) -> None:
    """The supervisor fetches the folder around it, for runtimes that load by digest."""
    url = "https://arena.example/store/users/jane/app/main.py"
    world.register("a")
    assert len(world.create("m", filetype="PY", filename=url).fetches) == 1
    world.register("b", features=frozenset({"events"}), filetypes=frozenset({"PY"}))
    assert world.create("n", filetype="PY", filename=url, parent="b").fetches == []


def test_old_runtimes_never_say_so_what_was_sent_runs(world: World) -> None:
    world.register_old("a")
    done = world.create("m")
    assert done.commands == [("a", "create")]
    assert done.response.details["state"] == "running"
    assert world.realm.next_deadline() is None


def test_without_a_runtime_it_waits_and_the_asker_knows(world: World) -> None:
    done = world.create("m")
    assert done.response.ok
    assert done.response.details["state"] == "pending"
    assert done.response.details["detail"] == "waits for a runtime: none is registered"


def test_while_it_waits_each_runtime_has_its_reason(world: World) -> None:
    world.register("a", max_nmodules=0)
    world.register("b", apis="python:python3")
    world.register("c", filetypes=frozenset({"PY"}))
    reasons = world.create("m", apis="gpio").response.details["reasons"]
    assert reasons == {
        "runtime a": "lacks gpio",
        "runtime b": "lacks gpio",
        "runtime c": "does not run WA programs",
    }
    reasons = world.create("n", labels={"room": "1"}).response.details["reasons"]
    assert reasons["runtime a"] == "lacks label room=1"


def test_who_waits_starts_when_a_runtime_joins(world: World) -> None:
    world.create("m")
    world.create("n", apis="gpio")
    done = world.register("a")
    assert [fetch.module for fetch in done.fetches] == ["m"]
    assert len(done.replies) == 1, "the creates were answered before"
    assert (world.state("m"), world.state("n")) == ("starting", "pending")
    world.fetched("m")
    assert world.module("m").reasons == ()
    assert world.module("m").detail is None


def test_who_waits_starts_when_a_place_becomes_free(world: World) -> None:
    world.register("a", max_nmodules=1)
    world.running("m", on="a")
    world.create("n")
    done = world.report("exited", "m", exit_code=0)
    assert [fetch.module for fetch in done.fetches] == ["n"]


def test_the_same_request_again_is_one_module_and_one_answer(world: World) -> None:
    world.register("a")
    world.create("m", object_id="same")
    again = world.create("m", object_id="same")
    assert again.effects == [], "the first is still to be answered"
    assert len(world.fetched("m").replies) == 1
    late = world.create("m", object_id="same")
    assert late.commands == []
    assert late.response.ok
    assert late.response.details["generation"] == 1


def test_another_request_for_a_living_module_is_refused(world: World) -> None:
    world.register("a")
    world.running("m", on="a")
    done = world.create("m")
    assert done.error == ("already_exists", "module m exists already and is running")
    assert done.records == []


@pytest.mark.parametrize(("kind", "state"), [("exited", "exited"), ("failed", "failed")])
def test_what_has_ended_can_be_created_again(world: World, kind: str, state: str) -> None:
    world.register("a")
    world.running("m", on="a", name="first")
    world.report(kind, "m", exit_code=3)
    assert world.state("m") == state
    assert world.create("m", name="second").fetches
    assert world.where("m") == ("a", 2)
    assert world.module("m").exit_code is None
    assert not world.ask("module", "first").response.ok
    assert world.ask("module", "second").response.ok


class TestParent:
    """A request may insist on one runtime."""

    def test_by_uuid_or_name(self, world: World) -> None:
        world.register("a")
        world.register("b")
        world.create("m", parent="b")
        world.create("n", parent="runtime b")
        assert world.where("m") == ("b", 1)
        assert world.where("n") == ("b", 1)

    def test_unknown(self, world: World) -> None:
        world.register("a")
        assert world.create("m", parent="x").error == ("not_found", "no runtime 'x'")
        assert world.state("m") is None

    def test_unknown_in_an_old_dialect_is_placed_elsewhere(self, world: World) -> None:
        world.register("a")
        world.create("m", parent="x", strict_parent=False)
        assert world.where("m") == ("a", 1)

    def test_ambiguous(self, world: World) -> None:
        world.register("a", name="twin")
        world.register("b", name="twin")
        code, text = world.create("m", parent="twin").error
        assert (code, text) == ("invalid", "2 runtimes are meant by 'twin'; say which by uuid")

    def test_full_waits_for_that_one(self, world: World) -> None:
        world.register("a", max_nmodules=0)
        world.register("b")
        details = world.create("m", parent="a").response.details
        assert details["state"] == "pending"
        assert details["reasons"] == {"runtime a": "is full (0 of 0)"}

    def test_failure_is_not_cured_elsewhere(self, world: World) -> None:
        world.register("a")
        world.register("b")
        world.starting("m", on="a")
        world.report("failed", "m", code="engine_error", detail="out of memory")
        assert world.state("m") == "failed"


class TestProgram:
    """What comes of looking for the program."""

    def test_unavailable_is_the_answer(self, world: World) -> None:
        world.register("a")
        world.create("m")
        assert world.unavailable("m", "no such file").error == ("program_error", "no such file")
        assert world.state("m") == "failed"

    def test_news_for_nobody_is_ignored(self, world: World) -> None:
        world.register("a")
        world.running("m", on="a")
        assert world.fetched("m").effects == []
        assert world.unavailable("m").effects == []
        world.delete("m")
        world.report("stopped", "m")
        world.create("m")
        world.unavailable("m")
        world.create("m")
        assert world.module("m").generation == 2
        assert world.handle(ProgramFetched("m", 1, PROGRAM)).effects == []
        assert world.handle(ProgramFetched("gone", 1, PROGRAM)).effects == []

    def test_a_slow_download_is_not_the_runtimes_fault(self, world: World) -> None:
        world.register("a")
        world.create("m")
        done = world.wait(world.settings.start_timeout * 3)
        assert done.commands == []
        assert world.state("m") == "starting"
        world.fetched("m")
        assert world.report("started", "m")
        assert world.state("m") == "running"

    def test_is_kept_for_the_next_start(self, world: World) -> None:
        world.register("a")
        world.roaming("m", on="a")
        world.register("b")
        done = world.lose("a")
        assert done.fetches == []
        assert done.commands == [("b", "create")]


class TestTrouble:
    """A runtime fails to start a module."""

    def test_the_next_one_tries(self, world: World) -> None:
        world.register("a")
        world.register("b")
        world.create("m")
        world.fetched("m")
        done = world.report("failed", "m", code="engine_error", detail="no memory")
        assert done.commands == [("b", "create")]
        assert world.where("m") == ("b", 2)
        world.report("started", "m")
        assert world.module("m").attempts == ()

    def test_nobody_is_left_to_try(self, world: World) -> None:
        world.register("a")
        world.create("m")
        world.fetched("m")
        world.report("failed", "m", code="engine_error", detail="no memory")
        module = world.module("m")
        assert module.state == "pending"
        assert module.detail == "waits for a runtime (no memory)"
        assert module.reasons == (("runtime a", "failed to start it before"),)
        world.register("b")
        assert world.where("m") == ("b", 2)

    def test_enough_have_tried(self, make_world: Callable[..., World]) -> None:
        world = make_world(start_attempts=2)
        for uuid in "abc":
            world.register(uuid)
        world.create("m")
        world.fetched("m")
        world.report("failed", "m")
        world.report("failed", "m", detail="again")
        assert world.state("m") == "failed"
        assert world.module("m").detail == "again"

    @pytest.mark.parametrize("code", ["program_error", "invalid", "not_found"])
    def test_what_no_other_runtime_would_cure(self, world: World, code: str) -> None:
        world.register("a")
        world.register("b")
        world.create("m")
        world.fetched("m")
        world.report("failed", "m", code=code, detail="not a module")
        assert world.state("m") == "failed"

    def test_silence_moves_it_on(self, world: World) -> None:
        world.register("a")
        world.register("b")
        world.create("m")
        world.fetched("m")
        done = world.wait(world.settings.start_timeout)
        assert done.commands == [("a", "delete"), ("b", "create")]
        assert done.command("a").force
        assert world.where("m") == ("b", 2)
        late = world.report("started", "m", "a", generation=1)
        assert late.commands == [("a", "delete")]

    def test_silence_of_a_suspect_is_for_suspicion_to_judge(
        self, make_world: Callable[..., World]
    ) -> None:
        world = make_world(lost_after=100.0)
        world.register("a")
        world.register("b")
        world.create("m")
        world.fetched("m")
        world.will("a")
        world.wait(70)
        assert world.where("m") == ("a", 1)
        world.wait(30)
        assert world.where("m") == ("b", 2)

    def test_a_runtime_that_remembers_more_is_outrun(self, world: World) -> None:
        world.register("a")
        world.create("m")
        world.fetched("m")
        done = world.report("stopped", "m", newest=7)
        assert done.command("a").generation == 8
        world.report("started", "m")
        assert world.where("m") == ("a", 8)

    @pytest.mark.parametrize("newest", [None, 0])
    def test_an_old_stop_does_not_touch_a_start(self, world: World, newest: int | None) -> None:
        world.register("a")
        world.create("m")
        world.fetched("m")
        assert world.report("stopped", "m", newest=newest).effects == []


def test_decisions_among_many_runtimes_are_kept_without_their_losers(world: World) -> None:
    for number in range(30):
        world.register(f"r{number}")
    world.create("m")
    assert world.where("m") == ("r0", 1)
    why = world.ask("why", "m").response.details
    assert len(why["candidates"]) == 30


def test_round_robin_remembers_where_it_was(make_world: Callable[..., World]) -> None:
    world = make_world(policy="round-robin")
    for uuid in "abc":
        world.register(uuid)
    for number in range(4):
        world.create(f"m{number}")
    assert [world.where(f"m{n}")[0] for n in range(4)] == ["a", "b", "c", "a"]
