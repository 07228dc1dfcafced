"""ARENA's scheme (v2, applauncher): topics by namespace and scene, a ``from`` in every message.

``{realm}/g/{namespace}/p/{runtime}``: runtimes register, say they are alive, and take leave.
``{realm}/s/{namespace}/{scene}/p/...``: requests about the programs of a scene, and answers. Its
runtimes listen to all scenes themselves, so a request on a topic of two levels has been heard by
the one it names; answers come on ``.../p/{module}``, which they do not hear.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json

from arts.model import OnRuntimeLost, ReplyTo, Runtime
from arts.protocol import messages as m
from arts.protocol.dialects.base import (
    Envelope,
    Malformed,
    Outgoing,
    build,
    identified,
    object_data,
)
from arts.protocol.dialects.silverline import channels
from arts.protocol.topics import Place, Scene, Topics

SUPERVISOR: Final = "arts"
"""Our own ``from``: what comes back with it is dropped."""

ANY_SCENE: Final = Scene("public", "default")
"""Where a module is started that comes from no scene."""

_TRAITS: Final = ("runtime_type", "is_orchestration_runtime", "tags", "metadata", "platform")
_PASSED_ON: Final = ("location", "apis", "channels", "peripherals", "resources", "fault_crash")


class Arena:
    """ARENA's runtimes, and who asks them for programs."""

    name: Final = "arena"

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def subscriptions(self) -> Iterable[tuple[str, int]]:
        """All runtimes, all scenes."""
        anywhere = Scene("+", "+")
        yield self._topics.arena_runtime("+", "+"), 1
        yield self._topics.arena_module(anywhere, "+"), 1
        yield self._topics.arena_module(anywhere, "+", "+"), 1

    def control_of(self, runtime: Runtime) -> str | None:
        """They say everything on the topics of scenes."""
        return None

    def speaks(self, envelope: Envelope) -> bool:
        """By the topic."""
        place = self._topics.arena_place(envelope.topic)
        return place is not None and place.kind == "p"

    # ------------------------------------------------------------------ in

    def decode(self, envelope: Envelope) -> Sequence[m.AnyRequest]:
        """At most one request; answers, errors and what we said ourselves are none."""
        if envelope.type != "req" or envelope.fields.get("from") == SUPERVISOR:
            return ()
        place = self._topics.arena_place(envelope.topic)
        assert place is not None
        if place.scene is None:
            return [self._about_runtime(envelope)]
        return [self._about_module(envelope, place, place.scene)]

    def _about_runtime(self, envelope: Envelope) -> m.AnyRequest:
        reply = envelope.reply(self.name)
        data = object_data(envelope, reply)
        match envelope.action:
            case "create":
                traits = {key: data[key] for key in _TRAITS if key in data}
                fields = identified(data, envelope.object_id) | {"traits": traits}
                return build(m.RegisterRuntime, fields, reply, envelope)
            case "update":
                return build(m.Keepalive, data, None, envelope)
            case "delete":
                return build(m.RemoveRuntime, data, None, envelope)
        raise Malformed(f"invalid action {envelope.action!r}", reply, field="action")

    def _about_module(self, envelope: Envelope, place: Place, scene: Scene) -> m.AnyRequest:
        reply = envelope.reply(self.name, self._answer_topic(envelope, place, scene))
        data = object_data(envelope, reply)
        heard = len(place.rest) > 1
        match envelope.action:
            case "create":
                fields = self._module(data, envelope, scene) | {"heard": heard}
                return build(m.CreateModule, fields, reply, envelope)
            case "delete" if data.get("send_to_runtime"):
                fields = data | {"target": data["send_to_runtime"]}
                return build(m.MoveModule, fields, reply, envelope)
            case "delete":
                sender = envelope.fields.get("from")
                fields = data | {"heard": heard, "sender": sender if _is_text(sender) else ""}
                return build(m.DeleteModule, fields, reply, envelope)
        raise Malformed(f"invalid action {envelope.action!r}", reply, field="action")

    def _answer_topic(self, envelope: Envelope, place: Place, scene: Scene) -> str:
        """Where the module's runtime would answer."""
        about = envelope.data.get("uuid")
        last = about if isinstance(about, str) and self._is_level(about) else place.rest[-1]
        return self._topics.arena_module(scene, last)

    def _is_level(self, text: str) -> bool:
        return bool(text) and not set(text) & set("/+#\0")

    def _module(self, data: dict[str, Any], envelope: Envelope, scene: Scene) -> dict[str, Any]:
        file = data.get("file", data.get("filename", ""))
        return {
            "filetype": "PY" if isinstance(file, str) and file.endswith(".py") else "WA",
            "on_runtime_lost": OnRuntimeLost.WAIT,
            **identified(data, envelope.object_id),
            "filename": file,
            "file": file,
            "apis": (),
            "on_crash": data.get("fault_crash", "ignore"),
            "extras": {key: data[key] for key in _PASSED_ON if key in data} | {"scene": str(scene)},
        }

    # ------------------------------------------------------------------ out

    def answer(self, to: ReplyTo, answer: m.Response) -> Sequence[Outgoing]:
        """With the action of the request, and from us."""
        details = answer.details
        if answer.ok and isinstance(details, dict):
            details = self._details(details)
        data = {"result": "ok" if answer.ok else "error", "details": details}
        return [Outgoing(to.topic, self._said(to.object_id, to.action, "resp", data))]

    def forward(self, runtime: str, command: m.AnyCommand) -> Sequence[Outgoing]:
        """Starts and stops, in the module's scene; it understands nothing else."""
        scene = ANY_SCENE
        match command:
            case m.StartModule():
                scene = scene_of(command.extras)
                data = _module_fields(command.model_dump(mode="json"), runtime)
            case m.StopModule():
                scene = scene_of(command.module.extras if command.module else {})
                data = {"type": "module", "uuid": command.uuid, "parent": runtime}
            case _:
                return ()
        topic = self._topics.arena_module(scene, runtime, command.uuid)
        return [Outgoing(topic, self._said(command.object_id, command.action, "req", data))]

    def _said(self, object_id: str, action: str, kind: str, data: dict[str, Any]) -> bytes:
        return to_json(
            {
                "object_id": object_id,
                "action": action,
                "type": kind,
                "from": SUPERVISOR,
                "data": data,
            }
        )

    def _details(self, details: dict[str, Any]) -> dict[str, Any]:
        moved = details.get("module")
        if isinstance(moved, dict):
            return details | {"module": self._details(moved)}
        if details.get("type") == "runtime":
            return {
                **details["traits"],
                "type": "runtime",
                "uuid": details["uuid"],
                "name": details["name"],
                "max_nmodules": details["max_nmodules"],
                "apis": list(details["apis"]),
            }
        if "filename" in details:
            parent = details["parent"]
            return _module_fields(details, parent["uuid"] if parent else None)
        return details


def scene_of(extras: Mapping[str, Any]) -> Scene:
    """The scene a module belongs to."""
    namespace, _, name = str(extras.get("scene", "")).partition("/")
    return Scene(namespace, name) if name else ANY_SCENE


def _module_fields(module: Mapping[str, Any], parent: str | None) -> dict[str, Any]:
    extras = {key: value for key, value in module["extras"].items() if key in _PASSED_ON}
    return {
        **extras,
        "type": "module",
        "uuid": module["uuid"],
        "name": module["name"],
        "parent": parent,
        "file": module["filename"],
        "filetype": module["filetype"],
        "args": list(module["args"]),
        "env": list(module["env"]),
        "channels": channels(module),
    }


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
