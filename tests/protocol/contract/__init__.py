"""The rows of the wire contract, by dialect: exact bytes in, exact answers out.

A row is a function that takes a ``Wire``; ``ROWS`` has them by name, ``test_wire_contract`` runs
them in memory and tests/integration over real brokers.
"""

from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import ANY

from tests.support.wire import Said, Wire

Row = Callable[[Wire], Awaitable[None]]

ROWS: dict[str, Row] = {}

REG = "realm/proc/reg"
CONTROL = "realm/proc/control"
LOG = "realm/proc/log/orchestrator"
RT = "11111111-1111-4111-8111-111111111111"
RT2 = "22222222-2222-4222-8222-222222222222"
MOD = "33333333-3333-4333-8333-333333333333"
MOD2 = "44444444-4444-4444-8444-444444444444"
MGR = "55555555-5555-4555-8555-555555555555"


def row(name: str) -> Callable[[Row], Row]:
    """This function is the row of that name: section, and what it is about."""

    def register(function: Row) -> Row:
        who = function.__module__.rpartition(".")[2].partition("_")[0]
        full = f"{name} ({who})"
        assert full not in ROWS, full
        ROWS[full] = function
        return function

    return register


def said(topic: str, kind: str, **fields: Any) -> Said:
    """A message in the common envelope; whatever is not given may be anything."""
    return Said(topic, {"object_id": ANY, "type": kind, **fields})


def arts_ok(topic: str, object_id: str, details: Any) -> Said:
    """An answer of ARTS."""
    data = {"result": "ok", "details": details}
    return said(topic, "arts_resp", object_id=object_id, data=data)


def arts_error(topic: str, object_id: str, sentence: Any) -> Said:
    """A refusal of ARTS; the code is ours."""
    data = {"result": "error", "details": sentence, "code": ANY}
    return said(topic, "arts_resp", object_id=object_id, data=data)


def complaint(desc: str, data: Any, kind: str = "resp") -> Said:
    """A refusal of SilverLine."""
    return said(LOG, kind, action="error", data={"desc": desc, "data": data})


def refused(object_id: str, kind: str = "resp") -> Said:
    """...and what we say besides to whoever asked."""
    data = {"result": "error", "details": ANY}
    return said(CONTROL, kind, object_id=object_id, data=data)


def request(
    action: str, data: dict[str, Any], kind: str = "arts_req", **more: Any
) -> dict[str, Any]:
    """A request in the common envelope."""
    return {"object_id": "q", "action": action, "type": kind, "data": data} | more


def runtime(uuid: str = RT, **data: Any) -> dict[str, Any]:
    """What a runtime says of itself."""
    return {"type": "runtime", "uuid": uuid} | data


def module(uuid: str = MOD, **data: Any) -> dict[str, Any]:
    """What a module is."""
    return {"type": "module", "uuid": uuid} | data


def all_rows() -> dict[str, Row]:
    """Every row by its name."""
    for file in sorted(Path(__file__).parent.glob("*_rows.py")):
        import_module(f"{__name__}.{file.stem}")
    return ROWS


async def arts_runtime(wire: Wire, uuid: str = RT, **data: Any) -> None:
    """A simulated runtime is there and listens."""
    facts = {"name": "py-runtime", "max_nmodules": 100, "apis": "python:python3"} | data
    await wire.say(REG, request("create", runtime(uuid, **facts)))
    assert await wire.pass_time(1) == []


async def silverline2022_runtime(wire: Wire, uuid: str = RT, **data: Any) -> None:
    """A Linux runtime of 2022 is there and listens."""
    facts = {"name": "linux", "runtime_type": "linux", "apis": ["wasm", "wasi"]} | data
    await wire.say(REG, request("create", runtime(uuid, **facts)))
    assert await wire.pass_time(1) == []


async def silverline_runtime(wire: Wire, uuid: str = RT, **data: Any) -> None:
    """A runtime of a manager is there and listens."""
    facts = {"name": "managed", "runtime_type": "linux", "apis": ["wasm", "wasi"]} | data
    await wire.say(f"{REG}/{uuid}", request("create", runtime(uuid, **facts), "req"))
    assert await wire.pass_time(1) == []


async def arena_runtime(wire: Wire, uuid: str = RT, **data: Any) -> None:
    """An applauncher is there and listens."""
    facts = {"name": "launcher", "max_nmodules": 100, "apis": ["python:python3"]} | data
    topic = f"realm/g/public/p/{uuid}"
    await wire.say(topic, request("create", runtime(uuid, **facts), "req", **{"from": uuid}))
    assert await wire.pass_time(1) == []


def arts_module(uuid: str = MOD, parent: str = RT, **fields: Any) -> dict[str, Any]:
    """A module as ARTS forwards and answers it."""
    return {
        "type": "module",
        "uuid": uuid,
        "name": "m",
        "parent": {"uuid": parent},
        "filename": "m.py",
        "fileid": "afileid",
        "filetype": "PY",
        "apis": "python:python3",
        "args": "",
        "env": "",
        "channels": "['']",
    } | fields


def silverline2022_module(uuid: str = MOD, parent: str = RT, **fields: Any) -> dict[str, Any]:
    """A module as SilverLine of 2022 forwards it."""
    return {
        "type": "module",
        "uuid": uuid,
        "name": "m",
        "parent": parent,
        "filename": "m.wasm",
        "filetype": "WA",
        "apis": ["wasm", "wasi"],
        "args": [],
        "env": [],
        "channels": [],
        "peripherals": [],
        "resources": None,
        "fault_crash": "ignore",
        "metadata": None,
        "status": "A",
    } | fields


def silverline_module(uuid: str = MOD, parent: str = RT, **fields: Any) -> dict[str, Any]:
    """A module as SilverLine's runtime manager gets it."""
    return {
        "type": "module",
        "index": ANY,
        "uuid": uuid,
        "name": "m",
        "parent": parent,
        "file": "m.wasm",
        "filetype": "WA",
        "apis": ["wasm", "wasi"],
        "args": {"argv": ["m.wasm"], "env": []},
        "channels": [],
        "status": "A",
    } | fields


def details_of(heard: list[Said]) -> dict[str, Any]:
    """The details of the only message, an answer."""
    (only,) = heard
    details: dict[str, Any] = only.payload["data"]["details"]
    return details


def forward_of(heard: list[Said], runtime: str = RT) -> dict[str, Any]:
    """The data of the only create that went to this runtime."""
    (only,) = [m for m in heard if m.topic == f"{CONTROL}/{runtime}"]
    assert only.payload["action"] == "create"
    data: dict[str, Any] = only.payload["data"]
    return data
