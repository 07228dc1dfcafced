"""A runtime of the old dialect among native ones: it registers and works as it always did.

It is played here by a bare MQTT client, from what the original simulated runtime sends.
"""

import json
import uuid
from typing import Any

import pytest

from arts.client import Client
from arts.errors import ArtsError
from tests.support.broker import unique
from tests.support.script import Script

pytestmark = pytest.mark.asyncio(loop_scope="session")

_API = "python:python3"


def envelope(action: str, data: dict[str, Any]) -> dict[str, Any]:
    """A message about a runtime, as old runtimes send it."""
    return {"action": action, "data": {"type": "runtime"} | data}


async def register(bare: Script, key: str, name: str) -> dict[str, Any]:
    """Say no more than an old runtime says."""
    data = {"uuid": key, "name": name, "max_nmodules": 2, "apis": _API}
    return await bare.ask(envelope("create", data), topic="reg")


async def leave(bare: Script, key: str) -> None:
    """What its last will says, too."""
    answer = await bare.ask(envelope("delete", {"uuid": key}), topic="reg")
    assert answer["result"] == "ok"


async def test_it_is_welcome_as_often_as_it_comes(bare: Script) -> None:
    """Old runtimes repeat their registration until they hear ok: each time is answered ok."""
    key, name = str(uuid.uuid4()), unique("old")
    for _ in range(3):
        answer = await register(bare, key, name)
        assert answer["result"] == "ok"
        assert (answer["details"]["uuid"], answer["details"]["name"]) == (key, name)
        assert answer["details"]["max_nmodules"] == 2
    await leave(bare, key)


async def test_it_is_told_what_to_start_and_stop_in_its_own_words(
    bare: Script, client: Client
) -> None:
    key, name = str(uuid.uuid4()), unique("old")
    await bare.listen(f"{bare.proc}/control/{key}")
    await register(bare, key, name)
    module = await client.create(
        "boxes.py", filetype="PY", parent=name, args=("a", "b"), env=("X=1", "Y=2")
    )
    command = (await bare.at(f"control/{key}")).json
    assert (command["type"], command["action"]) == ("arts_req", "create")
    data = command["data"]
    assert (data["uuid"], data["filename"], data["filetype"]) == (module["uuid"], "boxes.py", "PY")
    assert data["parent"] == {"uuid": key}
    assert (data["args"], data["env"], data["channels"]) == ("a b", "X=1 Y=2", "['']")
    assert module["state"] == "running"  # it will never say so

    await client.delete(module["uuid"])
    await bare.heard.until(lambda seen: any(_stops(m.json, module["uuid"]) for m in seen))
    await leave(bare, key)


def _stops(message: dict[str, Any], module: str) -> bool:
    return message.get("action") == "delete" and message["data"].get("uuid") == module


async def test_it_takes_no_more_than_it_offers(bare: Script, client: Client) -> None:
    """The third module waits with the reason, and starts when there is room again."""
    key, name = str(uuid.uuid4()), unique("old")
    await bare.listen(f"{bare.proc}/control/{key}")
    await register(bare, key, name)
    modules = [
        await client.create("boxes.py", filetype="PY", apis=(_API,), parent=name) for _ in range(3)
    ]
    assert [module["state"] for module in modules] == ["running", "running", "pending"]
    assert modules[2]["reasons"][name]
    await client.delete(modules[0]["uuid"])
    await client.wait_state(modules[2]["uuid"], {"running"})
    for module in modules[1:]:
        await client.delete(module["uuid"])
    await leave(bare, key)


async def test_its_modules_cannot_move(bare: Script, client: Client) -> None:
    key, name = str(uuid.uuid4()), unique("old")
    await register(bare, key, name)
    module = await client.create("boxes.py", filetype="PY", parent=name)
    with pytest.raises(ArtsError, match=f"runtime {name} cannot send a running module away"):
        await client.move(module["uuid"])
    await client.delete(module["uuid"])
    await leave(bare, key)


async def test_a_registration_without_a_uuid_gets_one(bare: Script) -> None:
    answer = await bare.ask(envelope("create", {"name": unique("old")}), topic="reg")
    assert answer["result"] == "ok"
    uuid.UUID(answer["details"]["uuid"])
    await leave(bare, answer["details"]["uuid"])


async def test_it_is_silent_for_ever_and_still_there(bare: Script, client: Client) -> None:
    """It never promised a keepalive: silence is no reason to give it up."""
    key = str(uuid.uuid4())
    await register(bare, key, unique("old"))
    document = await client.query("runtime", key)
    assert (document["state"], document["features"]) == ("online", ["handover"])
    assert json.dumps(document)
    await leave(bare, key)
