"""bytes <-> messages and records: the only code that knows JSON and the envelope.

Envelope (ARTS): ``{"object_id", "action", "type": "arts_req"|"arts_resp", "data": {"type", ..}}``.
``decode_request`` returns None for what is not for us (answers, our own messages coming back) and
raises ``Malformed`` for what should have been a request, with where to complain. Nothing else ever
leaves these functions, whatever the bytes are.
"""

import json
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from arts.errors import InvalidRequest
from arts.model import Module, ReplyTo, Runtime
from arts.protocol import messages as m
from arts.protocol.topics import is_sayable

MAX_REQUEST_BYTES: Final = 1 << 20
"""Larger requests are refused unread: programs and snapshots travel in chunks of their own."""

_UNPARSABLE: Final = "could_not_parse"
_RESPONSE_TYPE: Final = {"arts": "arts_resp", "silverline": "resp"}
_REQUEST_DIALECT: Final = {"arts_req": "arts", "req": "silverline"}
_MODULE_NAMESPACE: Final = uuid.UUID("5f0c2f0e-6c55-4f0e-9a51-9a2b1d1c7c11")


class Malformed(InvalidRequest):
    """Bytes that were meant as a request. ``reply`` is where to complain, if anywhere."""

    def __init__(self, message: str, reply: ReplyTo | None, *, field: str | None = None) -> None:
        super().__init__(message, field=field)
        self.reply = reply


# ---------------------------------------------------------------------------- requests


def decode_request(
    topic: str, payload: bytes, *, new_id: Callable[[], str], wall: float = 0.0
) -> m.AnyRequest | None:
    """A request to the supervisor, or None when the message is not one.

    ``topic`` is where answers go unless the request says ``reply_to``. ``new_id`` makes ids for
    clients that send none; ``wall`` is the time of arrival (seconds since the epoch).
    """
    envelope = _envelope(topic, payload)
    dialect = _REQUEST_DIALECT.get(str(envelope.get("type")))
    if dialect is None:
        return None
    reply = _reply_to(envelope, topic, dialect, new_id)
    data = envelope.get("data")
    if not isinstance(data, dict):
        raise Malformed("data must be an object", reply, field="data")
    said = {key: value for key, value in data.items() if value is not None}
    if "reply_to" not in envelope and dialect == "arts":
        said.setdefault("strict_parent", False)  # its clients expect to be placed elsewhere then
    model, fields = _select(str(envelope.get("action")), said, reply)
    try:
        request: m.AnyRequest = model.model_validate(
            fields | {"object_id": reply.object_id, "reply": reply, "at": wall}
        )
    except ValidationError as error:
        # Nobody waits for the answer to a sign of life.
        raise Malformed(
            _explain(error), None if model is m.Keepalive else reply, field=_culprit(error)
        ) from None
    return request


def _envelope(topic: str, payload: bytes) -> dict[str, Any]:
    complain = ReplyTo(topic=topic, object_id=_UNPARSABLE)
    if len(payload) > MAX_REQUEST_BYTES:
        raise Malformed(
            f"Could not process request; {len(payload)} bytes, the limit is {MAX_REQUEST_BYTES}",
            complain,
        )
    if payload.startswith(b"'"):  # the simulated runtime quotes its farewells
        payload = payload[1:-1]
    try:
        value = from_json(payload.decode(errors="ignore"), allow_inf_nan=False)
    except ValueError as error:
        raise Malformed(f"Could not process request; {error}", complain) from None
    return value if isinstance(value, dict) else {}


def _reply_to(
    envelope: dict[str, Any], topic: str, dialect: str, new_id: Callable[[], str]
) -> ReplyTo:
    # libsilverline says "uuid" where everybody else says "object_id".
    object_id = envelope.get("object_id") or envelope.get("uuid")
    if not isinstance(object_id, str) or not object_id:
        object_id = new_id()
    wanted = envelope.get("reply_to", topic)
    if not isinstance(wanted, str) or not is_sayable(wanted):
        raise Malformed(
            "reply_to must be a topic without wildcards",
            ReplyTo(topic, object_id, dialect),
            field="reply_to",
        )
    return ReplyTo(wanted, object_id, dialect)


