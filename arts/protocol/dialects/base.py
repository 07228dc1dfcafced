"""What a dialect is, and a message taken apart as far as all of them agree.

Knows JSON and the envelope ``{"object_id", "action", "type", "data"}``; no dialect in particular.
"""

import json
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from arts.errors import InvalidRequest
from arts.model import ReplyTo, Runtime
from arts.protocol import messages as m
from arts.protocol.codec import explain
from arts.protocol.topics import is_sayable

MAX_REQUEST_BYTES: Final = 1 << 20
"""Larger requests are refused unread: programs and snapshots travel in chunks of their own."""

UNPARSABLE: Final = "could_not_parse"
"""The object_id of a complaint about bytes that have none."""

_REQUEST_NAMESPACE: Final = uuid.UUID("5f0c2f0e-6c55-4f0e-9a51-9a2b1d1c7c11")
_LONGEST_ID: Final = 256

R = TypeVar("R", bound=m.Message)


class Outgoing(NamedTuple):
    """One message to publish."""

    topic: str
    payload: bytes


class Malformed(InvalidRequest):
    """Bytes that were meant as a request. ``reply`` is where to complain, if anywhere.

    ``subject``: what the complaint is about, for dialects that name it apart.
    """

    def __init__(
        self,
        message: str,
        reply: ReplyTo | None,
        *,
        field: str | None = None,
        subject: Any = None,
    ) -> None:
        super().__init__(message, field=field)
        self.reply = reply
        self.subject = field if subject is None else subject


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message that may be a request."""

    topic: str
    fields: dict[str, Any]
    """Everything, as it came."""
    object_id: str
    type: str
    """``arts_req``, ``req``, ...; ``None`` as text if there is none."""
    action: str
    """What is asked for."""
    kind: str
    """What the action is about; a module where it is left out."""
    data: dict[str, Any]
    """The body; an empty one if it is not an object."""
    wall: float
    """Time of arrival (seconds since the epoch)."""

    def reply(self, dialect: str, topic: str | None = None) -> ReplyTo:
        """Where an answer goes unless the dialect knows better: where the request came from."""
        about = self.data.get("uuid")
        return ReplyTo(
            topic=topic or self.topic,
            object_id=self.object_id,
            dialect=dialect,
            action=self.action,
            kind=self.kind,
            about=about if isinstance(about, str) else "",
        )


class Dialect(Protocol):
    """One dialect. Pure: bytes and native messages in, native messages and bytes out."""

    @property
    def name(self) -> str:
        """As it is remembered with requests and runtimes."""
        ...

    def subscriptions(self) -> Iterable[tuple[str, int]]:
        """(topic filter, QoS) where its speakers are heard."""
        ...

    def control_of(self, runtime: Runtime) -> str | None:
        """A topic on which this very runtime says something that the supervisor must hear."""
        ...

    def speaks(self, envelope: Envelope) -> bool:
        """Whether a message is in this dialect. The first that says yes gets it."""
        ...

    def decode(self, envelope: Envelope) -> Sequence[m.AnyRequest]:
        """The native requests that it makes; none if it is not for us. Raises ``Malformed``."""
        ...

    def answer(self, to: ReplyTo, response: m.Response) -> Sequence[Outgoing]:
        """The answer to a request in this dialect."""
        ...

    def forward(self, runtime: str, command: m.AnyCommand) -> Sequence[Outgoing]:
        """A command to a runtime that registered in this dialect."""
        ...


# ---------------------------------------------------------------------------- in


def open_envelope(
    topic: str, payload: bytes, *, new_id: Callable[[], str], wall: float = 0.0
) -> Envelope | None:
    """A message as JSON object; None if it is JSON of another kind. Raises ``Malformed``.

    ``new_id`` makes ids for requests that have none.
    """
    fields = _read(payload, ReplyTo(topic, UNPARSABLE, "arts"))
    if not isinstance(fields, dict):
        return None
    # libsilverline says "uuid" where everybody else says "object_id".
    object_id = fields.get("object_id") or fields.get("uuid")
    if not isinstance(object_id, str) or not 0 < len(object_id) <= _LONGEST_ID:
        object_id = new_id()
    data = fields.get("data")
    if not isinstance(data, dict):
        data = {}
    return Envelope(
        topic=topic,
        fields=fields,
        object_id=object_id,
        type=str(fields.get("type")),
        action=str(fields.get("action")),
        kind=str(data.get("type") or "module"),
        data=data,
        wall=wall,
    )


def _read(payload: bytes, complain: ReplyTo) -> Any:
    if len(payload) > MAX_REQUEST_BYTES:
        raise Malformed(
            f"Could not process request; {len(payload)} bytes, the limit is {MAX_REQUEST_BYTES}",
            complain,
        )
    if payload.startswith(b"'"):  # the simulated runtime quotes its farewells
        payload = payload[1:-1]
    text = payload.decode(errors="ignore")
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise Malformed(f"Could not process request; {_in_words(text, error)}", complain) from None


def _in_words(text: str, error: ValueError) -> str:
    """What is wrong with JSON, as Python and so the original says it."""
    try:
        json.loads(text)
    except json.JSONDecodeError as known:
        return str(known)
    except (ValueError, RecursionError):
        pass
    return str(error)


def object_data(envelope: Envelope, reply: ReplyTo) -> dict[str, Any]:
    """The body, without what is null: that means the same as what is not there."""
    data = envelope.fields.get("data")
    if not isinstance(data, dict):
        raise Malformed("data must be an object", reply, field="data")
    return {key: value for key, value in data.items() if value is not None}


def build(model: type[R], fields: dict[str, Any], reply: ReplyTo | None, envelope: Envelope) -> R:
    """A native request from these fields. Raises ``Malformed`` with what is wrong with them."""
    try:
        return model.model_validate(
            fields | {"object_id": envelope.object_id, "reply": reply, "at": envelope.wall}
        )
    except ValidationError as error:
        raise Malformed(explain(error), reply, field=culprit(error)) from None


def identified(data: dict[str, Any], request: str) -> dict[str, Any]:
    """Who names no uuid gets one made of the request's id, so that a repetition means the same."""
    if "uuid" in data:
        return data
    return {"uuid": str(uuid.uuid5(_REQUEST_NAMESPACE, request))} | data


