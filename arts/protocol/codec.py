"""Native messages and records <-> bytes: how both ends of our own dialect write and read JSON.

Envelope (ARTS): ``{"object_id", "action", "type": "arts_req"|"arts_resp", "data": {"type", ..}}``.
How the supervisor reads *requests*, of every dialect, is in ``dialects``.
"""

from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from arts.errors import InvalidRequest
from arts.model import Module, ReplyTo, Runtime
from arts.protocol import messages as m


def encode_request(request: m.AnyRequest, *, reply_to: str | None = None) -> bytes:
    """A native request as a client or runtime sends it."""
    kind = {
        m.RegisterRuntime: "runtime",
        m.RemoveRuntime: "runtime",
        m.RegisterManager: "manager",
        m.RemoveManager: "manager",
        m.Keepalive: "runtime",
        m.Query: None,
    }.get(type(request), "module")
    data = request.model_dump(mode="json", exclude_defaults=True)
    if isinstance(request, m.MoveModule):
        data["parent"] = {"uuid": data.pop("target", None)}
    if kind:
        data["type"] = kind
    envelope = enveloped(request.object_id, request.action, data)
    if reply_to:
        envelope["reply_to"] = reply_to
    return to_json(envelope)


def enveloped(object_id: str, action: str, data: Any, kind: str = "arts_req") -> dict[str, Any]:
    """The envelope that all dialects share."""
    return {"object_id": object_id, "action": action, "type": kind, "data": data}


def explain(error: ValidationError) -> str:
    """What pydantic found, as one sentence."""
    problems = []
    for item in error.errors(include_url=False, include_context=False, include_input=False):
        where = ".".join(str(part) for part in item["loc"]) or "data"
        problems.append(f"{where}: {item['msg'].removeprefix('Value error, ')}")
    return "; ".join(problems[:5])


# ---------------------------------------------------------------------------- commands


_COMMANDS: Final[dict[str, type[m.AnyCommand]]] = {
    model.action: model
    for model in (
        m.StartModule,
        m.StopModule,
        m.TakeCheckpoint,
        m.PrepareModule,
        m.FreezeModule,
        m.ResumeModule,
        m.ReleaseModule,
        m.AbortMigration,
        m.AnnounceRuntime,
    )
}


def encode_command(command: m.AnyCommand) -> bytes:
    """A command for a runtime."""
    data = command.model_dump(mode="json")
    data["type"] = "runtime" if isinstance(command, m.AnnounceRuntime) else "module"
    if isinstance(command, m.StartModule):
        data["parent"] = {"uuid": command.parent}
    return to_json(enveloped(command.object_id, command.action, data))


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
        raise InvalidRequest(explain(error)) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"not a command: {error}") from None


# ---------------------------------------------------------------------------- reports


def encode_report(report: m.Report) -> bytes:
    """A report of a runtime."""
    data = report.model_dump(mode="json", exclude_defaults=True)
    return to_json(enveloped(report.object_id, report.kind, data, "arts_event"))


def decode_report(payload: bytes) -> m.Report:
    """A runtime's report. Raises ``InvalidRequest``."""
    try:
        envelope = from_json(payload)
        return m.Report.model_validate(
            envelope["data"] | {"object_id": str(envelope.get("object_id", ""))}
        )
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"not a report: {error}") from None


# ---------------------------------------------------------------------------- answers, documents


def response_data(response: m.Response) -> dict[str, Any]:
    """The body of an answer."""
    data: dict[str, Any] = {
        "result": "ok" if response.ok else "error",
        "details": response.details,
    }
    if response.code:
        data["code"] = response.code
    return data


def encode_response(reply: ReplyTo, response: m.Response) -> bytes:
    """The answer to a native request."""
    data = response_data(response)
    return to_json({"object_id": reply.object_id, "type": "arts_resp", "data": data})


def decode_response(payload: bytes) -> tuple[str, m.Response] | None:
    """(object_id of the request, answer), or None for anything that is not an answer."""
    try:
        envelope = from_json(payload)
        if envelope["type"] != "arts_resp":
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
        raise InvalidRequest(f"stored {kind.__name__}: {explain(error)}") from None
    return record
