"""The dialect of SilverLine's runtime manager: ``req``/``resp``, a topic for each runtime.

Modules have a ``file``, ``args: {argv, env, dirs, ...}`` whose other fields go through untouched,
and a parent by uuid or name. What is refused is said on the log topic, where its tools look.
libsilverline's first version speaks it too, with ``filename``.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import from_json, to_json

from arts.errors import AlreadyExists, NotFound
from arts.model import UNLIMITED, ChannelSpec, OnRuntimeLost, ReplyTo, Runtime
from arts.protocol import messages as m
from arts.protocol.codec import enveloped
from arts.protocol.dialects.arts import arena_channel
from arts.protocol.dialects.base import (
    Envelope,
    Malformed,
    Outgoing,
    build,
    identified,
    object_data,
    response,
    sayable,
)
from arts.protocol.topics import Topics

USUAL_APIS: Final = ("wasm", "wasi")
"""What both programs and runtimes are said to need and offer when they do not say."""

DEFAULT_RUNTIME: Final = "pyruntime"
"""Where a module goes that names no parent, if there is a runtime of that name."""

KEEPALIVE_SECONDS: Final = 60

_TRAITS: Final = ("runtime_type", "platform", "metadata", "page_size", "aot_target")
_PASSED_ON: Final = (
    "args",
    "env",
    "apis",
    "channels",
    "peripherals",
    "resources",
    "fault_crash",
    "metadata",
    "location",
)
_JSON_AS_TEXT: Final = ("apis", "args", "env", "channels", "peripherals", "metadata", "aot_target")
STATUS: Final = {
    "pending": "Q",
    "starting": "A",
    "running": "A",
    "migrating": "A",
    "stopping": "E",
    "exited": "D",
    "failed": "D",
    "lost": "K",
}


class SilverLine:
    """SilverLine as its runtime manager speaks it."""

    name: str = "silverline"
    request_type: str = "req"
    response_type: str = "resp"

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def subscriptions(self) -> Iterable[tuple[str, int]]:
        """Also a topic for each runtime."""
        topics = self._topics
        yield from ((topics.registry, 1), (topics.registry_of("+"), 1), (topics.control, 1))
        yield from ((topics.keepalive, 0), (topics.keepalive_of("+"), 0))

    def control_of(self, runtime: Runtime) -> str | None:
        """Managers say ``exited`` on the topic on which their runtimes are commanded."""
        return self._topics.control_of(runtime.uuid)

    def speaks(self, envelope: Envelope) -> bool:
        """By the type, which ARENA shares: it is asked before."""
        return envelope.type == self.request_type

    # ------------------------------------------------------------------ in

    def decode(self, envelope: Envelope) -> Sequence[m.AnyRequest]:
        """Usually one request; of a batch, one for each module."""
        if (runtime := self._topics.last_level(envelope.topic, self._topics.control)) is not None:
            return self._decode_exit(envelope, runtime)
        reply = sayable(envelope, self.name)
        data = {k: _from_text(k, v) for k, v in object_data(envelope, reply).items()}
        match envelope.action, self._kind(envelope):
            case "create", "runtime":
                return [build(m.RegisterRuntime, self._runtime(data, envelope), reply, envelope)]
            case "delete", "runtime":
                return [build(m.RemoveRuntime, data, reply, envelope)]
            case "update", "runtime":
                return [build(m.Keepalive, data, None, envelope)]
            case "create", "manager":
                fields = identified(data, envelope.object_id)
                return [build(m.RegisterManager, fields, reply, envelope)]
            case "delete", "manager":
                return [build(m.RemoveManager, data, reply, envelope)]
            case "create", "module":
                return [self._module(data, envelope, reply, envelope.object_id)]
            case "create_batch", _:
                return self._batch(data, envelope, reply)
            case "delete", "module" if data.get("send_to_runtime"):
                fields = data | {"target": data["send_to_runtime"]}
                return [build(m.MoveModule, fields, reply, envelope)]
            case "delete", "module":
                return [build(m.DeleteModule, data, reply, envelope)]
            case "exited", "module":
                return [build(m.ModuleExited, data, reply, envelope)]
        raise self._unknown(envelope, reply)

    def _decode_exit(self, envelope: Envelope, runtime: str) -> Sequence[m.AnyRequest]:
        """On the topic of a runtime, which hears all else itself, only this is for us."""
        if envelope.action != "exited":
            return ()
        reply = envelope.reply(self.name)
        data = object_data(envelope, reply) | {"runtime": runtime}
        return [build(m.ModuleExited, data, reply, envelope)]

    def _kind(self, envelope: Envelope) -> str:
        """Where runtimes register, it must be said what is meant."""
        if envelope.data.get("type") is None and self._is_registry(envelope.topic):
            raise Malformed("missing field", envelope.reply(self.name), subject="data/type")
        return envelope.kind

    def _is_command(self, topic: str) -> bool:
        return self._topics.last_level(topic, self._topics.control) is not None

    def _is_registry(self, topic: str) -> bool:
        return topic == self._topics.registry or topic.startswith(self._topics.registry_of(""))

    def _unknown(self, envelope: Envelope, reply: ReplyTo) -> Malformed:
        what = [envelope.action, envelope.kind]
        return Malformed("invalid action/type", reply, subject=what)

    def _runtime(self, data: dict[str, Any], envelope: Envelope) -> dict[str, Any]:
        fields = {"name": "runtime", "apis": USUAL_APIS} | identified(data, envelope.object_id)
        return fields | {
            "max_nmodules": self._limit(data),
            "manager": data.get("parent"),
            "traits": {key: data[key] for key in _TRAITS if key in data},
        }

    def _limit(self, data: dict[str, Any]) -> Any:
        limit = data.get("max_nmodules", 0)
        return UNLIMITED if limit in (0, "0") else limit

    def _module(
        self, data: dict[str, Any], envelope: Envelope, reply: ReplyTo, request: str
    ) -> m.CreateModule:
        file = data.get("file", data.get("filename", ""))
        argv, env = _unfolded(data)
        fields: dict[str, Any] = {
            "name": "module",
            "filetype": "PY" if isinstance(file, str) and file.endswith(".py") else "WA",
            "on_runtime_lost": OnRuntimeLost.WAIT,
            **identified(data, request),
            "filename": file,
            "file": file,
            "args": argv[1:] if isinstance(argv, list) and argv[:1] == [file] else argv,
            "env": env,
            "apis": (),  # here they are for the runtime to judge
            "on_crash": data.get("fault_crash", "ignore"),
            "extras": {key: data[key] for key in _PASSED_ON if key in data},
        }
        if data.get("parent") in (None, "", "{}", {}):
            fields |= {"parent": DEFAULT_RUNTIME, "strict_parent": False}
        return build(m.CreateModule, fields, replace_said(reply, envelope), envelope)

    def _batch(
        self, data: dict[str, Any], envelope: Envelope, reply: ReplyTo
    ) -> Sequence[m.AnyRequest]:
        modules = data.get("modules")
        if not isinstance(modules, list):
            raise Malformed("missing field", reply, subject="data/modules")
        if not all(isinstance(module, dict) for module in modules):
            raise Malformed("invalid modules", reply, subject="data/modules")
        parent = data.get("parent")
        return [
            self._module({**module, "parent": parent}, envelope, reply, f"{envelope.object_id}/{n}")
            for n, module in enumerate(modules)
        ]

    # ------------------------------------------------------------------ out

    def answer(self, to: ReplyTo, answer: m.Response) -> Sequence[Outgoing]:
        """Registrations and requests about single modules are answered; refusals are logged."""
        if answer.ok:
            return (
                [response(to, self.response_type, self._accepted(to, answer))]
                if (self._is_answered(to))
                else []
            )
        log = {"desc": answer.details, "data": answer.subject}
        if answer.code == NotFound.code and answer.missing:
            log["desc"] = f"invalid {answer.missing.capitalize()} Name/UUID"
        elif answer.code == AlreadyExists.code:
            log = {"desc": "duplicate module UUID; request ignored", "data": to.said}
        said = enveloped(to.object_id, "error", log, self.response_type)
        complaint = Outgoing(self._topics.complaints, to_json(said))
        if to.kind != "module" or to.action == "exited" or self._is_registry(to.topic):
            return [complaint]
        refused = {"result": "error", "details": answer.details}
        return [complaint, response(to, self.response_type, refused)]

    def _is_answered(self, to: ReplyTo) -> bool:
        """Whoever registers waits for anything at all on its topic: no farewell is answered there,
        and what goes over a topic of commands is for runtimes."""
        return to.action in ("create", "delete") and (to.kind, to.action) not in (
            ("runtime", "delete"),
            ("manager", "delete"),
        )

    def _accepted(self, to: ReplyTo, answer: m.Response) -> dict[str, Any]:
        details = answer.details
        if isinstance(details, dict):
            details = self._details(details)
            if (to.kind, to.action) == ("runtime", "delete"):
                details["status"] = "D"
        return {"result": "ok", "details": details}

    def _details(self, details: dict[str, Any]) -> dict[str, Any]:
        """Whatever the realm answers, in the words there are for it here."""
        moved = details.get("module")
        if isinstance(moved, dict):
            return details | {"module": self._details(moved)}
        if details.get("type") == "runtime":
            return self.runtime_fields(details)
        if details.get("type") == "manager":
            return {"uuid": details["uuid"], "name": details["name"], "status": "A"}
        return self.shown(details) if "filename" in details else details

    def forward(self, runtime: str, command: m.AnyCommand) -> Sequence[Outgoing]:
        """Starts and stops; it understands nothing else."""
        match command:
            case m.StartModule():
                data = self.module_fields(command.model_dump(mode="json"), runtime, "A")
            case m.StopModule():
                data = {"type": "module", "uuid": command.uuid}
            case _:
                return ()
        said = enveloped(command.object_id, command.action, data, self.request_type)
        return [Outgoing(self._topics.control_of(runtime), to_json(said))]

    # ------------------------------------------------------------------ rendering

    def runtime_fields(self, runtime: Mapping[str, Any]) -> dict[str, Any]:
        """A runtime as SilverLine shows it."""
        traits, limit = runtime["traits"], runtime["max_nmodules"]
        return {
            "uuid": runtime["uuid"],
            "name": runtime["name"],
            "runtime_type": traits.get("runtime_type", "linux"),
            "max_nmodules": 0 if limit == UNLIMITED else limit,
            "apis": list(runtime["apis"]),
            "platform": traits.get("platform"),
            "metadata": traits.get("metadata"),
            "ka_interval_sec": KEEPALIVE_SECONDS,
            "status": "A" if runtime["state"] == "online" else "D",
            "parent": runtime["manager"],
        }

    def shown(self, module: Mapping[str, Any]) -> dict[str, Any]:
        """A module's document as SilverLine shows it."""
        parent = module["parent"] or module["pinned_to"]
        return self.module_fields(module, parent and parent["uuid"], STATUS[module["state"]])

    def module_fields(
        self, module: Mapping[str, Any], parent: str | None, status: str
    ) -> dict[str, Any]:
        """A module as it is forwarded."""
        extras = module["extras"]
        return {
            "type": "module",
            "index": module["generation"],
            "uuid": module["uuid"],
            "name": module["name"],
            "parent": parent,
            "file": module["filename"],
            "filetype": module["filetype"],
            "apis": extras.get("apis") or list(module["apis"]) or list(USUAL_APIS),
            "args": self._args(module),
            "channels": channels(module),
            "status": status,
        } | {key: extras[key] for key in ("resources", "peripherals", "metadata") if key in extras}

    def _args(self, module: Mapping[str, Any]) -> Any:
        """As they were said in this dialect; else all that is known, in one object."""
        said = module["extras"].get("args")
        if isinstance(said, dict):
            return said
        return {"argv": argv_of(module), "env": list(module["env"])}


