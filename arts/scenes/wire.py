"""bytes on the topics of scenes -> events. The only code here that reads JSON from outside.

Most of what is said in a scene is not for us: every box that moves, every camera, many times a
second. So what cannot be about a program, a viewer or a button is recognised without reading it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from pydantic_core import from_json

from arts.model import ReplyTo
from arts.protocol.topics import Scene, is_sayable
from arts.scenes.events import (
    ButtonClicked,
    ObjectRefused,
    ObjectSaid,
    SceneEvent,
    SceneRequest,
    ViewerLeft,
    ViewerSeen,
)
from arts.scenes.model import (
    ProgramKey,
)
from arts.scenes.topics import ME, ScenePlace

MAX_BYTES: Final = 64 * 1024
"""Of a message about a program."""
MAX_READ: Final = 1024 * 1024
"""Larger messages are no programs, and not read to find out."""

_CAMERA: Final = "camera_"
_MAX_TEXT: Final = 200
_MAX_KEYS: Final = 32

Known = Callable[[ProgramKey], bool]
"""Whether this object is a program that we have."""


def decode(
    place: ScenePlace, payload: bytes, known: Known, *, retained: bool = False
) -> SceneEvent | None:
    """What was said at a place; None if it is nothing to us.

    ``retained``: it was said some time ago. It tells how an object is, not that anybody wants it
    started anew.
    """
    if place.client == ME:
        return None
    match place.kind:
        case "o":
            event = _object(place, payload, known)
            if retained and isinstance(event, ObjectSaid) and _is_known_create(event, known):
                return replace(event, action="update", overwrite=True)
            return event
        case "x":
            return _presence(place, _envelope(payload))
    return _user(place, payload)


def _is_known_create(event: ObjectSaid, known: Known) -> bool:
    return event.action == "create" and known(event.key)


def _object(place: ScenePlace, payload: bytes, known: Known) -> SceneEvent | None:
    key = ProgramKey(place.scene, place.object_id)
    ours = known(key)
    named = b'"program"' in payload
    if not (ours or named or b"\\u" in payload) or len(payload) > MAX_READ:
        return None
    try:
        message = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        return ObjectRefused(key, f"not JSON: {error}") if ours or named else None
    if not isinstance(message, dict):
        return ObjectRefused(key, "not an object") if ours else None
    if not ours and message.get("type") != "program":
        return None
    if len(payload) > MAX_BYTES:
        return ObjectRefused(key, f"a message of {len(payload)} bytes; the limit is {MAX_BYTES}")
    return _program(key, place.client, message)


def _program(key: ProgramKey, client: str, message: dict[str, Any]) -> SceneEvent:
    if message.get("object_id") != key.object_id:
        said = message.get("object_id")
        return ObjectRefused(key, f"object_id: the topic says {key.object_id!r}, not {said!r:.80}")
    kind, action = message.get("type", "program"), message.get("action")
    if action == "delete":
        return ObjectSaid(key, client, "delete")
    if kind != "program":
        return ObjectRefused(key, f"type: this object is a program, not {kind!r:.80}")
    if action not in ("create", "update"):
        return ObjectRefused(key, f"action: create, update or delete, not {action!r:.80}")
    data = message.get("data")
    if not isinstance(data, dict):
        return ObjectRefused(key, "data: must be an object")
    return ObjectSaid(key, client, action, data, overwrite=message.get("overwrite") is True)


# ---------------------------------------------------------------------------- viewers


def _presence(place: ScenePlace, message: dict[str, Any]) -> SceneEvent | None:
    if message.get("object_id") != place.object_id:
        return None
    match message.get("action"):
        case "leave" | "delete":
            return ViewerLeft(place.scene, place.object_id)
        case "join" | "update":
            name, query = _text(message.get("dn")), _query(message.get("query"))
            return ViewerSeen(place.scene, place.object_id, place.client, name, query)
    return None


def _user(place: ScenePlace, payload: bytes) -> SceneEvent | None:
    viewer = place.object_id.removeprefix(_CAMERA)
    if b"buttonClick" in payload:
        return _click(place, _envelope(payload))
    if viewer == place.object_id:
        return None  # a hand, or something else that a user has
    if b'"delete"' in payload and _envelope(payload).get("action") == "delete":
        return ViewerLeft(place.scene, viewer)
    return ViewerSeen(place.scene, viewer, place.client)


def _click(place: ScenePlace, message: dict[str, Any]) -> SceneEvent | None:
    """A click of a button. Its panel is the ``object_id``, or in newer clients ``data.target``."""
    data = message.get("data")
    if message.get("action") != "clientEvent" or not isinstance(data, dict):
        return None
    panel = _text(data.get("target")) or _text(message.get("object_id"))
    button = _text(data.get("buttonName"))
    source = data.get("source", place.object_id)
    if panel is None or button is None or source != place.object_id:
        return None  # ARENA's own clients drop a click whose source is not its topic's user, too
    return ButtonClicked(place.scene, panel, button, by=place.object_id)


def _envelope(payload: bytes) -> dict[str, Any]:
    """The message; an empty one if it is none, or too long to be one."""
    if len(payload) > MAX_BYTES:
        return {}
    try:
        message = from_json(payload, allow_inf_nan=False)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _text(value: Any) -> str | None:
    return value[:_MAX_TEXT] if isinstance(value, str) else None


def _query(value: Any) -> dict[str, str] | None:
    if not isinstance(value, dict):
        return None
    pairs = list(value.items())[:_MAX_KEYS]
    return {key: text[:_MAX_TEXT] for key, text in pairs if isinstance(text, str)}


# ---------------------------------------------------------------------------- requests


def decode_request(scene: Scene, payload: bytes) -> SceneRequest | None:
    """What somebody asks about a scene; None if there is nobody to answer."""
    message = _envelope(payload)
    reply_to, object_id = message.get("reply_to"), message.get("object_id")
    if message.get("type") != "arts_req" or not isinstance(object_id, str):
        return None
    if not isinstance(reply_to, str) or not is_sayable(reply_to):
        return None
    action, data = message.get("action"), message.get("data")
    program = data.get("program") if isinstance(data, dict) else None
    return SceneRequest(
        ReplyTo(reply_to, object_id),
        scene,
        action if isinstance(action, str) else "",
        _text(program) or "",
    )