def sayable(envelope: Envelope, dialect: str) -> ReplyTo:
    """Where the answer goes, if the request may say so itself (``reply_to``)."""
    wanted = envelope.fields.get("reply_to", envelope.topic)
    if not isinstance(wanted, str) or not is_sayable(wanted):
        raise Malformed(
            "reply_to must be a topic without wildcards", envelope.reply(dialect), field="reply_to"
        )
    return envelope.reply(dialect, wanted)


def culprit(error: ValidationError) -> str | None:
    """The first field that is wrong."""
    location = error.errors(include_url=False, include_context=False, include_input=False)[0]["loc"]
    return str(location[0]) if location else None


# ---------------------------------------------------------------------------- out


def response(to: ReplyTo, kind: str, data: dict[str, Any]) -> Outgoing:
    """An answer in the envelope that everybody shares."""
    return Outgoing(to.topic, to_json({"object_id": to.object_id, "type": kind, "data": data}))


def iso(wall: float) -> str:
    """Seconds since the epoch as ``2026-11-21T09:30:00.250000Z``."""
    whole, microseconds = divmod(round(wall * 1e6), 1_000_000)
    days, seconds = divmod(whole, 86_400)
    year, month, day = _civil(days)
    hour, minute = seconds // 3600, seconds // 60 % 60
    clock = f"{hour:02}:{minute:02}:{seconds % 60:02}.{microseconds:06}"
    return f"{year:04}-{month:02}-{day:02}T{clock}Z"


def _civil(days: int) -> tuple[int, int, int]:
    """Days since 1970-01-01 as year, month and day; eras of 400 years beginning in March."""
    era, day_of_era = divmod(days + 719_468, 146_097)
    leap_days = day_of_era // 1460 - day_of_era // 36_524 + day_of_era // 146_096
    year_of_era = (day_of_era - leap_days) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * from_march + 2) // 5 + 1
    month = from_march + 3 if from_march < 10 else from_march - 9
    return year_of_era + 400 * era + (month <= 2), month, day
