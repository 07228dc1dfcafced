"""What bytes on the topics of a scene mean, and that no bytes do harm."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arts.errors import InvalidRequest
from arts.scenes import model, wire
from arts.scenes.events import (
    ButtonClicked,
    ObjectRefused,
    ObjectSaid,
    SceneEvent,
    ViewerLeft,
    ViewerSeen,
)
from arts.scenes.model import ProgramKey
from arts.scenes.topics import SceneTopics
from tests.scenes.stage import KEY, SCENE

TOPICS = SceneTopics("realm")


def said(
    kind: str,
    object_id: str,
    message: Any,
    *,
    known: bool = False,
    client: str = "jane_web",
    retained: bool = False,
) -> SceneEvent | None:
    """What a message means on a topic of the scene."""
    place = TOPICS.place(f"realm/s/{SCENE}/{kind}/{client}/{object_id}")
    assert place is not None
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    return wire.decode(place, payload, lambda _: known, retained=retained)


def about(**fields: Any) -> dict[str, Any]:
    """A message about a program."""
    return {"object_id": KEY, "action": "create", "type": "program", "data": {"name": "x"}} | fields


# ---------------------------------------------------------------------------- objects


def test_a_program_object() -> None:
    key = ProgramKey(SCENE, KEY)
    assert said("o", KEY, about()) == ObjectSaid(key, "jane_web", "create", {"name": "x"})
    update = about(action="update", overwrite=True)
    assert said("o", KEY, update) == ObjectSaid(key, "jane_web", "update", {"name": "x"}, True)


@pytest.mark.parametrize(
    "message",
    [
        {"object_id": KEY, "action": "update", "type": "object", "data": {"object_type": "box"}},
        {"object_id": KEY, "action": "delete"},
        {"object_id": KEY, "type": "object", "data": {"text": "a \\u program"}},
        b"",
        b"garbage",
        b"\xff\xfe\\u",
        b"[1, 2]\\u",
        b'["\\u0041"]',
        b'"program"' + bytes(2 * 1024 * 1024),
    ],
)
def test_everything_else_in_a_scene_is_none_of_our_business(message: Any) -> None:
    assert said("o", KEY, message) is None


def test_what_is_spelt_with_escapes_is_read_too() -> None:
    payload = json.dumps(about()).replace("program", "\\u0070rogram").encode()
    assert isinstance(said("o", KEY, payload), ObjectSaid)


@pytest.mark.parametrize(
    "message",
    [
        {"object_id": KEY, "action": "delete"},
        {"object_id": KEY, "action": "update", "data": {"args": []}},
    ],
)
def test_what_is_said_about_a_program_that_we_have_needs_no_type(message: Any) -> None:
    assert isinstance(said("o", KEY, message, known=True), ObjectSaid)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (about(object_id="another"), "object_id: the topic says"),
        (about(object_id=None), "object_id: the topic says"),
        (about(action="clientEvent"), "action: create, update or delete, not 'clientEvent'"),
        (about(action=None), "action: create, update or delete, not None"),
        (about(data=None), "data: must be an object"),
        (about(data=[1]), "data: must be an object"),
        (about(data={"name": "x" * 70_000}), "bytes; the limit is 65536"),
        (b'{"type": "program", ', "not JSON"),
    ],
)
def test_what_cannot_be_about_a_program_says_why(message: Any, why: str) -> None:
    event = said("o", KEY, message)
    assert isinstance(event, ObjectRefused)
    assert why in event.reason


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (about(type="object"), "type: this object is a program, not 'object'"),
        (b"[]", "not an object"),
        (b"\xff", "not JSON"),
    ],
)
def test_nonsense_about_a_program_that_we_have(message: Any, why: str) -> None:
    event = said("o", KEY, message, known=True)
    assert isinstance(event, ObjectRefused)
    assert why in event.reason


def test_our_own_messages_come_back_unread() -> None:
    assert said("o", KEY, about(), client="arts-scenes") is None


def test_what_is_retained_is_no_wish_to_start_again() -> None:
    event = said("o", KEY, about(), known=True, retained=True)
    assert event == ObjectSaid(ProgramKey(SCENE, KEY), "jane_web", "update", {"name": "x"}, True)
    assert isinstance(said("o", KEY, about(), retained=True), ObjectSaid)
    delete = said("o", KEY, {"object_id": KEY, "action": "delete"}, known=True, retained=True)
    assert isinstance(delete, ObjectSaid)
    assert delete.action == "delete"
    assert isinstance(said("o", KEY, about(data=3), retained=True), ObjectRefused)


@pytest.mark.parametrize(
    "topic", ["realm/s//x/o/c/o", "realm/s/n/s/o//x", f"realm/s/{'n' * 129}/s/o/c/o"]
)
def test_topics_with_nothing_or_too_much_in_them(topic: str) -> None:
    assert TOPICS.place(topic) is None


# ---------------------------------------------------------------------------- viewers


def test_presence() -> None:
    join = {"object_id": "joe", "action": "join", "dn": "Joe", "query": {"a": "b", "c": 3}}
    event = said("x", "joe", join, client="joe_web")
    assert event == ViewerSeen(SCENE, "joe", "joe_web", "Joe", {"a": "b"})
    assert said("x", "joe", {"object_id": "joe", "action": "update"}) == ViewerSeen(
        SCENE, "joe", "jane_web"
    )
    leave = {"object_id": "joe", "action": "leave"}
    assert said("x", "joe", leave) == ViewerLeft(SCENE, "joe")


@pytest.mark.parametrize(
    "message",
    [
        {"object_id": "jim", "action": "leave"},
        {"object_id": "joe", "action": "dance"},
        b"",
        b"garbage",
        b"[]",
        bytes(70_000),
    ],
)
def test_presence_that_is_none(message: Any) -> None:
    assert said("x", "joe", message) is None


def test_cameras_are_viewers() -> None:
    assert said("u", "camera_joe", b"whatever") == ViewerSeen(SCENE, "joe", "jane_web")
    gone = {"object_id": "camera_joe", "action": "delete"}
    assert said("u", "camera_joe", gone) == ViewerLeft(SCENE, "joe")
    kept = {"object_id": "camera_joe", "action": "update", "data": {"text": "delete"}}
    assert said("u", "camera_joe", kept) == ViewerSeen(SCENE, "joe", "jane_web")
    assert said("u", "handLeft_joe", b"whatever") is None


# ---------------------------------------------------------------------------- clicks


def clicked(**data: Any) -> dict[str, Any]:
    return {
        "object_id": "init3d",
        "action": "clientEvent",
        "type": "buttonClick",
        "data": {"buttonName": "Stop box", "buttonIndex": 0, "source": "camera_joe"} | data,
    }


def test_a_click_of_older_and_newer_clients() -> None:
    expected = ButtonClicked(SCENE, "init3d", "Stop box", by="camera_joe")
    assert said("u", "camera_joe", clicked()) == expected
    newer = clicked(target="init3d") | {"object_id": "camera_joe"}
    assert said("u", "camera_joe", newer) == expected


@pytest.mark.parametrize(
    "message",
    [
        clicked(source="camera_jim"),
        clicked(buttonName=None),
        clicked() | {"action": "update"},
        clicked() | {"data": "buttonClick"},
        clicked() | {"object_id": None},
        b'"buttonClick',
    ],
)
def test_clicks_that_are_none(message: Any) -> None:
    assert said("u", "camera_joe", message) is None


# ---------------------------------------------------------------------------- requests


def test_a_request_about_a_scene() -> None:
    request = {
        "object_id": "r1",
        "action": "stop",
        "type": "arts_req",
        "reply_to": "here",
        "data": {"program": "box"},
    }
    event = wire.decode_request(SCENE, json.dumps(request).encode())
    assert event is not None
    assert (event.reply.topic, event.reply.object_id) == ("here", "r1")
    assert (event.scene, event.action, event.program) == (SCENE, "stop", "box")
    odd = request | {"action": 3, "data": None}
    event = wire.decode_request(SCENE, json.dumps(odd).encode())
    assert event is not None
    assert (event.action, event.program) == ("", "")


@pytest.mark.parametrize(
    "fields", [{"type": "arts_resp"}, {"object_id": 3}, {"reply_to": None}, {"reply_to": "a/#"}]
)
def test_a_request_that_nobody_can_answer(fields: dict[str, Any]) -> None:
    request = {"object_id": "r1", "action": "get", "type": "arts_req", "reply_to": "here"} | fields
    assert wire.decode_request(SCENE, json.dumps(request).encode()) is None


def test_the_scene_of_a_request() -> None:
    assert TOPICS.requested("realm/proc/scene/public/lobby") == SCENE
    assert TOPICS.requested("realm/proc/scene//lobby") is None


# ---------------------------------------------------------------------------- anything

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["object_id", "action", "type", "data", "source", "buttonName", "dn"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(
    kind=st.sampled_from("oux"),
    object_id=st.sampled_from([KEY, "joe", "camera_joe", "init3d"]),
    message=st.binary(max_size=64) | JSON,
    known=st.booleans(),
)
def test_no_bytes_do_harm(kind: str, object_id: str, message: Any, known: bool) -> None:
    said(kind, object_id, message, known=known)
    payload = message if isinstance(message, bytes) else json.dumps(message).encode()
    wire.decode_request(SCENE, payload)


def test_records_of_another_version_are_refused() -> None:
    for kind, data in (("program", b"{}"), ("story", b"{}")):
        with pytest.raises(InvalidRequest, match=f"stored {kind}"):
            model.decode(kind, data)


def test_every_topic_that_is_heard_has_a_place() -> None:
    for topic_filter in TOPICS.filters():
        place = TOPICS.place(topic_filter)
        assert place is not None
        assert place.kind in "oux"