def _select(action: str, data: dict[str, Any], reply: ReplyTo) -> tuple[type[Any], dict[str, Any]]:
    """The model that an envelope's action and kind mean, and the fields to build it from."""
    kind = data.get("type") or "module"
    match action, kind:
        case "create", "runtime":
            return m.RegisterRuntime, _identified(data, reply)
        case "delete", "runtime":
            return m.RemoveRuntime, data
        case "update", "runtime":
            return m.Keepalive, data
        case "create", "module":
            return m.CreateModule, _unfolded(_identified(data, reply))
        case "delete", "module" if data.get("send_to_runtime"):
            return m.MoveModule, data | {"target": data["send_to_runtime"]}
        case "delete", "module":
            return m.DeleteModule, data
        case "update", "module":
            return m.MoveModule, data | {"target": data.get("parent")}
        case "get", _:
            return m.Query, data
    raise Malformed(f"unknown action {action!r} for type {kind!r}", reply, field="action")


def _identified(data: dict[str, Any], reply: ReplyTo) -> dict[str, Any]:
    """Who names no uuid gets one made of the request's id, so that a repetition means the same."""
    return {"uuid": str(uuid.uuid5(_MODULE_NAMESPACE, reply.object_id))} | data


def _unfolded(data: dict[str, Any]) -> dict[str, Any]:
    """SilverLine's ``args: {argv, env}`` as two fields."""
    args = data.get("args")
    if not isinstance(args, dict):
        return data
    return {"env": args.get("env")} | data | {"args": args.get("argv")}


def _explain(error: ValidationError) -> str:
    problems = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in item["loc"]) or "data"
        problems.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems[:5])


def _culprit(error: ValidationError) -> str | None:
    location = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
    return str(location[0]) if location else None


def encode_request(request: m.AnyRequest, *, reply_to: str | None = None) -> bytes:
    """A native request as a client or runtime sends it."""
    kind = {
        m.RegisterRuntime: "runtime",
        m.RemoveRuntime: "runtime",
        m.Keepalive: "runtime",
        m.Query: None,
    }.get(type(request), "module")
    data = request.model_dump(mode="json", exclude_defaults=True)
    if isinstance(request, m.MoveModule):
        data["parent"] = {"uuid": data.pop("target", None)}
    if kind:
        data["type"] = kind
    envelope = _enveloped(request.object_id, request.action, data)
    if reply_to:
        envelope["reply_to"] = reply_to
    return to_json(envelope)


def _enveloped(object_id: str, action: str, data: Any, kind: str = "arts_req") -> dict[str, Any]:
    return {"object_id": object_id, "action": action, "type": kind, "data": data}


# ---------------------------------------------------------------------------- commands


_COMMANDS: Final[dict[str, type[m.AnyCommand]]] = {
    model.action: model
    for model in (
        m.StartModule,
        m.StopModule,
        m.PrepareModule,
        m.FreezeModule,
        m.ResumeModule,
        m.ReleaseModule,
        m.AbortMigration,
        m.AnnounceRuntime,
    )
}


_USUAL_API: Final = {"WA": "wasi:snapshot_preview1", "PY": "python:python3"}
"""What the original says of a program that asks for nothing."""


def encode_command(command: m.AnyCommand, *, native: bool = True) -> bytes:
    """A command for a runtime. Old runtimes get ARTS' stringly fields and nothing else."""
    data = command.model_dump(mode="json")
    data["type"] = "runtime" if isinstance(command, m.AnnounceRuntime) else "module"
    if isinstance(command, m.StartModule):
        data["parent"] = {"uuid": command.parent}
        if not native:
            data = _stringly(data)
    elif not native:
        data = {"type": "module", "uuid": command.uuid}
    return to_json(_enveloped(command.object_id, command.action, data))