def replace_said(reply: ReplyTo, envelope: Envelope) -> ReplyTo:
    """The reply of a request that may have to be quoted."""
    return ReplyTo(
        reply.topic,
        reply.object_id,
        reply.dialect,
        reply.action,
        reply.kind,
        reply.about,
        envelope.data,
    )


def argv_of(module: Mapping[str, Any]) -> list[str]:
    """The arguments with the program in front, as SilverLine's runtimes expect it."""
    return [module["filename"], *module["args"]]


def channels(module: Mapping[str, Any]) -> Any:
    """As they were said, or as ARENA's runtimes open them."""
    said = module["extras"].get("channels")
    return said or [arena_channel(ChannelSpec(**channel)) for channel in module["channels"]]


def _unfolded(data: dict[str, Any]) -> tuple[Any, Any]:
    args = data.get("args", [])
    if isinstance(args, dict):
        return args.get("argv") or [], args.get("env") or data.get("env") or []
    return args, data.get("env", [])


def _from_text(key: str, value: Any) -> Any:
    """Some fields may be JSON in text, with either quotes; what is not JSON stays as it is."""
    if key not in _JSON_AS_TEXT or not isinstance(value, str):
        return value
    try:
        return from_json(value.replace("'", '"'))
    except ValueError:
        return value
