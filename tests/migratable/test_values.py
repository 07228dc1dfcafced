"""Every kind of value and of control flow survives a pause at every single safepoint."""

import itertools
from typing import Any

import pytest
import wasmtime

from .differential import program, run
from .host import ENGINE

HEAD = """(module
  (memory (export "memory") 1)
  (global $g (mut i32) (i32.const 5))
  (tag $error (param i32 i64))
  (type $binary (func (param i32 i32) (result i32)))
  (table 4 funcref)
  (elem (i32.const 0) $add $spin $add $spin)
  (data $text "safepoint")
  (func $add (type $binary) (i32.add (local.get 0) (local.get 1)))
  (func $spin (type $binary) (local $i i32)
    (local.set $i (i32.and (local.get 1) (i32.const 3)))
    (loop $l
      (global.set $g (i32.add (global.get $g) (local.get 0)))
      (local.set 0 (i32.mul (local.get 0) (i32.const 3)))
      (br_if $l (i32.gt_s (local.tee $i (i32.sub (local.get $i) (i32.const 1))) (i32.const 0))))
    (i32.xor (local.get 0) (global.get $g)))
  (func $pair (param i32) (result i32 i64)
    (call $spin (local.get 0) (i32.const 2))
    (i64.extend_i32_u (call $spin (local.get 0) (i32.const 3))))
"""

