"""Constructs that need care, each in a program of its own, paused at safepoints in every form.

Knows what each program must answer; engines agree on it without us, but for legacy exceptions,
which not every engine has.
"""

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import wasmtime

from arts.migratable import abi

from .differential import FORMS, program, run
from .host import ENGINE, Guest

SPIN = """(func $spin (param i32) (local i32)
  (loop $l
    (local.set 1 (i32.add (local.get 1) (i32.const 1)))
    (br_if $l (i32.lt_u (local.get 1) (local.get 0)))))"""

CONSTRUCTS = {
    "tail calls of each other": (
        """(memory 1)(global $g (mut i32) (i32.const 0))
      (func $even (param i32) (result i32) (if (i32.eqz (local.get 0)) (then (return
        (i32.const 1)))) (global.set $g (i32.add (global.get $g)(i32.const 3))) (return_call
        $odd (i32.sub (local.get 0)(i32.const 1))))
      (func $odd (param i32) (result i32) (if (i32.eqz (local.get 0)) (then (return
        (i32.const 0)))) (return_call $even (i32.sub (local.get 0)(i32.const 1))))
      (func (export "f") (result i32) (i32.add (i32.mul (call $even (i32.const 21))
        (i32.const 100)) (call $even (i32.const 10))))""",
        "1",
    ),
    "tail calls through a table": (
        """(memory 1)(table 2 funcref)(elem (i32.const 0) $even $odd)(type $t (func (param
        i32)(result i32)))
      (func $even (param i32) (result i32) (if (i32.eqz (local.get 0)) (then (return
        (i32.const 1)))) (return_call_indirect (type $t) (i32.sub (local.get 0)(i32.const 1))
        (i32.const 1)))
      (func $odd (param i32) (result i32) (if (i32.eqz (local.get 0)) (then (return
        (i32.const 0)))) (return_call_indirect (type $t) (i32.sub (local.get 0)(i32.const 1))
        (i32.const 0)))
      (func (export "f") (result i32) (local i32) (loop $l (local.set 0 (i32.add (local.get
        0) (i32.const 1))) (br_if $l (i32.lt_u (local.get 0) (i32.const 5)))) (i32.add
        (local.get 0) (call $even (i32.const 10))))""",
        "6",
    ),
    "a loop with parameters": (
        """(memory 1)
      (func $id (param i32) (result i32) (local i32) (loop $l (local.set 1 (i32.add
        (local.get 1)(local.get 0))) (br_if $l (i32.lt_u (local.get 1)(i32.const 9))))
        (local.get 1))
      (func (export "f") (result i32) (local $n i32)
      (i32.const 1000) (i32.const 1) (i64.const 5)
      (loop $l (param i32 i64) (result i32)
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (i64.add (i64.const 2)) (i32.wrap_i64) (call $id) (i32.add) (i64.const 3)
      (br_if $l (i32.lt_u (local.get $n) (i32.const 5)))
      (i32.wrap_i64) (i32.add))
      (i32.add))""",
        "1058",
    ),
    "a jump to several loops with parameters": (
        """(memory 1)
      (func (export "f") (result i32) (local $n i32)
      (i32.const 7)
      (loop $l (param i32) (result i32)
      (block $out (param i32) (result i32)
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (i32.mul (i32.const 3))
      (loop $m (param i32) (result i32)
      (i32.add (i32.const 1))
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_table $l $m $out $l $m $out (i32.rem_u (local.get $n) (i32.const 6)))))
      (i32.add (i32.const 100))))""",
        "122",
    ),
    "a try_table with parameters": (
        """(memory 1)(tag $e (param i32))
      (func $spin (param i32) (result i32) (local i32) (loop $l (local.set 1 (i32.add
        (local.get 1)(i32.const 1))) (br_if $l (i32.lt_u (local.get 1)(local.get 0)))) (if
        (i32.eq (local.get 0) (i32.const 3)) (then (throw $e (i32.const 77)))) (local.get 1))
      (func (export "f") (result i32) (local i32 i32)
      (loop $o
      (i32.const 5) (local.get 0)
      (block $h (param i32 i32) (result i32)
      (try_table (param i32 i32) (result i32) (catch $e $h) (call $spin) (i32.add)))
      (local.set 1 (i32.add (local.get 1)))
      (br_if $o (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 6))))
      (local.get 1))""",
        "115",
    ),
    "exceptions kept in locals and rethrown": (
        """(memory 1)(tag $e (param i32 f64))(tag $v)(tag $l (param i64))
      SPIN
      (func $throw (param i32)
      (call $spin (i32.const 2))
      (block (block (block (br_table 0 1 2 (local.get 0))) (throw $e (i32.const 41)
        (f64.const 2.5))) (throw $v)) (throw $l (i64.const 123456789012)))
      (func $clean (param i32) (local $x exnref)
      (block $c (result exnref) (try_table (catch_all_ref $c) (call $throw (local.get 0)))
        (return))
      (local.set $x)
      (call $spin (i32.const 3))
      (block $c (result exnref) (try_table (catch_all_ref $c) (throw_ref (local.get $x)))
        (unreachable))
      (call $spin (i32.const 1))
      (throw_ref))
      (func (export "f") (result i64) (local i32 i64) (local $z exnref)
      (loop $o
      (block $next
      (block $ll (result i64) (block $lv (block $le (result i32 f64)
      (try_table (catch $e $le) (catch $v $lv) (catch $l $ll) (call $clean (local.get 0)))
      (unreachable))
      (i64.trunc_f64_s) (local.set 1 (i64.add (local.get 1))) (i64.extend_i32_s) (local.set 1
        (i64.add (local.get 1))) (br $next))
      (i64.const 5))
      (local.set 1 (i64.add (local.get 1))))
      (if (i32.eqz (ref.is_null (local.get $z))) (then (throw_ref (local.get $z))))
      (br_if $o (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 4))))
      (local.get 1))""",
        "246913578072",
    ),
    "tables that change": (
        """(memory 1)(table $t 4 20 funcref)(table $u 2 funcref)(elem (i32.const 0) $one
        $two)(elem $p func $three $one)
      (type $k (func (result i32)))
      (func $one (result i32) (i32.const 1)) (func $two (result i32) (call $spin (i32.const
        2)) (i32.const 2)) (func $three (result i32) (call $spin (i32.const 4)) (i32.const 3))
      SPIN
      (func (export "f") (result i32) (local i32)
      (table.set $t (i32.const 2) (ref.func $three))
      (call $spin (i32.const 2))
      (local.set 0 (call_indirect $t (type $k) (i32.const 2)))
      (table.init $u $p (i32.const 0) (i32.const 0) (i32.const 2))
      (elem.drop $p)
      (call $spin (i32.const 2))
      (local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 10)) (call_indirect $u (type
        $k) (i32.const 0))))
      (drop (table.grow $t (ref.func $two) (i32.const 3)))
      (table.copy $t $u (i32.const 0) (i32.const 0) (i32.const 2))
      (call $spin (i32.const 2))
      (table.fill $t (i32.const 1) (ref.null func) (i32.const 1))
      (local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 10)) (call_indirect $t (type
        $k) (i32.const 6))))
      (local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 10)) (call_indirect $t (type
        $k) (i32.const 0))))
      (call $spin (i32.const 2))
      (local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 10)) (table.size $t)))
      (local.set 0 (i32.add (i32.mul (local.get 0) (i32.const 10)) (ref.is_null (table.get $t
        (i32.const 1)))))
      (call $spin (i32.const 2))
      (table.init $u $p (i32.const 0) (i32.const 0) (i32.const 1))
      (local.get 0))""",
        "trap TrapCode.TABLE_OUT_OF_BOUNDS",
    ),
    "segments that are dropped": (
        """(memory 1)(data $d "abcdef")(data $e "xyz")
      SPIN
      (func (export "f") (result i32) (local i32)
      (memory.init $d (i32.const 0) (i32.const 1) (i32.const 4)) (data.drop $d)
      (call $spin (i32.const 3))
      (memory.init $e (i32.const 4) (i32.const 0) (i32.const 3))
      (memory.init $d (i32.const 0) (i32.const 0) (i32.const 0))
      (call $spin (i32.const 3))
      (local.set 0 (i32.load (i32.const 2)))
      (if (i32.eq (local.get 0) (i32.const 0)) (then (return (i32.const 9))))
      (memory.init $d (i32.const 0) (i32.const 1) (i32.const 1))
      (local.get 0))""",
        "trap TrapCode.MEMORY_OUT_OF_BOUNDS",
    ),
    "memory that grows below deep recursion": (
        """(memory 1 6)
      SPIN
      (func $deep (param i32) (result i32) (if (i32.eqz (local.get 0)) (then (call $spin
        (i32.const 2)) (return (memory.grow (i32.const 1)))))
      (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (memory.size)))
      (func (export "f") (result i32) (local i32 i32)
      (loop $o
      (local.set 1 (i32.add (i32.mul (local.get 1) (i32.const 3)) (call $deep (i32.const 5))))
      (local.set 1 (i32.add (local.get 1) (i32.load (i32.sub (i32.shl (memory.size)
        (i32.const 16)) (i32.const 4)))))
      (i32.store (i32.sub (i32.shl (memory.size) (i32.const 16)) (i32.const 4)) (local.get 1))
      (br_if $o (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 8))))
      (i32.add (local.get 1) (memory.size)))""",
        "108071",
    ),
    "a start function": (
        """(memory 1)(global $g (mut i32) (i32.const 0))(start $s)
      (func $s (local i32) (loop $l (global.set $g (i32.add (global.get $g) (i32.const 10)))
        (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const
        4)))))
      (func (export "_start") (local i32) (loop $l (global.set $g (i32.mul (global.get $g)
        (i32.const 3))) (br_if $l (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const
        1))) (i32.const 4)))) (i32.store (i32.const 0) (global.get $g)))""",
        "None",
    ),
    "64-bit memory": (
        """(memory i64 1)(data "hello")
      SPIN
      (func (export "f") (result i64) (local i64)
      (memory.size) (memory.grow (i64.const 1)) (call $spin (i32.const 3)) (i64.add)
        (memory.size) (call $spin (i32.const 3)) (i64.mul (i64.const 7)) (i64.add)
      (memory.init 0 (i64.const 8) (i32.const 0) (i32.const 5)) (i64.load (i64.const 8))
        (call $spin (i32.const 2)) (i64.add))""",
        "478560413048",
    ),
}

