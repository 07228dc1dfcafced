"""Moves from their commit point on: there is only forward, or back from the frozen copy."""

from collections.abc import Callable

import pytest
from support.builders import World

from arts.protocol.messages import HeldModule


class TestCommitted:
    """Behind the commit point there is only forward."""

    def test_the_new_owner_is_told_until_it_runs(self, pair: World) -> None:
        pair.moving("m", "b", "switching")
        done = pair.wait(pair.settings.switch_timeout)
        assert done.commands == [("b", "resume"), ("a", "release")]
        assert pair.step("resumed", "m", "b").response.ok

    def test_restart_of_the_supervisor(self, pair: World) -> None:
        pair.moving("m", "b", "switching")
        done = pair.restart()
        assert done.commands == [("b", "resume"), ("a", "release")]
        assert pair.step("resumed", "m", "b").response.ok

    def test_loss_of_the_source_does_not_matter(self, pair: World) -> None:
        pair.moving("m", "b", "switching")
        pair.leave("a")
        done = pair.step("resumed", "m", "b")
        assert done.response.details["from"] == "a", "its name is forgotten"
        assert pair.where("m") == ("b", 2)

    def test_restart_of_the_source_does_not_matter(self, pair: World) -> None:
        pair.moving("m", "b", "switching")
        pair.register("a", instance="a-2")
        assert pair.phase("m") == "switching"

    def test_reconnect_of_the_ends_does_not_matter(self, pair: World) -> None:
        pair.moving("m", "b", "switching")
        move = pair.module("m").migration
        assert move is not None
        frozen = HeldModule(uuid="m", generation=1, migration=move.id, state="frozen")
        restored = HeldModule(uuid="m", generation=2, migration=move.id, state="restored")
        again = [("b", "resume"), ("a", "release")]
        assert pair.register("a", modules=(frozen,)).commands == again
        assert pair.register("b", modules=(restored,)).commands == again
        assert pair.keepalive("a", children=[{"uuid": "m", "generation": 1}]).commands == []

    def test_delete(self, pair: World) -> None:
        pair.moving("m", "b", "switching")
        done = pair.delete("m")
        assert done.commands == [("a", "delete"), ("b", "delete")]
        assert done.error[1] == "not moved: the module was deleted"
        assert pair.report("stopped", "m").response.ok

    @pytest.mark.parametrize("kind", ["exited", "failed"])
    def test_the_module_ends_at_once(self, pair: World, kind: str) -> None:
        pair.moving("m", "b", "switching")
        done = pair.report(kind, "m", exit_code=0)
        assert done.commands == [("a", "delete")]
        assert not done.response.ok
        assert pair.state("m") == kind


class TestFallBack:
    """The target fails behind the commit point: the source's frozen copy goes on."""

    def fails(self, world: World, how: str) -> list[tuple[str, str]]:
        world.moving("m", "b", "switching")
        if how == "lost":
            return world.leave("b").commands
        if how == "restarted":
            return world.register("b", instance="b-2").commands
        if how == "silent":
            for _ in range(world.settings.switch_attempts - 1):
                world.wait(world.settings.switch_timeout)
            return world.wait(world.settings.switch_timeout).commands
        return world.step(how, "m", "b").commands

    @pytest.mark.parametrize("how", ["lost", "restarted", "silent", "refused", "failed", "aborted"])
    def test_the_source_goes_on(self, pair: World, how: str) -> None:
        assert self.fails(pair, how)[-2:] == [("a", "resume"), ("b", "delete")]
        assert pair.where("m") == ("a", 3)
        done = pair.step("resumed", "m", "a")
        text = "not moved: the target failed; the module goes on at the source"
        assert done.error == ("migration_failed", text)
        assert done.commands == [("b", "delete")]
        assert pair.state("m") == "running"
        assert pair.module("m").detail == "not moved: the target failed"

    def test_restart_of_the_supervisor_on_the_way_back(self, pair: World) -> None:
        self.fails(pair, "failed")
        assert pair.restart().commands == [("a", "resume"), ("b", "delete")]

    @pytest.mark.parametrize("how", ["failed", "silent"])
    def test_the_source_fails_too(self, pair: World, how: str) -> None:
        self.fails(pair, "failed")
        if how == "failed":
            done = pair.step("failed", "m", "a", detail="no such module here")
        else:
            done = pair.wait(pair.settings.switch_timeout * pair.settings.switch_attempts)
        assert ("a", "delete") in done.commands
        assert not done.response.ok
        assert pair.state("m") == "starting"
        assert pair.module("m").generation == 4

    def test_the_source_is_gone(self, pair: World) -> None:
        pair.moving("m", "b", "switching")
        pair.leave("a")
        pair.register("c")
        done = pair.leave("b")
        assert ("c", "create") in done.commands
        assert pair.where("m") == ("c", 3)

    def test_the_source_is_lost(self, pair: World) -> None:
        pair.moving("m", "b", "switching")
        pair.lose("a")
        pair.register("c")
        pair.leave("b")
        assert pair.where("m") == ("c", 3)

    def test_silence_of_a_suspect_is_for_suspicion_to_judge(
        self, make_world: Callable[..., World]
    ) -> None:
        world = make_world(lost_after=1000.0)
        world.register("a")
        world.roaming("m", on="a")
        world.register("b")
        world.moving("m", "b", "switching")
        world.will("b")
        world.wait(500)
        assert world.where("m") == ("b", 2)
        world.wait(500)
        assert world.where("m") == ("a", 3)
