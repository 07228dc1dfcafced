"""What is replaced before anything else: imports whose address is taken, hidden pages, old code."""

import re
from typing import Any

import pytest
import wasmtime

from arts.migratable import Frames, Options, Poll, Refused, abi, describe, prepare
from arts.migratable.binary import PREAMBLE, section, sections, sized, vector
from arts.migratable.module import CODE, parse

from .differential import FORMS, program
from .host import Guest
from .test_constructs import SPIN, assemble, check

ASK = '(import "env" "ask" (func $ask (param i32) (result i32)))'
WAYS_TO_ASK = {
    "through an element segment": f"""{ASK} (table funcref (elem $ask))
      (func (export "f") (result i32)
        (i32.add (i32.const 1) (call_indirect (param i32) (result i32)
          (i32.const 4) (i32.const 0))))""",
    "through an expression in a segment": f"""{ASK} (table 2 funcref)
      (elem (i32.const 1) funcref (ref.func $ask))
      (func (export "f") (result i32)
        (i32.add (i32.const 1) (call_indirect (param i32) (result i32)
          (i32.const 4) (i32.const 1))))""",
    "through a reference": f"""{ASK} (table 1 funcref) (elem declare func $ask)
      (func (export "f") (result i32)
        (table.set (i32.const 0) (ref.func $ask))
        (i32.add (i32.const 1) (call_indirect (param i32) (result i32)
          (i32.const 4) (i32.const 0))))""",
    "through an export": f"""{ASK} (export "g" (func $ask)) (table (export "t") 1 funcref)
      (func (export "f") (result i32) (i32.add (i32.const 1) (call $ask (i32.const 4))))""",
    "by a tail call": f"""{ASK}
      (func $g (param i32) (result i32) (return_call $ask (local.get 0)))
      (func (export "f") (result i32) (i32.add (i32.const 1) (call $g (i32.const 4))))""",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("way", WAYS_TO_ASK)
def test_a_blocking_import_parks_however_it_is_called(way: str, form: str) -> None:
    wasm = wasmtime.wat2wasm(f"(module {WAYS_TO_ASK[way]} (memory 1))")
    prepared = program(wasm, blocking=[("env", "ask")], **FORMS[form])
    waits = iter([True, True, False])

    def ask(guest: Guest, question: int) -> int:
        return guest.park() if next(waits) else question * 10

    imports: Any = {("env", "ask"): ask}
    guest = Guest(prepared, imports=imports)
    guest.entry = "f"
    for _ in range(2):
        assert guest.run() == "parked"
        guest = Guest.restore(prepared, guest.capture(), imports)
    assert guest.run() == "done"
    assert guest.result == 41


def test_new_exceptions_beside_legacy_ones() -> None:
    wasm = assemble(f"""(module (memory 1) (tag $e (param i32)) {SPIN}
      (func $throw (call $spin (i32.const 2)) (throw $e (i32.const 3)))
      (func (export "f") (result i32) (local $r i32)
        try
          (block $h (result i32)
            (block $any
              (try_table (catch $e $h) (catch_all $any) (call $throw) (unreachable)))
            (i32.const 100))
          (local.set $r)
          (call $throw)
        catch_all
          (call $spin (i32.const 2))
        end
        (block $h (result i32 exnref)
          (try_table (catch_ref $e $h) (call $throw))
          (unreachable))
        drop
        (local.set $r (i32.add (local.get $r)))
        (local.get $r)))""")
    for form in FORMS.values():
        check(wasm, "f", "6", form)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('(import "env" "memory" (memory 1))', "an imported memory cannot hold frames too"),
        ("(memory i64 1)", "a 64-bit memory cannot hold frames too"),
        ("(memory 65520)", "so large a memory cannot hold frames too"),
    ],
)
def test_memories_that_hold_no_frames(text: str, reason: str) -> None:
    options = Options(Poll.COUNTDOWN, frames=Frames.PRIMARY)
    with pytest.raises(Refused, match=f"(?i){reason}"):
        prepare(wasmtime.wat2wasm(f"(module {text} {SPIN})"), options)


def test_without_a_memory_that_of_frames_is_the_only_one() -> None:
    options = Options(Poll.COUNTDOWN, frames=Frames.PRIMARY)
    prepared = prepare(wasmtime.wat2wasm(f"(module {SPIN})"), options)
    assert describe(prepared).options.frames is Frames.OWN


def test_a_flag_needs_a_memory_that_the_program_does_not_use() -> None:
    with pytest.raises(ValueError, match=re.escape("has no flag to poll")):
        Options(Poll.FLAG, frames=Frames.PRIMARY)


