"""What the realm does for runtimes and askers of the old dialects, in its own terms."""

from typing import Any

import pytest

from arts.protocol.messages import (
    CreateModule,
    DeleteModule,
    ModuleExited,
    RegisterManager,
    RemoveManager,
    StopModule,
)
from tests.support.builders import Done, World

HANDOVER = frozenset({"handover"})


@pytest.fixture
def old(world: World) -> World:
    """A realm with an old runtime that runs a module."""
    world.register_old("a", max_nmodules=2)
    world.create("m", parent="a")
    assert world.state("m") == "running"
    return world


def exit_of(world: World, uuid: str = "m", **fields: Any) -> Done:
    """A runtime says that a module has ended."""
    return world.handle(ModuleExited(object_id="x", reply=world.reply_to(), uuid=uuid, **fields))


class TestExits:
    """Told by a runtime that sends no reports."""

    def test_by_itself(self, old: World) -> None:
        assert exit_of(old, runtime="a", detail="done").response.ok
        assert (old.state("m"), old.module("m").detail) == ("exited", "done")

    def test_makes_room(self, old: World) -> None:
        for uuid in ("n", "o"):
            old.create(uuid, parent="a")
        assert (old.state("n"), old.state("o")) == ("running", "pending")
        exit_of(old)
        assert old.state("o") == "running"

    @pytest.mark.parametrize(
        ("uuid", "runtime", "complaint"),
        [
            ("nobody", "a", "no module 'nobody'"),
            ("m", "b", "is on runtime"),
        ],
    )
    def test_of_something_else(self, old: World, uuid: str, runtime: str, complaint: str) -> None:
        assert complaint in exit_of(old, uuid, runtime=runtime).error[1]
        assert old.state("m") == "running"

    def test_not_of_a_native_runtime(self, pair: World) -> None:
        assert "could be said" in exit_of(pair).error[1]
        assert pair.state("m") == "running"

    def test_not_twice(self, old: World) -> None:
        exit_of(old)
        assert not exit_of(old).response.ok


class TestCrashes:
    """``on_crash: restart``."""

    def test_it_begins_again_after_a_growing_pause(self, world: World) -> None:
        world.register_old("a")
        world.create("m", on_crash="restart")
        for pause in (0.5, 1.0, 2.0):
            exit_of(world, failed=True)
            assert world.state("m") == "failed"
            assert world.wait(pause - 0.1).commands == []
            assert world.wait(0.1).commands == [("a", "create")]
            assert world.state("m") == "running"

    def test_the_pause_has_an_end(self, world: World) -> None:
        world.register_old("a")
        world.create("m", on_crash="restart")
        for _ in range(40):
            exit_of(world, failed=True)
            world.wait(60)
            assert world.state("m") == "running"

    def test_a_native_one(self, world: World) -> None:
        world.register("a")
        world.running("m", "a", on_crash="restart")
        world.report("failed", "m", detail="trap")
        assert world.state("m") == "failed"
        assert world.wait(0.5).commands == [("a", "create")]
        world.report("started", "m")
        assert world.where("m") == ("a", 2)

    def test_over_a_restart_of_the_supervisor(self, world: World) -> None:
        world.register_old("a")
        world.create("m", on_crash="restart")
        exit_of(world, failed=True)
        world.restart()
        assert world.wait(0.5).commands == [("a", "create")]

    def test_who_ends_well_has_ended(self, world: World) -> None:
        world.register_old("a")
        world.create("m", on_crash="restart")
        exit_of(world)
        assert world.wait(60).commands == []
        assert world.state("m") == "exited"

    def test_who_cannot_start_has_not_crashed(self, world: World) -> None:
        world.register("a")
        world.starting("m", "a", on_crash="restart")
        world.report("failed", "m", code="program_error")
        assert world.wait(60).commands == []
        assert world.state("m") == "failed"

    def test_others_stay_failed(self, old: World) -> None:
        exit_of(old, failed=True)
        assert old.wait(60).commands == []


class TestManagers:
    """They own runtimes."""

    def test_they_are_welcome(self, world: World) -> None:
        done = world.handle(RegisterManager(object_id="x", reply=world.reply_to(), uuid="boss"))
        assert done.response.details == {"type": "manager", "uuid": "boss", "name": "manager"}

    def test_they_take_their_runtimes_along(self, world: World) -> None:
        world.register_old("a", manager="boss")
        world.register_old("b", manager="another")
        world.create("m", parent="a", on_runtime_lost="wait")
        done = world.handle(RemoveManager(object_id="x", reply=world.reply_to(), uuid="boss"))
        assert done.response.details == {"runtimes": ["a"]}
        assert (world.runtime("a"), world.runtime("b")) == (None, "online")
        assert world.state("m") == "lost"
        done = world.register_old("a", manager="boss")
        assert done.commands == [("a", "create")]
        assert world.state("m") == "running"

    def test_not_native_ones(self, world: World) -> None:
        world.register("a", manager="boss")
        world.handle(RemoveManager(object_id="x", reply=world.reply_to(), uuid="boss"))
        assert world.runtime("a") == "online"


