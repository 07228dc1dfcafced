"""What a dialect costs: a create read and checked, its command and its answer written.

No realm decides in between and no broker carries anything: what is left is the dialect.
"""

import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from arts.model import ReplyTo, Runtime
from arts.protocol import messages as m
from arts.protocol.dialects.registry import Dialects
from arts.protocol.topics import Topics
from arts.realm.effects import Command, Reply
from arts.realm.realm import Realm
from arts.realm.state import RealmSettings

Progress = Callable[[str], None]
Message = tuple[str, bytes]

_RUNTIME = "11111111-1111-4111-8111-111111111111"
_MODULE = "33333333-3333-4333-8333-333333333333"
_CONTROL = "realm/proc/control"


def _create(kind: str, fields: dict[str, Any], **envelope: Any) -> bytes:
    module = {"type": "module", "uuid": _MODULE, "name": "boxes", "filetype": "PY"} | fields
    said = {"object_id": "q", "action": "create", "type": kind, "data": module} | envelope
    return json.dumps(said).encode()


_FLAT = {"args": ["a", "b"], "env": ["SCENE=x", "MQTTH=y"]}
CREATES: dict[str, Message] = {
    "native": (
        _CONTROL,
        _create("arts_req", {"filename": "boxes.py"} | _FLAT, reply_to="realm/proc/reply/me"),
    ),
    "arts": (
        _CONTROL,
        _create(
            "arts_req",
            {"filename": "boxes.py", "parent": None, "args": "a b", "env": "SCENE=x MQTTH=y"},
        ),
    ),
    "silverline2022": (
        _CONTROL,
        _create("arts_req", {"filename": "boxes.py", "parent": _RUNTIME} | _FLAT),
    ),
    "silverline": (
        _CONTROL,
        _create(
            "req",
            {"file": "boxes.py", "parent": _RUNTIME}
            | {"args": {"argv": ["boxes.py", "a", "b"], "env": _FLAT["env"], "dirs": []}},
        ),
    ),
    "arena": (
        f"realm/s/public/default/p/{_MODULE}",
        _create("req", {"file": "boxes.py", "parent": _RUNTIME} | _FLAT, **{"from": "me"}),
    ),
}
"""A create in each dialect, as its clients send it."""


def measure(*, messages: int = 2000, runs: int = 7, progress: Progress) -> dict[str, Any]:
    """Microseconds of CPU a message: reading, writing the command and the answer, all three."""
    dialects = Dialects(Topics("realm"))
    figures: dict[str, Any] = {"benchmark": "protocol", "messages": messages, "runs": runs}
    for name, (topic, payload) in CREATES.items():
        progress(name)

        def read(topic: str = topic, payload: bytes = payload) -> Any:
            return dialects.decode(topic, payload, new_id=lambda: "new")

        command, reply = _effects(name, read()[0])
        steps: dict[str, Callable[[], Any]] = {
            "decode": read,
            "forward": lambda name=name, c=command: dialects.forward(_RUNTIME, name, c.message),  # type: ignore[misc]
            "answer": lambda r=reply: dialects.answer(r.to, r.response),  # type: ignore[misc]
        }
        for step, work in steps.items():
            figures[f"{name}_{step}_us"] = _microseconds(work, messages, runs)
        figures[f"{name}_us"] = round(sum(figures[f"{name}_{step}_us"] for step in steps), 2)
    figures["most_us"] = max(figures[f"{name}_us"] for name in CREATES)
    return figures


def _effects(dialect: str, request: m.AnyRequest) -> tuple[Command, Reply]:
    """What a realm with one runtime of that dialect does about the request."""
    realm = Realm(RealmSettings(arrival_grace=0.0))
    features = frozenset({"events"}) if dialect == "native" else frozenset()
    runtime = Runtime(
        _RUNTIME, "py", apis=frozenset({"python:python3"}), features=features, dialect=dialect
    )
    realm.restore([runtime], 0.0)
    effects = realm.handle(request, 0.0)
    (command,) = [effect for effect in effects if isinstance(effect, Command)]
    (reply,) = [effect for effect in effects if isinstance(effect, Reply)]
    assert isinstance(reply.to, ReplyTo)
    return command, reply


def _microseconds(work: Callable[[], Any], messages: int, runs: int) -> float:
    times = []
    for _ in range(runs):
        begin = time.process_time()
        for _ in range(messages):
            work()
        times.append((time.process_time() - begin) / messages * 1e6)
    return round(median(times), 2)
