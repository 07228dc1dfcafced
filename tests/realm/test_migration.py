"""Moves: phase by phase, and every way in which they end before their commit point."""

import pytest
from support.builders import NATIVE, UNMOVABLE, World

PHASES = ("preparing", "freezing", "restoring", "switching")
UNCOMMITTED = PHASES[:3]


def test_a_move_step_by_step(pair: World) -> None:
    prepare = pair.move("m", "b").command("b")
    assert prepare.action == "prepare"
    assert (prepare.generation, prepare.source) == (2, "a")
    assert (prepare.module.generation, prepare.module.parent) == (2, "b")
    move = prepare.migration

    freeze = pair.step("ready", "m", "b").command("a")
    assert (freeze.action, freeze.generation, freeze.migration) == ("freeze", 2, move)
    assert freeze.target == "b"

    assert pair.step("frozen", "m", "a", digest="s", size=1000, at=5.0).commands == []
    assert pair.where("m") == ("a", 1)

    done = pair.step("restored", "m", "b", digest="s")
    assert done.commands == [("b", "resume"), ("a", "release")]
    assert pair.where("m") == ("b", 2)
    assert done.replies == []

    done = pair.step("resumed", "m", "b", at=5.25)
    forget = done.command("a")
    assert (forget.action, forget.generation, forget.forget_session) == ("delete", 1, False)
    details = done.response.details
    assert (details["from"], details["to"]) == ("runtime a", "runtime b")
    assert (details["downtime_ms"], details["bytes"]) == (250.0, 1000)
    assert details["module"]["parent"]["uuid"] == "b"
    assert "migration.done" in done.notes
    assert pair.state("m") == "running"
    assert pair.realm.next_deadline() is None


def test_the_snapshot_may_arrive_before_the_news_of_it(pair: World) -> None:
    pair.moving("m", "b", "freezing")
    assert pair.step("restored", "m", "b", digest="s").commands == []
    done = pair.step("frozen", "m", "a", digest="s")
    assert done.commands == [("b", "resume"), ("a", "release")]


def test_without_a_target_the_realm_chooses(pair: World) -> None:
    assert pair.move("m").commands == [("b", "prepare")]


def test_both_ends_have_its_place_taken_until_it_is_over(world: World) -> None:
    world.register("a", max_nmodules=1)
    world.roaming("m", on="a")
    world.register("b", max_nmodules=1)
    world.moving("m", "b", "switching")
    assert world.create("n").response.details["state"] == "pending"
    world.step("resumed", "m", "b")
    assert world.state("n") == "pending"
    world.keepalive("a")
    world.register("a", max_nmodules=1)
    assert world.where("n") == ("a", 1)


class TestRefused:
    """What cannot move is told why, and nothing changes."""

    def test_no_such_module(self, world: World) -> None:
        assert world.move("m").error == ("not_found", "no module 'm'")

    def test_several_modules(self, world: World) -> None:
        world.create("m", name="twin")
        world.create("n", name="twin")
        code, text = world.move("twin").error
        assert (code, text) == ("invalid", "2 modules are meant by 'twin'; say which by uuid")

    def test_not_running(self, world: World) -> None:
        world.create("m")
        code, text = world.move("m").error
        assert (code, text) == ("failed_precondition", "module module m is pending, not running")

    def test_not_migratable(self, world: World) -> None:
        world.register("a")
        world.create("m")
        world.fetched("m", UNMOVABLE)
        world.report("started", "m")
        world.register("b")
        assert world.move("m").error[1] == "module m cannot be moved: it uses threads"

    def test_not_from_there(self, world: World) -> None:
        world.register("a", features=frozenset({"events"}))
        world.create("m")
        world.report("started", "m")
        world.register("b")
        text = "runtime runtime a cannot send a running module away"
        assert world.move("m").error == ("failed_precondition", text)

    def test_not_now(self, pair: World) -> None:
        pair.will("a")
        assert pair.move("m").error[1] == "runtime runtime a is suspect"

    def test_not_to_nowhere(self, pair: World) -> None:
        assert pair.move("m", "x").error == ("not_found", "no runtime 'x'")

    def test_not_to_several(self, pair: World) -> None:
        pair.register("c", name="runtime b")
        code, text = pair.move("m", "runtime b").error
        assert (code, text) == (
            "invalid",
            "2 runtimes are meant by 'runtime b'; say which by uuid",
        )

    def test_not_to_where_it_is(self, pair: World) -> None:
        assert pair.move("m", "a").error[1] == "module module m is on runtime a already"

    def test_not_to_who_cannot_take_it(self, pair: World) -> None:
        pair.register("b", features=NATIVE - {"snapshot"})
        code, text = pair.move("m", "b").error
        assert code == "unplaceable"
        assert text == "no suitable runtime (runtime b: cannot take a running module)"

    def test_not_while_it_moves(self, pair: World) -> None:
        pair.move("m", "b")
        assert pair.move("m", "b").error[1] == "module module m is migrating, not running"


