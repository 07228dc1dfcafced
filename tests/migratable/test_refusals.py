"""Every refusal says what, where and what to do; what is no module at all is called that."""

import pytest
import wasmtime

from arts.migratable import (
    Continuations,
    NotWasm,
    Options,
    Poll,
    Refused,
    ResumePoint,
    describe,
    prepare,
)
from arts.migratable.body import MAX_MOVED

SPIN = "(func $spin (loop $l (br_if $l (i32.const 0))))"

REFUSED = {
    "shared memory": ("(memory 1 1 shared)", "shared memory", None),
    "pages of another size": ("(memory 1 (pagesize 1))", "custom page sizes", None),
    "structures": ("(type (struct (field i32)))", "garbage collected", None),
    "typed references": ("(type $t (func)) (func (param (ref $t)))", "typed references", None),
    "typed references in locals": (
        '(type $t (func)) (func (export "f") (local (ref null $t)))',
        "typed references",
        "function 0",
    ),
    "typed references on blocks": (
        "(type $t (func)) (func (block (result (ref null $t)) (ref.null $t)) drop)",
        "typed references",
        "function 0",
    ),
    "typed null references": (
        "(type $t (func)) (func (ref.null $t) drop)",
        "typed references",
        "function 0",
    ),
    "typed selection": (
        "(func (param i32) (drop (select (result anyref) (ref.null any) (ref.null any) "
        "(local.get 0))))",
        "typed references",
        "function 0",
    ),
    "tables of typed references": ("(table 1 anyref)", "typed references", None),
    "segments of typed references": (
        "(elem anyref (ref.null any))",
        "typed references",
        None,
    ),
    "globals of typed references": ("(global anyref (ref.null any))", "typed references", None),
    "calls of references": (
        "(type $t (func)) (func (call_ref $t (ref.func 0))) (elem declare func 0)",
        "typed references",
        "function 0",
    ),
    "a changing reference": (
        "(global (mut funcref) (ref.null func))",
        "a global that holds a changing reference",
        None,
    ),
    "a reference in a variable": (
        f"{SPIN} (func $f (param externref) (result externref) (call $spin) (local.get 0))",
        "a value of type externref is needed after a safepoint",
        "f",
    ),
    "a reference as an operand": (
        f"{SPIN} (func $f (result funcref) (ref.func $f) (call $spin)) (elem declare func $f)",
        "a value of type funcref is needed after a safepoint",
        "f",
    ),
    "an exception that carries a reference": (
        f"""(tag $t (param externref)) {SPIN} (func $f (block $b (result exnref)
          (try_table (catch_all_ref $b) (call $spin)) (return))
          (call $spin) (throw_ref))""",
        "a value of type exnref is needed after a safepoint",
        "f",
    ),
    "a reserved export": ('(func (export "arts.state"))', "'arts.state' is reserved", None),
    "a reserved import": ('(import "arts" "arts.sp" (func))', "'arts.sp' is reserved", None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    wat, reason, function = REFUSED[name]
    wasm = bytes(wasmtime.wat2wasm(f"(module {wat})"))
    with pytest.raises(Refused) as caught:
        prepare(wasm)
    assert reason in caught.value.reason
    assert caught.value.function == function
    assert not isinstance(caught.value, NotWasm)


def test_a_refusal_is_a_readable_sentence() -> None:
    wasm = wasmtime.wat2wasm("(module (memory 1 1 shared))")
    with pytest.raises(Refused) as caught:
        prepare(wasm)
    assert str(caught.value) == "Shared memory. Build it without threads."
    assert str(Refused("so it is", function="leap")) == "So it is (in leap)."


def code_section(body: bytes, locals_: bytes = b"\0") -> bytes:
    """A module with one function () -> () of the given code."""
    content = locals_ + body
    entry = bytes([1, len(content)]) + content
    return b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a" + bytes([len(entry)]) + entry


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"\x41\0\xd4\x1a\x0b", "typed references"),
        (b"\xfb\x00\x00\x0b", "typed references"),
        (b"\x27\x0b", "unknown instruction 0x27"),
        (b"\xff\x0b", "unknown instruction 0xff"),
        (b"\xfc\x13\x0b", "unknown instruction 0xfc 19"),
        (b"\xfd\x9a\x01\x0b", "unknown instruction 0xfd 154"),
        (b"\x03\x40\x0b\x27\x0b", "unknown instruction 0x27"),
    ],
)
def test_instructions_that_are_not_known(body: bytes, reason: str) -> None:
    with pytest.raises(Refused, match=rf"(?i){reason}") as caught:
        prepare(code_section(body))
    assert caught.value.function == "function 0"


@pytest.mark.parametrize(
    "body",
    [
        b"\x03\x40\x0b",
        b"\x03\x40\x0b\x0b\x0b",
        b"\x03\x40\x0b\x0b\x01\x0b",
        b"\x03\x40\x0b\x0c\x07\x0b",
        b"\x03\x40\x0b\x20\x05\x1a\x0b",
        b"\x03\x40\x0b\x21\x05\x0b",
        b"\x03\x40\x0b\x10\x05\x0b",
        b"\x03\x40\x0b\x11\x05\x00\x0b",
        b"\x03\x40\x0b\x23\x05\x0b",
        b"\x03\x40\x0b\x25\x05\x0b",
        b"\x03\x05\x0b\x0b",
        b"\x03\x40\x0b\x41",
        b"\x03\x40\x0b\x0c\x00",
        b"\x03\x40\x0b\x10\xff\xff\xff\xff\x7f\x0b",
        b"\x03\x40\x0b\x10\xff\xff\xff\xff\xff\xff\x0b",
        b"\x41",
        b"\x0e\xff\xff\xff\x0f\x00\x0b",
        b"\x09\x00\x0b",
        b"\x06\x40\x09\x00\x0b\x0b",
        b"\x06\x40\x18\x05\x0b",
        b"\x06\x40\x0c\x05\x19\x0b\x0b",
        b"\x07\x00\x0b",
        b"\x06\x40\x07\x05\x0b\x0b",
        b"\x06\x40\x0b\x0b\x0b",
    ],
    ids=bytes.hex,
)
def test_malformed_code(body: bytes) -> None:
    with pytest.raises(NotWasm):
        prepare(code_section(body))


