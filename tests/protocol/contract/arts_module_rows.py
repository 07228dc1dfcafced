"""Rows about the original ARTS: modules, asked for by its browser, modctl and its web page."""

from typing import Any
from unittest.mock import ANY

from tests.protocol.contract import (
    CONTROL,
    MOD,
    MOD2,
    REG,
    RT,
    RT2,
    arts_error,
    arts_module,
    arts_ok,
    arts_runtime,
    forward_of,
    module,
    request,
    row,
    said,
)
from tests.support.wire import Wire

PY: dict[str, Any] = {"name": "m", "filename": "m.py", "filetype": "PY"}

# ---------------------------------------------------------------------------- 5. create


@row("5 create: modctl; the forward, then the answer, with the same data")
async def modctl(wire: Wire) -> None:
    await arts_runtime(wire)
    payload = (
        '{"object_id":"q2","action":"create","type":"arts_req","data":{"type":"module",'
        f'"uuid":"{MOD}","name":"wiselab/boxes","parent":null,"filename":"boxes.py",'
        '"filetype":"PY","args":"","env":"SCENE=x MQTTH=y REALM=z"}}'
    )
    data = arts_module(name="wiselab/boxes", filename="boxes.py", env="SCENE=x MQTTH=y REALM=z")
    assert await wire.say(CONTROL, payload) == [
        said(f"{CONTROL}/{RT}", "arts_req", action="create", data=data),
        arts_ok(CONTROL, "q2", data),
    ]


@row("5 create: the web page, without uuid, with free text")
async def web_page(wire: Wire) -> None:
    await arts_runtime(wire)
    data = {"type": "module", **PY, "args": "a b", "env": "", "channels": ""}
    forward, answer = await wire.say(CONTROL, request("create", data))
    made = forward.payload["data"]["uuid"]
    assert forward.payload["data"] == arts_module(made, args="a b")
    assert answer == arts_ok(CONTROL, "q", arts_module(made, args="a b"))


@row("5 create: the browser, with arrays and a parent of two characters")
async def browser(wire: Wire) -> None:
    await arts_runtime(wire, apis="wasi:snapshot_preview1")
    channel = {"path": "/ch/x", "type": "pubsub", "mode": "rw", "params": {"topic": "realm/x"}}
    data = module(
        **{"name": "m", "parent": "{}", "filename": "m.wasm", "fileid": "na", "filetype": "WA"},
        **{"args": ["a", "b"], "env": ["X=1", "Y=2"], "channels": [channel]},
        **{"wait_state": "false", "memory": ""},
    )
    forward = forward_of(await wire.say(CONTROL, request("create", data)))
    assert (forward["args"], forward["env"], forward["fileid"]) == ("a b", "X=1 Y=2", "na")
    assert forward["channels"] == str([channel])


@row("5 parent: every form that means nobody")
async def no_parent(wire: Wire) -> None:
    await arts_runtime(wire)
    absent = request("create", module("m-0", **PY))
    assert forward_of(await wire.say(CONTROL, absent))["uuid"] == "m-0"
    for number, parent in enumerate((None, "{}", {}, "", {"uuid": None}), 1):
        data = module(f"m-{number}", **PY, parent=parent)
        assert forward_of(await wire.say(CONTROL, request("create", data)))


@row("5 parent: a valid one is honoured")
async def valid_parent(wire: Wire) -> None:
    await arts_runtime(wire)
    await arts_runtime(wire, RT2)
    for number in range(3):
        data = module(f"m-{number}", **PY, parent={"uuid": RT2})
        heard = await wire.say(CONTROL, request("create", data))
        assert forward_of(heard, RT2)["parent"] == {"uuid": RT2}
        assert heard[-1].payload["data"]["result"] == "ok"


@row("5 parent: an unknown one means anybody")
async def unknown_parent(wire: Wire) -> None:
    await arts_runtime(wire)
    data = module(**PY, parent={"uuid": RT2})
    assert forward_of(await wire.say(CONTROL, request("create", data)))["parent"] == {"uuid": RT}


@row("5 placement: the fewest modules among those that have the api")
async def fewest(wire: Wire) -> None:
    await arts_runtime(wire)
    await arts_runtime(wire, RT2)
    await arts_runtime(wire, "other", apis="wasi:snapshot_preview1")
    places = []
    for number in range(4):
        heard = await wire.say(CONTROL, request("create", module(f"m-{number}", **PY)))
        places.append(heard[0].topic.removeprefix(f"{CONTROL}/"))
    assert places == [RT, RT2, RT, RT2]


@row("5 placement: an explicit list of apis is matched as a set")
async def explicit_apis(wire: Wire) -> None:
    await arts_runtime(wire, apis="b a")
    for number, form in enumerate((["a", "b"], "a b", "['a', 'b']")):
        data = module(f"m-{number}", **PY, apis=form)
        assert forward_of(await wire.say(CONTROL, request("create", data)))["apis"] == "a b"