def _stringly(data: dict[str, Any]) -> dict[str, Any]:
    """As the original forwards a module: every field is there, and is text."""
    kept = {key: data[key] for key in ("type", "uuid", "name", "parent", "filename", "filetype")}
    for key in ("apis", "args", "env"):
        kept[key] = " ".join(data[key])
    kept["apis"] = kept["apis"] or _USUAL_API.get(data["filetype"], "")
    kept["fileid"] = data["fileid"] or "na"
    kept["channels"] = (
        json.dumps(data["channels"]).replace('"', "'") if data["channels"] else "['']"
    )
    return kept


def decode_command(payload: bytes) -> m.AnyCommand | None:
    """A command to this runtime; None when it is something else. Raises ``InvalidRequest``."""
    try:
        envelope = from_json(payload)
        if not isinstance(envelope, dict) or envelope.get("type") != "arts_req":
            return None
        model = _COMMANDS.get(str(envelope.get("action")))
        if model is None:
            raise InvalidRequest(f"unknown command {envelope.get('action')!r}")
        data = dict(envelope["data"])
        if model is m.StartModule and isinstance(data.get("parent"), dict):
            data["parent"] = data["parent"].get("uuid")
        return model.model_validate(data | {"object_id": str(envelope.get("object_id", ""))})
    except ValidationError as error:
        raise InvalidRequest(_explain(error)) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"not a command: {error}") from None


# ---------------------------------------------------------------------------- reports


def encode_report(report: m.Report) -> bytes:
    """A report of a runtime."""
    data = report.model_dump(mode="json", exclude_defaults=True)
    return to_json(_enveloped(report.object_id, report.kind, data, "arts_event"))


def decode_report(payload: bytes) -> m.Report:
    """A runtime's report. Raises ``InvalidRequest``."""
    try:
        envelope = from_json(payload)
        return m.Report.model_validate(
            envelope["data"] | {"object_id": str(envelope.get("object_id", ""))}
        )
    except ValidationError as error:
        raise InvalidRequest(_explain(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"not a report: {error}") from None


# ---------------------------------------------------------------------------- answers, documents


def encode_response(reply: ReplyTo, response: m.Response) -> bytes:
    """The answer to a request, in the dialect of the asker."""
    data: dict[str, Any] = {
        "result": "ok" if response.ok else "error",
        "details": response.details,
    }
    if response.code:
        data["code"] = response.code
    kind = _RESPONSE_TYPE.get(reply.dialect, "arts_resp")
    return to_json({"object_id": reply.object_id, "type": kind, "data": data})


def decode_response(payload: bytes) -> tuple[str, m.Response] | None:
    """(object_id of the request, answer), or None for anything that is not an answer."""
    try:
        envelope = from_json(payload)
        if envelope["type"] not in _RESPONSE_TYPE.values():
            return None
        data = envelope["data"]
        return str(envelope["object_id"]), m.Response(
            ok=data["result"] == "ok", details=data["details"], code=data.get("code")
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def encode_document(document: Any) -> bytes:
    """Any plain data, dataclass or model, for people and read models."""
    return to_json(document)


def decode_document(payload: bytes) -> Any:
    """Plain data. Raises ``InvalidRequest`` when it is not JSON."""
    try:
        return from_json(payload)
    except ValueError as error:
        raise InvalidRequest(f"not JSON: {error}") from None


def decode_notice(payload: bytes) -> m.SupervisorNotice | None:
    """Who supervises; None when nobody does (empty) or the bytes make no sense."""
    try:
        return m.SupervisorNotice.model_validate_json(payload)
    except ValidationError:
        return None


# ---------------------------------------------------------------------------- records

R = TypeVar("R", bound=Module | Runtime)

_ADAPTERS: Final[dict[type[Any], TypeAdapter[Any]]] = {
    Module: TypeAdapter(Module),
    Runtime: TypeAdapter(Runtime),
}


def encode_record(record: Module | Runtime) -> bytes:
    """A record as the store keeps it."""
    return _ADAPTERS[type(record)].dump_json(record)


def decode_record(kind: type[R], data: bytes) -> R:
    """A record from the store. Raises ``InvalidRequest`` when it is of another version."""
    try:
        record: R = _ADAPTERS[kind].validate_json(data)
    except ValidationError as error:
        raise InvalidRequest(f"stored {kind.__name__}: {_explain(error)}") from None
    return record
