"""Rows about ARENA's scheme: the applauncher, and who asks it for programs."""

from typing import Any
from unittest.mock import ANY

from tests.protocol.contract import (
    CONTROL,
    MOD,
    MOD2,
    RT,
    RT2,
    arena_runtime,
    arts_runtime,
    module,
    request,
    row,
    runtime,
    said,
)
from tests.support.wire import Said, Wire

SCENE = "realm/s/public/default/p"
PROGRAM: dict[str, Any] = {"name": "m", "file": "m.py", "location": "user/m", "filetype": "PY"}


def ask(action: str, data: dict[str, Any], sender: str = "a-client") -> dict[str, Any]:
    """A request of a client of a scene."""
    return request(action, data, "req", **{"from": sender})


def from_us(topic: str, kind: str, action: str, data: Any) -> Said:
    """Something we say on ARENA's topics."""
    return said(topic, kind, action=action, data=data, **{"from": "arts"})


def forwarded(uuid: str = MOD, parent: str = RT, **fields: Any) -> dict[str, Any]:
    """A module as an applauncher gets it."""
    return {
        "type": "module",
        "uuid": uuid,
        "name": "m",
        "parent": parent,
        "file": "m.py",
        "location": "user/m",
        "filetype": "PY",
        "args": [],
        "env": [],
        "channels": [],
    } | fields


APPLAUNCHER = (
    f'{{"object_id":"q","action":"create","type":"req","from":"{RT}","data":{{"uuid":"{RT}",'
    '"type":"runtime","name":"launcher","runtime_type":"containerized-modules",'
    '"max_nmodules":100,"apis":["python:python3","wasm:wasi_preview_1"],'
    '"is_orchestration_runtime":false,"tags":[]}}'
)


@row("7 register: on the runtime's own topic, from us and not from it")
async def register(wire: Wire) -> None:
    details = {
        "type": "runtime",
        "uuid": RT,
        "name": "launcher",
        "runtime_type": "containerized-modules",
        "max_nmodules": 100,
        "apis": ["python:python3", "wasm:wasi_preview_1"],
        "is_orchestration_runtime": False,
        "tags": [],
    }
    data = {"result": "ok", "details": details}
    topic = f"realm/g/public/p/{RT}"
    assert await wire.say(topic, APPLAUNCHER) == [from_us(topic, "resp", "create", data)]


@row("7 retries: the same object_id again is ok")
async def retries(wire: Wire) -> None:
    for _ in range(3):
        (answer,) = await wire.say(f"realm/g/public/p/{RT}", APPLAUNCHER)
        assert answer.payload["data"]["result"] == "ok"


@row("4 keepalive: on the topic of registration, with what its modules use")
async def keepalive(wire: Wire) -> None:
    await arena_runtime(wire)
    child = {
        **{"uuid": MOD, "name": "m", "file": "m.py", "filetype": "PY", "parent": RT},
        **{"cpu_usage_percent": 1.5, "mem_usage": 1024.5},
    }
    data = runtime(name="launcher", children=[child])
    assert await wire.say(f"realm/g/public/p/{RT}", ask("update", data, RT)) == []


@row("7 leave: the delete it publishes at its exit")
async def leave(wire: Wire) -> None:
    await arena_runtime(wire)
    assert await wire.say(f"realm/g/public/p/{RT}", ask("delete", runtime(), RT)) == []
    (answer,) = await wire.say(f"{SCENE}/{MOD}", ask("create", module(**PROGRAM, parent=RT)))
    assert answer.payload["data"]["result"] == "error"


@row("7 create: on a topic that no runtime hears, it is forwarded and answered")
async def create(wire: Wire) -> None:
    await arena_runtime(wire)
    data = module(**PROGRAM, parent="launcher", args=["a"], env=["X=1"])
    expected = forwarded(args=["a"], env=["X=1"])
    assert await wire.say(f"{SCENE}/{MOD}", ask("create", data)) == [
        from_us(f"{SCENE}/{RT}/{MOD}", "req", "create", expected),
        from_us(f"{SCENE}/{MOD}", "resp", "create", {"result": "ok", "details": expected}),
    ]


@row("7 create: without a parent, or for a runtime of another dialect")
async def create_anywhere(wire: Wire) -> None:
    await arts_runtime(wire)
    heard = await wire.say(f"{SCENE}/x/{MOD}", ask("create", module(**PROGRAM)))
    assert [m.topic for m in heard] == [f"{CONTROL}/{RT}", f"{SCENE}/{MOD}"]
    heard = await wire.say(f"{SCENE}/x/{MOD2}", ask("create", module(MOD2, **PROGRAM, parent=RT)))
    assert [m.topic for m in heard] == [f"{CONTROL}/{RT}", f"{SCENE}/{MOD2}"]


