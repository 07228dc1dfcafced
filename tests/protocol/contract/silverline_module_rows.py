"""Rows about SilverLine, of 2022 and of the runtime manager: modules."""

from unittest.mock import ANY

from tests.protocol.contract import (
    CONTROL,
    LOG,
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
    silverline2022_module,
    silverline2022_runtime,
    silverline_module,
    silverline_runtime,
)
from tests.protocol.contract.silverline_runtime_rows import WASM, create, created, ok
from tests.support.wire import Wire

# ---------------------------------------------------------------------------- 5. create


@row("5 forward: SilverLine 2022; parent by name, uuid as text")
async def forward_2022(wire: Wire) -> None:
    await silverline2022_runtime(wire)
    for number, parent in enumerate((RT, "linux")):
        uuid = f"m-{number}"
        heard = await wire.say(CONTROL, request("create", module(uuid, **WASM, parent=parent)))
        data = silverline2022_module(uuid)
        assert heard == [
            said(f"{CONTROL}/{RT}", "arts_req", action="create", data=data),
            ok(data, kind="arts_resp"),
        ]


@row("5 forward: runtime manager")
async def forward(wire: Wire) -> None:
    await silverline_runtime(wire)
    heard = await wire.say(CONTROL, create())
    assert heard == [
        said(f"{CONTROL}/{RT}", "req", action="create", data=silverline_module()),
        ok(silverline_module()),
    ]


@row("5 args: an object goes through untouched, with whatever else is in it")
async def args_object(wire: Wire) -> None:
    await silverline_runtime(wire)
    args = {"argv": ["m.wasm", "a"], "env": ["X=1"], "dirs": ["data"], "engine": "x", "repeat": 3}
    assert forward_of(await wire.say(CONTROL, create(args=args)))["args"] == args


@row("5 text that is JSON is sent as what it is, with either quotes; other text as text")
async def json_as_text(wire: Wire) -> None:
    await silverline2022_runtime(wire)
    data = module(**WASM, parent=RT, args="['m.wasm', 'a']", env='["X=1"]', channels="[]")
    forward = forward_of(await wire.say(CONTROL, request("create", data)))
    assert (forward["args"], forward["env"], forward["channels"]) == (["m.wasm", "a"], ["X=1"], [])
    data = module(MOD2, **WASM, parent=RT, args="a b")
    forward = forward_of(await wire.say(CONTROL, request("create", data)))
    assert forward["args"] == "a b"


@row("5 resources, peripherals, fault_crash, metadata: passed on")
async def passed_on(wire: Wire) -> None:
    await silverline2022_runtime(wire)
    extras = {
        "resources": {"runtime": 5_000_000, "period": 10_000_000},
        "peripherals": ["led"],
        "fault_crash": "restart",
        "metadata": {"k": "v"},
    }
    data = module(**WASM, parent=RT, **extras)
    forward = forward_of(await wire.say(CONTROL, request("create", data)))
    assert {key: forward[key] for key in extras} == extras


@row("5 parent: an unknown one is an error")
async def unknown_parent(wire: Wire) -> None:
    await silverline_runtime(wire)
    assert await wire.say(CONTROL, create(parent="nobody")) == [
        complaint("invalid Runtime Name/UUID", "nobody"),
        refused("q"),
    ]
    assert await wire.say(CONTROL, request("create", module(**WASM, parent=RT2))) == [
        complaint("invalid Runtime Name/UUID", RT2, "arts_resp"),
        refused("q", "arts_resp"),
    ]


@row("5 parent: none means pyruntime, if there is one")
async def pyruntime(wire: Wire) -> None:
    await silverline_runtime(wire)
    await silverline_runtime(wire, RT2, name="pyruntime")
    for number in range(3):
        assert created(await wire.say(CONTROL, create(f"m-{number}", parent=None)), RT2)


@row("5 uuid, name: made up if they are not said")
async def module_defaults(wire: Wire) -> None:
    await silverline_runtime(wire)
    data = {"type": "module", "parent": RT}
    forward = forward_of(await wire.say(CONTROL, request("create", data, "req")))
    assert forward == silverline_module(ANY, name="module", file="", args=ANY)


@row("5 file: a script is a script where nobody says so")
async def script(wire: Wire) -> None:
    await silverline_runtime(wire)
    assert forward_of(await wire.say(CONTROL, create(file="x.py")))["filetype"] == "PY"


@row("5 create_batch: all of them, to one parent")
async def batch(wire: Wire) -> None:
    await silverline_runtime(wire)
    modules = [{"uuid": MOD, "name": "m", "file": "m.wasm"}, {"uuid": MOD2, "file": "n.wasm"}]
    heard = await wire.say(
        CONTROL, request("create_batch", {"parent": "managed", "modules": modules}, "req")
    )
    assert created(heard) == [MOD, MOD2]
    assert len(heard) == 2, "nobody is answered for a batch"


@row("5 create_batch: what is wrong with it")
async def bad_batch(wire: Wire) -> None:
    await silverline_runtime(wire)
    (log, _) = await wire.say(CONTROL, request("create_batch", {"parent": RT}, "req"))
    assert log == complaint("missing field", "data/modules")
    (log, _) = await wire.say(
        CONTROL, request("create_batch", {"parent": RT, "modules": [5]}, "req")
    )
    assert log == complaint("invalid modules", "data/modules")