class TestRepeated:
    """The same request again is the same move."""

    def test_while_it_moves(self, pair: World) -> None:
        pair.move("m", object_id="same")
        assert pair.move("m", object_id="same").effects == []

    def test_when_it_has_moved(self, pair: World) -> None:
        pair.move("m", object_id="same")
        pair.step("ready", "m", "b")
        pair.step("frozen", "m", "a", digest="s")
        pair.step("restored", "m", "b", digest="s")
        pair.step("resumed", "m", "b")
        again = pair.move("m", object_id="same")
        assert again.response.ok
        assert again.commands == []
        assert pair.move("m").commands == [("a", "prepare")], "another one is another move"


def stays(world: World) -> None:
    """The source runs on."""
    assert world.state("m") == "running"
    assert world.where("m") == ("a", 1)
    assert world.phase("m") is None


class TestCalledOff:
    """Before the commit point every failure means: the source runs on."""

    @pytest.mark.parametrize("phase", UNCOMMITTED)
    @pytest.mark.parametrize("kind", ["refused", "failed", "aborted"])
    def test_by_the_target(self, pair: World, phase: str, kind: str) -> None:
        pair.moving("m", "b", phase)
        done = pair.step(kind, "m", "b", detail="no room")
        assert sorted(done.commands) == [("a", "abort"), ("b", "abort")]
        assert done.error == ("migration_failed", "not moved: no room")
        stays(pair)

    def test_by_the_target_without_a_word_why(self, pair: World) -> None:
        pair.moving("m", "b", "preparing")
        assert pair.step("refused", "m", "b").error[1] == "not moved: refused by the target"

    def test_by_the_source(self, pair: World) -> None:
        pair.moving("m", "b", "freezing")
        assert pair.step("refused", "m", "a").error[1] == "not moved: the source refused"
        stays(pair)

    @pytest.mark.parametrize("phase", UNCOMMITTED)
    def test_by_time(self, pair: World, phase: str) -> None:
        pair.moving("m", "b", phase)
        done = pair.wait(31)
        assert done.error[1] == f"not moved: it took too long while {phase}"
        assert sorted(done.commands) == [("a", "abort"), ("b", "abort")]
        stays(pair)

    def test_not_while_memory_goes_ahead(self, pair: World) -> None:
        pair.moving("m", "b", "freezing")
        for _ in range(10):
            pair.step("ahead", "m", "a", size=1_000_000)
            pair.wait(9)
        assert pair.phase("m") == "freezing"
        pair.step("frozen", "m", "a", digest="s")
        assert pair.phase("m") == "restoring"
        pair.step("ahead", "m", "a", size=2_000_000)  # too late
        assert pair.phase("m") == "restoring"

    def test_large_snapshots_have_more_time(self, pair: World) -> None:
        pair.moving("m", "b", "freezing")
        pair.step("frozen", "m", "a", digest="s", size=100_000_000)
        pair.wait(129)
        assert pair.phase("m") == "restoring"
        assert not pair.wait(1).response.ok

    @pytest.mark.parametrize("order", ["frozen first", "restored first"])
    def test_by_a_wrong_digest(self, pair: World, order: str) -> None:
        pair.moving("m", "b", "freezing")
        if order == "frozen first":
            pair.step("frozen", "m", "a", digest="s")
            done = pair.step("restored", "m", "b", digest="other")
        else:
            pair.step("restored", "m", "b", digest="other")
            done = pair.step("frozen", "m", "a", digest="s")
        assert "rebuilt another state" in done.error[1]
        stays(pair)

    @pytest.mark.parametrize("phase", UNCOMMITTED)
    def test_by_loss_of_the_target(self, pair: World, phase: str) -> None:
        pair.moving("m", "b", phase)
        done = pair.leave("b")
        assert not done.replies[1].response.ok
        stays(pair)

    @pytest.mark.parametrize("phase", UNCOMMITTED)
    def test_by_restart_of_the_target(self, pair: World, phase: str) -> None:
        pair.moving("m", "b", phase)
        pair.register("b", instance="b-2")
        stays(pair)

    @pytest.mark.parametrize("phase", UNCOMMITTED)
    def test_not_by_a_mere_reconnect_of_an_end(self, pair: World, phase: str) -> None:
        pair.moving("m", "b", phase)
        assert pair.register("b").commands == [("b", "prepare")], "say again how far you are"
        again = [] if phase == "preparing" else [("a", "freeze")]
        assert pair.register("a", ("m", 1)).commands == again
        assert pair.phase("m") == phase

    @pytest.mark.parametrize("phase", UNCOMMITTED)
    @pytest.mark.parametrize("way", ["lost", "restarted", "empty"])
    def test_with_the_source_the_module_is_gone(self, pair: World, phase: str, way: str) -> None:
        pair.moving("m", "b", phase)
        if way == "lost":
            done = pair.leave("a")
        elif way == "restarted":
            done = pair.register("a", instance="a-2")
        else:
            done = pair.register("a")
        assert ("b", "abort") in done.commands
        assert sorted(reply.response.ok for reply in done.replies) == [False, True]
        assert pair.state("m") == "starting"
        assert pair.module("m").generation == 2

    @pytest.mark.parametrize("phase", UNCOMMITTED)
    @pytest.mark.parametrize("kind", ["exited", "failed"])
    def test_by_the_modules_own_end(self, pair: World, phase: str, kind: str) -> None:
        pair.moving("m", "b", phase)
        done = pair.report(kind, "m", exit_code=0)
        assert done.commands == [("b", "abort")]
        assert not done.response.ok
        assert pair.state("m") == kind

    @pytest.mark.parametrize("phase", UNCOMMITTED)
    def test_by_a_delete(self, pair: World, phase: str) -> None:
        pair.moving("m", "b", phase)
        done = pair.delete("m")
        assert done.commands == [("b", "abort"), ("a", "delete")]
        assert done.error[1] == "not moved: the module was deleted"
        assert pair.report("stopped", "m").response.ok

    @pytest.mark.parametrize("phase", UNCOMMITTED)
    def test_not_by_restart_of_the_supervisor(self, pair: World, phase: str) -> None:
        pair.moving("m", "b", phase)
        again = [("b", "prepare")] if phase == "preparing" else [("b", "prepare"), ("a", "freeze")]
        assert pair.restart().commands == again
        assert pair.phase("m") == phase
        assert not pair.wait(31).response.ok
        stays(pair)


