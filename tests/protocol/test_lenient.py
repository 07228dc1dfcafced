"""What real clients send, as recorded from the wire, and what becomes of it."""

import json
from typing import Any

import pytest

from arts.model import EVERY_ABILITY, Ability, ChannelSpec, Filetype, ReplyTo
from arts.protocol import lenient
from arts.protocol.dialects.base import Malformed
from arts.protocol.messages import (
    CreateModule,
    DeleteModule,
    Keepalive,
    MoveModule,
    RegisterRuntime,
    RemoveRuntime,
)
from tests.support.native import request_in


def decode(topic: str = "realm/proc/control", **envelope: Any) -> Any:
    """A request in the ARTS dialect, unless the envelope says otherwise."""
    payload = json.dumps({"object_id": "q", "type": "arts_req"} | envelope).encode()
    return request_in(topic, payload, new_id=lambda: "new", wall=7.0)


def create(**data: Any) -> CreateModule:
    request = decode(action="create", data={"type": "module", "uuid": "m"} | data)
    assert isinstance(request, CreateModule)
    return request


def register(**data: Any) -> RegisterRuntime:
    request = decode("realm/proc/reg", action="create", data={"type": "runtime"} | data)
    assert isinstance(request, RegisterRuntime)
    return request


class TestEnvelope:
    """Who asks, where the answer goes, and in which dialect."""

    def test_answers_go_to_the_topic_it_came_on(self) -> None:
        reply = create().reply
        assert reply is not None
        assert (reply.topic, reply.object_id, reply.dialect) == ("realm/proc/control", "q", "arts")

    def test_or_where_it_says(self) -> None:
        data = {"type": "module", "uuid": "m"}
        request = decode(action="create", data=data, reply_to="realm/proc/reply/me")
        assert request.reply.topic == "realm/proc/reply/me"
        assert request.strict_parent, "who knows reply_to knows that an unknown parent is an error"

    @pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b", 5, None, "x" * 2000])
    def test_but_only_to_topics(self, topic: Any) -> None:
        with pytest.raises(Malformed, match="reply_to") as caught:
            decode(action="create", data={"type": "module"}, reply_to=topic)
        assert caught.value.reply is not None
        assert caught.value.reply.topic == "realm/proc/control"

    def test_silverline(self) -> None:
        request = decode(type="req", action="create", data={"type": "module", "uuid": "m"})
        assert request.reply.dialect == "silverline"

    @pytest.mark.parametrize("missing", [{"object_id": None}, {"object_id": ""}, {"object_id": 5}])
    def test_without_an_id_it_gets_one(self, missing: dict[str, Any]) -> None:
        request = decode(action="delete", data={"type": "module", "uuid": "m"}, **missing)
        assert request.object_id == "new"
        assert request.reply.object_id == "new"

    def test_libsilverline_calls_the_id_uuid(self) -> None:
        payload = b'{"uuid": "q", "type": "req", "action": "delete", "data": {"uuid": "m"}}'
        request = request_in("t", payload)
        assert isinstance(request, DeleteModule)
        assert (request.object_id, request.uuid) == ("q", "m")

    def test_the_simulated_runtime_quotes_its_farewells(self) -> None:
        payload = b"""'{"object_id": "q", "type": "arts_req", "action": "delete",
            "data": {"type": "module", "uuid": "m", "parent": {"uuid": "r", "name": "x"}}}'"""
        request = request_in("t", payload)
        assert isinstance(request, DeleteModule)

    def test_broken_utf8_is_skipped(self) -> None:
        payload = (
            b'{"object_id": "q\xff", "type": "arts_req", "action": "delete", "data": {"uuid": "m"}}'
        )
        request = request_in("t", payload)
        assert request is not None
        assert request.object_id == "q"

    def test_nothing_is_as_good_as_absent(self) -> None:
        request = create(name=None, filename=None, limits=None, labels=None, resources=None)
        assert (request.name, request.filename) == ("amodule", "afile.wasm")

    def test_the_arrival_is_noted(self) -> None:
        assert create(at=99.0).at == 7.0


class TestActions:
    """Which request is meant."""

    @pytest.mark.parametrize(
        ("action", "data", "expected"),
        [
            ("create", {"type": "runtime"}, RegisterRuntime),
            ("delete", {"type": "runtime", "uuid": "r"}, RemoveRuntime),
            ("update", {"type": "runtime", "uuid": "r"}, Keepalive),
            ("create", {"type": "module"}, CreateModule),
            ("create", {}, CreateModule),
            ("create", {"type": None}, CreateModule),
            ("delete", {"uuid": "m"}, DeleteModule),
            ("update", {"type": "module", "uuid": "m"}, MoveModule),
            ("delete", {"uuid": "m", "send_to_runtime": "r"}, MoveModule),
        ],
    )
    def test_by_action_and_type(self, action: str, data: Any, expected: type[Any]) -> None:
        assert type(decode(action=action, data=data)) is expected

    @pytest.mark.parametrize(
        ("data", "target"),
        [
            ({"parent": {"uuid": "r"}}, "r"),
            ({"parent": "r"}, "r"),
            ({"parent": None}, None),
            ({"parent": "{}"}, None),
            ({}, None),
        ],
    )
    def test_targets_of_moves(self, data: Any, target: str | None) -> None:
        assert decode(action="update", data={"uuid": "m"} | data).target == target
        if target:
            assert decode(action="delete", data={"uuid": "m", "send_to_runtime": target}).target

    def test_modctl_deletes_with_everything_it_knows(self) -> None:
        data = {"type": "module", "uuid": "m", "name": "n", "parent": None, "filename": "f.py"}
        assert decode(action="delete", data=data) == DeleteModule(
            object_id="q", uuid="m", reply=ReplyTo("realm/proc/control", "q", "arts")
        )


