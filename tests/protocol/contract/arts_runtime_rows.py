"""Rows about the original ARTS: its envelope, registrations and signs of life."""

import re
from typing import Any
from unittest.mock import ANY

from arts.protocol.lenient import DEFAULT_APIS
from tests.protocol.contract import (
    CONTROL,
    MOD,
    REG,
    RT,
    arts_error,
    arts_module,
    arts_ok,
    arts_runtime,
    details_of,
    forward_of,
    module,
    request,
    row,
    runtime,
    said,
)
from tests.support.wire import Wire

PY: dict[str, Any] = {"name": "m", "filename": "m.py", "filetype": "PY"}

# ---------------------------------------------------------------------------- 1. topics


@row("1 reg: the browser's last will for a module deletes it, without an answer")
async def last_will_of_a_module(wire: Wire) -> None:
    await arts_runtime(wire)
    await wire.say(CONTROL, request("create", module(**PY)))
    heard = await wire.say(REG, request("delete", module()))
    assert heard == [said(f"{CONTROL}/{RT}", "arts_req", action="delete", data=arts_module())]
    assert await wire.say(REG, request("delete", module())) == []


@row("1 control: an own forward that comes back is not a request")
async def echo(wire: Wire) -> None:
    await arts_runtime(wire)
    forward, _ = await wire.say(CONTROL, request("create", module(**PY)))
    assert await wire.say(forward.topic, forward.payload) == []


@row("1 control: an own answer that comes back is not a request")
async def echo_of_answers(wire: Wire) -> None:
    await arts_runtime(wire)
    _, answer = await wire.say(CONTROL, request("create", module(**PY)))
    assert await wire.say(CONTROL, answer.payload | {"object_id": "again"}) == []


@row("1 debug: what modules say and hear is not touched")
async def debug(wire: Wire) -> None:
    for topic in ("debug", f"debug/stdout/{MOD}", f"debug/stdin/{MOD}"):
        assert await wire.say(f"realm/proc/{topic}", "a line, no JSON") == []


@row("1 profile, notif, log: not ours")
async def not_ours(wire: Wire) -> None:
    for topic in ("profile/control", "notif", "log/orchestrator"):
        assert await wire.say(f"realm/proc/{topic}", request("create", module(**PY))) == []


# ---------------------------------------------------------------------------- 2. envelope


@row("2 quote: one leading quote and the last character are stripped")
async def leading_quote(wire: Wire) -> None:
    await arts_runtime(wire)
    await wire.say(CONTROL, request("create", module(**PY)))
    quoted = (
        """'{"object_id": "q", "action": "delete", "type": "arts_req", "data": """
        f"""{{"type": "module", "uuid": "{MOD}"}}}}'"""
    )
    heard = await wire.say(CONTROL, quoted)
    assert heard[-1].payload["data"]["result"] == "ok"


@row("2 utf8: what is not UTF-8 is skipped")
async def broken_utf8(wire: Wire) -> None:
    payload = b'{"object_id":"q\xff","action":"create","type":"arts_req","data":{"type":"runtime"}}'
    assert (await wire.say(REG, payload))[0].payload["object_id"] == "q"


@row("2 object_id: a request without one is carried out and answered")
async def without_object_id(wire: Wire) -> None:
    await arts_runtime(wire)
    envelope = request("create", module(**PY))
    del envelope["object_id"]
    assert await wire.say(CONTROL, envelope) == [
        said(f"{CONTROL}/{RT}", "arts_req", action="create", data=arts_module()),
        arts_ok(CONTROL, ANY, arts_module()),
    ]


@row("2 type: no answer to a type nobody knows, nor to answers")
async def unknown_types(wire: Wire) -> None:
    for kind in ("arts_resp", "resp", "runtime_resp", "weather", None, 5):
        for topic in (REG, CONTROL):
            assert await wire.say(topic, request("create", module(**PY)) | {"type": kind}) == []


@row("2 object_id: a forward has one of its own")
async def fresh_ids(wire: Wire) -> None:
    await arts_runtime(wire)
    forward, answer = await wire.say(CONTROL, request("create", module(**PY)))
    assert forward.payload["object_id"] != answer.payload["object_id"] == "q"


# ---------------------------------------------------------------------------- 3. registration


SIMULATED = (
    '{"object_id":"q1","action":"create","type":"arts_req","data":{"type":"runtime",'
    f'"uuid":"{RT}","name":"py-runtime","max_nmodules":100,"apis":"python:python3",'
    '"dbg_topic":"realm/proc/debug","ctl_topic":"realm/proc/control"}}'
)
REGISTERED: dict[str, Any] = {
    "type": "runtime",
    "uuid": RT,
    "name": "py-runtime",
    "apis": "python:python3",
    "max_nmodules": 100,
    "nmodules": 0,
    "ka_ts": ANY,
    "ka_interval_sec": 60,
    "children": [],
}