class TestStrayReports:
    """Late, repeated or misplaced reports change nothing."""

    @pytest.mark.parametrize(
        ("phase", "kind", "runtime"),
        [
            ("preparing", "frozen", "a"),
            ("preparing", "resumed", "b"),
            ("preparing", "ready", "a"),
            ("freezing", "ready", "b"),
            ("freezing", "frozen", "b"),
            ("freezing", "restored", "a"),
            ("restoring", "ready", "b"),
            ("restoring", "frozen", "a"),
            ("restoring", "resumed", "b"),
            ("switching", "ready", "b"),
            ("switching", "restored", "b"),
            ("switching", "refused", "a"),
            ("switching", "released", "a"),
            ("switching", "aborted", "a"),
        ],
    )
    def test_out_of_turn(self, pair: World, phase: str, kind: str, runtime: str) -> None:
        pair.moving("m", "b", phase)
        before = pair.module("m")
        done = pair.step(kind, "m", runtime, digest="other")
        assert done.effects == []
        assert pair.module("m") == before

    @pytest.mark.parametrize("phase", PHASES)
    def test_of_a_third_runtime(self, pair: World, phase: str) -> None:
        pair.register("c")
        pair.moving("m", "b", phase)
        for kind in ("ready", "refused", "resumed"):
            assert pair.step(kind, "m", "c").effects == []

    def test_of_a_move_that_is_over(self, pair: World) -> None:
        pair.moving("m", "b", "freezing")
        move = pair.module("m").migration
        assert move is not None
        pair.step("refused", "m", "a")
        late = pair.report("frozen", "m", "a", generation=2, migration=move.id)
        assert late.command("a").migration == move.id
        assert late.command("a").action == "abort"
        assert pair.report("refused", "m", "a", generation=2, migration=move.id).effects == []

    def test_of_the_new_owner(self, pair: World) -> None:
        pair.moving("m", "b", "switching")
        move = pair.module("m").migration
        assert move is not None
        pair.step("resumed", "m", "b")
        assert pair.report("resumed", "m", "b", migration=move.id).effects == []
        assert pair.report("started", "m", "b").effects == []
