"""A demand and a view in, a placement or reasons out."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arts.errors import SettingsError
from arts.model import Filetype, ModuleSpec, Runtime, RuntimeState
from arts.scheduling.explain import explain, reasons_against
from arts.scheduling.filters import Demand, reason_against
from arts.scheduling.policies import POLICIES, place, policy_named
from arts.scheduling.view import View


def runtime(uuid: str, **fields: Any) -> Runtime:
    return Runtime(uuid=uuid, name=f"runtime {uuid}", **({"max_nmodules": 4} | fields))


def demand(exclude: str = "", moving: bool = False, **fields: Any) -> Demand:
    spec = ModuleSpec(uuid="m", name="m", filename="m.wasm", **fields)
    return Demand(spec, frozenset(exclude), moving)


def view_of(*occupied: int, **fields: Any) -> View:
    view = View()
    for uuid, count in zip("abcdefgh", occupied, strict=False):
        view.put(runtime(uuid, **fields), count)
    return view


def chosen(view: View, policy: str, **fields: Any) -> str | None:
    placement = place(demand(**fields), view, policy_named(policy))
    return placement.runtime if placement else None


@pytest.mark.parametrize(
    ("policy", "occupied", "expected"),
    [
        ("least-modules", (2, 1, 1), "b"),
        ("least-modules", (1, 1, 1), "a"),
        ("least-modules", (4, 4, 3), "c"),
        ("least-modules", (4, 4, 4), None),
        ("spread", (2, 1, 3), "b"),
        ("binpack", (2, 3, 1), "b"),
        ("binpack", (4, 1, 3), "c"),
    ],
)
def test_policies(policy: str, occupied: tuple[int, ...], expected: str | None) -> None:
    assert chosen(view_of(*occupied), policy) == expected


def test_spread_and_binpack_look_at_shares_not_at_numbers() -> None:
    view = View()
    view.put(runtime("small", max_nmodules=2), 1)
    view.put(runtime("large", max_nmodules=100), 10)
    assert chosen(view, "spread") == "large"
    assert chosen(view, "least-modules") == "small"
    assert chosen(view, "binpack") == "small"


def test_round_robin_goes_round() -> None:
    view = view_of(0, 0, 4, 0)
    seen = []
    for _ in range(4):
        placement = place(demand(), view, policy_named("round-robin"))
        assert placement is not None
        view.cursor = placement.sequence
        seen.append(placement.runtime)
    assert seen == ["a", "b", "d", "a"]


def test_round_robin_across_profiles() -> None:
    view = View()
    for index, uuid in enumerate("abcd"):
        view.put(runtime(uuid, apis=frozenset({"odd"} if index % 2 else ())), 0)
    view.cursor = 1
    assert chosen(view, "round-robin") == "c"
    view.cursor = 3
    assert chosen(view, "round-robin") == "a"


def test_unknown_policies_are_told_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="no policy 'best'; there are least-modules, round-"):
        policy_named("best")


@pytest.mark.parametrize(
    ("wanted", "offered", "reason"),
    [
        ({"filetype": Filetype.PYTHON}, {"filetypes": frozenset({"WA"})}, "does not run PY"),
        ({"apis": frozenset({"x", "y", "z"})}, {"apis": frozenset({"y"})}, "lacks x, z"),
        ({"labels": (("room", "1"),)}, {"labels": (("room", "2"),)}, "lacks label room=1"),
        ({"moving": True}, {}, "cannot take a running module"),
        ({"parent": "z"}, {}, "another runtime was asked for"),
        ({"exclude": "a"}, {}, "failed to start it before"),
        (
            {"exclude": "a", "moving": True},
            {"features": frozenset({"snapshot"})},
            "the module is there already",
        ),
        ({}, {"state": RuntimeState.SUSPECT}, "is suspect"),
        ({}, {"state": RuntimeState.LOST}, "is lost"),
        ({}, {"max_nmodules": 1}, "is full (1 of 1)"),
        ({"apis": frozenset({"y"})}, {"apis": frozenset({"x", "y"})}, None),
        ({"labels": (("a", "1"),)}, {"labels": (("a", "1"), ("b", "2"))}, None),
        ({"parent": "a"}, {}, None),
    ],
)
def test_filters(wanted: dict[str, Any], offered: dict[str, Any], reason: str | None) -> None:
    view = View()
    view.put(runtime("a", **offered), 1)
    found = reason_against(demand(**wanted), view.candidates["a"])
    assert (found or "").startswith(reason or "")
    assert (found is None) == (reason is None)
    placement = place(demand(**wanted), view, policy_named("least-modules"))
    assert (placement is None) == (reason is not None)


def test_a_demand_for_one_runtime_looks_at_no_other() -> None:
    view = view_of(0, 4, 0)
    assert chosen(view, "least-modules", parent="c") == "c"
    assert chosen(view, "least-modules", parent="b") is None
    assert chosen(view, "least-modules", parent="x") is None
    assert reasons_against(demand(parent="b"), view) == (("runtime b", "is full (4 of 4)"),)


def test_excluded_runtimes_are_passed_over() -> None:
    assert chosen(view_of(0, 1, 2), "least-modules", exclude="ab") == "c"
    assert chosen(view_of(0, 1), "least-modules", exclude="ab") is None


def test_reasons_are_limited() -> None:
    view = view_of(*[4] * 8)
    assert len(reasons_against(demand(), view, limit=3)) == 3
    assert reasons_against(demand(), view_of(0)) == ()


def test_an_explanation_has_every_runtime_with_its_reason_or_rank() -> None:
    explanation = explain(demand(), view_of(2, 4, 1), policy_named("least-modules"))
    assert explanation.chosen == "c"
    assert [(o.runtime, o.reason, o.rank) for o in explanation.opinions] == [
        ("a", None, 2),
        ("b", "is full (4 of 4)", None),
        ("c", None, 1),
    ]
    assert explain(demand(), View(), policy_named("spread")).chosen is None


def test_forgetting_a_runtime() -> None:
    view = view_of(0, 1)
    view.remove("a")
    assert chosen(view, "least-modules") == "b"
    view.put(runtime("b", state=RuntimeState.LOST), 1)
    view.remove("b")
    assert not view.pools
    assert not view.candidates


runtimes = st.builds(
    runtime,
    uuid=st.sampled_from("abcdef"),
    max_nmodules=st.integers(0, 3),
    apis=st.frozensets(st.sampled_from("xy")),
    state=st.sampled_from(RuntimeState),
)
changes = st.lists(st.tuples(runtimes, st.integers(0, 4), st.booleans()), max_size=30)
demands = st.builds(
    demand,
    exclude=st.sampled_from(("", "a", "bc")),
    apis=st.frozensets(st.sampled_from("xy")),
    parent=st.none() | st.sampled_from("abcdef"),
)


@given(changes, demands, st.sampled_from(sorted(POLICIES)), st.integers(-1, 6))
def test_the_incremental_view_is_the_view_from_scratch(
    history: list[tuple[Runtime, int, bool]], wanted: Demand, name: str, cursor: int
) -> None:
    """Placement by pools decides what a look at each runtime would, whatever came before."""
    view = View()
    for candidate, occupied, gone in history:
        view.put(candidate, occupied)
        if gone:
            view.remove(candidate.uuid)
    view.cursor = cursor
    suitable = [c for c in view.candidates.values() if reason_against(wanted, c) is None]
    policy = policy_named(name)
    placement = place(wanted, view, policy)
    assert (placement is None) == (not suitable)
    if placement is not None and wanted.spec.parent is None:
        ranked = [entry for pool in view.pools.values() for entry in policy(view, pool)]
        uuids = {c.runtime.uuid for c in suitable}
        assert placement.runtime == min(e for e in ranked if e[2] in uuids)[2]
    assert sorted(
        uuid for pool in view.pools.values() for _, _, uuid in pool.by_fewest()
    ) == sorted(c.runtime.uuid for c in view.candidates.values() if c.is_open)
