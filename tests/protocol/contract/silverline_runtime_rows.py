"""Rows about SilverLine, of 2022 and of the runtime manager: runtimes and their managers."""

from typing import Any

from tests.protocol.contract import (
    CONTROL,
    MGR,
    MOD,
    MOD2,
    REG,
    RT,
    RT2,
    complaint,
    details_of,
    forward_of,
    module,
    refused,
    request,
    row,
    runtime,
    said,
    silverline2022_runtime,
    silverline_module,
    silverline_runtime,
)
from tests.support.wire import Said, Wire

WASM: dict[str, Any] = {"name": "m", "filename": "m.wasm", "filetype": "WA"}
FILE: dict[str, Any] = {"name": "m", "file": "m.wasm", "parent": RT}


def create(uuid: str = MOD, **data: Any) -> dict[str, Any]:
    """What libsilverline's second version asks."""
    return request("create", module(uuid, **(FILE | data)), "req")


def ok(details: Any, topic: str = CONTROL, kind: str = "resp", object_id: str = "q") -> Said:
    """An answer of SilverLine."""
    return said(topic, kind, object_id=object_id, data={"result": "ok", "details": details})


def created(heard: list[Said], runtime: str = RT) -> list[str]:
    """The modules that a runtime is told to start."""
    topic = f"{CONTROL}/{runtime}"
    return [
        m.payload["data"]["uuid"]
        for m in heard
        if m.topic == topic and m.payload["action"] == "create"
    ]


# ---------------------------------------------------------------------------- libsilverline v1


@row("0 libsilverline v1: req with filename, args and env as flat fields")
async def libsilverline_v1(wire: Wire) -> None:
    await silverline_runtime(wire)
    data = module(**WASM, parent="managed", args=["m.wasm", "a"], env=["X=1"])
    forward = forward_of(await wire.say(CONTROL, request("create", data, "req")))
    args = {"argv": ["m.wasm", "a"], "env": ["X=1"]}
    assert forward == silverline_module(args=args)


@row("2 libsilverline v1: deletes with uuid for object_id, and without data.type")
async def libsilverline_v1_delete(wire: Wire) -> None:
    await silverline_runtime(wire)
    await wire.say(CONTROL, create())
    payload = f'{{"uuid":"q","type":"req","action":"delete","data":{{"uuid":"{MOD}"}}}}'
    assert await wire.say(CONTROL, payload) == [
        said(f"{CONTROL}/{RT}", "req", action="delete", data={"type": "module", "uuid": MOD}),
        ok({"type": "module", "uuid": MOD, "name": "m"}),
    ]


@row("3 libsilverline v1: stop_runtimes speaks to the runtime itself, not to us")
async def stop_runtimes(wire: Wire) -> None:
    await silverline_runtime(wire)
    payload = request("delete", runtime(name="managed"), "req")
    assert await wire.say(f"{CONTROL}/{RT}", payload) == []
    assert created(await wire.say(CONTROL, create())) == [MOD]


# ---------------------------------------------------------------------------- 3. registration

SL1: dict[str, Any] = {
    "uuid": RT,
    "name": "linux",
    "runtime_type": "linux",
    "max_nmodules": 100,
    "apis": ["wasi", "wasm"],
    "platform": None,
    "metadata": None,
    "ka_interval_sec": 60,
    "status": "A",
    "parent": None,
    "page_size": 65536,
    "aot_target": {},
}
SL2: dict[str, Any] = {k: v for k, v in SL1.items() if k not in ("page_size", "aot_target")}


@row("3 registration: SilverLine 2022")
async def register_2022(wire: Wire) -> None:
    data = runtime(name="linux", runtime_type="linux", apis=["wasm", "wasi"])
    heard = await wire.say(REG, request("create", data))
    assert heard == [ok(SL1, REG, "arts_resp")]


@row("3 registration: runtime manager, on a topic of its own; no limit is said as 0")
async def register(wire: Wire) -> None:
    data = runtime(name="linux", runtime_type="linux", apis=["wasm", "wasi"])
    topic = f"{REG}/{RT}"
    heard = await wire.say(topic, request("create", data, "req"))
    assert heard == [ok(SL2 | {"max_nmodules": 0}, topic)]


@row("3 defaults of SilverLine")
async def defaults(wire: Wire) -> None:
    details = details_of(await wire.say(f"{REG}/{RT}", request("create", runtime(), "req")))
    assert (details["name"], details["runtime_type"]) == ("runtime", "linux")
    assert (details["apis"], details["max_nmodules"]) == (["wasi", "wasm"], 0)
    data = runtime(RT2, runtime_type="linux")
    details = details_of(await wire.say(REG, request("create", data)))
    assert (details["name"], details["max_nmodules"]) == ("runtime", 100)