@row("5 placement: no suitable runtime")
async def unplaceable(wire: Wire) -> None:
    sentence = "Error Scheduling module. No suitable runtime!"
    heard = await wire.say(CONTROL, request("create", module(**PY)))
    assert heard == [arts_error(CONTROL, "q", sentence)]
    await arts_runtime(wire)
    assert forward_of(await wire.say(CONTROL, request("create", module(**PY))))["uuid"] == MOD


@row("5 placement: the limit is checked before anything is forwarded")
async def full(wire: Wire) -> None:
    await arts_runtime(wire, max_nmodules=1)
    await wire.say(CONTROL, request("create", module(**PY)))
    heard = await wire.say(CONTROL, request("create", module(MOD2, **PY)))
    assert heard == [arts_error(CONTROL, "q", "Error Scheduling module. No suitable runtime!")]


@row("6 max_nmodules: 0 means that nothing fits")
async def nothing_fits(wire: Wire) -> None:
    await arts_runtime(wire, max_nmodules=0)
    heard = await wire.say(CONTROL, request("create", module(**PY)))
    assert heard == [arts_error(CONTROL, "q", "Error Scheduling module. No suitable runtime!")]


@row("5 defaults: name, file and api")
async def module_defaults(wire: Wire) -> None:
    await arts_runtime(wire, apis="wasi:snapshot_preview1")
    forward = forward_of(await wire.say(CONTROL, request("create", module())))
    assert forward == arts_module(
        name="amodule", filename="afile.wasm", filetype="WA", apis="wasi:snapshot_preview1"
    )


@row("5 filetype: the long names too; runtimes get the short ones")
async def filetypes(wire: Wire) -> None:
    await arts_runtime(wire, apis="python:python3 wasi:snapshot_preview1")
    for number, (form, short) in enumerate({"WASM": "WA", "PYTHON": "PY", "EXT": "EXT"}.items()):
        data = module(f"m-{number}", name="m", filename="m", filetype=form)
        assert forward_of(await wire.say(CONTROL, request("create", data)))["filetype"] == short


@row("5 args, env: always text to runtimes of ARTS, whatever they were")
async def text(wire: Wire) -> None:
    await arts_runtime(wire)
    forms = {"a b": "a b", "['a', 'b']": "a b", "[]": "", "['']": ""}
    for number, form in enumerate((*forms, ["a", "b"], [], None)):
        data = module(f"m-{number}", **PY, args=form, env=form)
        forward = forward_of(await wire.say(CONTROL, request("create", data)))
        expected = forms[form] if isinstance(form, str) else " ".join(form or [])
        assert (forward["args"], forward["env"]) == (expected, expected)


@row("5 channels: empty ones stay readable")
async def empty_channels(wire: Wire) -> None:
    await arts_runtime(wire)
    for number, form in enumerate(("", "['']", [], None)):
        data = module(f"m-{number}", **PY, channels=form)
        forward = forward_of(await wire.say(CONTROL, request("create", data)))
        assert forward["channels"] == "['']"


@row("5 duplicate: no second forward, and an answer")
async def duplicate(wire: Wire) -> None:
    await arts_runtime(wire)
    await arts_runtime(wire, RT2)
    await wire.say(CONTROL, request("create", module(**PY)))
    again = request("create", module(**PY))
    assert await wire.say(CONTROL, again) == [arts_ok(CONTROL, "q", arts_module())]
    sentence = f"module {MOD} exists already and is running"
    heard = await wire.say(CONTROL, again | {"object_id": "other"})
    assert heard == [arts_error(CONTROL, "other", sentence)]


@row("5 ack: what a runtime acknowledges is not needed and not answered")
async def acknowledgement(wire: Wire) -> None:
    await arts_runtime(wire)
    forward, _ = await wire.say(CONTROL, request("create", module(**PY)))
    details = '{"msg": "Created.", "uuid": "x"}'
    ack = {
        **{"object_id": forward.payload["object_id"], "type": "arts_resp"},
        "data": {"result": "ok", "details": details},
    }
    assert await wire.say(forward.topic, ack) == []


# ---------------------------------------------------------------------------- 6. delete and move


@row("6 delete: forwarded in full to the parent, then answered")
async def delete(wire: Wire) -> None:
    await arts_runtime(wire)
    await wire.say(CONTROL, request("create", module(**PY)))
    assert await wire.say(CONTROL, request("delete", module())) == [
        said(f"{CONTROL}/{RT}", "arts_req", action="delete", data=arts_module()),
        arts_ok(CONTROL, "q", {"type": "module", "uuid": MOD, "name": "m"}),
    ]


@row("6 delete: of an unknown module")
async def delete_unknown(wire: Wire) -> None:
    sentence = f"Module ({MOD}) could not be deleted; Module matching query does not exist."
    heard = await wire.say(CONTROL, request("delete", module()))
    assert heard == [arts_error(CONTROL, "q", sentence)]