LEGACY = {
    "catch and catch_all": (
        """(tag $e (param i32))(tag $f (param i64 i32)) SPIN
      (func $t (param i32) (call $spin (i32.const 2)) (if (i32.eq (local.get 0) (i32.const
        1)) (then (throw $e (i32.const 5)))) (if (i32.eq (local.get 0) (i32.const 2)) (then
        (throw $f (i64.const 7) (i32.const 9)))))
      (func $g (param i32) (result i32)
      try (result i32) (call $t (local.get 0)) (i32.const 1) catch $e (call $spin (i32.const
        2)) (i32.const 10) (i32.add) catch_all (call $spin (i32.const 2)) (i32.const 100) end)
      (func (export "f") (result i32) (i32.add (i32.add (call $g (i32.const 0)) (call $g
        (i32.const 1))) (call $g (i32.const 2))))""",
        "116",
    ),
    "rethrow": (
        """(tag $e (param i32)) SPIN
      (func $t (call $spin (i32.const 2)) (throw $e (i32.const 5)))
      (func $g (result i32)
      try (result i32) (call $t) (i32.const 1) catch $e drop try (result i32) (call $spin
        (i32.const 2)) rethrow 1 catch $e (call $spin (i32.const 3)) (i32.const 50) (i32.add)
        end end)
      (func $h (result i32) try $x (call $t) catch_all (call $spin (i32.const 2)) try (call
        $t) catch_all rethrow $x end end (i32.const 9))
      (func (export "f") (result i32) (call $g)  try (result i32) (call $h) catch $e
        (i32.const 1000) (i32.add) end i32.add)""",
        "1060",
    ),
    "delegate": (
        """(tag $e (param i32)) SPIN
      (func $t (call $spin (i32.const 2)) (throw $e (i32.const 5)))
      (func (export "f") (result i32) (local $r i32)
      try $a (result i32)
      try $b (result i32)
      try $c (result i32) (call $t) (i32.const 1) delegate $a
      catch $e (i32.const 100) (i32.add) end
      catch $e (call $spin (i32.const 2)) (i32.const 20) (i32.add) end
      (local.set $r)
      try $a (result i32)
      try $b (result i32)
      try $c (result i32) (call $t) (i32.const 1) delegate $b
      catch $e (i32.const 100) (i32.add) end
      catch $e (i32.const 20) (i32.add) end
      (local.set $r (i32.add (local.get $r)))
      try $o (call $out) catch $e (local.set $r (i32.add (local.get $r))) end
      (local.get $r))
      (func $out try $b try (call $t) delegate 1 catch_all (unreachable) end)""",
        "135",
    ),
    "delegate to a delegate, and from a handler": (
        """(tag $e (param i32)) SPIN
      (func $t (call $spin (i32.const 2)) (throw $e (i32.const 5)))
      (func (export "f") (result i32)
      try $a (result i32)
      try $b (result i32)
      try $d (result i32)
      try $c (result i32) (call $t) (i32.const 1) delegate $d
      delegate $a
      catch $e (i32.const 100) (i32.add) end
      catch $e (i32.const 20) (i32.add) end
      block $blk (result i32)
      try $z (result i32) (call $t) (i32.const 1)
      catch $e
      drop
      try $y (result i32)  try (result i32) (call $t) (i32.const 2) delegate $z   catch_all
        (i32.const 9) end
      (i32.const 1) (i32.add)
      end
      end drop)""",
        "trap None",
    ),
    "a try with parameters": (
        """(tag $e (param i32)) SPIN
      (func $t (param i32)(result i32) (call $spin (i32.const 2)) (if (local.get 0) (then
        (throw $e (i32.const 5)))) (i32.const 3))
      (func (export "f") (result i32)  (i32.const 7) (i32.const 0) try (param i32 i32)
        (result i32) (call $t) (i32.add) catch $e end (i32.const 9) (i32.const 1) try (param
        i32 i32) (result i32) (call $t) (br 0) catch $e (br 0) end (i32.mul))""",
        "50",
    ),
    "branches out of and around a try": (
        """(tag $e (param i32)) SPIN
      (func $t (param i32) (call $spin (i32.const 2)) (if (i32.and (local.get 0) (i32.const
        1)) (then (throw $e (local.get 0)))))
      (func (export "f") (result i32) (local $i i32)(local $s i32)
      block $done
      loop $l
      try $try
      try (call $t (local.get $i)) (br_if $try (i32.eq (local.get $i) (i32.const 2))) (br_if
        $done (i32.gt_u (local.get $i) (i32.const 6)))
      catch_all (call $spin (i32.const 1)) rethrow 0 end
      (local.set $s (i32.add (local.get $s) (i32.const 1000)))
      catch $e (local.set $s (i32.add (local.get $s))) (call $spin (i32.const 2))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      br $l
      end
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      br $l
      end
      end
      (local.get $s))""",
        "3016",
    ),
}
"""Unfolded, as the assembler wants them."""