FUNCTIONS = {
    "i64 live in a loop": """(param $n i32) (result i64) (local $x i64)
      (local.set $x (i64.const -7))
      (loop $l
        (local.set $x (i64.mul (local.get $x) (i64.const 0x1234567)))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $x)""",
    "f32 and f64 live in a loop": """(param $n i32) (result f64) (local $x f32) (local $y f64)
      (local.set $x (f32.const 1.5)) (local.set $y (f64.const 0.1))
      (loop $l
        (local.set $x (f32.mul (local.get $x) (f32.const 1.25)))
        (local.set $y (f64.add (local.get $y) (f64.promote_f32 (local.get $x))))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (f64.add (local.get $y) (f64.promote_f32 (local.get $x)))""",
    "v128 live in a loop, and as an operand": """(param $n i32) (result i64) (local $v v128)
      (local.set $v (i64x2.splat (i64.const 3)))
      (loop $l
        (local.set $v
          (i64x2.add (local.get $v) (i64x2.splat (i64.extend_i32_s
            (call $spin (local.get $n) (i32.const 2))))))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (i64.add (i64x2.extract_lane 0 (local.get $v)) (i64x2.extract_lane 1 (local.get $v)))""",
    "operands of all types below a call": """(param $n i32) (result f64)
      (local $i i32) (local $f f64)
      (i64.const 11) (f32.const 2.5) (f64.const 0.3) (v128.const i64x2 3 4)
      (call $spin (local.get $n) (i32.const 3))
      local.set $i
      i64x2.extract_lane 1
      f64.convert_i64_s
      f64.add
      local.set $f
      f64.promote_f32
      (local.set $f (f64.add (local.get $f)))
      f64.convert_i64_s
      (f64.add (local.get $f))
      (f64.add (f64.convert_i32_s (local.get $i)))""",
    "an if with parameters, both arms": """(param $n i32) (result i32) (local $s i32)
      (loop $l
        (i32.const 100) (local.get $n) (local.get $s)
        (if (param i32 i32) (result i32) (i32.and (local.get $n) (i32.const 1))
          (then (call $spin) (i32.const 1) i32.add)
          (else (i32.sub) (i32.const 2) (call $spin)))
        i32.add
        local.set $s
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $s)""",
    "an if with parameters and one arm": """(param $n i32) (result i32)
      (i32.const 100) (local.get $n) (i32.const 6)
      (if (param i32 i32) (result i32 i32) (i32.and (local.get $n) (i32.const 1))
        (then (call $spin) (i32.const 1)))
      i32.sub i32.add""",
    "blocks with several results and values on branches": """(param $n i32) (result i32)
      (local $s i32)
      (loop $l
        (i32.const 9)
        (block $b (result i32 i32)
          (call $spin (local.get $n) (i32.const 2))
          (local.get $n)
          (br_if $b (i32.and (local.get $n) (i32.const 2)))
          (call $spin (i32.const 1)))
        i32.sub i32.add
        (local.set $s (i32.add (local.get $s)))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $s)""",
    "a block with parameters": """(param $n i32) (result i32)
      (i32.const 3) (local.get $n)
      (block (param i32) (result i32 i64) (call $pair))
      i32.wrap_i64 i32.add i32.add""",
    "a call with two results in a loop": """(param $n i32) (result i32) (local $s i32)
      (loop $l
        (local.get $s) (call $pair (local.get $n))
        i32.wrap_i64 i32.sub i32.add
        local.set $s
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $s)""",
    "a br_table in a loop": """(param $n i32) (result i32) (local $s i32)
      (loop $next
        (block $done
          (block $two (block $one (block $zero
            (br_table $zero $one $two $done (i32.rem_u (local.get $n) (i32.const 5))))
            (local.set $s (call $spin (local.get $s) (local.get $n)))
            (br $done))
            (local.set $s (i32.add (local.get $s) (i32.const 1))))
          (local.set $s (i32.add (local.get $s) (call $spin (i32.const 1) (local.get $n)))))
        (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $s)""",
    "calls through the table": """(param $n i32) (result i32) (local $s i32)
      (loop $l
        (local.set $s (i32.add (local.get $s)
          (call_indirect (type $binary)
            (local.get $s) (local.get $n) (i32.and (local.get $n) (i32.const 3)))))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $s)""",
    "loops with results, in loops, left by return": """(param $n i32) (result i32) (local $i i32)
      (loop $outer (result i32)
        (local.set $i (i32.const 3))
        (i32.const 1000)
        (loop $inner (result i32)
          (if (i32.gt_u (global.get $g) (i32.const 500000)) (then (return (local.get $i))))
          (drop (call $spin (local.get $n) (i32.const 2)))
          (br_if $inner (local.tee $i (i32.sub (local.get $i) (i32.const 1))))
          (local.get $n))
        i32.add
        (local.set $i)
        (br_if $outer (local.tee $n (i32.sub (local.get $n) (i32.const 1))))
        (local.get $i))""",
    "an exception through paused frames": """(param $n i32) (result i32) (local $s i32)
      (loop $l
        (block $caught (result i32 i64)
          (try_table (catch $error $caught)
            (local.set $s (i32.add (local.get $s) (call $spin (local.get $n) (i32.const 2))))
            (if (i32.and (local.get $n) (i32.const 1))
              (then (throw $error (local.get $s) (i64.const 3))))
            (local.set $s (i32.add (local.get $s) (call $spin (local.get $n) (i32.const 2)))))
          (i32.const 1) (i64.const 1))
        i32.wrap_i64
        i32.add
        (local.set $s (i32.add (local.get $s)))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (local.get $s)""",
    "a callee that throws, after it was paused": """(param $n i32) (result i32)
      (block $caught
        (try_table (catch_all $caught)
          (return (call $thrower (local.get $n)))))
      (call $spin (i32.const 5) (i32.const 3))""",
    "data segments": """(param $n i32) (result i32) (local $s i32)
      (loop $l
        (memory.init $text (local.get $n) (i32.const 0) (i32.const 9))
        (local.set $s (i32.add (local.get $s) (i32.load8_u (i32.const 5))))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (data.drop $text)
      (memory.fill (i32.const 0) (call $spin (i32.const 1) (i32.const 3)) (i32.const 20))
      (local.get $s)""",
    "code that cannot be reached": """(param $n i32) (result i32)
      (block $out (result i32)
        (br $out (call $spin (local.get $n) (i32.const 3)))
        (block (loop (br 0)) (if (i32.const 1) (then) (else)))
        (call $spin))
      (local.set $n)
      (if (result i32) (i32.eqz (local.get $n))
        (then (unreachable))
        (else (return (call $spin (local.get $n) (i32.const 2)))))""",
    "a function reference as an operand": """(param $n i32) (result i32)
      (loop $l
        (drop (ref.func $add))
        (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (drop (ref.is_null (ref.null func)))
      (drop (table.get (i32.const 1)))
      (drop (select (result funcref) (ref.func $add) (table.get (i32.const 2)) (local.get $n)))
      (call $spin (local.get $n) (table.size))""",
    "a trap after a pause": """(param $n i32) (result i32)
      (i32.div_u (call $spin (local.get $n) (i32.const 3)) (i32.const 0))""",
    "an early exit in an arm of an if": """(param $n i32) (result i32) (local $s i32)
      (loop $l
        (if (i32.lt_u (local.get $n) (i32.const 3))
          (then
            (local.set $s (call $spin (local.get $n) (i32.const 2)))
            (if (i32.eqz (local.get $n)) (then (return (local.get $s)))))
          (else
            (local.set $s (i32.sub (local.get $s) (call $spin (local.get $s) (i32.const 2))))))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $l))
      (unreachable)""",
}
THROWER = """(func $thrower (param $n i32) (result i32)
    (loop $l
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (throw $error (i32.const 1) (i64.const 2)))"""


def module(body: str) -> bytes:
    """A module around one function."""
    wasm = bytes(wasmtime.wat2wasm(f'{HEAD} {THROWER} (func (export "test") {body}))'))
    wasmtime.Module.validate(ENGINE, wasm)
    return wasm