class TestModules:
    """The fields of a create."""

    def test_defaults(self) -> None:
        request = create()
        assert (request.name, request.filename) == ("amodule", "afile.wasm")
        assert request.filetype is Filetype.WASM
        assert not request.strict_parent

    def test_without_a_uuid_the_same_request_is_the_same_module(self) -> None:
        data = {"type": "module", "uuid": None}
        first, again = decode(action="create", data=data), decode(action="create", data=data)
        other = decode(action="create", data=data, object_id="r")
        assert first.uuid == again.uuid != other.uuid

    @pytest.mark.parametrize("uuid", ["", "a/b", "+", "#", "x" * 65, 5, ".hidden", {}, "a b"])
    def test_unusable_uuids(self, uuid: Any) -> None:
        with pytest.raises(Malformed, match="uuid: must be a uuid, or up to 64 letters"):
            create(uuid=uuid)

    def test_file_and_filename(self) -> None:
        assert create(file="x.py").filename == "x.py"
        assert create(filename=None, file="x.py").filename == "x.py"

    @pytest.mark.parametrize(
        ("sent", "meant"),
        [
            ("WA", Filetype.WASM),
            ("wasm", Filetype.WASM),
            ("PY", Filetype.PYTHON),
            ("PYTHON", Filetype.PYTHON),
            ("EXT", Filetype.EXTERNAL),
        ],
    )
    def test_filetypes(self, sent: str, meant: Filetype) -> None:
        assert create(filetype=sent).filetype is meant

    def test_profiles(self) -> None:
        assert create().profile is None
        assert create(profile="blocking-only").profile == "blocking-only"
        with pytest.raises(Malformed, match="profile: Input should be 'responsive'"):
            create(profile="quick")

    @pytest.mark.parametrize(
        ("sent", "meant"),
        [
            (None, None),
            ("", None),
            ({}, None),
            ("{}", None),
            ({"uuid": None}, None),
            ({"uuid": "r"}, "r"),
            ("r", "r"),
        ],
    )
    def test_parents(self, sent: Any, meant: str | None) -> None:
        assert create(parent=sent).parent == meant

    @pytest.mark.parametrize(
        ("sent", "meant"),
        [
            (None, ()),
            ("", ()),
            ("a b", ("a", "b")),
            (["a", "b"], ("a", "b")),
            (["a b", ""], ("a b",)),
            ([1, 2.5], ("1", "2.5")),
            ("['a', 'b']", ("a", "b")),
            ("[]", ()),
            ("['']", ()),
        ],
    )
    def test_args_and_env(self, sent: Any, meant: tuple[str, ...]) -> None:
        assert create(args=sent).args == meant
        assert create(env=sent).env == meant

    def test_args_with_env_inside(self) -> None:
        request = create(args={"argv": ["a"], "env": ["X=1"]})
        assert (request.args, request.env) == (("a",), ("X=1",))
        request = create(args={"argv": "a b"}, env="Y=2")
        assert (request.args, request.env) == (("a", "b"), ("Y=2",))
        assert create(args={}).args == ()

    @pytest.mark.parametrize("sent", [["wasi x"], "wasi x", ["wasi", "x"], "['wasi', 'x']"])
    def test_apis(self, sent: Any) -> None:
        assert create(apis=sent).apis == ("wasi", "x")

    @pytest.mark.parametrize("sent", ["", "['']", "[]", [], " "])
    def test_no_channels(self, sent: Any) -> None:
        assert create(channels=sent).channels == ()

    def test_channels(self) -> None:
        native = {"path": "/ch/x", "topic": "t/x", "mode": "r", "qos": 0}
        arena = {"path": "/ch/y", "type": "pubsub", "mode": "rw", "params": {"topic": "t/y"}}
        meant = (ChannelSpec("/ch/x", "t/x", "r", 0), ChannelSpec("/ch/y", "t/y", "rw", 1))
        assert create(channels=[native, arena]).channels == meant
        assert create(channels=str([native, arena])).channels == meant
        assert CreateModule(uuid="m", channels=meant).channels == meant

    @pytest.mark.parametrize(
        ("field", "value", "complaint"),
        [
            ("filetype", "EXE", "must be one of WA, WASM"),
            ("filetype", ["WA"], "must be one of"),
            ("parent", 5, "must be a uuid or a name"),
            ("parent", "x" * 201, "must be a uuid or a name"),
            ("args", 5, "must be text or a list of texts"),
            ("args", [["a"]], "must be text or a list of texts"),
            ("args", "[1", "looks like a list but is none"),
            ("args", "[" * 100_000, "looks like a list but is none"),
            ("args", "['it's']", "looks like a list but is none"),
            ("channels", "5", "looks like a list but is none"),
            ("channels", {}, "must be a list of channels"),
            ("channels", ["x"], "a channel must be an object"),
            ("channels", [{"path": "/x", "topic": "t"}], "must start with /ch/"),
            ("channels", [{"path": 5, "topic": "t"}], "must start with /ch/"),
            ("channels", [{"path": "/ch/x"}], "needs a topic"),
            ("channels", [{"path": "/ch/x", "params": "t"}], "needs a topic"),
            ("channels", [{"path": "/ch/x", "topic": "t\0"}], "needs a topic"),
            ("channels", [{"path": "/ch/x", "topic": "t", "mode": "x"}], "mode must be"),
            ("channels", [{"path": "/ch/x", "topic": "t/#"}], "cannot have wildcards"),
            ("channels", [{"path": "/ch/x", "topic": "t", "qos": 2}], "qos must be 0 or 1"),
            (
                "channels",
                [{"path": "/ch/x", "topic": "t", "sequenced": 1}],
                "sequenced must be true or false",
            ),
            ("program", "abc", "String should match pattern"),
            ("labels", [], "Input should be a valid dictionary"),
            ("limits", 5, "Input should be a dictionary"),
        ],
    )
    def test_nonsense(self, field: str, value: Any, complaint: str) -> None:
        with pytest.raises(Malformed, match=f"{field}.*{complaint}") as caught:
            create(**{field: value})
        assert caught.value.field == field
        assert caught.value.reply is not None


