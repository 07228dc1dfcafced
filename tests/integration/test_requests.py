"""Messages that should not have been sent: a clear error for who asked, and nobody goes deaf.

Written against the wire, with a bare MQTT client, in the dialect of the original ARTS and ours.
"""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.errors import AlreadyExists, NotFound
from tests.support.broker import unique
from tests.support.realm import module
from tests.support.script import Script

pytestmark = pytest.mark.asyncio(loop_scope="session")

UNPARSABLE = "could_not_parse"
MEBIBYTE = 1 << 20


@pytest_asyncio.fixture(loop_scope="session", autouse=True)
async def nobody_went_deaf(client: Client, realm: LocalRealm) -> AsyncIterator[None]:
    """After each test the same processes are there, and the supervisor answers and places."""
    before = [child.pid for child in (realm.supervisor, *realm.runtimes)]
    instance = (await client.supervisor()).instance
    yield
    assert [child.pid for child in (realm.supervisor, *realm.runtimes)] == before
    assert (await client.supervisor()).instance == instance
    async with module(client, "hello", until=("exited",)) as probe:
        assert probe.lines[0] == "hello"


# ---------------------------------------------------------------------------- no request at all


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="cut off"),
        pytest.param(b"\xff\xfe\x00\x01", id="binary"),
        pytest.param(b"create counter please", id="prose"),
        pytest.param(b"[" * 100_000, id="deep"),
        pytest.param(b'{"object_id": "x", "type": "arts_req"' + b" " * MEBIBYTE + b"}", id="huge"),
    ],
)
async def test_what_cannot_be_read(bare: Script, payload: bytes) -> None:
    await bare.publish("control", payload)
    answer = (await bare.answer(UNPARSABLE)).json
    assert answer["type"] == "arts_resp"
    assert answer["data"]["result"] == "error"
    assert answer["data"]["details"].startswith("Could not process request; ")


@pytest.mark.parametrize("payload", [b"[]", b"42", b'"text"', b"null", b'{"type": "weather"}'])
@pytest.mark.parametrize("topic", ["control", "reg", "keepalive", "keepalive/x", "events/x"])
async def test_what_was_meant_for_somebody_else(bare: Script, topic: str, payload: bytes) -> None:
    """JSON that is no request is not ours to judge: others use these topics too."""
    await bare.publish(topic, payload)
    data = await bare.ask({"action": "get", "data": {"what": "realm"}})
    assert data["result"] == "ok"
    assert not bare.answers(UNPARSABLE)


@pytest.mark.parametrize(
    "topic", ["reg", "reg/some-runtime", "keepalive", "keepalive/some-runtime"]
)
async def test_nonsense_on_the_other_topics_is_answered_there(bare: Script, topic: str) -> None:
    await bare.listen(f"{bare.proc}/{topic}")
    await bare.publish(topic, b"{nonsense")
    answer = await bare.answer(UNPARSABLE)
    assert answer.topic == f"{bare.proc}/{topic}"


async def test_nonsense_where_runtimes_report(bare: Script) -> None:
    """Only runtimes report; there is nobody to answer."""
    for payload in (b"", b"{nonsense", b'{"data": {"kind": "exploded"}}', b'{"data": []}'):
        await bare.publish("events/some-runtime", payload)


# ------------------------------------------------------------------- requests that are wrong


def create(**data: Any) -> dict[str, Any]:
    """A create of an otherwise sound module."""
    return {"action": "create", "data": {"type": "module", "filename": "hello"} | data}


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"action": "explode", "data": {}}, "unknown action 'explode'"),
        ({"data": {}}, "unknown action 'None'"),
        ({"action": "create"}, "data must be an object"),
        ({"action": "create", "data": ["hello"]}, "data must be an object"),
        ({"action": "create", "data": {"type": "elephant"}}, "for type 'elephant'"),
        (create(uuid="a/b"), "uuid: must be a uuid"),
        (create(uuid="#"), "uuid: must be a uuid"),
        (create(uuid=7), "uuid: must be a uuid"),
        (create(uuid="x" * 65), "uuid: must be a uuid"),
        (create(filename=7), "filename"),
        (create(filetype="EXE"), "filetype: must be one of"),
        (create(args=[{"a": 1}]), "args: must be text or a list"),
        (create(env=[["a"]]), "env: must be text or a list"),
        (create(channels="[{'path':"), "channels: looks like a list but is none"),
        (create(channels=[{"path": "/etc/passwd", "topic": "t"}]), "must start with /ch/"),
        (create(channels=[{"path": "/ch/x"}]), "channel /ch/x needs a topic"),
        (create(channels=[{"path": "/ch/x", "topic": "a/#"}]), "cannot have wildcards"),
        (create(channels=[{"path": "/ch/x", "topic": "a", "qos": 2}]), "qos must be 0 or 1"),
        (create(program="abc"), "program"),
        (create(limits={"memory_bytes": "much"}), "limits.memory_bytes"),
        (create(on_runtime_lost="panic"), "on_runtime_lost"),
        (create(parent=["x"]), "parent: must be a uuid or a name"),
        ({"action": "delete", "data": {}}, "uuid: Field required"),
        ({"action": "get", "data": {"what": "weather"}}, "what: Input should be"),
    ],
)
async def test_what_is_wrong_is_said(
    bare: Script, request_: dict[str, Any], complaint: str
) -> None:
    data = await bare.ask(request_)
    assert data["result"] == "error"
    assert data["code"] == "invalid"
    assert complaint in data["details"]


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ({"action": "delete", "data": {"type": "module", "uuid": "nobody"}}, "Module (nobody)"),
        ({"action": "delete", "data": {"type": "runtime", "uuid": "none"}}, "Runtime (none)"),
        ({"action": "update", "data": {"uuid": "nobody"}}, "no module 'nobody'"),
        ({"action": "get", "data": {"what": "module", "key": "nobody"}}, "nobody"),
        ({"action": "get", "data": {"what": "runtime", "key": "none"}}, "none"),
        ({"action": "get", "data": {"what": "why", "key": "nobody"}}, "nobody"),
    ],
)
async def test_what_does_not_exist(bare: Script, request_: dict[str, Any], complaint: str) -> None:
    data = await bare.ask(request_)
    assert (data["result"], data["code"]) == ("error", "not_found")
    assert complaint in data["details"]


