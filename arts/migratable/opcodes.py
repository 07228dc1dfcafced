"""The WebAssembly instruction set as data: what follows each opcode, what it pops and pushes.

Knows every instruction whose effect on the operand stack is fixed, and the encoding of the rest.
Does not know modules, functions or control flow.
"""

import re
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from arts.migratable.binary import skip_leb, u32
from arts.migratable.errors import Refused

# -- value types -----------------------------------------------------------------------------

I32, I64, F32, F64, V128 = 0x7F, 0x7E, 0x7D, 0x7C, 0x7B
FUNCREF, EXTERNREF, EXNREF = 0x70, 0x6F, 0x69
NO_VALUE: Final = 0
EMPTY_BLOCK: Final = 0x40

TYPE_NAMES: Final = {
    I32: "i32",
    I64: "i64",
    F32: "f32",
    F64: "f64",
    V128: "v128",
    FUNCREF: "funcref",
    EXTERNREF: "externref",
    EXNREF: "exnref",
}
REFERENCE_TYPES: Final = frozenset({FUNCREF, EXTERNREF, EXNREF})
SIZES: Final = {I32: 4, I64: 8, F32: 4, F64: 8, V128: 16}
"""Bytes of a value in a frame; references have none, because they mean nothing elsewhere."""

# -- instructions that need more than a table -------------------------------------------

UNREACHABLE, BLOCK, LOOP, IF, ELSE, END = 0x00, 0x02, 0x03, 0x04, 0x05, 0x0B
THROW, THROW_REF, TRY_TABLE = 0x08, 0x0A, 0x1F
TRY, CATCH, RETHROW, DELEGATE, CATCH_ALL = 0x06, 0x07, 0x09, 0x18, 0x19
"""Legacy exceptions: ``lowering`` replaces them."""
BR, BR_IF, BR_TABLE, RETURN = 0x0C, 0x0D, 0x0E, 0x0F
CALL, CALL_INDIRECT, RETURN_CALL, RETURN_CALL_INDIRECT = 0x10, 0x11, 0x12, 0x13
SELECT, SELECT_TYPED = 0x1B, 0x1C
LOCAL_GET, LOCAL_SET, LOCAL_TEE, GLOBAL_GET, GLOBAL_SET = 0x20, 0x21, 0x22, 0x23, 0x24
TABLE_GET, TABLE_SET = 0x25, 0x26
MEMORY_SIZE, MEMORY_GROW = 0x3F, 0x40
REF_NULL, REF_FUNC = 0xD0, 0xD2
BULK, VECTOR, ATOMIC = 0xFC, 0xFD, 0xFE
"""Prefixes: the instruction's number follows as LEB128."""
MEMORY_INIT, DATA_DROP, MEMORY_FILL, TABLE_INIT, ELEMENT_DROP = 8, 9, 11, 12, 13
TABLE_COPY, TABLE_GROW, TABLE_SIZE, TABLE_FILL = 14, 15, 16, 17
DROPS: Final = frozenset({DATA_DROP, ELEMENT_DROP})
TABLE_MUTATIONS: Final = frozenset({TABLE_INIT, TABLE_COPY, TABLE_GROW, TABLE_FILL})
SEGMENT_USERS: Final = frozenset({MEMORY_INIT, TABLE_INIT})
"""Numbers behind ``BULK``."""
GC: Final = frozenset({0x14, 0x15, 0xD3, 0xD4, 0xD5, 0xD6, 0xFB})
"""Typed function references and garbage collected types."""


class Immediate(IntEnum):
    """What follows an opcode."""

    NONE = 0
    LEB = 1
    LEB2 = 2
    MEMARG = 3
    FOUR_BYTES = 4
    EIGHT_BYTES = 5
    SIXTEEN_BYTES = 6
    LANE = 7
    MEMARG_LANE = 8
    BLOCK_TYPE = 9
    HEAP_TYPE = 10
    TYPES = 11
    BRANCHES = 12
    CATCHES = 13


class Shape(NamedTuple):
    """Encoding and stack effect of an instruction: operands popped, type pushed (or 0)."""

    immediate: Immediate
    pops: int
    pushes: int


