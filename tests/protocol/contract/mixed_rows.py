"""Rows about mixes: asked in one dialect, run by a runtime of another."""

from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import ANY

from tests.protocol.contract import (
    CONTROL,
    MOD,
    RT,
    arena_runtime,
    arts_runtime,
    module,
    request,
    row,
    said,
    silverline2022_runtime,
    silverline_runtime,
)
from tests.support.wire import Said, Wire

SCENE = "realm/s/public/default/p"

ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "ARTS": (
        CONTROL,
        request(
            "create",
            module(name="m", filename="m.py", filetype="PY", args="a b", env="X=1 Y=2")
            | {"parent": {"uuid": RT}},
        ),
    ),
    "SilverLine 2022": (
        CONTROL,
        request(
            "create",
            module(name="m", filename="m.py", filetype="PY", parent=RT)
            | {"args": ["m.py", "a", "b"], "env": ["X=1", "Y=2"]},
        ),
    ),
    "SilverLine": (
        CONTROL,
        request(
            "create",
            module(name="m", file="m.py", parent=RT)
            | {"args": {"argv": ["m.py", "a", "b"], "env": ["X=1", "Y=2"]}},
            "req",
        ),
    ),
    "ARENA": (
        f"{SCENE}/{MOD}",
        request(
            "create",
            module(name="m", file="m.py", filetype="PY", parent=RT)
            | {"args": ["a", "b"], "env": ["X=1", "Y=2"]},
            "req",
            **{"from": "me"},
        ),
    ),
}
RUNTIMES: dict[str, tuple[Callable[[Wire], Awaitable[None]], str, dict[str, Any]]] = {
    "ARTS": (
        arts_runtime,
        f"{CONTROL}/{RT}",
        {"filename": "m.py", "args": "a b", "env": "X=1 Y=2", "parent": {"uuid": RT}},
    ),
    "SilverLine 2022": (
        silverline2022_runtime,
        f"{CONTROL}/{RT}",
        {"filename": "m.py", "args": ["m.py", "a", "b"], "env": ["X=1", "Y=2"], "parent": RT},
    ),
    "SilverLine": (
        silverline_runtime,
        f"{CONTROL}/{RT}",
        {"file": "m.py", "args": {"argv": ["m.py", "a", "b"], "env": ["X=1", "Y=2"]}, "parent": RT},
    ),
    "ARENA": (
        arena_runtime,
        f"{SCENE}/{RT}/{MOD}",
        {"file": "m.py", "args": ["a", "b"], "env": ["X=1", "Y=2"], "parent": RT},
    ),
}
ANSWERS = {
    "ARTS": (CONTROL, "arts_resp"),
    "SilverLine 2022": (CONTROL, "arts_resp"),
    "SilverLine": (CONTROL, "resp"),
    "ARENA": (f"{SCENE}/{MOD}", "resp"),
}


def _mix(asker: str, runner: str) -> None:
    @row(f"10 mix: asked in {asker}, run by a runtime of {runner}")
    async def mix(wire: Wire) -> None:
        arrive, forward_topic, expected = RUNTIMES[runner]
        await arrive(wire)
        heard = await wire.say(*ASKED[asker])
        assert len(heard) == 2, heard
        forward, answer = heard
        assert forward.topic == forward_topic
        data = forward.payload["data"]
        assert {key: data[key] for key in expected} == expected
        assert (data["uuid"], data["filetype"]) == (MOD, "PY")
        topic, kind = ANSWERS[asker]
        assert (answer.topic, answer.payload["type"]) == (topic, kind)
        assert answer.payload["data"] == {"result": "ok", "details": ANY}
        assert answer.payload["data"]["details"]["uuid"] == MOD
        await _gone(wire, asker, forward)

    del mix


async def _gone(wire: Wire, asker: str, forward: Said) -> None:
    topic, asked = ASKED[asker]
    heard = await wire.say(topic, asked | {"action": "delete", "data": {"uuid": MOD}})
    assert len(heard) == 2, heard
    told, answer = heard
    assert told == said(forward.topic, forward.payload["type"], action="delete", data=ANY) or (
        told.payload["from"] == "arts"
    )
    assert told.payload["data"]["uuid"] == MOD
    assert answer.payload["data"]["result"] == "ok"
    for message in (forward, told, answer):
        assert await wire.say(message.topic, message.payload) == [], "an echo is no request"


for _asker in ASKED:
    for _runner in RUNTIMES:
        _mix(_asker, _runner)
