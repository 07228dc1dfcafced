"""Random programs that do much and always end: the same seed gives the same program.

Made to be hard to write down: calls, direct, indirect and in tail position, under operands of all
types; loops and blocks with parameters; jumps out of, into and between them; exceptions that are
caught with their payload, kept while other code runs, and thrown again; tables and memories that
change underway; a host that may be asked to wait. Knows the text format, and nothing of what is
done with programs. Calls and loops burn a supply that is global: when it is gone, functions return
at once and loops end.
"""

import random
from dataclasses import dataclass
from typing import Final

import wasmtime

from .machine import SIZES, Value
from .vocabulary import FEATURES, FUNCTIONS, ONE_NAN, RARE, TAGS, signatures
from .writing import Writer

ONE_NAN_FUNCTIONS: Final = " ".join(
    f"""(func $one_nan_{kind} (param {kind}) (result {kind})
      (select (local.get 0) ({kind}.const nan) ({kind}.eq (local.get 0) (local.get 0))))"""
    for kind in ("f32", "f64")
)


@dataclass(frozen=True)
class Generated:
    """A program, and how to call it."""

    wasm: bytes
    text: str
    features: frozenset[str]
    calls: list[tuple[str, list[Value]]]


def chosen_features(chance: random.Random) -> frozenset[str]:
    """What a program may use."""
    found = {name for name in FEATURES if chance.random() < RARE.get(name, 0.45)}
    if "legacy" in found:
        found -= {"exceptions", "references"}
    elif "references" in found:
        found.add("exceptions")
    return frozenset(found)


def text_of(chance: random.Random, features: frozenset[str]) -> str:
    """A program in the text format."""
    functions = "\n".join(
        Writer(chance, features, number).function() for number in range(FUNCTIONS)
    )
    kinds = signatures(features)
    types = " ".join(
        f"(type $t{n} (func (param {' '.join(p)}) (result {' '.join(r)})))"
        for n, (p, r) in enumerate(kinds)
    )
    tags = " ".join(f"(tag {tag} (param {' '.join(its)}))" for tag, its in TAGS.items())
    if not features & {"exceptions", "legacy"}:
        tags = ""
    names = " ".join(f"$f{number}" for number in range(FUNCTIONS))
    wide = "i64" if "memory64" in features else ""
    limits = "1 4" if "growth" in features else "1"
    at = "(i64.const 8)" if wide else "(i32.const 8)"
    asked = "$ask" if "address" in features and "ask" in features else "$f0"
    return f"""(module
      {types} (type $asking (func (param i32) (result i32)))
      {
        '''(import "env" "ask" (func $ask (type $asking)))
      (import "env" "ask64" (func $ask64 (param i64 i32) (result i64)))'''
        if "ask" in features
        else ""
    }
      {tags}
      (memory $first (export "memory") {wide} {limits}) (memory $second {wide} 1)
      (data (memory $first) {at} "0123456789abcdef")
      (data $data "abcdefghij") (data $other "klmnop")
      (table $table {FUNCTIONS + 1} {FUNCTIONS + 6} funcref)
      (elem (table $table) (i32.const 0) func {names} {asked})
      (elem $elements func $f1 $f2)
      (global $g_i32 (export "g_i32") (mut i32) (i32.const 5))
      (global $g_i64 (export "g_i64") (mut i64) (i64.const 6))
      (global $g_f32 (export "g_f32") (mut f32) (f32.const 0.5))
      (global $g_f64 (export "g_f64") (mut f64) (f64.const 1.5))
      (global $supply (mut i32) (i32.const {chance.choice((20, 50, 120))}))
      (func $burn (result i32)
        (if (i32.le_s (global.get $supply) (i32.const 0)) (then (return (i32.const 0))))
        (global.set $supply (i32.sub (global.get $supply) (i32.const 1)))
        (i32.const 1))
      {
        "(func $begin (drop (call $f0 (i32.const 2) (i32.const 1) (f64.const 2)))) (start $begin)"
        if "start" in features
        else ""
    }
      {ONE_NAN_FUNCTIONS if ONE_NAN in features else ""}
      {functions})"""


def program(seed: int, features: frozenset[str] | None = None, portable: bool = False) -> Generated:
    """The program of a seed; if it is portable, all engines agree about every bit."""
    chance = random.Random(seed)
    used = chosen_features(chance) if features is None else features
    used |= {ONE_NAN} if portable else set()
    text = text_of(chance, used)
    calls = []
    for number in chance.sample(range(FUNCTIONS), chance.choice((1, 1, 2))):
        kinds, _ = signatures(used)[number % len(signatures(used))]
        values = [Value(kind, chance.getrandbits(8 * SIZES[kind])) for kind in kinds]
        calls.append((f"f{number}", [Value("i32", 0), *values[1:]]))
    return Generated(bytes(wasmtime.wat2wasm(text)), text, used, calls)