@row("3 registration: the simulated runtime")
async def simulated(wire: Wire) -> None:
    heard = await wire.say(REG, SIMULATED)
    assert heard == [arts_ok(REG, "q1", REGISTERED)]
    stamp = details_of(heard)["ka_ts"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", stamp)


@row("3 retries: the same uuid again is ok, with the object_id of each attempt")
async def retries(wire: Wire) -> None:
    for attempt in ("q1", "q2", "q2"):
        heard = await wire.say(REG, SIMULATED.replace("q1", attempt))
        assert heard == [arts_ok(REG, attempt, REGISTERED)]


@row("3 subscribed after the ok: nothing is forwarded at the same instant")
async def grace(wire: Wire) -> None:
    await wire.say(REG, SIMULATED)
    assert await wire.say(CONTROL, request("create", module(**PY))) == []
    heard = await wire.pass_time(1)
    assert [m.topic for m in heard] == [f"{CONTROL}/{RT}", CONTROL]


@row("3 uuid: a missing one is made up")
async def no_uuid(wire: Wire) -> None:
    data = {"type": "runtime", "name": "n"}
    made = details_of(await wire.say(REG, request("create", data)))["uuid"]
    assert re.fullmatch(r"[0-9a-f-]{36}", made)


@row("3 uuid: one that cannot be part of a topic is refused")
async def bad_uuid(wire: Wire) -> None:
    (answer,) = await wire.say(REG, request("create", runtime("a/b")))
    sentence = answer.payload["data"]["details"]
    assert answer == arts_error(REG, "q", sentence)
    assert sentence.startswith("Runtime could not be created ")


@row("3 uuid: tests.sh says object_id in data, which means nothing")
async def object_id_in_data(wire: Wire) -> None:
    data = {"type": "runtime", "object_id": "x", "name": "n"}
    assert details_of(await wire.say(REG, request("create", data)))["uuid"] != "x"


@row("3 defaults of ARTS")
async def defaults(wire: Wire) -> None:
    details = details_of(await wire.say(REG, request("create", runtime())))
    assert (details["name"], details["max_nmodules"]) == ("aruntime", 3)
    assert set(details["apis"].split()) == set(DEFAULT_APIS)


@row("3 apis: text, a list, a list in text, a list with one text")
async def apis(wire: Wire) -> None:
    for form in ("a b", ["a", "b"], "['a', 'b']", ["a b"]):
        heard = await wire.say(REG, request("create", runtime(apis=form)))
        assert details_of(heard)["apis"] == "a b"


@row("3 max_nmodules: may be text")
async def limit_as_text(wire: Wire) -> None:
    heard = await wire.say(REG, request("create", runtime(max_nmodules="7")))
    assert details_of(heard)["max_nmodules"] == 7


@row("3 delete: answered with the children, and started empty the next time")
async def delete_runtime(wire: Wire) -> None:
    await arts_runtime(wire)
    await wire.say(CONTROL, request("create", module(**PY)))
    child = {
        **{"type": "module", "parent": {"uuid": RT}, "name": "m", "uuid": MOD, "filename": "m.py"}
    }
    details = REGISTERED | {"nmodules": 1, "children": [child]}
    heard = await wire.say(REG, request("delete", runtime()))
    assert heard == [arts_ok(REG, "q", details)]


@row("3 delete: of an unknown runtime")
async def delete_unknown_runtime(wire: Wire) -> None:
    sentence = f"Runtime ({RT}) could not be deleted; Runtime matching query does not exist."
    heard = await wire.say(REG, request("delete", runtime()))
    assert heard == [arts_error(REG, "q", sentence)]


# ---------------------------------------------------------------------------- 4. keepalive


@row("4 keepalive: no reply, wherever it is sent")
async def keepalives(wire: Wire) -> None:
    await arts_runtime(wire)
    data = runtime(name="py-runtime", apis=["python:python3"], children=[{"uuid": MOD}])
    for topic in ("realm/proc/keepalive", f"realm/proc/keepalive/{RT}", REG):
        assert await wire.say(topic, request("update", data)) == []


@row("4 keepalive: who never sends one is there for ever")
async def silence(wire: Wire) -> None:
    await arts_runtime(wire)
    await wire.pass_time(100_000)
    assert forward_of(await wire.say(CONTROL, request("create", module(**PY))))
