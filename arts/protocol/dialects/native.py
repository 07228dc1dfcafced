"""The native dialect: ARTS' envelope and topics, more optional fields, every answer in full.

Who speaks it says where the answer goes (``reply_to``), which process it is (``instance``) or what
it can do (``features``); the original ARTS knows none of these.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from arts.model import ReplyTo, Runtime
from arts.protocol import codec
from arts.protocol import messages as m
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

_SIGNS: Final = ("instance", "features")


class Native:
    """Our own dialect."""

    name: Final = "native"

    def __init__(self, topics: Topics) -> None:
        self._topics = topics

    def subscriptions(self) -> Iterable[tuple[str, int]]:
        """The topics of the original ARTS, and reports."""
        topics = self._topics
        yield from ((topics.registry, 1), (topics.control, 1), (topics.events_of("+"), 1))
        yield from ((topics.keepalive, 0), (topics.keepalive_of("+"), 0))

    def control_of(self, runtime: Runtime) -> str | None:
        """Native runtimes report elsewhere."""
        return None

    def speaks(self, envelope: Envelope) -> bool:
        """By what only native messages have."""
        if envelope.type != "arts_req":
            return False
        data = envelope.data
        return (
            "reply_to" in envelope.fields
            or any(data.get(sign) for sign in _SIGNS)
            or envelope.action == "get"
            or (envelope.action == "update" and envelope.kind == "module")
        )

    def decode(self, envelope: Envelope) -> Sequence[m.AnyRequest]:
        """Exactly one request."""
        reply = sayable(envelope, self.name)
        model, fields = select(envelope, object_data(envelope, reply), reply)
        # Nobody waits for the answer to a sign of life.
        return [build(model, fields, None if model is m.Keepalive else reply, envelope)]

    def answer(self, to: ReplyTo, answer: m.Response) -> Sequence[Outgoing]:
        """The details as the realm gives them."""
        return [response(to, "arts_resp", codec.response_data(answer))]

    def forward(self, runtime: str, command: m.AnyCommand) -> Sequence[Outgoing]:
        """The command itself."""
        topic = self._topics.control_of(runtime)
        return [Outgoing(topic, codec.encode_command(command))]


def select(
    envelope: Envelope, data: dict[str, Any], reply: ReplyTo
) -> tuple[type[Any], dict[str, Any]]:
    """The model that an envelope's action and kind mean, and the fields to build it from."""
    match envelope.action, envelope.kind:
        case "create", "runtime":
            return m.RegisterRuntime, identified(data, envelope.object_id)
        case "delete", "runtime":
            return m.RemoveRuntime, data
        case "update", "runtime":
            return m.Keepalive, data
        case "create", "manager":
            return m.RegisterManager, identified(data, envelope.object_id)
        case "delete", "manager":
            return m.RemoveManager, data
        case "create", "module":
            return m.CreateModule, unfolded(identified(data, envelope.object_id))
        case "delete", "module" if data.get("send_to_runtime"):
            return m.MoveModule, data | {"target": data["send_to_runtime"]}
        case "delete", "module":
            return m.DeleteModule, data
        case "update", "module":
            return m.MoveModule, data | {"target": data.get("parent")}
        case "checkpoint", "module":
            return m.CheckpointModule, data
        case "restore", "module":
            return m.RestoreModule, data
        case "clone", "module":
            return m.CloneModule, data
        case "export", "module":
            return m.ExportModule, data
        case "import", "module":
            return m.ImportModule, identified(data, envelope.object_id)
        case "exited", "module":
            return m.ModuleExited, data
        case "get", _:
            return m.Query, data
    raise Malformed(
        f"unknown action {envelope.action!r} for type {envelope.kind!r}", reply, field="action"
    )


def unfolded(data: dict[str, Any]) -> dict[str, Any]:
    """SilverLine's ``args: {argv, env}`` as two fields."""
    args = data.get("args")
    if not isinstance(args, dict):
        return data
    return {"env": args.get("env")} | data | {"args": args.get("argv")}
