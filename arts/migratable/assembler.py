"""The handful of instructions that generated code consists of, by their names.

Knows encodings. Does not know what the instructions are put together for.
"""

from collections.abc import Sequence
from typing import Final

from arts.migratable import opcodes
from arts.migratable.binary import signed, unsigned
from arts.migratable.opcodes import F32, F64, I32, I64, V128

ELSE, END, RETURN, DROP = b"\x05", b"\x0b", b"\x0f", b"\x1a"
I32_EQZ, I32_EQ, I32_GT_U, I32_LE_U = b"\x45", b"\x46", b"\x4b", b"\x4d"
I32_ADD, I32_SUB, I32_SHL = b"\x6a", b"\x6b", b"\x74"
MEMORY_SIZE, MEMORY_GROW, MEMORY_FILL = b"\x3f\0", b"\x40\0", b"\xfc\x0b\0"
"""Of memory 0."""
IF: Final = b"\x04\x40"
"""An if without operands or results."""

LOADS: Final = {
    I32: (b"\x28", 2),
    I64: (b"\x29", 3),
    F32: (b"\x2a", 2),
    F64: (b"\x2b", 3),
    V128: (b"\xfd\x00", 4),
}
"""For each type the opcode and its natural alignment; so are the following."""
STORES: Final = {
    I32: (b"\x36", 2),
    I64: (b"\x37", 3),
    F32: (b"\x38", 2),
    F64: (b"\x39", 3),
    V128: (b"\xfd\x0b", 4),
}
I32_ATOMIC_LOAD: Final = (b"\xfe\x10", 2)
ZEROS: Final = {
    I32: b"\x41\0",
    I64: b"\x42\0",
    F32: b"\x43" + bytes(4),
    F64: b"\x44" + bytes(8),
    V128: b"\xfd\x0c" + bytes(16),
    opcodes.FUNCREF: b"\xd0\x70",
    opcodes.EXTERNREF: b"\xd0\x6f",
    opcodes.EXNREF: b"\xd0\x69",
}
"""A constant of each type."""


def local_get(variable: int) -> bytes:
    """Push a local."""
    return b"\x20" + unsigned(variable)


def local_set(variable: int) -> bytes:
    """Pop into a local."""
    return b"\x21" + unsigned(variable)


def global_get(number: int) -> bytes:
    """Push a global."""
    return b"\x23" + unsigned(number)


def global_set(number: int) -> bytes:
    """Pop into a global."""
    return b"\x24" + unsigned(number)


def i32_const(value: int) -> bytes:
    """Push an i32."""
    return b"\x41" + signed(value)


def i64_const(value: int) -> bytes:
    """Push an i64."""
    return b"\x42" + signed(value)


def br(depth: int) -> bytes:
    """Go to a label."""
    return b"\x0c" + unsigned(depth)


def br_if(depth: int) -> bytes:
    """Go to a label if what is popped is not 0."""
    return b"\x0d" + unsigned(depth)


def call(function: int) -> bytes:
    """Call a function."""
    return b"\x10" + unsigned(function)


def call_indirect(kind: int, table: int) -> bytes:
    """Call, with a type, the function of a table whose number is popped."""
    return b"\x11" + unsigned(kind) + unsigned(table)


def memory_access(instruction: tuple[bytes, int], memory: int, offset: int) -> bytes:
    """A load or store, given by its opcode and alignment."""
    opcode, alignment = instruction
    if memory:
        return opcode + bytes([alignment | 0x40]) + unsigned(memory) + unsigned(offset)
    return opcode + bytes([alignment]) + unsigned(offset)


def push_all(variables: Sequence[int]) -> bytes:
    """Push locals, first to last."""
    return b"".join(map(local_get, variables))


def pop_all(variables: Sequence[int]) -> bytes:
    """Pop into locals; the last one takes the topmost operand."""
    return b"".join(map(local_set, reversed(variables)))