def _spread(table: dict[int, Shape], rows: str, types: dict[str, int]) -> dict[int, Shape]:
    """Fill a table from lines ``numbers : immediate pops pushes``; ranges are inclusive."""
    for row in rows.strip().splitlines():
        numbers, effect = row.split(":")
        immediate, pops, pushes = effect.split()
        shape = Shape(Immediate[immediate], int(pops), types[pushes])
        for span in numbers.split():
            first, _, last = span.partition("-")
            for number in range(int(first, 16), int(last or first, 16) + 1):
                table[number] = shape
    return table


_TYPES = {"-": NO_VALUE, "i32": I32, "i64": I64, "f32": F32, "f64": F64, "v128": V128}

PLAIN: Final = _spread(
    {},
    """
    01 : NONE 0 -
    1a : NONE 1 -
    28 2c-2f : MEMARG 1 i32
    29 30-35 : MEMARG 1 i64
    2a : MEMARG 1 f32
    2b : MEMARG 1 f64
    36-3e : MEMARG 2 -
    41 : LEB 0 i32
    42 : LEB 0 i64
    43 : FOUR_BYTES 0 f32
    44 : EIGHT_BYTES 0 f64
    45 50 67-69 a7-ab bc c0-c1 d1 : NONE 1 i32
    46-4f 51-66 6a-78 : NONE 2 i32
    79-7b ac-b1 bd c2-c4 : NONE 1 i64
    7c-8a : NONE 2 i64
    8b-91 b2-b6 be : NONE 1 f32
    92-98 : NONE 2 f32
    99-9f b7-bb bf : NONE 1 f64
    a0-a6 : NONE 2 f64
    """,
    _TYPES,
)
"""Instructions without a prefix whose effect needs nothing but this table."""

PREFIXED: Final = {
    BULK: _spread(
        {},
        """
        00-03 : NONE 1 i32
        04-07 : NONE 1 i64
        08 0a 0c 0e : LEB2 3 -
        09 0d : LEB 0 -
        0b 11 : LEB 3 -
        0f : LEB 2 i32
        10 : LEB 0 i32
        """,
        _TYPES,
    ),
    VECTOR: _spread(
        {},
        """
        00-0a 5c-5d : MEMARG 1 v128
        0b : MEMARG 2 -
        0c : SIXTEEN_BYTES 0 v128
        0d : SIXTEEN_BYTES 2 v128
        0e 23-4c 4e-51 65-66 6b-73 76-79 7b 82 85-86 8b-93 95-99 9b-9f : NONE 2 v128
        ab-ad ae b1 b5-ba bc-bf cb-cd ce d1 d5-db dc-df e4-eb f0-f7 : NONE 2 v128
        100 10d-112 : NONE 2 v128
        0f-14 4d 5e-62 67-6a 74-75 7a 7c-81 87-8a 94 a0-a1 a7-aa : NONE 1 v128
        c0-c1 c7-ca e0-e1 e3 ec-ed ef f8-ff 101-104 : NONE 1 v128
        52 105-10c 113 : NONE 3 v128
        15-16 18-19 1b : LANE 1 i32
        1d : LANE 1 i64
        1f : LANE 1 f32
        21 : LANE 1 f64
        17 1a 1c 1e 20 22 : LANE 2 v128
        53 63-64 83-84 a3-a4 c3-c4 : NONE 1 i32
        54-57 : MEMARG_LANE 2 v128
        58-5b : MEMARG_LANE 2 -
        """,
        _TYPES,
    ),
    ATOMIC: _spread(
        {},
        """
        00 : MEMARG 2 i32
        01-02 48 4a-4b : MEMARG 3 i32
        49 4c-4e : MEMARG 3 i64
        03 : LEB 0 -
        10 12-13 : MEMARG 1 i32
        11 14-16 : MEMARG 1 i64
        1e 20-21 25 27-28 2c 2e-2f 33 35-36 3a 3c-3d 41 43-44 : MEMARG 2 i32
        1f 22-24 26 29-2b 2d 30-32 34 37-39 3b 3e-40 42 45-47 : MEMARG 2 i64
        17-1d : MEMARG 2 -
        """,
        _TYPES,
    ),
}
"""By prefix, then by the number behind it."""

