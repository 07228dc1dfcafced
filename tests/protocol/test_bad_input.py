"""Bad input: nothing changes, nobody goes deaf, what can be answered is answered once."""

import json
import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arts.bus.base import Received
from arts.model import ReplyTo
from arts.protocol import messages as m
from arts.protocol.dialects.base import Malformed
from tests.protocol.contract import arts_runtime, module, request, silverline_runtime
from tests.support.bad_input import CONTROL, CORPUS
from tests.support.native import DIALECTS
from tests.support.wire import Said, Wire, in_memory, wire

ANSWERS = ("arts_resp", "resp")


def answers(heard: list[Said]) -> list[Said]:
    """What was answered to who asked; SilverLine's log is for everybody."""
    return [message for message in heard if message.topic != "realm/proc/log/orchestrator"]


def state_of(wire: Wire) -> Any:
    """Everything but what is only counted."""
    assert wire.supervisor is not None
    document = wire.supervisor.realm.documents()
    del document["counters"]
    return document


async def test_the_corpus_changes_nothing_and_silences_nobody() -> None:
    async with wire(in_memory()) as connected:
        await arts_runtime(connected)
        await connected.say(CONTROL, request("create", module(name="m", filetype="PY")))
        before = state_of(connected)
        for name, (topic, payload) in CORPUS.items():
            heard = await connected.say(topic, payload)  # and the supervisor answers a question
            assert state_of(connected) == before, name
            assert len(answers(heard)) <= 1, name
            for said in answers(heard):
                assert said.payload["type"] in ANSWERS, name
                assert said.payload["data"]["result"] == "error", name
        counters = connected.supervisor.realm.documents()["counters"]  # type: ignore[union-attr]
        assert counters["messages_malformed"] > 100
        assert len(CORPUS) > 200


@pytest.mark.parametrize("payload", [b"{", b"\xff", b"[1, 2"])
async def test_our_own_complaints_are_not_complained_about(payload: bytes) -> None:
    async with wire(in_memory()) as connected:
        for topic in (CONTROL, "realm/proc/reg", "realm/proc/reg/x", "realm/proc/keepalive"):
            (complaint,) = await connected.say(topic, payload)
            assert complaint.topic == topic
            again = {**complaint.payload, "data": {**complaint.payload["data"], "x": 1}}
            assert await connected.say(topic, again) == []


async def test_what_was_retained_before_we_listened_is_not_a_request() -> None:
    """A farewell that somebody retained would remove its runtime with every reconnect."""
    connect = in_memory()
    async with wire(connect) as connected:
        await arts_runtime(connected)
        farewell = request("delete", {"type": "runtime", "uuid": "nobody"})
        await connected.say("realm/proc/reg", farewell, retain=True)
        create = request("create", module("left", name="m", filetype="PY"))
        await connected.say(CONTROL, create | {"action": "explode"}, retain=True)
    async with wire(connect) as connected:
        assert await connected.silence() == []
        assert connected.supervisor is not None
        assert connected.supervisor.realm.documents()["counters"]["messages_retained"] == 2


async def test_a_bug_of_ours_in_a_dialect_silences_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async with wire(in_memory()) as connected:
        await silverline_runtime(connected)
        assert connected.supervisor is not None

        def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError("a bug")

        with monkeypatch.context() as patch:
            patch.setattr("arts.protocol.dialects.silverline.SilverLine.decode", broken)
            assert await connected.say(CONTROL, request("delete", module(), "req")) == []
        with monkeypatch.context() as patch:
            patch.setattr("arts.protocol.dialects.silverline.SilverLine.answer", broken)
            assert await connected.say(CONTROL, request("delete", module(), "req")) == []
        assert await connected.say(CONTROL, request("delete", module(), "req"))


async def test_the_log_is_not_theirs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with wire(in_memory()) as connected:
        await connected.say_all(*[(CONTROL, b"{") for _ in range(500)])
        complaints = [r for r in caplog.records if "message.malformed" in str(r.msg)]
        assert 0 < len(complaints) <= 10
        await connected.pass_time(60)
        caplog.clear()
        await connected.say(CONTROL, b"{")
        assert "'unsaid': 490" in str(caplog.records[-1].msg)


# ---------------------------------------------------------------------------- at random

