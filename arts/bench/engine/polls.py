"""A program with nothing but polls: what asking costs, without being able to do anything about it.

Every loop gets the poll that prepared code has, an atomic load of the flag in a memory of its own.
Behind it, where prepared code would write itself down, is either a trap, which shows what asking
alone costs, or the call of a function that makes a host call, which is what Asyncify needs to find.
Neither ever happens here.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from arts.bench.engine.optional import Missing
from arts.migratable import abi, opcodes
from arts.migratable.assembler import (
    DROP,
    END,
    I32_ATOMIC_LOAD,
    IF,
    call,
    i32_const,
    memory_access,
)
from arts.migratable.binary import PREAMBLE, Reader, section, sized, unsigned, vector
from arts.migratable.module import CODE, FUNCTION, MEMORY, SECTION_ORDER, TYPE, Module, parse

HOST_CALL: Final = ("wasi_snapshot_preview1", "fd_write")
"""What the function behind a poll calls; with arguments that do nothing."""
_HOST_CALL_ARGUMENTS: Final = 4
_NO_TYPE: Final = b"\x60\0\0"
_ONE_PAGE: Final = b"\x01\x01\x01"
_UNREACHABLE: Final = b"\0"


def with_polls(wasm: bytes, *, calling: bool = False) -> bytes:
    """The program with a poll in each loop. Raises Missing if it cannot make the host call."""
    module = parse(wasm)
    ask = i32_const(0) + memory_access(I32_ATOMIC_LOAD, len(module.memories), abi.FLAG_ADDRESS)
    poll = ask + IF + (call(len(module.functions)) if calling else _UNREACHABLE) + END
    first = len(module.imported_functions)
    bodies = [_polled(module, first + number, poll) for number in range(len(module.bodies))]
    added = {MEMORY: [_ONE_PAGE]}
    if calling:
        added |= {TYPE: [_NO_TYPE], FUNCTION: [unsigned(len(module.types))]}
        bodies.append(_host_call(module))
    return _assembled(module, added, vector(bodies))


def _polled(module: Module, function: int, poll: bytes) -> bytes:
    """The body of a function, its loops polled."""
    data, body = module.data, module.bodies[function - len(module.imported_functions)]
    _, start, end = module.locals_of(function)
    code, copied = bytearray(), body.start
    for at in opcodes.stops(opcodes.BETWEEN_BLOCKS, data, start, end):
        if data[at] == opcodes.LOOP:
            behind = opcodes.skip_instruction(data, at)
            code += data[copied:behind] + poll
            copied = behind
    return sized(code + data[copied:end])


def _host_call(module: Module) -> bytes:
    """The function to call where a program would stop."""
    for number, entry in enumerate(module.imported_functions):
        if (entry.module, entry.name) == HOST_CALL:
            arguments = i32_const(0) * _HOST_CALL_ARGUMENTS
            return sized(b"\0" + arguments + call(number) + DROP + END)
    raise Missing(f"the program does not import {HOST_CALL[1]}")


def _assembled(module: Module, added: Mapping[int, Sequence[bytes]], code: bytes) -> bytes:
    """The module with items behind those of its sections, and other code."""
    parts = [PREAMBLE]
    for number in SECTION_ORDER:
        if number == CODE:
            parts.append(section(CODE, code))
        elif number in module.raw:
            reader = Reader(module.data, *module.raw[number])
            if number in added:
                count = unsigned(reader.u32() + len(added[number]))
                own = reader.take(reader.end - reader.at)
                parts.append(section(number, count + own + b"".join(added[number])))
            else:
                parts.append(section(number, reader.take(reader.end - reader.at)))
    return b"".join(parts)
