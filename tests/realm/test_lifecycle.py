"""The tables, deadlines, and that what is illegal changes nothing."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.builders import World

from arts.errors import InvariantError
from arts.model import ModuleState
from arts.realm import lifecycle
from arts.realm.deadlines import DeadlineKey, Deadlines

TABLES: list[Any] = [lifecycle.RUNTIME, lifecycle.MODULE, lifecycle.MIGRATION]


@pytest.mark.parametrize("table", TABLES)
def test_every_state_can_be_reached_and_left_for_good(table: Any) -> None:
    reached, ends = {None}, {None}
    for _ in table:
        reached |= {after for state in reached for after in table[state].values()}
        ends |= {state for state, rows in table.items() if ends & set(rows.values())}
    assert reached == set(table) == ends


def test_what_is_illegal_raises_with_the_story_and_changes_nothing(pair: World) -> None:
    state: Any = pair.realm._state
    before = dict(state.modules), dict(state.taken), dict(state.pending), len(state.effects)
    module = state.modules["m"]
    with pytest.raises(InvariantError, match=r"'placed' cannot happen while running. Story of m"):
        state.advance_module(module, "placed", parent="b")
    with pytest.raises(InvariantError, match=r"'heard' cannot happen while online.*registered"):
        state.advance_runtime(state.runtimes["a"], "heard")
    assert before == (
        dict(state.modules),
        dict(state.taken),
        dict(state.pending),
        len(state.effects),
    )
    pair.moving("m", "b", "preparing")
    with pytest.raises(InvariantError, match="'resumed' cannot happen while preparing"):
        state.advance_migration(state.modules["m"], "resumed")
    assert pair.phase("m") == "preparing"


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.modules.update(m=replace(state.modules["m"], parent="b")),
        lambda state: state.modules.update(
            m=replace(state.modules["m"], state=ModuleState.PENDING)
        ),
        lambda state: state.modules.update(
            m=replace(state.modules["m"], state=ModuleState.STARTING)
        ),
        lambda state: state.modules.update(m=replace(state.modules["m"], state=ModuleState.LOST)),
        lambda state: state.taken["b"].update(m=None),
        lambda state: state.deadlines.set(DeadlineKey("phase", "m"), 1.0),
        lambda state: state.deadlines.set(DeadlineKey("suspicion", "a"), 1.0),
        lambda state: state.deadlines.set(DeadlineKey("lease", "a"), 1.0),
        lambda state: state.view.put(state.runtimes["a"], 3),
    ],
)
def test_validate_sees_damage(world: World, damage: Any) -> None:
    world.register("a")
    world.roaming("m", on="a")
    world.register("b")
    state: Any = world.realm._state
    healthy = state.modules["m"]
    damage(state)
    with pytest.raises(InvariantError, match="Story of"):
        world.realm.validate()
    # Mend it, for the fixture looks at it once more.
    state.modules["m"] = healthy
    state.taken["b"].pop("m", None)
    for key in (("phase", "m"), ("suspicion", "a"), ("lease", "a")):
        state.deadlines.cancel(DeadlineKey(*key))
    state.view.put(state.runtimes["a"], 1)


keys = st.builds(DeadlineKey, st.just("phase"), st.sampled_from("abc"))
times = st.floats(0, 100)
actions = st.lists(
    st.tuples(st.just("set"), keys, times)
    | st.tuples(st.just("cancel"), keys, times)
    | st.tuples(st.just("postpone"), keys, times)
    | st.tuples(st.just("pop"), keys, times)
)


@given(actions)
def test_deadlines_are_a_table_with_a_minimum(history: list[tuple[str, Any, float]]) -> None:
    deadlines, model = Deadlines(), dict[DeadlineKey, float]()
    for action, key, when in history:
        if action == "set":
            deadlines.set(key, when)
            model[key] = when
        elif action == "cancel":
            deadlines.cancel(key)
            model.pop(key, None)
        elif action == "postpone":
            deadlines.postpone(when)
            model = {k: max(w, when) for k, w in model.items()}
        else:
            due = deadlines.pop_due(when)
            assert (due is None) == (not model or min(model.values()) > when)
            assert due is None or model.pop(due) <= min([when, *model.values()])
        assert deadlines.next() == min(model.values(), default=None)
        for key in (DeadlineKey("phase", uuid) for uuid in "abc"):
            assert deadlines.get(key) == model.get(key)


def test_deadlines_that_were_cancelled_are_forgotten() -> None:
    """However far away they were."""
    deadlines = Deadlines()
    deadlines.set(DeadlineKey("phase", "kept"), 5.0)
    for number in range(10_000):
        key = DeadlineKey("phase", str(number))
        deadlines.set(key, 1e9)
        deadlines.cancel(key)
    assert len(deadlines._heap) < 2000
    assert deadlines.next() == 5.0
    assert deadlines.pop_due(1e10) == ("phase", "kept")
    assert deadlines.pop_due(1e10) is None