TOPICS = [
    *("realm/proc/reg", "realm/proc/reg/x", "realm/proc/control", "realm/proc/control/x"),
    *("realm/proc/keepalive", "realm/proc/keepalive/x", "realm/g/ns/p/x"),
    *("realm/s/ns/scene/p/x", "realm/s/ns/scene/p/x/y"),
]
WORDS = (
    "data action object_id uuid reply_to parent args env argv channels kind runtime module file "
    "filename filetype manager modules from instance features traits metadata resources what "
    "fault_crash send_to_runtime max_nmodules apis create delete update exited create_batch"
)
words = st.sampled_from(WORDS.split())
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=6),
    max_leaves=12,
)
envelopes = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["arts_req", "req"]),
        "action": st.sampled_from(
            ["create", "delete", "update", "get", "exited", "create_batch", "explode"]
        ),
        "data": st.fixed_dictionaries(
            {"type": st.sampled_from(["module", "runtime", "manager", None])},
            optional={word: values for word in WORDS.split()},
        )
        | values,
    },
    optional={"object_id": scalars, "from": values, "reply_to": scalars, "uuid": scalars},
)
payloads = st.binary(max_size=60) | (values | envelopes).map(lambda v: json.dumps(v).encode())
RESPONSES = [
    m.Response(ok=True, details={"type": "module", "uuid": "m", "name": "n"}),
    m.Response(ok=False, details="no", code="not_found", missing="module", subject="m"),
    m.Response(ok=False, details="no", code="already_exists"),
    m.Response(ok=False, details="no", code="unplaceable"),
]


@given(st.sampled_from(TOPICS), payloads)
def test_every_dialect_keeps_its_promises(topic: str, payload: bytes) -> None:
    """Requests or ``Malformed``, nothing else; and whatever was asked can be answered."""
    replies: list[ReplyTo | None] = []
    try:
        requests = DIALECTS.decode(topic, payload, new_id=lambda: "new")
        replies = [getattr(request, "reply", None) for request in requests]
    except Malformed as error:
        replies = [error.reply]
    for reply in replies:
        for response in RESPONSES if reply else ():
            assert reply is not None
            for said in DIALECTS.answer(reply, response):
                assert json.loads(said.payload)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_a_hundred_thousand_messages_that_are_nearly_right() -> None:
    """Sound messages with something changed: afterwards the realm is sound, and answers."""
    source = random.Random(5)
    sound = [
        request("create", module(name="m", filename="m.py", filetype="PY", args="a b")),
        request("create", module("x", file="m.py", parent="py-runtime"), "req"),
        request("delete", module()),
        request("exited", module("x"), "req"),
        request("create", {"type": "runtime", "uuid": "r", "apis": "python:python3"}),
        request("create_batch", {"parent": "r", "modules": [module("y"), module("z")]}, "req"),
        request("create", module("w"), "req", **{"from": "client"}),
        request("update", {"type": "runtime", "uuid": "r", "children": [{"uuid": "m"}]}),
        request("delete", {"type": "runtime", "uuid": "r"}),
    ]
    async with wire(in_memory()) as connected:
        for round_ in range(2500):
            batch = [
                (source.choice(TOPICS), _mutated(source, source.choice(sound))) for _ in range(40)
            ]
            await connected.say_all(*batch)
            if round_ % 100 == 0:
                await connected.pass_time(20)
                assert connected.supervisor is not None
                connected.supervisor.realm.validate()
        registered = request("create", {"type": "runtime", "uuid": "survivor", "name": "s"})
        await connected.say("realm/proc/reg", registered)
        await connected.pass_time(1)
        created = request("create", module("last", filetype="PY", parent={"uuid": "survivor"}))
        assert (await connected.say(CONTROL, created))[-1].payload["data"]["result"] == "ok"


def _mutated(source: random.Random, message: dict[str, Any]) -> bytes:
    if source.random() < 0.5:
        message = _changed(source, message)
    data = bytearray(json.dumps(message).encode())
    for _ in range(source.choice((0, 0, 0, 1, 5))):
        at = source.randrange(len(data))
        if source.random() < 0.5:
            data[at] = source.randrange(256)
        else:
            del data[at : at + source.randrange(4)]
            data = data or bytearray(b"{")
    return bytes(data)


def _changed(source: random.Random, value: Any) -> Any:
    """One or a few values replaced, at any depth."""
    if isinstance(value, dict) and value and source.random() < 0.8:
        key = source.choice(list(value))
        return {**value, key: _changed(source, value[key])}
    if isinstance(value, list) and value and source.random() < 0.8:
        return [_changed(source, item) for item in value]
    return source.choice(
        [None, True, -1, 1e300, "", "x" * 300, "a/b", [], {}, [[]], {"uuid": "r"}, "r", 10**30]
    )


def test_reports_are_no_requests() -> None:
    """Only the supervisor itself reads them."""
    with suppress(Malformed):
        assert DIALECTS.decode("realm/proc/events/x", b"{}", new_id=lambda: "new") == ()
    assert Received("t", b"").retain is False
