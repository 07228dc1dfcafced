"""What nobody should send and somebody will: by name, (topic, payload).

None of it may change anything, silence anybody or be answered twice.
"""

import json
from typing import Any, Final

REG, CONTROL = "realm/proc/reg", "realm/proc/control"
ARENA_RUNTIME, ARENA_MODULE = "realm/g/public/p/x", "realm/s/public/default/p/x"
EVENTS = "realm/proc/events/x"
MEBIBYTE: Final = 1 << 20


def _request(**fields: Any) -> bytes:
    envelope = {"object_id": "bad", "action": "create", "type": "arts_req", "data": {}} | fields
    return json.dumps(envelope).encode()


def _module(kind: str = "arts_req", action: str = "create", **data: Any) -> bytes:
    module = {"type": "module", "uuid": "bad", "filename": "hello", "parent": {"uuid": "nobody"}}
    return _request(type=kind, action=action, data=module | data)


def _runtime(kind: str = "arts_req", action: str = "create", **data: Any) -> bytes:
    return _request(type=kind, action=action, data={"type": "runtime", "uuid": "bad"} | data)


_BYTES: dict[str, bytes] = {
    "nothing": b"",
    "a zero": b"\0",
    "a quote": b"'",
    "two quotes": b"''",
    "a brace": b"{",
    "cut off": b'{"object_id": "x", "type": "arts_req", "data": {"type": "mod',
    "prose": b"create a module please",
    "binary": bytes(range(256)),
    "utf-16": '{"type": "arts_req"}'.encode("utf-16"),
    "a byte order mark": b'\xef\xbb\xbf{"type": "arts_req"}',
    "not utf-8": b'{"type": "arts_req", "action": "\xff\xfe", "data": {}}',
    "a lone surrogate": b'{"type": "arts_req", "action": "\\ud800", "data": {}}',
    "a megabyte of x": b"x" * MEBIBYTE,
    "more than a megabyte": b'{"type": "arts_req"' + b" " * MEBIBYTE + b"}",
    "a megabyte of brackets": b"[" * (MEBIBYTE - 1),
    "deep objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "not a number": b'{"type": "arts_req", "action": "create", "data": {"uuid": NaN}}',
    "infinity": b'{"type": "arts_req", "action": "create", "data": {"max_nmodules": -Infinity}}',
    "trailing comma": b'{"type": "arts_req",}',
    "two objects": b'{"type": "arts_req"}{"type": "arts_req"}',
    "xml": b"<?xml version='1.0'?><module/>",
    "yaml": b"type: arts_req\naction: create\n",
    "a number": b"5",
    "a huge number": b"9" * 5000,
    "a text": b'"create"',
    "null": b"null",
    "a list": b"[]",
    "a list of requests": b"[" + _module() + b"]",
    "an empty object": b"{}",
}
_ENVELOPES: dict[str, bytes] = {
    "no type": _request(type=None),
    "type as number": _request(type=7),
    "type as list": _request(type=["arts_req"]),
    "type of another world": _request(type="weather"),
    "an answer that looks like a request": _module("arts_resp"),
    "an answer of silverline that looks like a request": _module("resp"),
    "an acknowledgement": _module("runtime_resp"),
    "data as text": _request(data="module"),
    "data as list": _request(data=[1, 2]),
    "data as number": _request(data=1e308),
    "data null": _request(data=None),
    "no action": _request(action=None),
    "action as object": _request(action={"create": 1}),
    "unknown action": _request(action="explode"),
    "unknown kind": _request(data={"type": "elephant"}),
    "kind as list": _request(data={"type": ["module"]}),
    "reply_to a filter": _module(uuid="bad")[:-1] + b', "reply_to": "a/#"}',
    "reply_to a number": _module(uuid="bad")[:-1] + b', "reply_to": 5}',
    "object_id as object": _request(object_id={"a": 1}, action="explode"),
    "object_id of a megabyte": _request(object_id="x" * 900_000, action="explode"),
}
_MODULES: dict[str, bytes] = {
    "uuid with a slash": _module(uuid="a/b"),
    "uuid with a wildcard": _module(uuid="+"),
    "uuid as number": _module(uuid=5),
    "uuid as object": _module(uuid={"uuid": "x"}),
    "uuid too long": _module(uuid="x" * 65),
    "uuid empty": _module(uuid=""),
    "filename as number": _module(filename=7),
    "filetype of another world": _module(filetype="EXE"),
    "args with an object": _module(args=[{"a": 1}]),
    "args as number": _module(args=5),
    "env nested": _module(env=[["a"]]),
    "channels cut off": _module(channels="[{'path':"),
    "channels elsewhere": _module(channels=[{"path": "/etc/passwd", "topic": "t"}]),
    "channels to everywhere": _module(channels=[{"path": "/ch/x", "topic": "#", "mode": "w"}]),
    "a million arguments": _module(args=[1.5] * 100_000, uuid="a/b"),
    "a hundred thousand channels": _module(channels=[5] * 100_000),
    "parent as list": _module(parent=["x"]),
    "parent as number": _module(parent=5),
    "parent too long": _module(parent="x" * 201),
    "limits as text": _module(limits="all"),
    "program not a digest": _module(program="../../etc/passwd"),
    "silverline without data": _request(type="req", data=None),
    "silverline batch without modules": _request(type="req", action="create_batch"),
    "silverline batch of numbers": _request(
        type="req", action="create_batch", data={"modules": [1, 2]}
    ),
    "silverline args as number": _module("req", args=5),
    "silverline fault_crash of another world": _module("req", fault_crash="panic"),
    "silverline unknown parent": _module("req", parent="nobody"),
    "silverline 2022 unknown parent": _module("arts_req", parent="nobody"),
    "delete of nobody": _module(action="delete", uuid="nobody"),
    "delete without uuid": _request(action="delete", data={"type": "module"}),
    "move of nobody": _module(action="delete", uuid="nobody", send_to_runtime="nobody"),
    "exit of nobody": _module("req", "exited", uuid="nobody"),
    "exit of a number": _module("req", "exited", uuid=5),
}
_RUNTIMES: dict[str, bytes] = {
    "runtime uuid with a slash": _runtime(uuid="a/b"),
    "runtime uuid as list": _runtime(uuid=["x"]),
    "negative limit": _runtime(max_nmodules=-1),
    "limit in words": _runtime(max_nmodules="many"),
    "limit beyond numbers": _runtime(max_nmodules=1e400),
    "apis as number": _runtime(apis=5),
    "labels as list": _runtime(labels=["a"]),
    "features as number": _runtime(features=5),
    "keepalive interval in words": _runtime(ka_interval_sec="often"),
    "silverline limit in words": _runtime("req", max_nmodules="many"),
    "leave of nobody": _runtime(action="delete", uuid="nobody"),
    "keepalive of nobody": _runtime(action="update", uuid="nobody"),
    "keepalive with children as text": _runtime(action="update", children="all"),
    "manager without uuid leaves": _request(type="req", action="delete", data={"type": "manager"}),
    "manager with a slash": _request(type="req", data={"type": "manager", "uuid": "a/b"}),
}
_REPORTS: dict[str, bytes] = {
    "a report without data": b'{"type": "arts_event"}',
    "a report of a stranger": b'{"data": {"kind": "exited", "runtime": "no", "uuid": "x", '
    b'"generation": 1}}',
    "a report with a generation in words": b'{"data": {"kind": "exited", "runtime": "x", '
    b'"uuid": "x", "generation": "last"}}',
}
_ARENA: dict[str, bytes] = {
    "arena nothing": b"",
    "arena complaint": b'{"desc": "invalid parent", "data": "x"}',
    "arena without from": _request(type="req", action="explode"),
    "arena from an object": _request(type="req", action="delete", data={"uuid": "no"})[:-1]
    + b', "from": {}}',
    "arena from us": _module("req", uuid="bad")[:-1] + b', "from": "arts"}',
}

CORPUS: dict[str, tuple[str, bytes]] = {
    **{f"{name} on control": (CONTROL, payload) for name, payload in _BYTES.items()},
    **{f"{name} on reg": (REG, payload) for name, payload in _BYTES.items() if len(payload) < 999},
    **{f"{name} in a scene": (ARENA_MODULE, data) for name, data in (_BYTES | _ARENA).items()},
    **{f"{name} of a runtime": (EVENTS, data) for name, data in (_BYTES | _REPORTS).items()},
    **{name: (CONTROL, payload) for name, payload in (_ENVELOPES | _MODULES).items()},
    **{name: (REG, payload) for name, payload in _RUNTIMES.items()},
    **{f"{name} at its topic": (f"{REG}/x", payload) for name, payload in _RUNTIMES.items()},
    **{f"{name} outside scenes": (ARENA_RUNTIME, payload) for name, payload in _ARENA.items()},
    **{f"{name}, commanded": (f"{CONTROL}/x", payload) for name, payload in _MODULES.items()},
    "of another realm": ("elsewhere/proc/control", _module()),
}