class TestHearing:
    """A runtime may have heard a request itself."""

    def create(self, world: World, dialect: str) -> Done:
        reply = world.reply_to("q", dialect)
        return world.handle(
            CreateModule(object_id="q", reply=reply, uuid="m", parent="a", heard=True)
        )

    def test_in_its_own_dialect(self, world: World) -> None:
        world.register_old("a")
        done = self.create(world, "native")  # which the builder's runtimes speak
        assert (done.commands, done.replies, world.state("m")) == ([], [], "running")

    def test_but_not_in_another(self, world: World) -> None:
        world.register_old("a")
        done = self.create(world, "arena")
        assert done.commands == [("a", "create")]
        assert done.response.ok

    def test_and_after_its_return_it_is_told(self, world: World) -> None:
        world.register_old("a")
        self.create(world, "native")
        world.leave("a", instance="", reason=None)
        assert world.register_old("a").commands == [("a", "create")]

    @pytest.mark.parametrize(
        ("dialect", "fields", "told"),
        [
            ("native", {"heard": True}, False),
            ("arena", {"heard": True}, True),
            (None, {"sender": "a"}, False),
            (None, {"sender": "b"}, True),
        ],
    )
    def test_deletes(
        self, old: World, dialect: str | None, fields: dict[str, Any], told: bool
    ) -> None:
        reply = old.reply_to("q", dialect) if dialect else None
        done = old.handle(DeleteModule(object_id="q", reply=reply, uuid="m", **fields))
        assert bool(done.commands) is told
        assert old.state("m") is None

    def test_never_of_a_native_runtime(self, pair: World) -> None:
        done = pair.handle(DeleteModule(object_id="q", reply=pair.reply_to(), uuid="m", sender="a"))
        assert done.commands == [("a", "delete")]


class TestImpatience:
    """Now or not at all."""

    def test_refused(self, world: World) -> None:
        world.register("a", max_nmodules=0)
        code, text = world.create("m", patient=False).error
        assert (code, world.state("m")) == ("unplaceable", None)
        assert "is full (0 of 0)" in text

    def test_placed(self, world: World) -> None:
        world.register_old("a")
        assert world.create("m", patient=False).response.ok

    def test_a_lost_module_may_be_asked_for_anew(self, world: World) -> None:
        world.register_old("a")
        world.register_old("b")
        world.create("m", parent="a", on_runtime_lost="wait")
        world.leave("a", instance="", reason=None)
        assert world.state("m") == "lost"
        assert world.create("m", parent="b").response.ok
        assert world.where("m") == ("b", 2)
        assert world.register_old("a").commands == []


class TestHandover:
    """The original's way to move: the old runtime is told where to."""

    @pytest.fixture
    def two(self, world: World) -> World:
        """Two old runtimes that can; the first runs a module."""
        world.register_old("a", features=HANDOVER)
        world.create("m")
        world.register_old("b", features=HANDOVER, max_nmodules=1)
        return world

    def test_it_is_told_and_believed(self, two: World) -> None:
        done = two.move("m", "b")
        command = done.command("a")
        assert isinstance(command, StopModule)
        assert command.send_to == "b"
        assert command.module is not None
        assert done.response.ok
        assert (two.where("m"), two.state("m")) == (("b", 2), "running")
        assert two.delete("m").commands == [("b", "delete")]

    def test_asked_again_it_is_one_move(self, two: World) -> None:
        first = two.move("m", "b", object_id="same")
        again = two.move("m", "b", object_id="same")
        assert len(first.commands) == 1
        assert (again.commands, again.response.ok) == ([], True)

    def test_only_where_there_is_room(self, two: World) -> None:
        two.create("n", parent="b")
        assert two.move("m", "b").error[0] == "unplaceable"
        assert two.where("m") == ("a", 1)

    def test_only_where_one_says(self, two: World) -> None:
        assert two.move("m").error[0] == "failed_precondition"

    def test_only_between_those_who_can(self, two: World) -> None:
        two.register("c")
        assert two.move("m", "c").error[0] == "failed_precondition"
