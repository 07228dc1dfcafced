"""The supervisor dies in the middle of everything and comes back with what it had recorded."""

from dataclasses import replace

import pytest
from support.builders import ABLE, DURABLE, World

from arts.model import Module, ModuleSpec, ModuleState
from arts.realm.effects import ForgetSnapshots


def test_what_runs_is_left_alone(pair: World) -> None:
    done = pair.restart()
    assert done.effects == []
    assert pair.where("m") == ("a", 1)
    assert pair.ask("module", "module m").response.ok


def test_what_starts_is_sent_again(world: World) -> None:
    world.register("a")
    world.starting("m", on="a")
    assert world.restart().commands == [("a", "create")]
    assert world.report("started", "m") is not None
    assert world.state("m") == "running"


def test_what_never_ran_has_no_checkpoints(world: World) -> None:
    """Those of one of its uuid that was deleted just before may still be there."""
    world.register("a", features=ABLE)
    world.create("m", **DURABLE)
    forget = ForgetSnapshots("m")
    assert forget in world.restart().effects
    world.fetched("m")
    world.report("started", "m")
    assert forget not in world.restart().effects
    world.lose("a")
    assert world.state("m") == "pending"
    assert forget not in world.restart().effects, "it has run"


def test_what_is_fetched_is_fetched_again_and_answered(world: World) -> None:
    world.register("a")
    world.create("m")
    assert len(world.restart().fetches) == 1
    assert world.fetched("m").response.ok


def test_what_stops_is_stopped_again_and_answered(pair: World) -> None:
    pair.delete("m")
    assert pair.restart().commands == [("a", "delete")]
    assert pair.report("stopped", "m").response.ok


def test_what_waits_is_placed(world: World) -> None:
    world.create("m")
    world.register("a", max_nmodules=0)
    runtime = world.realm.runtime("a")
    assert runtime is not None
    world.store["runtime", "a"] = replace(runtime, max_nmodules=1)
    assert len(world.restart().fetches) == 1


def test_what_has_ended_is_kept_as_long_again(pair: World) -> None:
    pair.report("exited", "m", exit_code=0)
    pair.restart()
    pair.wait(pair.settings.keep_ended - 1)
    assert pair.state("m") == "exited"
    pair.wait(1)
    assert pair.state("m") is None


def test_who_waits_for_a_lost_runtime_still_does(world: World) -> None:
    world.register("a")
    world.running("m", on="a", on_runtime_lost="wait")
    world.lose("a")
    world.restart()
    assert world.state("m") == "lost"
    world.wait(world.settings.keep_lost)
    assert world.runtime("a") == "lost"
    world.register("a", ("m", 1))
    assert world.state("m") == "running"


@pytest.mark.parametrize("order", [1, -1])
def test_records_come_in_any_order(pair: World, order: int) -> None:
    records = list(pair.store.values())[::order]
    pair.store = {("x", str(i)): record for i, record in enumerate(records)}
    pair.restart()
    assert pair.where("m") == ("a", 1)
    pair.realm.validate()


def test_everybody_has_time_to_be_heard(world: World) -> None:
    world.register("a", ka_interval_sec=1.0)
    world.register("b")
    world.will("b")
    world.restart()
    world.wait(3 + world.settings.link_grace - 0.1)
    assert world.runtime("a") == "online"
    assert world.runtime("b") == "suspect"
    world.wait(0.1)
    assert world.runtime("a") == "suspect"
    world.wait(7)
    assert world.runtime("b") == "lost"


@pytest.mark.parametrize("state", [ModuleState.STARTING, ModuleState.RUNNING, ModuleState.STOPPING])
def test_a_module_on_a_runtime_that_nobody_knows(world: World, state: ModuleState) -> None:
    spec = ModuleSpec(uuid="m", name="m", filename="m.wasm")
    world.store["module", "m"] = Module(spec=spec, state=state, generation=4, parent="gone")
    world.restart()
    assert world.state("m") == (None if state is ModuleState.STOPPING else "pending")
