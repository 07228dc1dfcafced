"""Bytes to messages and back; and whatever the bytes are, nothing but the promised comes out."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arts.errors import InvalidRequest
from arts.model import (
    ChannelSpec,
    Filetype,
    Limits,
    Load,
    Migration,
    MigrationPhase,
    Module,
    ModuleSpec,
    ModuleState,
    OnRuntimeLost,
    Program,
    ReplyTo,
    Runtime,
    RuntimeState,
)
from arts.protocol import codec
from arts.protocol import messages as m
from arts.protocol.dialects.base import MAX_REQUEST_BYTES, Malformed
from tests.support.native import request_in

PROGRAM = Program("d" * 64, 10, "5" * 64)
START = m.StartModule(
    object_id="c",
    uuid="m",
    generation=3,
    name="counter",
    filename="counter.wasm",
    filetype=Filetype.WASM,
    program=PROGRAM,
    args=("a", "b c"),
    env=("X=1",),
    channels=(ChannelSpec("/ch/x", "t"),),
    apis=("wasi",),
    limits=Limits(memory_bytes=65536),
    parent="r",
)
STEP: dict[str, Any] = {"object_id": "c", "uuid": "m", "generation": 4, "migration": "x"}
COMMANDS = [
    START,
    m.StopModule(object_id="c", uuid="m", generation=3, force=True, forget_session=False),
    m.PrepareModule(module=START.model_copy(update={"object_id": ""}), source="a", **STEP),
    m.FreezeModule(target="b", **STEP),
    m.ResumeModule(**STEP),
    m.ReleaseModule(**STEP),
    m.AbortMigration(**STEP),
    m.AnnounceRuntime(object_id="c", uuid="r"),
]
REPLY = ReplyTo("realm/proc/reply/me", "q")
ASKED: dict[str, Any] = {"object_id": "q", "reply": REPLY}
REQUESTS = [
    m.RegisterRuntime(
        uuid="r",
        name="n",
        instance="i",
        features=frozenset({"events"}),
        labels={"k": "v"},
        modules=(m.HeldModule(uuid="m", generation=2, migration="x", state="frozen"),),
        ended=(m.Report(kind="exited", runtime="r", uuid="n", generation=1, exit_code=0),),
        **ASKED,
    ),
    m.RemoveRuntime(uuid="r", instance="i", reason="shutdown", **ASKED),
    m.CreateModule(
        uuid="m",
        name="n",
        filename="f.wasm",
        parent="r",
        args=("a b", "c"),
        channels=(ChannelSpec("/ch/x", "t", "r", 0),),
        labels={"k": "v"},
        limits=Limits(wall_seconds=1.5),
        on_runtime_lost=OnRuntimeLost.WAIT,
        **ASKED,
    ),
    m.DeleteModule(uuid="m", force=True, **ASKED),
    m.MoveModule(uuid="m", target="b", **ASKED),
    m.MoveModule(uuid="m", **ASKED),
    m.CheckpointModule(uuid="m", hold=2.0, **ASKED),
    m.ExportModule(uuid="m", transfer="t", number=3, **ASKED),
    m.ImportModule(
        uuid="m", importer="i", form=Program("d", 1, "s"), size=9, generation=4, **ASKED
    ),
    m.RestoreModule(uuid="m", number=3, **ASKED),
    m.CloneModule(uuid="m", clone="n", name="twin", **ASKED),
    m.Query(what="module", key="m", **ASKED),
]


def decode(payload: bytes) -> Any:
    return request_in("realm/proc/control", payload)


class TestRoundTrips:
    """What is encoded is decoded as the same."""

    @pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: type(r).__name__)
    def test_requests(self, request_: m.AnyRequest) -> None:
        assert decode(codec.encode_request(request_, reply_to=REPLY.topic)) == request_

    def test_keepalives(self) -> None:
        stats = m.ModuleStats(uuid="m", generation=2, mem_usage=65536)
        keepalive = m.Keepalive(object_id="q", uuid="r", load=Load(1.0, 2.0, 3), children=(stats,))
        assert decode(codec.encode_request(keepalive)) == keepalive

    @pytest.mark.parametrize("command", COMMANDS, ids=lambda c: type(c).__name__)
    def test_commands(self, command: m.AnyCommand) -> None:
        assert codec.decode_command(codec.encode_command(command)) == command

    def test_reports(self) -> None:
        report = m.Report(
            object_id="c",
            kind="frozen",
            runtime="r",
            instance="i",
            uuid="m",
            generation=4,
            migration="x",
            code="engine_error",
            detail="why",
            exit_code=1,
            digest="s",
            size=10,
            newest=7,
            at=1.5,
        )
        assert codec.decode_report(codec.encode_report(report)) == report

    @pytest.mark.parametrize(
        "response",
        [
            m.Response(ok=True, details={"uuid": "m"}),
            m.Response(ok=False, details="no", code="invalid"),
        ],
    )
    @pytest.mark.parametrize("dialect", ["arts", "silverline"])
    def test_responses(self, response: m.Response, dialect: str) -> None:
        payload = codec.encode_response(ReplyTo("t", "q", dialect), response)
        assert codec.decode_response(payload) == ("q", response)

    def test_notices(self) -> None:
        notice = m.SupervisorNotice(instance="i", http_url="http://x", version="1")
        assert codec.decode_notice(codec.encode_document(notice)) == notice
        assert codec.decode_notice(b"") is None

    def test_documents(self) -> None:
        assert codec.decode_document(codec.encode_document({"a": [1, None]})) == {"a": [1, None]}
        with pytest.raises(InvalidRequest, match="not JSON"):
            codec.decode_document(b"{")


RUNTIME = Runtime(
    uuid="r",
    name="n",
    state=RuntimeState.SUSPECT,
    apis=frozenset({"wasi"}),
    labels=(("k", "v"),),
    filetypes=frozenset({Filetype.WASM}),
    instance="i",
    features=frozenset({"events"}),
    lease_seconds=15.0,
    load=Load(1.0, 2.0, 3),
)
MODULE = Module(
    spec=ModuleSpec(
        uuid="m", name="n", filename="f", args=("a",), channels=(ChannelSpec("/ch/x", "t"),)
    ),
    state=ModuleState.MIGRATING,
    generation=3,
    parent="a",
    program=PROGRAM,
    reasons=(("x", "is full"),),
    migration=Migration(
        id="x",
        source="a",
        target="b",
        phase=MigrationPhase.RESTORING,
        digest="s",
        size=5,
        frozen_at=1.5,
        request="q",
        reply=REPLY,
    ),
    request="q",
    moved_by="p",
    reply=REPLY,
    attempts=("c",),
)


class TestRecords:
    """What the store keeps comes back as the same."""

    def test_round_trips(self) -> None:
        assert codec.decode_record(Runtime, codec.encode_record(RUNTIME)) == RUNTIME
        assert codec.decode_record(Module, codec.encode_record(MODULE)) == MODULE

    @pytest.mark.parametrize("data", [b"", b"{}", b'{"uuid": 5}', b"[]", b"\xff"])
    def test_of_another_version(self, data: bytes) -> None:
        with pytest.raises(InvalidRequest, match="stored Runtime"):
            codec.decode_record(Runtime, data)


class TestMalformed:
    """Where a complaint goes, and what is passed over in silence."""

    @pytest.mark.parametrize(
        "payload",
        [b"", b"{", b"\xff\xfe", b"'", b"'{}", b"nul", b"[" * 100_000, b'{"a": NaN}', b'"\\ud800"'],
    )
    def test_not_json(self, payload: bytes) -> None:
        with pytest.raises(Malformed, match="Could not process request") as caught:
            decode(payload)
        assert caught.value.reply == ReplyTo("realm/proc/control", "could_not_parse", "arts")

    def test_too_large(self) -> None:
        with pytest.raises(Malformed, match="the limit is 1048576"):
            decode(b" " * (MAX_REQUEST_BYTES + 1))
        with pytest.raises(Malformed, match="Expecting value"):
            decode(b" " * MAX_REQUEST_BYTES)

    @pytest.mark.parametrize("data", [b"", b', "data": 5', b', "data": [1]', b', "data": null'])
    def test_no_data(self, data: bytes) -> None:
        with pytest.raises(Malformed, match="data must be an object"):
            decode(b'{"type": "arts_req", "action": "create"' + data + b"}")

    @pytest.mark.parametrize("kind", ["module", "runtime", "", 5, [], {}])
    @pytest.mark.parametrize("action", ["explode", "create_batch", None, 5, []])
    def test_unknown_actions(self, action: Any, kind: Any) -> None:
        payload = {"object_id": "q", "type": "arts_req", "action": action, "data": {"type": kind}}
        with pytest.raises(Malformed, match="unknown action") as caught:
            decode(json.dumps(payload).encode())
        assert caught.value.reply == ReplyTo("realm/proc/control", "q", "arts")

    @pytest.mark.parametrize("value", [None, [], 5, "x", {}])
    def test_what_is_no_envelope_is_never_answered(self, value: Any) -> None:
        assert decode(json.dumps(value).encode()) is None

    @pytest.mark.parametrize("kind", ["arts_resp", "resp", "arts_event", [], {}, 5, None])
    def test_what_is_not_a_request_is_never_answered(self, kind: Any) -> None:
        value = {"type": kind, "action": "create", "data": {"type": "module"}}
        assert decode(json.dumps(value).encode()) is None

    def test_what_we_say_is_never_answered(self) -> None:
        said = [
            codec.encode_response(REPLY, m.Response(ok=True, details={})),
            codec.encode_response(REPLY, m.Response(ok=False, details="no", code="invalid")),
            codec.encode_report(m.Report(kind="started", runtime="r", uuid="m", generation=1)),
            codec.encode_document({"state": "running"}),
        ]
        assert [decode(payload) for payload in said] == [None] * 4

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"5",
            b"[]",
            b"{}",
            b'{"data": 5}',
            b'{"data": {}}',
            b'{"data": {"kind": "x"}}',
            b'{"data": {"kind": "started", "runtime": "a/+", "uuid": "m", "generation": 1}}',
            b'{"data": {"kind": "started", "runtime": "a", "uuid": "#", "generation": 1}}',
        ],
    )
    def test_reports(self, payload: bytes) -> None:
        with pytest.raises(InvalidRequest):
            codec.decode_report(payload)

    @pytest.mark.parametrize(
        "value",
        [
            {"type": "arts_req"},
            {"type": "arts_req", "action": "dance", "data": {}},
            {"type": "arts_req", "action": "create", "data": {}},
            {"type": "arts_req", "action": "create", "data": 5},
            {"type": "arts_req", "action": "delete"},
        ],
    )
    def test_commands(self, value: Any) -> None:
        with pytest.raises(InvalidRequest):
            codec.decode_command(json.dumps(value).encode())

    @pytest.mark.parametrize("payload", [b"[]", b"{}", b'{"type": "arts_resp"}', b"5"])
    def test_what_is_not_a_command(self, payload: bytes) -> None:
        assert codec.decode_command(payload) is None

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"5",
            b"{}",
            b'{"type": "arts_req"}',
            b'{"type": "arts_resp"}',
            b'{"type": []}',
            b'{"type": "arts_resp", "object_id": "q", "data": {"result": "ok", "details": 5}}',
        ],
    )
    def test_what_is_not_an_answer(self, payload: bytes) -> None:
        assert codec.decode_response(payload) is None


WORDS = """
    type data action object_id uuid reply_to parent args channels kind runtime generation create
    delete update get module what arts_req req arts_resp result ok details apis limits modules
"""
words = st.sampled_from(WORDS.split())
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | words
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=6),
    max_leaves=12,
)
envelopes = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["arts_req", "req", "arts_resp"]),
        "action": st.sampled_from(
            ["create", "delete", "update", "get", "prepare", "freeze", "announce"]
        ),
    },
    optional={
        "object_id": scalars,
        "reply_to": scalars,
        "data": values
        | st.dictionaries(words, values).map(lambda data: {"type": "runtime", "uuid": "r"} | data)
        | st.dictionaries(words, values).map(lambda data: {"type": "module", "uuid": "m"} | data),
    },
)
payloads = st.binary(max_size=60) | (values | envelopes).map(
    lambda value: json.dumps(value).encode()
)


@given(payloads)
def test_decoding_raises_nothing_but_what_it_promises(payload: bytes) -> None:
    with suppress(Malformed):
        decode(payload)
    for decoder in (codec.decode_command, codec.decode_report, codec.decode_document):
        with suppress(InvalidRequest):
            decoder(payload)
    codec.decode_response(payload)
    codec.decode_notice(payload)
