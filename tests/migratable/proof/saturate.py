"""More safepoints than any compiler makes: an empty loop between the instructions of a module.

An empty loop does nothing, but it is polled: so a pause can happen with any operands on the
stack, in any block, before and after any call, also where no loop is for miles. Knows where
instructions begin; the result is as valid as the original was.
"""

import random
from typing import Final

from arts.migratable import opcodes
from arts.migratable.binary import CUSTOM, PREAMBLE, section, sections, sized, vector
from arts.migratable.module import CODE, Module, parse

EMPTY_LOOP: Final = b"\x03\x40\x0b"
DENSITIES: Final = (1.0, 0.25, 0.0)
"""Shares of instructions that get a loop behind them; functions always get one at entry."""


def saturated(wasm: bytes, density: float = 1.0, seed: int = 0) -> bytes:
    """The module with an empty loop at every function entry and between many instructions."""
    module = parse(wasm)
    chance = random.Random(seed)
    parts = [PREAMBLE]
    for number, reader in sections(wasm):
        if number == CODE:
            first = len(module.imported_functions)
            bodies = [
                sized(_body(module, first + n, density, chance)) for n in range(len(module.bodies))
            ]
            parts.append(section(CODE, vector(bodies)))
        elif number != CUSTOM:
            parts.append(section(number, wasm[reader.at : reader.end]))
    return b"".join(parts)


def _body(module: Module, function: int, density: float, chance: random.Random) -> bytes:
    data, body = module.data, module.bodies[function - len(module.imported_functions)]
    _, at, end = module.locals_of(function)
    out = bytearray(data[body.start : at]) + EMPTY_LOOP
    while at < end:
        behind = opcodes.skip_instruction(data, at)
        out += data[at:behind]
        if behind < end and chance.random() < density:
            out += EMPTY_LOOP
        at = behind
    return bytes(out)
