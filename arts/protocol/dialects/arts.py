"""The dialect of the original ARTS: ``arts_req``/``arts_resp``, every field of a module as text.

It takes everything that the native dialect takes, with what the original means by what is left
out. Its runtimes start a module only if ``args`` and ``env`` are words in one string.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import to_json

from arts.errors import NotFound, Unplaceable
from arts.model import ChannelSpec, ReplyTo, Runtime
from arts.protocol import messages as m
from arts.protocol.codec import enveloped
from arts.protocol.dialects.base import (
    Envelope,
    Outgoing,
    build,
    iso,
    object_data,
    response,
)
from arts.protocol.dialects.native import select
from arts.protocol.topics import Topics

HAND_OVER: Final = frozenset({"handover"})
"""What the original takes for granted of its runtimes: told where to, they move a module."""

_USUAL_API: Final = {"WA": "wasi:snapshot_preview1", "PY": "python:python3"}
"""What a program needs that does not say."""

_KEEPALIVE_SECONDS: Final = 60
"""Promised by the original's documentation."""


class Arts:
    """The original ARTS and its simulated and browser runtimes."""

    name: Final = "arts"

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def subscriptions(self) -> Iterable[tuple[str, int]]:
        """Its two topics, and that of keepalives, which it documents."""
        return (self._topics.registry, 1), (self._topics.control, 1), (self._topics.keepalive, 0)

    def control_of(self, runtime: Runtime) -> str | None:
        """There its runtimes only acknowledge, which nobody needs."""
        return None

    def speaks(self, envelope: Envelope) -> bool:
        """By the type alone: it comes last."""
        return envelope.type == "arts_req"

    def decode(self, envelope: Envelope) -> Sequence[m.AnyRequest]:
        """At most one request."""
        reply = envelope.reply(self.name)
        model, fields = select(envelope, object_data(envelope, reply), reply)
        if model is m.RegisterRuntime:
            fields = {"features": HAND_OVER} | fields
        elif model is m.CreateModule:
            fields = _as_the_original_means(fields)
        silent = model is m.Keepalive or self._is_farewell_of_a_module(envelope)
        return [build(model, fields, None if silent else reply, envelope)]

    def _is_farewell_of_a_module(self, envelope: Envelope) -> bool:
        """The browser's last will for each of its modules: nobody is there to hear an answer."""
        return envelope.topic == self._topics.registry and envelope.kind == "module"

    def answer(self, to: ReplyTo, answer: m.Response) -> Sequence[Outgoing]:
        """With the fields of the original, or one of its sentences."""
        data: dict[str, Any] = {"result": "ok" if answer.ok else "error"}
        if answer.ok and isinstance(answer.details, dict):
            data["details"] = _details(answer.details)
        else:
            data |= {"details": _sentence(to, answer), "code": answer.code}
        return [response(to, "arts_resp", data)]

    def forward(self, runtime: str, command: m.AnyCommand) -> Sequence[Outgoing]:
        """Starts and stops, with all that is known of the module; it understands nothing else."""
        match command:
            case m.StartModule():
                data = module_fields(command.model_dump(mode="json"), command.parent)
            case m.StopModule(module=m.StartModule() as module):
                data = module_fields(module.model_dump(mode="json"), module.parent)
            case m.StopModule():
                data = {"type": "module", "uuid": command.uuid}
            case _:
                return ()
        said = enveloped(command.object_id, command.action, data)
        if isinstance(command, m.StopModule) and command.send_to:
            said["send_to_runtime"] = command.send_to
        return [Outgoing(self._topics.control_of(runtime), to_json(said))]


def _as_the_original_means(fields: dict[str, Any]) -> dict[str, Any]:
    """It places a module elsewhere if its parent is unknown, and at once or not at all."""
    meant: dict[str, Any] = {"strict_parent": False, "patient": False}
    if fields.get("parent") in (None, "", "{}", {}):
        api = _USUAL_API.get(str(fields.get("filetype", "WA"))[:2].upper())
        meant["apis"] = [api] if api else []
    return meant | fields


# ---------------------------------------------------------------------------- rendering


def module_fields(module: Mapping[str, Any], parent: str | None) -> dict[str, Any]:
    """A module as the original forwards it: every field is there, and is text."""
    filetype = str(module["filetype"])
    return {
        "type": "module",
        "uuid": module["uuid"],
        "name": module["name"],
        "parent": {"uuid": parent},
        "filename": module["filename"],
        "fileid": module["fileid"] or "afileid",
        "filetype": filetype,
        "apis": " ".join(module["apis"]) or _USUAL_API.get(filetype, ""),
        "args": " ".join(module["args"]),
        "env": " ".join(module["env"]),
        "channels": _printed([arena_channel(ChannelSpec(**c)) for c in module["channels"]]),
    }


def arena_channel(channel: ChannelSpec) -> dict[str, Any]:
    """A channel as ARENA's runtimes open it."""
    return {
        "path": channel.path,
        "type": "pubsub",
        "mode": channel.mode,
        "params": {"topic": channel.topic},
    }


def _printed(channels: list[dict[str, Any]]) -> str:
    """As Python prints a list; its readers swap the quotes and parse JSON."""
    return json.dumps(channels).replace('"', "'") if channels else "['']"


def runtime_fields(runtime: Mapping[str, Any]) -> dict[str, Any]:
    """A runtime as the original shows it."""
    uuid = runtime["uuid"]
    return {
        "type": "runtime",
        "uuid": uuid,
        "name": runtime["name"],
        "apis": " ".join(runtime["apis"]),
        "max_nmodules": runtime["max_nmodules"],
        "nmodules": runtime["nmodules"],
        "ka_ts": iso(runtime.get("heard_at") or runtime["created_at"]),
        "ka_interval_sec": _KEEPALIVE_SECONDS,
        "children": [
            {
                "type": "module",
                "parent": {"uuid": uuid},
                "name": child["name"],
                "uuid": child["uuid"],
                "filename": child["filename"],
            }
            for child in runtime["children"]
        ],
    }


def _details(details: dict[str, Any]) -> dict[str, Any]:
    """Whatever the realm answers, with what the original has names for in its words."""
    moved = details.get("module")
    if isinstance(moved, dict):
        return details | {"module": _details(moved)}
    if details.get("type") == "runtime":
        return runtime_fields(details)
    if "filename" in details:
        return shown(details)
    return details


def shown(module: Mapping[str, Any]) -> dict[str, Any]:
    """A module's document as the original shows it."""
    parent = module["parent"]
    return module_fields(module, parent["uuid"] if parent else None)


def _sentence(to: ReplyTo, answer: m.Response) -> Any:
    """The original's own words where it has some."""
    if to.action == "delete" and answer.code == NotFound.code and answer.missing:
        return (
            f"{to.kind.capitalize()} ({to.about}) could not be deleted; "
            f"{answer.missing.capitalize()} matching query does not exist."
        )
    if to.action == "create" and to.kind == "runtime":
        return f"Runtime could not be created {answer.details}"
    if to.action == "create" and answer.code == Unplaceable.code:
        return "Error Scheduling module. No suitable runtime!"
    return answer.details
