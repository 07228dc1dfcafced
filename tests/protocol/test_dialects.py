"""What dialects do that no row of the contract asks for."""

import json
from typing import Any

import pytest

from arts.model import ReplyTo, Runtime
from arts.protocol import messages as m
from arts.protocol.dialects.base import Malformed, iso
from arts.protocol.topics import Scene, Topics
from tests.support.native import DIALECTS, request_in

TOPICS = Topics("realm")
OLD = ("arts", "silverline2022", "silverline", "arena")


def ask(topic: str, kind: str, action: str, data: dict[str, Any], **more: Any) -> Any:
    """The request that a message makes."""
    said = {"object_id": "q", "type": kind, "action": action, "data": data} | more
    return request_in(topic, json.dumps(said).encode())


@pytest.mark.parametrize("dialect", OLD)
@pytest.mark.parametrize(
    "command",
    [
        m.AnnounceRuntime(uuid="r"),
        m.ResumeModule(uuid="m", generation=1, migration="x"),
    ],
)
def test_old_runtimes_are_never_told_what_they_do_not_know(
    dialect: str, command: m.AnyCommand
) -> None:
    assert DIALECTS.forward("r", dialect, command) == ()


@pytest.mark.parametrize("dialect", OLD)
def test_a_copy_that_nobody_knows_is_dropped_by_its_uuid(dialect: str) -> None:
    (said,) = DIALECTS.forward("r", dialect, m.StopModule(uuid="m", generation=1))
    data = json.loads(said.payload)["data"]
    assert (data["type"], data["uuid"]) == ("module", "m")


def test_an_unknown_dialect_is_ours() -> None:
    """A record may be of a later version."""
    assert DIALECTS.of("klingon").name == "native"
    assert DIALECTS.control_of(Runtime("r", "r", dialect="klingon")) is None
    said = DIALECTS.answer(ReplyTo("t", "q", "klingon"), m.Response(ok=True, details={}))
    assert json.loads(said[0].payload)["type"] == "arts_resp"


@pytest.mark.parametrize("dialect", ["silverline2022", "silverline", "arena"])
def test_an_answer_in_plain_words_is_passed_on(dialect: str) -> None:
    to = ReplyTo("realm/proc/reg/r", "q", dialect, kind="module", action="create")
    (said,) = DIALECTS.answer(to, m.Response(ok=True, details="done"))
    assert json.loads(said.payload)["data"] == {"result": "ok", "details": "done"}


@pytest.mark.parametrize(
    ("dialect", "topic"),
    [
        ("native", None),
        ("arts", None),
        ("arena", None),
        ("silverline", "realm/proc/control/r"),
        ("silverline2022", "realm/proc/control/r"),
    ],
)
def test_who_is_heard_on_a_topic_of_its_own(dialect: str, topic: str | None) -> None:
    assert DIALECTS.control_of(Runtime("r", "r", dialect=dialect)) == topic


@pytest.mark.parametrize(("kind", "name"), [("arts_req", "silverline2022"), ("req", "silverline")])
def test_a_runtime_says_on_the_topic_of_its_commands_what_has_ended(kind: str, name: str) -> None:
    said = ask("realm/proc/control/r", kind, "exited", {"type": "module", "uuid": "m"})
    assert isinstance(said, m.ModuleExited)
    assert (said.runtime, said.uuid) == ("r", "m")
    assert said.reply is not None
    assert said.reply.dialect == name


def test_subscriptions_are_each_said_once() -> None:
    wanted = list(DIALECTS.subscriptions())
    assert len(wanted) == len({topic for topic, _ in wanted})
    assert ("realm/proc/control", 1) in wanted
    assert ("realm/g/+/p/+", 1) in wanted


class TestNative:
    """Managers and exits may be told in our own dialect too."""

    @pytest.mark.parametrize(
        ("action", "kind", "expected"),
        [
            ("create", "manager", m.RegisterManager),
            ("delete", "manager", m.RemoveManager),
            ("exited", "module", m.ModuleExited),
        ],
    )
    def test_requests(self, action: str, kind: str, expected: type[Any]) -> None:
        data = {"type": kind, "uuid": "x"}
        request = ask("realm/proc/control", "arts_req", action, data, reply_to="t")
        assert type(request) is expected
        assert request.reply.dialect == "native"


class TestSilverLine2022:
    """Told from ARTS by its fields."""

    @pytest.mark.parametrize(
        ("data", "dialect"),
        [
            ({"type": "module", "parent": "linux"}, "silverline2022"),
            ({"type": "module", "parent": {"uuid": "r"}}, "arts"),
            ({"type": "module", "parent": "{}"}, "arts"),
            ({"type": "module", "resources": None}, "arts"),
            ({"type": "module", "resources": {}}, "silverline2022"),
            ({"type": "runtime", "uuid": "r"}, "arts"),
            ({"type": "runtime", "uuid": "r", "runtime_type": "linux"}, "silverline2022"),
            ({"type": "manager", "uuid": "m"}, "silverline2022"),
        ],
    )
    def test_signs(self, data: dict[str, Any], dialect: str) -> None:
        request = ask("realm/proc/control", "arts_req", "create", data)
        assert request.reply.dialect == dialect

    def test_an_unknown_kind(self) -> None:
        with pytest.raises(Malformed, match="invalid type") as caught:
            ask("realm/proc/control", "arts_req", "exited", {"type": "elephant"})
        assert caught.value.subject == "elephant"


class TestArena:
    """Topics, and what is not for us."""

    def test_an_unknown_action_of_a_runtime(self) -> None:
        with pytest.raises(Malformed, match="invalid action 'explode'"):
            ask("realm/g/ns/p/r", "req", "explode", {"type": "runtime", "uuid": "r"})

    @pytest.mark.parametrize("uuid", ["a/b", "+", "", 5])
    def test_an_answer_never_leaves_its_scene(self, uuid: Any) -> None:
        with pytest.raises(Malformed) as caught:
            ask("realm/s/ns/scene/p/x", "req", "explode", {"uuid": uuid})
        assert caught.value.reply is not None
        assert caught.value.reply.topic == "realm/s/ns/scene/p/x"

    def test_a_sender_that_is_none(self) -> None:
        request = ask("realm/s/a/b/p/x", "req", "delete", {"uuid": "m"}, **{"from": {"a": 1}})
        assert request.sender == ""

    @pytest.mark.parametrize(
        ("topic", "place"),
        [
            ("realm/g/ns/p/r", (None, "ns", "p", ("r",))),
            ("realm/s/ns/scene/p/m", (Scene("ns", "scene"), "ns", "p", ("m",))),
            ("realm/s/ns/scene/o/c/o", (Scene("ns", "scene"), "ns", "o", ("c", "o"))),
            ("realm/proc/control", None),
            ("realm/g/ns/p", None),
            ("realm/s/ns/scene/p", None),
            ("other/g/ns/p/r", None),
            ("", None),
        ],
    )
    def test_places(self, topic: str, place: Any) -> None:
        assert TOPICS.arena_place(topic) == place


@pytest.mark.parametrize(
    ("wall", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000000Z"),
        (951_782_400.5, "2000-02-29T00:00:00.500000Z"),
        (1_764_039_599.999999, "2025-11-25T02:59:59.999999Z"),
        (4_107_542_399.0, "2100-02-28T23:59:59.000000Z"),
        (4_107_542_400.0, "2100-03-01T00:00:00.000000Z"),
    ],
)
def test_times_in_words(wall: float, text: str) -> None:
    assert iso(wall) == text
