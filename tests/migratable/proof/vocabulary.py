"""What generated programs are made of: types, tags, operators, and how likely each feature is.

Knows names of the text format. Does not know how they are put together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

FUNCTIONS: Final = 4
FEATURES: Final = (
    "vectors", "exceptions", "references", "legacy", "tails", "tables", "parameters", "start",
    "memory64", "memories", "growth", "segments", "ask", "address",
)  # fmt: skip
ONE_NAN: Final = "one NaN"
"""Results of arithmetic have no other: which one they have else is for engines to choose."""
RARE: Final = {"legacy": 0.08, "memory64": 0.1, "start": 0.15, "address": 0.15, "tables": 0.25}
"""How likely a feature is in a program; else 0.45."""
SIGNATURES: Final[list[tuple[tuple[str, ...], tuple[str, ...]]]] = [
    (("i32", "i32", "f64"), ("i64",)),
    (("i32", "i64"), ("i32", "i64")),
    (("i32",), ()),
    (("i32", "f32", "i32"), ("f64", "i32", "f32")),
]
VECTOR_SIGNATURE: Final = (("i32", "v128"), ("v128", "i32"))
TAGS: Final[dict[str, tuple[str, ...]]] = {
    "$e0": (), "$e1": ("i32",), "$e2": ("i64", "f64"), "$e3": ("f32", "i32", "i64"),
}  # fmt: skip
LOCALS: Final = {
    "i32": ("$i", "$j"), "i64": ("$l", "$k"), "f32": ("$f",), "f64": ("$d",), "v128": ("$v",),
}  # fmt: skip
CONVERSIONS: Final = {
    "i32": (("i32.wrap_i64", "i64"), ("i32.trunc_sat_f64_s", "f64"), ("i32.clz", "i32")),
    "i64": (("i64.extend_i32_s", "i32"), ("i64.trunc_sat_f64_u", "f64"), ("i64.ctz", "i64")),
    "f32": (("f32.convert_i32_s", "i32"), ("f32.demote_f64", "f64"), ("f32.neg", "f32")),
    "f64": (("f64.convert_i64_s", "i64"), ("f64.promote_f32", "f32"), ("f64.abs", "f64")),
    "v128": (("i32x4.splat", "i32"), ("i64x2.splat", "i64"), ("v128.not", "v128")),
}
BINARY: Final = {
    "i32": ("i32.add", "i32.sub", "i32.mul", "i32.xor", "i32.div_u", "i32.shl"),
    "i64": ("i64.add", "i64.sub", "i64.mul", "i64.rotl", "i64.rem_s"),
    "f32": ("f32.add", "f32.mul", "f32.min"),
    "f64": ("f64.add", "f64.sub", "f64.copysign"),
    "v128": ("i32x4.add", "i8x16.sub", "f64x2.mul", "i16x8.mul"),
}


@dataclass(frozen=True)
class Label:
    """Where a branch may go, and what it takes along."""

    name: str
    kinds: tuple[str, ...]
    loop: bool = False


def declared(kinds: Sequence[str], results: Sequence[str]) -> str:
    """A block type."""
    return f"(param {' '.join(kinds)}) (result {' '.join(results)})"


def signatures(features: frozenset[str]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """The types of functions."""
    return [*SIGNATURES, VECTOR_SIGNATURE] if "vectors" in features else SIGNATURES