@row("7 create: what the runtime heard itself is noted, and neither forwarded nor answered")
async def heard_by_the_runtime(wire: Wire) -> None:
    await arena_runtime(wire)
    assert await wire.say(f"{SCENE}/x/{MOD}", ask("create", module(**PROGRAM, parent=RT))) == []
    response = {"result": "ok", "details": module(**PROGRAM, parent=RT)}
    confirmed = ask("create", response, RT) | {"type": "resp"}
    assert await wire.say(f"{SCENE}/{MOD}", confirmed) == []
    assert wire.supervisor is not None
    noted = wire.supervisor.realm.module(MOD)
    assert noted is not None
    assert (noted.parent, str(noted.state)) == (RT, "running")
    assert await wire.say(f"{SCENE}/x/{MOD}", ask("delete", module(parent=RT))) == []
    assert wire.supervisor.realm.module(MOD) is None


@row("7 delete: forwarded in the module's scene, and answered")
async def delete(wire: Wire) -> None:
    await arena_runtime(wire)
    await wire.say(f"{SCENE}/{MOD}", ask("create", module(**PROGRAM, parent=RT)))
    told = {"type": "module", "uuid": MOD, "parent": RT}
    assert await wire.say(f"{SCENE}/{MOD}", ask("delete", module())) == [
        from_us(f"{SCENE}/{RT}/{MOD}", "req", "delete", told),
        from_us(f"{SCENE}/{MOD}", "resp", "delete", {"result": "ok", "details": ANY}),
    ]


@row("7 exit: the runtime says delete of what has ended, and is not told to delete it")
async def exit_by_delete(wire: Wire) -> None:
    await arena_runtime(wire)
    await wire.say(f"{SCENE}/{MOD}", ask("create", module(**PROGRAM, parent=RT)))
    assert await wire.say(f"{SCENE}/{MOD}", ask("delete", module(parent=RT), RT)) == []
    assert wire.supervisor is not None
    assert wire.supervisor.realm.module(MOD) is None


@row("7 scene: each module's own; without one, the default scene")
async def scenes(wire: Wire) -> None:
    await arena_runtime(wire)
    topic = f"realm/s/alice/room/p/{MOD}"
    forward, answer = await wire.say(topic, ask("create", module(**PROGRAM, parent=RT)))
    assert (forward.topic, answer.topic) == (f"realm/s/alice/room/p/{RT}/{MOD}", topic)
    data = module(MOD2, name="m", filename="m.py", filetype="PY", parent={"uuid": RT})
    forward, _ = await wire.say(CONTROL, request("create", data))
    assert forward.topic == f"{SCENE}/{RT}/{MOD2}"


@row("7 errors: what runtimes complain of is not for us")
async def complaints(wire: Wire) -> None:
    await arena_runtime(wire)
    for topic in (f"realm/g/public/p/{RT}", f"{SCENE}/{MOD}"):
        assert await wire.say(topic, {"desc": "invalid parent", "data": "x"}) == []
        assert await wire.say(topic, "{") == []


@row("7 errors: what we refuse is answered where the module's runtime would")
async def refusals(wire: Wire) -> None:
    await arena_runtime(wire)
    (answer,) = await wire.say(f"{SCENE}/x/{MOD}", ask("create", module(**PROGRAM, parent=RT2)))
    data = {"result": "error", "details": f"no runtime '{RT2}'"}
    assert answer == from_us(f"{SCENE}/{MOD}", "resp", "create", data)
    (answer,) = await wire.say(f"{SCENE}/{MOD}", ask("explode", module()))
    data = {"result": "error", "details": "invalid action 'explode'"}
    assert answer == from_us(f"{SCENE}/{MOD}", "resp", "explode", data)


@row("7 from: what comes back with ours is dropped")
async def echo(wire: Wire) -> None:
    await arena_runtime(wire)
    forward, answer = await wire.say(f"{SCENE}/{MOD}", ask("create", module(**PROGRAM, parent=RT)))
    for message in (forward, answer):
        assert await wire.say(message.topic, message.payload) == []


@row("7 stdout: what modules say is not touched")
async def stdout(wire: Wire) -> None:
    assert await wire.say(f"{SCENE}/{MOD}/-/stdout", '"started"') == []