LEGACY["what no pattern passes over"] = (
    """(tag $e) SPIN (func (export "f") (result i32) (local $r i32)
      try (call $spin (i32.const 2)) (throw $e)
      catch_all
        (call $spin (i32.const 2))
        (local.set $r (select (result i32) (i32.const 1) (i32.const 2) (i32.const 0)))
        (block $a (block $b (block $c (br_table $a $b $c (local.get $r)))
          (local.set $r (i32.const 40))))
        (if (local.get $r) (then (nop)) (else (unreachable)))
      end
      (local.get $r))""",
    "40",
)


def check(wasm: bytes, entry: str, expected: str, form: dict[str, Any]) -> None:
    """Paused here and there, it answers what it answers unpaused, and leaves the same behind."""
    for small_loop in (0, 256):
        prepared = program(wasm, small_loop, **form)
        plain, _ = run(prepared, entry)
        assert plain.result == expected
        for every in (1, 2, 3, 5):
            for in_place in (True, False):
                paused, _ = run(prepared, entry, (), every, in_place=in_place, most=3000)
                assert paused == plain


COMBINATIONS = [
    (name, form)
    for name in CONSTRUCTS
    for form in FORMS
    if "64-bit" not in name or "primary" not in form  # refused: see test_refusals
]


@pytest.mark.parametrize(("name", "form"), COMBINATIONS)
def test_constructs(name: str, form: str) -> None:
    text, expected = CONSTRUCTS[name]
    wasm = wasmtime.wat2wasm(f"(module {text.replace('SPIN', SPIN)})")
    entry = "_start" if "start" in name else "f"
    store = wasmtime.Store(ENGINE)
    exports = wasmtime.Instance(store, wasmtime.Module(ENGINE, wasm), []).exports(store)
    try:
        found = repr(exports[entry](store))
    except wasmtime.Trap as trap:
        found = f"trap {trap.trap_code}"
    assert found == expected
    check(wasm, entry, expected, FORMS[form])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LEGACY)