@row("6 delete: modctl sends all it knows; only the uuid counts")
async def delete_by_modctl(wire: Wire) -> None:
    await arts_runtime(wire)
    await wire.say(CONTROL, request("create", module(**PY)))
    heard = await wire.say(CONTROL, request("delete", module(**PY, parent=None, args="x")))
    assert [m.topic for m in heard] == [f"{CONTROL}/{RT}", CONTROL]


@row("6 exit: the simulated runtime deletes what ended, and is answered; then it is gone")
async def exit_by_delete(wire: Wire) -> None:
    await arts_runtime(wire)
    await wire.say(CONTROL, request("create", module(**PY)))
    parent = {"type": "runtime", "uuid": RT, "name": "py-runtime"}
    farewell = (
        """'{"object_id": "q", "action": "delete", "type": "arts_req", "data": {"type": "module","""
        f""" "uuid": "{MOD}", "parent": {str(parent).replace("'", '"')}}}}}'"""
    )
    heard = await wire.say(CONTROL, farewell)
    assert [m.topic for m in heard] == [f"{CONTROL}/{RT}", CONTROL]
    sentence = f"Module ({MOD}) could not be deleted; Module matching query does not exist."
    heard = await wire.say(CONTROL, request("delete", module()))
    assert heard == [arts_error(CONTROL, "q", sentence)]


@row("6 migration: send_to_runtime goes to the old runtime, at the top of the envelope")
async def migration(wire: Wire) -> None:
    await arts_runtime(wire)
    await wire.say(CONTROL, request("create", module(**PY)))
    await arts_runtime(wire, RT2)
    heard = await wire.say(CONTROL, request("delete", module(send_to_runtime=RT2)))
    told = said(
        f"{CONTROL}/{RT}", "arts_req", action="delete", data=arts_module(), send_to_runtime=RT2
    )
    assert heard == [told, arts_ok(CONTROL, "q", arts_module(parent=RT2))]
    (told, _) = await wire.say(CONTROL, request("delete", module()))
    assert told.topic == f"{CONTROL}/{RT2}"


@row("6 migration: to an unknown runtime nothing is forwarded")
async def migration_to_nowhere(wire: Wire) -> None:
    await arts_runtime(wire)
    await wire.say(CONTROL, request("create", module(**PY)))
    sentence = f"Module ({MOD}) could not be deleted; Runtime matching query does not exist."
    heard = await wire.say(CONTROL, request("delete", module(send_to_runtime=RT2)))
    assert heard == [arts_error(CONTROL, "q", sentence)]


# ---------------------------------------------------------------------------- 9. errors

UNPARSABLE: dict[str | bytes, str] = {
    "{": "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    "": "Expecting value: line 1 column 1 (char 0)",
    "not json": "Expecting value: line 1 column 1 (char 0)",
    b"\xff\xfe\x80": "Expecting value: line 1 column 1 (char 0)",
}


@row("9 malformed JSON, not UTF-8, empty: could_not_parse on the topic of the request")
async def unparsable(wire: Wire) -> None:
    for topic in (CONTROL, REG):
        for payload, why in UNPARSABLE.items():
            sentence = f"Could not process request; {why}"
            heard = await wire.say(topic, payload)
            assert heard == [arts_error(topic, "could_not_parse", sentence)]
            assert await wire.say(topic, heard[0].payload | {"object_id": "back"}) == []


@row("9 JSON that is no object, a missing type: silence")
async def no_request(wire: Wire) -> None:
    for payload in ("[]", "5", '"text"', "null", "true", "{}", '{"action": "create"}'):
        assert await wire.say(CONTROL, payload) == []


@row("9 unknown action: says so, where ARTS is silent")
async def unknown_action(wire: Wire) -> None:
    heard = await wire.say(CONTROL, request("explode", module()))
    assert heard == [arts_error(CONTROL, "q", "unknown action 'explode' for type 'module'")]


@row("9 uuid that is a number: an error in words")
async def number_as_uuid(wire: Wire) -> None:
    data = {"type": "module", "uuid": 7}
    (answer,) = await wire.say(CONTROL, request("create", data))
    assert answer == arts_error(CONTROL, "q", ANY)
    assert answer.payload["data"]["details"].startswith("uuid: must be a uuid")


@row("9 a megabyte of arguments goes through; more is refused unread")
async def large(wire: Wire) -> None:
    await arts_runtime(wire)
    forward = forward_of(await wire.say(CONTROL, request("create", module(**PY, args="x" * 10**6))))
    assert forward["args"] == "x" * 10**6
    heard = await wire.say(CONTROL, request("create", module(MOD2, **PY, args="x" * 1_100_000)))
    assert heard == [arts_error(CONTROL, "could_not_parse", ANY)]