SPECIAL: Final = {
    **dict.fromkeys((UNREACHABLE, RETURN, ELSE, END, SELECT, THROW_REF), Immediate.NONE),
    **dict.fromkeys((BLOCK, LOOP, IF), Immediate.BLOCK_TYPE),
    **dict.fromkeys((BR, BR_IF, CALL, RETURN_CALL, THROW, REF_FUNC), Immediate.LEB),
    **dict.fromkeys((LOCAL_GET, LOCAL_SET, LOCAL_TEE, GLOBAL_GET, GLOBAL_SET), Immediate.LEB),
    **dict.fromkeys((TABLE_GET, TABLE_SET, MEMORY_SIZE, MEMORY_GROW), Immediate.LEB),
    **dict.fromkeys((CALL_INDIRECT, RETURN_CALL_INDIRECT), Immediate.LEB2),
    SELECT_TYPED: Immediate.TYPES,
    BR_TABLE: Immediate.BRANCHES,
    TRY_TABLE: Immediate.CATCHES,
    REF_NULL: Immediate.HEAP_TYPE,
    TRY: Immediate.BLOCK_TYPE,
    **dict.fromkeys((CATCH, RETHROW, DELEGATE), Immediate.LEB),
    CATCH_ALL: Immediate.NONE,
}
"""Instructions whose effect depends on the module, the function or the control stack."""


# -- passing over instructions ---------------------------------------------------------------


def unsupported(opcode: int, number: int | None = None) -> Refused:
    """The refusal of an instruction that is not in the tables."""
    if opcode in GC:
        return Refused("typed references or garbage collected types")
    shown = f"{opcode:#04x}" if number is None else f"{opcode:#04x} {number}"
    return Refused(f"unknown instruction {shown}")


def prefixed(data: bytes, at: int) -> tuple[int, Shape, int]:
    """Decode a prefixed opcode: (number, shape, position of its immediates)."""
    prefix = data[at]
    number, at = u32(data, at + 1)
    shape = PREFIXED[prefix].get(number)
    if shape is None:
        raise unsupported(prefix, number)
    return number, shape, at


def check_value_type(code: int) -> int:
    """The value type itself. Raises Refused for those nobody here can hold."""
    if code not in TYPE_NAMES:
        raise Refused("typed references or garbage collected types")
    return code


def skip_immediate(kind: Immediate, data: bytes, at: int) -> int:
    """Position behind an immediate that starts at ``at``. IndexError behind the last byte."""
    if kind <= Immediate.LEB2:
        for _ in range(kind):
            at = skip_leb(data, at)
        return at
    return _SKIP[kind](data, at)


def skip_instruction(data: bytes, at: int) -> int:
    """Position behind the instruction at ``at``. Raises Refused for unknown ones."""
    opcode = data[at]
    if opcode in PREFIXED:
        _, shape, at = prefixed(data, at)
        return skip_immediate(shape.immediate, data, at)
    plain = PLAIN.get(opcode)
    kind = SPECIAL.get(opcode) if plain is None else plain.immediate
    if kind is None:
        raise unsupported(opcode)
    return skip_immediate(kind, data, at + 1)


def skip_memarg(data: bytes, at: int) -> int:
    """Position behind alignment, memory index (with more than one memory) and offset."""
    flags, at = u32(data, at)
    if flags & 0x40:
        at = skip_leb(data, at)
    return skip_leb(data, at)


def _skip_block_type(data: bytes, at: int) -> int:
    byte = data[at]
    if EMPTY_BLOCK < byte < 0x80:
        check_value_type(byte)
    return skip_leb(data, at)


def _skip_heap_type(data: bytes, at: int) -> int:
    check_value_type(data[at])
    return at + 1


def _skip_types(data: bytes, at: int) -> int:
    count, at = u32(data, at)
    for _ in range(count):
        check_value_type(data[at])
        at += 1
    return at


def _skip_branches(data: bytes, at: int) -> int:
    count, at = u32(data, at)
    for _ in range(count + 1):
        at = skip_leb(data, at)
    return at


def _skip_catches(data: bytes, at: int) -> int:
    at = _skip_block_type(data, at)
    count, at = u32(data, at)
    for _ in range(count):
        has_tag = data[at] < 2
        at = skip_leb(data, at + 1)
        if has_tag:
            at = skip_leb(data, at)
    return at