@row("3 platform, metadata, page_size, aot_target: kept and shown, also as JSON in text")
async def traits(wire: Wire) -> None:
    data = runtime(
        **{"name": "n", "runtime_type": "embedded", "page_size": 4096, "platform": {"cpu": "x"}},
        **{"metadata": "{'k': 'v'}", "aot_target": '{"target": "x86_64"}'},
    )
    details = details_of(await wire.say(REG, request("create", data)))
    assert (details["page_size"], details["aot_target"]) == (4096, {"target": "x86_64"})
    assert (details["platform"], details["metadata"]) == ({"cpu": "x"}, {"k": "v"})


@row("3 registration: again is ok")
async def again(wire: Wire) -> None:
    data = runtime(name="linux", runtime_type="linux", apis=["wasm", "wasi"])
    for number in range(3):
        said = request("create", data, "req", object_id=f"q{number}")
        assert [m.payload["object_id"] for m in await wire.say(f"{REG}/{RT}", said)] == [
            f"q{number}"
        ]


@row("3 limit: 0 is unlimited for the runtime manager")
async def unlimited(wire: Wire) -> None:
    await silverline_runtime(wire, max_nmodules=0)
    for number in range(5):
        assert created(await wire.say(CONTROL, create(f"m-{number}")))


@row("3 registration on reg without data.type: missing field")
async def no_kind(wire: Wire) -> None:
    payload = {"object_id": "q", "action": "create", "type": "req", "data": {"uuid": RT}}
    assert await wire.say(f"{REG}/{RT}", payload) == [complaint("missing field", "data/type")]


@row("3 managers: registered, and answered on their topic")
async def manager(wire: Wire) -> None:
    data = {"type": "manager", "uuid": MGR, "name": "mgr"}
    topic = f"{REG}/{MGR}"
    heard = await wire.say(topic, request("create", data, "req"))
    assert heard == [ok({"uuid": MGR, "name": "mgr", "status": "A"}, topic)]


@row("3 managers: the last will takes its runtimes down; they come back with their modules")
async def manager_dies(wire: Wire) -> None:
    data = {"type": "manager", "uuid": MGR, "name": "mgr"}
    topic = f"{REG}/{MGR}"
    await wire.say(topic, request("create", data, "req"))
    await silverline_runtime(wire, parent=MGR)
    await silverline_runtime(wire, RT2, name="stranger")
    await wire.say(CONTROL, create())
    assert await wire.say(topic, request("delete", data, "req")) == []
    assert await wire.say(CONTROL, create(MOD2)) == [
        complaint("invalid Runtime Name/UUID", RT),
        refused("q"),
    ]
    assert created(await wire.say(CONTROL, create(MOD2, parent="stranger")), RT2) == [MOD2]
    await wire.say(topic, request("create", data, "req"))
    back = runtime(name="managed", runtime_type="linux", parent=MGR)
    heard = await wire.say(f"{REG}/{RT}", request("create", back, "req"))
    assert details_of(heard)["parent"] == MGR
    assert created(await wire.pass_time(1)) == [MOD]


@row("3 managers: of 2022")
async def manager_2022(wire: Wire) -> None:
    data = {"type": "manager", "uuid": MGR, "name": "mgr"}
    heard = await wire.say(REG, request("create", data))
    assert heard == [ok({"uuid": MGR, "name": "mgr", "status": "A"}, REG, "arts_resp")]


@row("3 delete runtime: 2022 answers with status D, the runtime manager not at all")
async def delete_runtime(wire: Wire) -> None:
    await silverline2022_runtime(wire)
    heard = await wire.say(REG, request("delete", runtime(runtime_type="linux")))
    assert heard == [ok(SL1 | {"status": "D"}, REG, "arts_resp")]
    await silverline_runtime(wire)
    assert await wire.say(f"{REG}/{RT}", request("delete", runtime(), "req")) == []


@row("3 resurrection: after the ok the modules are forwarded again")
async def resurrection(wire: Wire) -> None:
    await silverline_runtime(wire)
    await silverline_runtime(wire, RT2, name="other")
    await wire.say(CONTROL, create())
    await wire.say(f"{REG}/{RT}", request("delete", runtime(), "req"))
    again = runtime(name="managed", runtime_type="linux")
    (answer,) = await wire.say(f"{REG}/{RT}", request("create", again, "req"))
    assert answer.payload["data"]["result"] == "ok"
    (forward,) = await wire.pass_time(1)
    assert forward.payload["data"] == silverline_module()


@row("3 delete: of an unknown runtime")
async def delete_unknown_runtime(wire: Wire) -> None:
    heard = await wire.say(f"{REG}/{RT}", request("delete", runtime(), "req"))
    assert heard == [complaint("invalid Runtime Name/UUID", RT)]


# ---------------------------------------------------------------------------- 4. keepalive


@row("4 keepalive: a manager's, for one of its runtimes")
async def keepalive(wire: Wire) -> None:
    await silverline_runtime(wire)
    data = runtime(name="managed", apis=["wasm"], cpu_util=3, children=[{"uuid": MOD}])
    assert await wire.say(f"realm/proc/keepalive/{RT}", request("update", data, "req")) == []