@row("5 queue: above the limit modules wait, and the next starts when one has exited")
async def queue(wire: Wire) -> None:
    await silverline_runtime(wire, max_nmodules=1)
    await silverline_runtime(wire, RT2, name="other")
    modules = [{"uuid": f"m-{n}", "name": "m", "file": "m.wasm"} for n in range(3)]
    heard = await wire.say(
        CONTROL, request("create_batch", {"parent": RT, "modules": modules}, "req")
    )
    assert created(heard) == ["m-0"]
    queued = details_of(await wire.say(CONTROL, create("m-3")))
    assert (queued["status"], queued["parent"]) == ("Q", RT)
    for number in range(3):
        exited = request("exited", {"type": "module", "uuid": f"m-{number}"}, "req")
        heard = await wire.say(f"{CONTROL}/{RT}", exited)
        assert created(heard) == [f"m-{number + 1}"]
        assert len(heard) == 1


@row("1 control/+: only exited is for us, of a module that is there")
async def exits(wire: Wire) -> None:
    await silverline_runtime(wire)
    await silverline_runtime(wire, RT2, name="other")
    await wire.say(CONTROL, create())
    for action in ("create", "delete", "update", "error"):
        assert await wire.say(f"{CONTROL}/{RT}", request(action, module(), "req")) == []
    exited = request("exited", module(), "req")
    (log,) = await wire.say(f"{CONTROL}/{RT2}", exited)
    assert (log.topic, log.payload["data"]["desc"]) == (LOG, ANY)
    assert await wire.say(f"{CONTROL}/{RT}", exited) == []
    assert await wire.say(CONTROL, request("exited", module("none"), "req")) == [
        complaint("invalid Module Name/UUID", "none")
    ]


@row("5 duplicate: logged with what was asked; nothing goes deaf")
async def duplicate(wire: Wire) -> None:
    await silverline_runtime(wire)
    await wire.say(CONTROL, create())
    again = create() | {"object_id": "other"}
    assert await wire.say(CONTROL, again) == [
        complaint("duplicate module UUID; request ignored", again["data"]),
        refused("other"),
    ]
    data = module(**WASM, parent=RT)
    (log, _) = await wire.say(CONTROL, request("create", data) | {"object_id": "o"})
    assert log == complaint("duplicate module UUID; request ignored", data, "arts_resp")


@row("5 duplicate: of a dead module it is a new one")
async def recreate(wire: Wire) -> None:
    await silverline_runtime(wire)
    await wire.say(CONTROL, create())
    await wire.say(f"{CONTROL}/{RT}", request("exited", module(), "req"))
    assert created(await wire.say(CONTROL, create() | {"object_id": "other"})) == [MOD]
    await wire.say(f"{REG}/{RT}", request("delete", runtime(), "req"))
    await silverline_runtime(wire, RT2, name="other")
    heard = await wire.say(CONTROL, create(parent="other") | {"object_id": "third"})
    assert created(heard, RT2) == [MOD]


# ---------------------------------------------------------------------------- 6. delete, exit


@row("6 delete: only type and uuid are forwarded; by name too")
async def delete_by_name(wire: Wire) -> None:
    await silverline_runtime(wire)
    await wire.say(CONTROL, create(name="special"))
    heard = await wire.say(CONTROL, request("delete", module("special"), "req"))
    assert heard[0] == said(
        f"{CONTROL}/{RT}", "req", action="delete", data={"type": "module", "uuid": MOD}
    )


@row("6 exit: 2022 tells everybody on notif")
async def exit_2022(wire: Wire) -> None:
    await silverline2022_runtime(wire)
    await wire.say(CONTROL, request("create", module(**WASM, parent=RT)))
    data = {"type": "module", "uuid": MOD}
    heard = await wire.say(CONTROL, request("exited", data))
    assert heard == [said("realm/proc/notif", "arts_req", action="exited", data=data)]


@row("6 delete: of an unknown module")
async def delete_unknown(wire: Wire) -> None:
    assert await wire.say(CONTROL, request("delete", module(), "req")) == [
        complaint("invalid Module Name/UUID", MOD),
        refused("q"),
    ]


# ---------------------------------------------------------------------------- 9. errors


@row("9 unknown action: named with what it was about")
async def unknown_action(wire: Wire) -> None:
    assert await wire.say(CONTROL, request("explode", module(), "req")) == [
        complaint("invalid action/type", ["explode", "module"]),
        refused("q"),
    ]
    await silverline2022_runtime(wire)
    heard = await wire.say(REG, request("explode", runtime(runtime_type="linux")))
    assert heard == [complaint("invalid action", "explode", "arts_resp")]


@row("9 uuid that is a number: an error")
async def number_as_uuid(wire: Wire) -> None:
    data = {"type": "module", "uuid": 7, "parent": RT}
    (log, answer) = await wire.say(CONTROL, request("create", data, "req"))
    assert log == complaint(ANY, "uuid")
    assert answer == refused("q")