def test_code_that_runs_over_its_end() -> None:
    with pytest.raises(NotWasm):
        prepare(code_section(b"\x0b\x10") + b"\0\x02\x01a")


def test_more_locals_than_engines_allow() -> None:
    with pytest.raises(Refused, match=r"(?i)more locals than engines allow"):
        prepare(code_section(b"\x0b", b"\x01\xff\xff\xff\xff\x0f\x7f"))


def test_more_operands_than_engines_allow_locals() -> None:
    operands = "(i32.const 1)" * 50_001 + "(call $spin)" + "drop " * 50_001
    with pytest.raises(Refused, match=r"(?i)too many operands below calls"):
        prepare(wasmtime.wat2wasm(f"(module {SPIN} (func $f {operands}))"))


def test_code_that_would_grow_with_its_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small programs must not become so large that preparing them exhausts the machine."""
    assert MAX_MOVED <= 1_000_000, "it takes seconds to get there"
    monkeypatch.setattr("arts.migratable.body.MAX_MOVED", 10_000)
    loops = "(loop)" * 2000
    for code, reason in [
        ("(i32.const 1)" * 2000 + loops + "drop " * 2000, "too many operands below calls"),
        (
            f"(local {'i32 ' * 2000}) {loops} "
            + " ".join(f"(drop (local.get {n}))" for n in range(2000)),
            "too many variables needed after safepoints",
        ),
        (
            f"(local {'i32 ' * 400}) {loops} "
            + " ".join(f"(drop (local.get {n}))" for n in range(400)),
            "many times larger",
        ),
    ]:
        with pytest.raises(Refused, match=rf"(?i){reason}"):
            prepare(wasmtime.wat2wasm(f"(module (func $f {code}))"))


@pytest.mark.parametrize(
    ("wasm", "reason"),
    [
        (b"", "not WebAssembly"),
        (b"#!/bin/sh\n", "not WebAssembly"),
        (b"\0asm\x01", "ends in its header"),
        (b"\0asm\x0d\0\x01\0", "component"),
        (b"\0asm\x02\0\0\0", "version 2 is not known"),
        (b"\0asm\x01\0\0\0\x01", "in the middle"),
        (b"\0asm\x01\0\0\0\x01\x02\x01", "in the middle"),
        (b"\0asm\x01\0\0\0\x01\x80", "in the middle"),
        (b"\0asm\x01\0\0\0\x0e\x00", "section 14 is unknown"),
        (b"\0asm\x01\0\0\0\x01\x01\0\x01\x01\0", "section 1 is unknown or stands twice"),
        (b"\0asm\x01\0\0\0\x01\x02\0\0", "section 1 is longer"),
        (b"\0asm\x01\0\0\0\x03\x02\x01\0", "type 0 does not exist"),
        (b"\0asm\x01\0\0\0\x0d\x03\x01\0\0", "type 0 does not exist"),
        (b"\0asm\x01\0\0\0\x09\x02\x01\x08", "element segment of an unknown kind"),
        (b"\0asm\x01\0\0\0\x09\x05\x01\x03\x00\x01\x05", "function 5 does not exist"),
        (b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0", "code section does not fit"),
        (b"\0asm\x01\0\0\0\x0a\x01\x01", "code section does not fit"),
        (b"\0asm\x01\0\0\0\x06\x04\x01\x7f\x00\x44", "in the middle"),
        (b"\0asm\x01\0\0\0\x06\x04\x01\x7f\x00\x41", "in the middle"),
    ],
)
def test_not_a_module(wasm: bytes, reason: str) -> None:
    with pytest.raises(NotWasm, match=rf"(?i){reason}"):
        prepare(wasm)


def test_an_import_of_unknown_kind() -> None:
    with pytest.raises(Refused, match=r"(?i)unknown kind 127"):
        prepare(b"\0asm\x01\0\0\0\x02\x05\x01\x01a\0\x7f")


def test_a_prepared_program_is_not_prepared_again() -> None:
    prepared = prepare(wasmtime.wat2wasm("(module)"))
    with pytest.raises(Refused, match=r"(?i)prepared already"):
        prepare(prepared)


def test_only_prepared_programs_have_descriptions_and_continuations() -> None:
    with pytest.raises(Refused, match=r"(?i)not prepared"):
        describe(wasmtime.wat2wasm("(module)"))
    with pytest.raises(NotWasm):
        Continuations(b"")


def test_points_that_do_not_exist() -> None:
    continuations = Continuations(prepare(wasmtime.wat2wasm(f"(module {SPIN})")))
    assert continuations.module([ResumePoint(0, 1)])
    for point in (ResumePoint(0, 0), ResumePoint(0, 2), ResumePoint(1, 1), ResumePoint(-1, 1)):
        with pytest.raises(ValueError, match=r"(?i)no"):
            continuations.module([point])


def test_what_never_stops_needs_no_restrictions() -> None:
    """References may live anywhere in a function that cannot unwind."""
    wat = "(module (func (param externref) (result externref) (local.get 0)))"
    assert describe(prepare(wasmtime.wat2wasm(wat))).functions == ()
    loop = wasmtime.wat2wasm(f"(module {SPIN})")
    assert describe(prepare(loop, Options(Poll.NONE))).functions == ()