async def test_the_answer_comes_in_the_dialect_of_the_request(bare: Script) -> None:
    me = str(uuid.uuid4())
    await bare.publish("control", {"object_id": me, "type": "req", "action": "explode"})
    assert (await bare.answer(me)).json["type"] == "resp"


async def test_the_answer_goes_where_it_was_asked_for(bare: Script) -> None:
    me = str(uuid.uuid4())
    reply_to = f"{bare.proc}/reply/{me}"
    await bare.ask({"object_id": me, "reply_to": reply_to} | create(uuid="a/b"))
    assert [answer.topic for answer in bare.answers(me)] == [reply_to]


async def test_an_unknown_parent_is_an_error_for_those_who_know_better(bare: Script) -> None:
    """Without ``reply_to`` it is an old client, and those expect to be scheduled elsewhere."""
    me = str(uuid.uuid4())
    native = {"object_id": me, "reply_to": f"{bare.proc}/reply/{me}"}
    refused = await bare.ask(native | create(parent={"uuid": "nowhere"}))
    assert (refused["result"], refused["code"]) == ("error", "not_found")
    assert refused["details"] == "no runtime 'nowhere'"
    placed = await bare.ask(create(parent={"uuid": "nowhere"}))
    assert placed["result"] == "ok"


# ---------------------------------------------------------------------------- more than once


async def test_the_same_create_twice_is_one_module(bare: Script, client: Client) -> None:
    """A client that did not hear the answer asks again: it gets an answer, not a second module."""
    key, me = str(uuid.uuid4()), str(uuid.uuid4())
    native = {"object_id": me, "reply_to": f"{bare.proc}/reply/{me}"}
    request = native | create(uuid=key, filename="counter", args="20")
    first = await bare.ask(request)
    await client.wait_state(key, {"running"})
    await bare.publish("control", {"type": "arts_req"} | request)
    await bare.heard.until(lambda _: len(bare.answers(me)) == 2)
    second = bare.answers(me)[1].json["data"]
    assert first["details"]["uuid"] == second["details"]["uuid"] == key
    assert second["details"]["generation"] == 1
    await client.delete(key)


async def test_another_module_of_the_same_uuid_is_refused(client: Client) -> None:
    async with module(client, "counter", 20) as counter:
        with pytest.raises(AlreadyExists, match="exists already and is running"):
            await client.create("hello", uuid=counter.uuid)
        await counter.output.more(3)


async def test_a_deleted_module_is_gone_and_its_uuid_is_free(client: Client) -> None:
    async with module(client, "counter", 20) as counter:
        await counter.output.until(lambda lines: "count 1" in lines)
        await client.delete(counter.uuid)
        await counter.until(lambda document: not document)
        with pytest.raises(NotFound):
            await client.query("module", counter.uuid)
        await client.create("counter", uuid=counter.uuid, name=counter.name, args=("20",))
        assert (await counter.reaches("running"))["generation"] > 1
        await counter.output.until(lambda lines: lines.count("count 1") == 2)


# ------------------------------------------------------------------- as the original does it


async def test_a_module_the_old_way(bare: Script) -> None:
    """What modctl sends: flat text fields, no ``reply_to``; the answer comes where it asked."""
    key, me = str(uuid.uuid4()), str(uuid.uuid4())
    await bare.listen(f"{bare.proc}/debug/stdout/{key}")
    data = {
        **{"type": "module", "uuid": key, "name": unique("old"), "parent": None},
        **{"filename": "hello.wasm", "filetype": "WA", "args": "a b", "env": "X=1 Y=2"},
    }
    await bare.publish(
        "control", {"object_id": me, "action": "create", "type": "arts_req", "data": data}
    )
    answer = await bare.answer(me)
    assert answer.topic == f"{bare.proc}/control"
    assert answer.json["data"]["result"] == "ok"
    assert answer.json["data"]["details"]["parent"]["uuid"]
    topic = f"{bare.proc}/debug/stdout/{key}"
    await bare.heard.until(lambda seen: sum(m.topic == topic for m in seen) >= 6)
    lines = [m.payload.decode() for m in bare.heard.seen if m.topic == topic]
    assert lines[0] == "hello"
    assert lines[2:] == ["arg 1: a", "arg 2: b", "env X=1", "env Y=2"]


async def test_a_farewell_in_quotes(bare: Script) -> None:
    """The simulated runtime quotes what it sends when a module ends; it must not hurt."""
    key, me = str(uuid.uuid4()), str(uuid.uuid4())
    created = await bare.ask(create(uuid=key, filename="counter", args="20"))
    assert created["result"] == "ok"
    farewell = {
        **{"object_id": me, "action": "delete", "type": "arts_req"},
        "data": {"type": "module", "uuid": key, "parent": {"uuid": "x"}},
    }
    await bare.publish("control", f"'{json.dumps(farewell)}'".encode())
    assert (await bare.answer(me)).json["data"]["result"] == "ok"
