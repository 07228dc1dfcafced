"""Exceptions in frames: a reference to one means nothing elsewhere, its tag and payload do.

Two functions of every program that needs them: one throws the exception to look at it, and writes
down which tag it has and what it carries; the other throws such an exception and catches it as a
reference. Programs cannot tell one exception from another with the same tag and payload, so that
is enough. In a frame an exception is ``u32 tag + 1`` (0: a null reference), then the payload.

Knows tags and these two functions. Does not know when they are called.
"""

from typing import Final

from arts.migratable import opcodes
from arts.migratable.assembler import (
    END,
    IF,
    LOADS,
    RETURN,
    STORES,
    i32_const,
    local_get,
    memory_access,
    pop_all,
)
from arts.migratable.binary import unsigned, vector
from arts.migratable.module import FunctionType, Module, Types
from arts.migratable.opcodes import EXNREF, I32

SAVE, LOAD = "arts.exception.save", "arts.exception.load"
SAVE_TYPE: Final = FunctionType(bytes([EXNREF, I32]), b"")
LOAD_TYPE: Final = FunctionType(bytes([I32]), bytes([EXNREF]))

_TAG: Final = 4
"""Bytes for the tag, in front of the payload."""
_EXCEPTION, _ADDRESS_TO, _ADDRESS_FROM = 0, 1, 0
"""Parameters of ``save``, and of ``load``."""
_REF_IS_NULL, _REF_NULL = b"\xd1", b"\xd0" + bytes([EXNREF])
_BLOCK, _TRY_TABLE = bytes([opcodes.BLOCK]), bytes([opcodes.TRY_TABLE])
_EMPTY: Final = bytes([opcodes.EMPTY_BLOCK])
_THROW, _THROW_REF = bytes([opcodes.THROW]), bytes([opcodes.THROW_REF])
_UNREACHABLE, _BR_TABLE = bytes([opcodes.UNREACHABLE]), bytes([opcodes.BR_TABLE])
_CATCH, _CATCH_ALL, _CATCH_ALL_REF = b"\0", b"\2", b"\3"


def frame_size(module: Module) -> int | None:
    """Bytes that an exception takes in a frame; None if one can carry a reference."""
    payloads = [kind.parameters for kind in module.tags]
    if any(opcodes.REFERENCE_TYPES.intersection(payload) for payload in payloads):
        return None
    return _TAG + max((sum(opcodes.SIZES[kind] for kind in p) for p in payloads), default=0)


def save(module: Module, types: Types, memory: int) -> bytes:
    """Body of ``(exnref, i32 address) -> ()``, which writes to that memory.

    An exception with none of the program's tags, which only a host can throw, is a trap.
    """
    tags = [kind.parameters for kind in module.tags]
    clauses = [_CATCH + unsigned(tag) * 2 for tag in range(len(tags))]
    clauses.append(_CATCH_ALL + unsigned(len(tags)))
    out = local_get(_EXCEPTION) + _REF_IS_NULL + IF + _store_tag(0, memory) + RETURN + END
    out += _BLOCK + _EMPTY
    out += b"".join(_BLOCK + types.block(b"", payload) for payload in reversed(tags))
    out += _TRY_TABLE + _EMPTY + vector(clauses)
    out += local_get(_EXCEPTION) + _THROW_REF + END + _UNREACHABLE
    local = 2
    for tag, payload in enumerate(tags):
        values = range(local, local := local + len(payload))
        out += END + pop_all(values) + _store_tag(tag + 1, memory)
        for value, kind, offset in zip(values, payload, _offsets(payload), strict=True):
            stored = local_get(value) + memory_access(STORES[kind], memory, offset)
            out += local_get(_ADDRESS_TO) + stored
        out += RETURN
    groups = vector(b"\1" + bytes([kind]) for payload in tags for kind in payload)
    return groups + out + END + _UNREACHABLE + END


def load(module: Module, memory: int) -> bytes:
    """Body of ``(i32 address) -> exnref``, which reads what ``save`` has written."""
    count = len(module.tags)
    out = _BLOCK + bytes([EXNREF]) + _TRY_TABLE + _EMPTY + vector([_CATCH_ALL_REF + b"\0"])
    out += (_BLOCK + _EMPTY) * (count + 2)
    out += local_get(_ADDRESS_FROM) + memory_access(LOADS[I32], memory, 0)
    out += _BR_TABLE + vector(unsigned(label) for label in range(count + 1)) + unsigned(count + 1)
    out += END + _REF_NULL + RETURN
    for tag, kind in enumerate(module.tags):
        out += END
        for value, offset in zip(kind.parameters, _offsets(kind.parameters), strict=True):
            out += local_get(_ADDRESS_FROM) + memory_access(LOADS[value], memory, offset)
        out += _THROW + unsigned(tag)
    out += END + _UNREACHABLE + END + _UNREACHABLE + END
    return b"\0" + out + END


def _store_tag(number: int, memory: int) -> bytes:
    return local_get(_ADDRESS_TO) + i32_const(number) + memory_access(STORES[I32], memory, 0)


def _offsets(payload: bytes) -> list[int]:
    sizes = [opcodes.SIZES[kind] for kind in payload]
    return [_TAG + sum(sizes[:number]) for number in range(len(sizes))]