@pytest.mark.parametrize(
    ("small_loop", "nest", "in_place"),
    [(256, False, True), (256, True, False), (0, False, False), (0, True, True)],
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_paused_at_every_safepoint(name: str, small_loop: int, nest: bool, in_place: bool) -> None:
    prepared = program(module(FUNCTIONS[name]), small_loop, nest)
    pauses = 0
    for argument in (1, 4, 5):
        plain, none = run(prepared, "test", [argument])
        assert none == 0
        paused, some = run(prepared, "test", [argument], every=1, in_place=in_place)
        assert paused == plain
        pauses += some
    assert pauses > 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_point_alone(name: str) -> None:
    """Not only chains of pauses: each point is the only one of a run."""
    prepared = program(module(FUNCTIONS[name]))
    plain, _ = run(prepared, "test", [3])
    for every in itertools.count(2):
        paused, pauses = run(prepared, "test", [3], every=every)
        assert paused == plain
        if pauses == 0:
            break


HOST_CALLS = """(module
  (import "env" "ask" (func $ask (param i32 i64) (result i32)))
  (import "env" "tell" (func $tell (param i32)))
  (func (export "test") (param $n i32) (result i32) (local $s i32)
    (loop $l
      (call $tell (local.get $s))
      (i32.const 40)
      (local.set $s (i32.add (local.get $s)
        (call $ask (local.get $n) (i64.extend_i32_u (i32.mul (local.get $n) (i32.const 3))))))
      (drop (call $ask (local.get $s) (i64.const 0)))
      (local.set $s (i32.add (local.get $s)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $s)))"""


@pytest.mark.parametrize("small_loop", [0, 256])
@pytest.mark.parametrize("in_place", [False, True])
def test_blocking_imports_are_repeated_with_their_arguments(
    small_loop: int, in_place: bool
) -> None:
    prepared = program(
        wasmtime.wat2wasm(HOST_CALLS), small_loop, blocking=[("env", "ask"), ("env", "other")]
    )
    assert prepared.description.blocks_on == (("env", "ask"),)

    def attempt(parks: bool, every: int) -> tuple[Any, int, list[Any], list[Any]]:
        told: list[Any] = []
        asked: list[Any] = []
        parked = False

        def ask(guest: Any, *arguments: int) -> int:
            nonlocal parked
            parked = parks and not parked
            if parked:
                guest.park()
                return -1
            asked.append(arguments)
            return arguments[0] * 2 + arguments[1]

        imports = {("env", "ask"): ask, ("env", "tell"): lambda _, it: told.append(it)}
        observed, pauses = run(prepared, "test", [4], every, imports, in_place)
        return observed, pauses, told, asked

    plain = attempt(False, 0)
    blocked = attempt(True, 0)
    both = attempt(True, 1)
    assert (plain[1], blocked[1], both[1]) == (0, 8, 12)
    assert plain[0] == blocked[0] == both[0]
    assert plain[2:] == blocked[2:] == both[2:]


def test_two_memories_and_two_tables() -> None:
    wat = """(module
      (memory 1) (memory $second 1)
      (type $unary (func (param i32) (result i32)))
      (table funcref (elem $count)) (table $other funcref (elem $count))
      (func $count (type $unary) (local $i i32)
        (loop $l
          (i32.store $second (i32.const 8) (i32.add (i32.load $second (i32.const 8)) (local.get 0)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get 0))))
        (call $copy)
        (local.get $i))
      (func $copy (memory.copy 0 $second (i32.const 0) (i32.const 0) (i32.const 100)))
      (func (export "test") (param i32) (result i32)
        (i32.add (call_indirect $other (type $unary) (local.get 0) (i32.const 0))
                 (call_indirect (type $unary) (local.get 0) (i32.const 0)))))"""
    prepared = program(wasmtime.wat2wasm(wat))
    assert (prepared.description.memories, prepared.description.tables) == (2, 2)
    for in_place in (False, True):
        paused, pauses = run(prepared, "test", [3], every=1, in_place=in_place)
        assert paused == run(prepared, "test", [3])[0]
        assert pauses == 6


def test_globals_of_all_types_are_named_for_the_snapshot() -> None:
    wat = """(module (global i32 (i32.const 1)) (global (mut i64) (i64.const 2))
      (global (mut f32) (f32.const 3)) (global (mut f64) (f64.const 4))
      (global (mut v128) (v128.const i64x2 0 0)) (global externref (ref.null extern)))"""
    described = program(wasmtime.wat2wasm(wat)).description
    assert described.mutable_globals == ((1, "i64"), (2, "f32"), (3, "f64"), (4, "v128"))
