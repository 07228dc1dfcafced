"""In which form programs are asked for, who may run it, and what is learnt of slow pauses."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from support.builders import NATIVE, PROGRAM, World

from arts.model import EVERY_ABILITY, Ability
from arts.protocol.messages import FreezeModule, ModuleStats
from arts.realm.effects import LearnPause

NARROW = frozenset({Ability.LINKING})
RICH = replace(PROGRAM, needs=EVERY_ABILITY, profile="throughput")


def learnt(effects: Iterable[object]) -> list[LearnPause]:
    """What is to be remembered."""
    return [effect for effect in effects if isinstance(effect, LearnPause)]


# ---- the form


def test_a_module_may_choose_how_often_its_program_polls(world: World) -> None:
    world.register("a")
    (fetch,) = world.create("m", profile="responsive").fetches
    assert (fetch.form.profile, fetch.form.abilities) == ("responsive", EVERY_ABILITY)
    (fetch,) = world.create("n").fetches
    assert fetch.form.profile is None


def test_a_form_suits_every_engine_that_may_get_the_module(world: World) -> None:
    world.register("a")
    world.register("b", abilities=NARROW)
    world.register("c", abilities=frozenset(), labels={"kind": "tiny"}, apis=("none",))
    world.register("d", abilities=frozenset(), features=NATIVE - {"programs"}, max_nmodules=0)
    (fetch,) = world.create("m", apis=("wasi:fd",)).fetches
    assert fetch.form.abilities == NARROW, "not c, which lacks the api, nor d, which loads by name"
    world.leave("b")
    (fetch,) = world.create("n", apis=("wasi:fd",)).fetches
    assert fetch.form.abilities == EVERY_ABILITY


def test_a_full_runtime_may_get_it_one_day(world: World) -> None:
    world.register("a")
    world.register("b", abilities=NARROW, max_nmodules=0)
    (fetch,) = world.create("m").fetches
    assert fetch.form.abilities == NARROW


def test_a_module_moves_only_where_its_form_runs(world: World) -> None:
    world.register("a")
    world.create("m")
    world.fetched("m", RICH)
    world.report("started", "m")
    world.register("b", abilities=NARROW)
    code, text = world.move("m").error
    assert code == "unplaceable"
    assert "runtime b: its engine lacks atomics, multi-memory" in text
    world.register("c")
    world.move("m")
    assert world.module("m").migration.target == "c"  # type: ignore[union-attr]


def test_a_module_is_placed_again_only_where_its_form_runs(world: World) -> None:
    world.register("a")
    world.create("m")
    world.fetched("m", RICH)
    world.register("b", abilities=NARROW)
    world.lose("a")
    assert world.state("m") == "pending"
    why = world.ask("why", "m").response.details
    assert isinstance(why, dict)
    assert {c["name"]: c["reason"] for c in why["candidates"]}["runtime b"] == (
        "its engine lacks atomics, multi-memory"
    )


# ---- foresight


@pytest.mark.parametrize("able", [False, True])
def test_the_source_rehearses_for_targets_that_prepare(world: World, able: bool) -> None:
    world.register("a")
    world.create("m")
    world.fetched("m")
    world.report("started", "m")
    world.register("b", features=NATIVE | ({"foresee"} if able else set()))
    world.move("m")
    freeze = world.step("ready", "m", "b").command("a")
    assert isinstance(freeze, FreezeModule)
    assert freeze.rehearse is able


# ---- pauses


@pytest.fixture
def running(world: World) -> World:
    """A module of a known program."""
    world.register("a")
    world.create("m")
    world.fetched("m", RICH)
    world.report("started", "m")
    return world


@pytest.mark.parametrize(("seconds", "slow"), [(0.0, False), (0.002, False), (0.0021, True)])
def test_keepalives_tell_of_slow_pauses(running: World, seconds: float, slow: bool) -> None:
    stats = ModuleStats(uuid="m", generation=1, pause_seconds=seconds)
    effects = running.keepalive("a", children=(stats,)).effects
    assert learnt(effects) == ([LearnPause(RICH.digest, seconds)] if slow else [])


def test_moves_tell_of_slow_pauses(running: World) -> None:
    running.register("b")
    running.move("m")
    running.step("ready", "m", "b")
    effects = running.step("frozen", "m", "a", digest="d", size=1, pause_seconds=0.05).effects
    assert learnt(effects) == [LearnPause(RICH.digest, 0.05)]


def test_nothing_is_learnt_of_programs_that_nobody_knows(world: World) -> None:
    world.register("a", features=frozenset({"events"}))
    world.create("m")
    world.report("started", "m")
    stats = ModuleStats(uuid="m", generation=1, pause_seconds=1.0)
    assert learnt(world.keepalive("a", children=(stats,)).effects) == []