def test_legacy_exceptions(name: str, form: str) -> None:
    text, expected = LEGACY[name]
    check(assemble(f"(module (memory 1) {text.replace('SPIN', SPIN)})"), "f", expected, FORMS[form])


@pytest.mark.parametrize("own", ["", '(func (export "f"))'], ids=["no code", "code"])
def test_a_start_function_that_is_a_blocking_import(own: str) -> None:
    wasm = wasmtime.wat2wasm(f"""(module (import "env" "ask" (func $ask)) (start $ask) (memory 1)
      {own})""")
    prepared = program(wasm, blocking=[("env", "ask")])
    answers = iter([True, False])

    def ask(guest: Guest) -> None:
        if next(answers):
            guest.park()

    imports: Any = {("env", "ask"): ask}
    guest = Guest(prepared, imports=imports)
    guest.entry = abi.START
    assert guest.run() == "parked"
    guest = Guest.restore(prepared, guest.capture(), imports)
    assert guest.run() == "done"


def assemble(text: str) -> bytes:
    """With an assembler that knows legacy exceptions."""
    tool = Path(sysconfig.get_path("scripts")) / "wasm-tools"
    return subprocess.run(
        [tool, "parse", "-"], input=text.encode(), stdout=subprocess.PIPE, check=True
    ).stdout