_SKIP: Final[dict[Immediate, Callable[[bytes, int], int]]] = {
    Immediate.MEMARG: skip_memarg,
    Immediate.FOUR_BYTES: lambda _, at: at + 4,
    Immediate.EIGHT_BYTES: lambda _, at: at + 8,
    Immediate.SIXTEEN_BYTES: lambda _, at: at + 16,
    Immediate.LANE: lambda _, at: at + 1,
    Immediate.MEMARG_LANE: lambda data, at: skip_memarg(data, at) + 1,
    Immediate.BLOCK_TYPE: _skip_block_type,
    Immediate.HEAP_TYPE: _skip_heap_type,
    Immediate.TYPES: _skip_types,
    Immediate.BRANCHES: _skip_branches,
    Immediate.CATCHES: _skip_catches,
}


# -- passing over many instructions at once ---------------------------------------------------

_LEB = rb"[\x80-\xff]*+[\x00-\x7f]"
_MEMARG = rb"(?:[\x00-\x3f]|[\x40-\x7f]" + _LEB + rb")" + _LEB
_PATTERNS: Final = {
    Immediate.NONE: b"",
    Immediate.LEB: _LEB,
    Immediate.LEB2: _LEB + _LEB,
    Immediate.MEMARG: _MEMARG,
    Immediate.FOUR_BYTES: rb".{4}",
    Immediate.EIGHT_BYTES: rb".{8}",
    Immediate.SIXTEEN_BYTES: rb".{16}",
    Immediate.LANE: rb".",
    Immediate.MEMARG_LANE: _MEMARG + rb".",
    Immediate.BLOCK_TYPE: rb"(?:[\x00-\x40\x69\x6f\x70\x7b-\x7f]|[\x80-\xff]++[\x00-\x7f])",
}


def _alternatives(kinds: dict[int, Immediate]) -> list[bytes]:
    """One alternative per kind of immediate: a class of opcodes, then the immediate."""
    return [
        b"[" + b"".join(re.escape(bytes([op])) for op in ops) + b"]" + _PATTERNS[kind]
        for kind in sorted(set(kinds.values()))
        if (ops := sorted(op for op, its in kinds.items() if its is kind))
    ]


def _leb_literal(number: int) -> bytes:
    low = bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80, number >> 7])
    return re.escape(low)


def runs_without(
    stops: frozenset[int], stopping_numbers: frozenset[int] = frozenset()
) -> re.Pattern[bytes]:
    """A pattern for the longest run of instructions that are none of ``stops``.

    ``stopping_numbers`` are those behind ``BULK``.

    Encodings are a regular language but for the few with counted lists, which always stop a run
    (as do oddly long integers); so C passes over what Python need not look at.
    """
    kinds = {op: shape.immediate for op, shape in PLAIN.items()} | SPECIAL
    alternatives = _alternatives(
        {op: kind for op, kind in kinds.items() if op not in stops and kind in _PATTERNS}
    )
    for prefix, table in PREFIXED.items():
        for kind in sorted({shape.immediate for shape in table.values()}):
            numbers = [
                _leb_literal(number)
                for number, shape in table.items()
                if shape.immediate is kind and not (prefix == BULK and number in stopping_numbers)
            ]
            choice = b"(?>" + b"|".join(numbers) + b")"
            alternatives.append(re.escape(bytes([prefix])) + choice + _PATTERNS[kind])
    return re.compile(b"(?>" + b"|".join(alternatives) + b")*+", re.DOTALL)


BETWEEN_CALLS: Final = runs_without(
    frozenset({LOOP, CALL, CALL_INDIRECT, RETURN_CALL, RETURN_CALL_INDIRECT, REF_FUNC, TABLE_SET}),
    TABLE_MUTATIONS,
)
"""Matches what the call graph need not look at."""

BETWEEN_BLOCKS: Final = runs_without(
    frozenset({BLOCK, LOOP, IF, ELSE, END, TRY_TABLE, CALL, CALL_INDIRECT})
)
"""Matches what the nesting of blocks, and of calls in them, need not look at."""


def stops(pattern: re.Pattern[bytes], data: bytes, at: int, end: int) -> Iterator[int]:
    """Positions in ``data[at:end]`` of the instructions that interrupt the pattern.

    Raises Refused at unknown instructions, IndexError when the last one is cut off.
    """
    while at < end:
        run = pattern.match(data, at, end)
        at = run.end() if run else at
        if at < end:
            yield at
            at = skip_instruction(data, at)
    if at > end:
        raise IndexError