class TestRuntimes:
    """The fields of a registration, a farewell and a keepalive."""

    def test_the_simulated_runtime(self) -> None:
        request = register(
            uuid="r",
            name="py-runtime",
            max_nmodules=100,
            apis="python:python3",
            dbg_topic="realm/proc/debug",
            ctl_topic="realm/proc/control",
        )
        assert (request.name, request.max_nmodules) == ("py-runtime", 100)
        assert request.apis == ("python:python3",)
        assert request.features == {"handover"}, "it reports nothing"

    def test_defaults(self) -> None:
        request = register(uuid="r")
        assert (request.name, request.max_nmodules) == ("aruntime", 3)
        assert request.apis == lenient.DEFAULT_APIS

    def test_without_a_uuid(self) -> None:
        assert register().uuid == register(uuid=None).uuid

    def test_numbers_as_text(self) -> None:
        assert register(max_nmodules="7").max_nmodules == 7

    @pytest.mark.parametrize(
        "fields",
        [
            {"max_nmodules": -1},
            {"max_nmodules": "many"},
            {"ka_interval_sec": -1},
            {"ka_interval_sec": "nan"},
            {"ka_interval_sec": "inf"},
            {"filetypes": ["EXE"]},
            {"abilities": "linking"},
            {"modules": [{"uuid": "a/b"}]},
        ],
    )
    def test_nonsense(self, fields: dict[str, Any]) -> None:
        with pytest.raises(Malformed):
            register(uuid="r", **fields)

    @pytest.mark.parametrize(
        ("sent", "meant"),
        [
            (None, EVERY_ABILITY),
            ([], frozenset()),
            (["linking", "time travel", 5], {Ability.LINKING}),
            (sorted(EVERY_ABILITY), EVERY_ABILITY),
        ],
    )
    def test_abilities_that_are_known(self, sent: Any, meant: frozenset[Ability]) -> None:
        assert register(uuid="r", abilities=sent).abilities == meant

    def test_keepalives_of_the_launcher(self) -> None:
        child = {"uuid": "m", "name": "n", "cpu_usage_percent": 1.5, "mem_usage": 1024.7}
        data = {"type": "runtime", "uuid": "r", "name": "n", "apis": [], "children": [child]}
        request = decode("realm/proc/keepalive", action="update", data=data)
        assert request.children[0].mem_usage == 1025

    def test_nobody_waits_for_the_answer_to_a_keepalive(self) -> None:
        data = {"type": "runtime", "uuid": "r", "children": 5}
        with pytest.raises(Malformed) as caught:
            decode(action="update", data=data)
        assert caught.value.reply is None

    def test_wills_and_farewells(self) -> None:
        data = {"type": "runtime", "uuid": "r", "reason": "last_will", "instance": "i"}
        request = decode("realm/proc/reg", action="delete", data=data)
        assert (request.reason, request.instance) == ("last_will", "i")
        assert decode(action="delete", data={"type": "runtime", "uuid": "r"}).reason is None