def test_memory_has_no_more_pages_than_there_can_be() -> None:
    options = Options(Poll.COUNTDOWN, frames=Frames.PRIMARY)
    for most, expected in ((20, 36), (65530, 65535)):
        wasm = wasmtime.wat2wasm(f"(module (memory 2 {most}) {SPIN})")
        exports = wasmtime.Module(wasmtime.Engine(), prepare(wasm, options)).exports
        memory = next(found.type for found in exports if found.name == abi.FRAMES)
        assert isinstance(memory, wasmtime.MemoryType)
        assert (memory.limits.min, memory.limits.max) == (18, expected)


def test_a_memory_grows_up_to_where_frames_must_be() -> None:
    """Found by fuzzing (seed 265): the plain program could have had 4 GiB."""
    wasm = wasmtime.wat2wasm(f"""(module (memory 32768) {SPIN}
      (func (export "f") (param i32) (result i32 i32)
        (memory.grow (local.get 0)) (memory.size) (call $spin (i32.const 3))))""")
    most = 65535 - 32768 - abi.PRIMARY_FRAMES_PAGES
    for frames, pages, expected in (
        (Frames.OWN, 32768, [32768, 65536]),
        (Frames.PRIMARY, -1, [-1, 32768]),
        (Frames.PRIMARY, most + 1, [-1, 32768]),
        (Frames.PRIMARY, most, [32768, 32768 + most]),
    ):
        guest = Guest(program(wasm, frames=frames))
        guest.entry = "f"
        assert guest.run(pages) == "done"
        assert guest.result == expected, (frames, pages)


def test_a_stack_fills_its_pages_at_the_end_of_all_memory() -> None:
    """Behind it there is an address left: 0 would be an empty stack, and memory of the program."""
    numbers = range(13)
    wasm = wasmtime.wat2wasm(f"""(module {ASK} (memory 1)
      (func (export "all") (drop (memory.grow (i32.const 65519)))
        (drop (memory.grow (i32.const 65518))))
      (func $f (export "f") (param $n i32) (result i64) (local $sum i64)
        {" ".join(f"(local $l{n} i64)" for n in numbers)}
        {" ".join(f"(local.set $l{n} (i64.extend_i32_u (local.get $n)))" for n in numbers)}
        (if (local.get $n)
          (then (local.set $sum (call $f (i32.sub (local.get $n) (i32.const 1)))))
          (else (drop (call $ask (i32.const 1)))))
        (local.get $sum) {" ".join(f"(i64.add (local.get $l{n}))" for n in numbers)}
        (i64.add (i64.extend_i32_u (local.get $n)))))""")
    prepared = program(wasm, blocking=[("env", "ask")], frames=Frames.PRIMARY)
    (size,) = prepared.description.frame_sizes
    most = (abi.PRIMARY_FRAMES_PAGES << 16) // size
    assert most * size == abi.PRIMARY_FRAMES_PAGES << 16, "it shall be filled to the last byte"

    def large() -> Guest:
        guest = Guest(prepared, imports={("env", "ask"): lambda guest, _: guest.park()})
        guest.exports["all"](guest.store)
        guest.entry = "f"
        return guest

    guest = large()
    assert guest.run(most - 1) == "parked"
    assert len(guest.frames()) == most * size
    with pytest.raises(wasmtime.Trap, match="out of bounds memory access"):
        large().run(most)


def test_loops_that_carry_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arts.migratable.body.MAX_MOVED", 10_000)
    values = "i32 " * 90
    loop = f"{'(i32.const 1) ' * 90} (loop (param {values}) (result {values}))"
    text = f"(module (func $f {loop * 120} {'drop ' * 90 * 120}))"
    with pytest.raises(Refused, match=r"(?i)too many operands below calls"):
        prepare(wasmtime.wat2wasm(text))


@pytest.mark.parametrize("form", FORMS)
def test_numbers_of_instructions_may_be_written_long(form: str) -> None:
    """``memory.fill`` with a byte more than it takes: no pattern passes over it."""
    wasm = wasmtime.wat2wasm(f"""(module (memory 1) {SPIN}
      (func (export "f") (result i32)
        (memory.fill (i32.const 4) (i32.const 7) (i32.const 1)) (call $spin (i32.const 3))
        (i32.load (i32.const 4))))""")
    parts = [PREAMBLE]
    for number, reader in sections(wasm):
        content = wasm[reader.at : reader.end]
        if number == CODE:
            bodies = [wasm[body.start : body.end] for body in parse(wasm).bodies]
            long = [body.replace(b"\xfc\x0b\x00", b"\xfc\x8b\x00\x00") for body in bodies]
            assert long != bodies
            content = vector(map(sized, long))
        parts.append(section(number, content))
    check(b"".join(parts), "f", "7", FORMS[form])
