"""Rows about mixes: asked in one dialect, run by a runtime of another."""

from collections.abc import Awaitable, Callable
from typing import Any
from unittest.mock import ANY

from tests.protocol.contract import (
    CONTROL,
    MOD,
    RT,
    RT2,
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


# ---------------------------------------------------------------------------- live moves

MOVES: dict[str, tuple[str, dict[str, Any]]] = {
    "ARTS": (CONTROL, request("delete", module(send_to_runtime=RT2))),
    "SilverLine": (CONTROL, request("delete", module(send_to_runtime="native 2"), "req")),
    "ARENA": (
        f"{SCENE}/{MOD}",
        request("delete", module(send_to_runtime=RT2), "req", **{"from": "me"}),
    ),
}
NATIVE = ["events", "snapshot"]


async def native_runtime(wire: Wire, uuid: str, name: str) -> None:
    """A runtime of ours, which can move modules."""
    data = {"type": "runtime", "uuid": uuid, "name": name, "instance": "i", "features": NATIVE}
    await wire.say("realm/proc/reg", request("create", data, reply_to="realm/proc/reply/x"))


async def report(wire: Wire, runtime: str, kind: str, generation: int, **data: Any) -> list[Said]:
    """What a runtime of ours reports."""
    fields = {"kind": kind, "runtime": runtime, "instance": "i", "uuid": MOD} | data
    said = request(kind, fields | {"generation": generation}, "arts_event")
    return await wire.say(f"realm/proc/events/{runtime}", said)


def _move(asker: str) -> None:
    @row(f"6 migration: a live move between native runtimes, asked in {asker}")
    async def move(wire: Wire) -> None:
        await native_runtime(wire, RT, "native 1")
        topic, asked = ASKED[asker]
        forward, answer = await wire.say(topic, asked | {"data": asked["data"] | {"file": "m"}})
        assert (forward.topic, forward.payload["action"]) == (f"{CONTROL}/{RT}", "create")
        assert answer.payload["data"]["result"] == "ok"
        await report(wire, RT, "started", 1)
        await native_runtime(wire, RT2, "native 2")
        (prepare,) = await wire.say(*MOVES[asker])
        assert (prepare.topic, prepare.payload["action"]) == (f"{CONTROL}/{RT2}", "prepare")
        step = {"migration": prepare.payload["data"]["migration"]}
        await report(wire, RT2, "ready", 2, **step)
        await report(wire, RT, "frozen", 2, **step, digest="d", size=1)
        await report(wire, RT2, "restored", 2, **step, digest="d")
        answer = (await report(wire, RT2, "resumed", 2, **step))[-1]
        expected = ANSWERS[asker]
        assert (answer.topic, answer.payload["type"]) == expected
        assert answer.payload["data"]["result"] == "ok"
        moved = answer.payload["data"]["details"]
        assert (moved["from"], moved["to"]) == ("native 1", "native 2")
        parent = moved["module"]["parent"]
        assert parent == ({"uuid": RT2} if asker == "ARTS" else RT2)

    del move


for _asker in MOVES:
    _move(_asker)
