"""Random modules of wasm-smith (``wasm-tools smith``): stranger than anything we would think of.

Knows how to ask for modules that end, and how to call what they export.
"""

import random
import subprocess
from typing import Final

from arts.migratable.module import FUNCTION_KIND, parse

from .machine import SIZES, Value
from .wast import WASM_TOOLS

ALWAYS: Final = {
    "gc-enabled": False,
    "shared-everything-threads-enabled": False,
    "custom-page-sizes-enabled": False,
    "custom-descriptors-enabled": False,
    "compact-imports-enabled": False,
    "threads-enabled": False,
    "export-everything": True,
    "allow-start-export": False,
    "max-imports": 0,
    "min-funcs": 3,
    "max-funcs": 9,
    "max-instructions": 160,
    "max-memory32-bytes": 1 << 18,
    "max-memory64-bytes": 1 << 18,
    "max-table-elements": 16,
    "max-tables": 3,
    "max-memories": 2,
    "max-data-segments": 4,
    "memory-max-size-required": True,  # 4 GiB cannot hold frames too, and takes long to compare
}
SOMETIMES: Final = {
    "tail-call-enabled": 0.3,
    "exceptions-enabled": 0.5,
    "memory64-enabled": 0.1,
    "simd-enabled": 0.4,
    "relaxed-simd-enabled": 0.2,
    "reference-types-enabled": 0.25,
    "bulk-memory-enabled": 0.5,
    "wide-arithmetic-enabled": 0.0,
    "disallow-traps": 0.7,
    "generate-custom-sections": 0.1,
    "extended-const-enabled": 0.3,
    "multi-value-enabled": 0.8,
}


PORTABLE: Final = {"canonicalize-nans": True, "relaxed-simd-enabled": False}
"""Engines shall agree about every bit."""
FOREIGN: Final = frozenset({"v128", "exnref"})
"""Types of values that JavaScript can neither give nor take."""


def module(seed: int, portable: bool = False) -> bytes:
    """The module of a seed."""
    chance = random.Random(seed)
    options = ALWAYS | {name: chance.random() < share for name, share in SOMETIMES.items()}
    options |= PORTABLE if portable else {}
    if not options["bulk-memory-enabled"]:
        options["reference-types-enabled"] = False
    done = subprocess.run(
        [WASM_TOOLS, "smith", "--ensure-termination", "--fuel", str(chance.choice((60, 250)))]
        + [f"--{name}={str(value).lower()}" for name, value in options.items()],
        input=chance.randbytes(chance.choice((1500, 4000, 9000))),
        capture_output=True,
        check=True,
    )
    return done.stdout


def calls(
    wasm: bytes, seed: int, portable: bool = False, most: int = 2
) -> list[tuple[str, list[Value]]]:
    """Calls of exported functions. Raises Refused if the module cannot be read."""
    chance = random.Random(seed)
    found = parse(wasm)
    known = {0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128",
             0x70: "funcref", 0x6F: "externref", 0x69: "exnref"}  # fmt: skip
    made = []
    for entry in found.exports:
        if entry.kind == FUNCTION_KIND:
            parameters, results = found.type_of(entry.index)
            kinds = [known[code] for code in parameters]
            foreign = FOREIGN & {*kinds, *(known[code] for code in results)}
            if "exnref" not in kinds and not (portable and foreign):
                made.append((entry.name, [_value(kind, chance) for kind in kinds]))
    chance.shuffle(made)
    return made[:most]


def _value(kind: str, chance: random.Random) -> Value:
    if kind in SIZES:
        small = chance.random() < 0.5
        return Value(kind, chance.randint(0, 9) if small else chance.getrandbits(8 * SIZES[kind]))
    return Value(kind, None)
