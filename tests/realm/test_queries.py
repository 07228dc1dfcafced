"""Questions about the realm."""

from typing import Any

import pytest
from support.builders import World


def test_the_realm(pair: World) -> None:
    details: Any = pair.ask("realm").response.details
    assert [runtime["uuid"] for runtime in details["runtimes"]] == ["a", "b"]
    child = {"uuid": "m", "name": "module m", "filename": "counter.wasm"}
    assert details["runtimes"][0]["children"] == [child]
    assert details["modules"][0]["program"]["digest"] == "d" * 64
    assert details["counters"]["module.started"] == 1


def test_a_runtime_with_its_story(pair: World) -> None:
    details: Any = pair.ask("runtime", "runtime a").response.details
    assert details["nmodules"] == 1
    assert [line["what"] for line in details["story"]] == ["runtime.registered"]
    assert details["story"][0]["at"] == 1e9 + 100


def test_a_module_with_its_story(pair: World) -> None:
    pair.moving("m", "b", "freezing")
    details: Any = pair.ask("module", "m").response.details
    assert details["migration"]["phase"] == "freezing"
    assert details["migration"]["target"] == {"uuid": "b", "name": "runtime b"}
    story = [line["what"] for line in details["story"]]
    assert story[:3] == [
        "module.requested",
        "module.placed on runtime a",
        "module.started on runtime a",
    ]
    pair.step("refused", "m", "a", detail="busy")
    assert pair.realm.story("m")[-1][1] == "module.stayed on runtime a (not moved: busy)"


def test_a_story_outlives_its_runtimes_name(pair: World) -> None:
    pair.leave("a")
    assert pair.realm.story("m")[1][1] == "module.placed on a"


def test_why_it_is_there(world: World) -> None:
    world.register("a")
    world.register("b", apis="x")
    world.create("m", apis="x")
    details: Any = world.ask("why", "m").response.details
    assert details["chosen"] == "b"
    assert details["policy"] == "least-modules"
    assert details["candidates"] == [
        {
            "runtime": "a",
            "name": "runtime a",
            "reason": "lacks x",
            "score": None,
        },
        {"runtime": "b", "name": "runtime b", "reason": None, "score": 0},
    ]


def test_why_it_waits_is_asked_of_the_present(world: World) -> None:
    world.register("a", max_nmodules=0)
    world.create("m")
    details: Any = world.ask("why", "m").response.details
    assert (details["state"], details["chosen"]) == ("pending", None)
    assert details["candidates"][0]["reason"] == "is full (0 of 0)"


@pytest.mark.parametrize("what", ["runtime", "module", "why"])
def test_nothing_is_meant(pair: World, what: str) -> None:
    kind = "module" if what == "why" else what
    assert pair.ask(what, "x").error == ("not_found", f"no {kind} 'x'")


def test_too_much_is_meant(world: World) -> None:
    world.register("1234-a")
    world.register("1234-b")
    code, text = world.ask("runtime", "1234").error
    assert (code, text) == ("invalid", "2 runtimes are meant by '1234'; say which by uuid")
    assert world.ask("runtime", "1234-a").response.ok


def test_single_documents(pair: World) -> None:
    runtime, module = pair.realm.document("runtime", "a"), pair.realm.document("module", "m")
    assert runtime is not None
    assert module is not None
    assert (runtime["name"], module["name"]) == ("runtime a", "module m")
    assert pair.realm.document("runtime", "x") is None
    assert pair.realm.document("module", "x") is None
    assert pair.realm.runtime("x") is None
    assert len(pair.realm.view().candidates) == 2


def test_a_question_changes_nothing(pair: World) -> None:
    for what in ("realm", "runtime", "module", "why"):
        assert pair.ask(what, "m").records == []
