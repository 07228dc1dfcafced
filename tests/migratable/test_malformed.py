"""Whatever the bytes: the answer is a prepared program or a refusal, never a crash."""

import pickle
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

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
from arts.migratable.binary import custom_content, custom_section

from .test_values import FUNCTIONS, HEAD, THROWER

PROGRAMS = Path(__file__).parent / "programs"
Edits = list[tuple[int, bytes, int]]


@cache
def rich() -> bytes:
    """A small module that uses almost everything."""
    names = enumerate(FUNCTIONS.values())
    functions = "".join(f'(func (export "f{number}") {body})' for number, body in names)
    return bytes(wasmtime.wat2wasm(f"{HEAD} {THROWER} {functions})"))


@cache
def rich_prepared() -> bytes:
    """The same, prepared."""
    return prepare(rich(), Options(Poll.COUNTDOWN))


def survives(wasm: bytes, options: Options) -> None:
    """Prepare, and continue at some points, or refuse."""
    with suppress(Refused):
        continues(prepare(wasm, options))


def continues(prepared: bytes) -> None:
    """Make continuations of the first points of some functions."""
    continuations = Continuations(prepared)
    for function in range(0, len(continuations.description.functions), 3):
        try:
            assert continuations.module([ResumePoint(function, 1)])
        except ValueError:
            assert continuations.description.points[function] == 0


def edited(wasm: bytes, edits: Edits) -> bytes:
    """The bytes with some runs replaced: (position in 1/10000, new bytes, bytes lost or won)."""
    for position, new, shift in edits:
        at = position * len(wasm) // 10_000
        wasm = wasm[:at] + new + wasm[at + len(new) + shift :]
    return wasm


EDITS = st.lists(
    st.tuples(
        st.integers(0, 9999),
        st.binary(min_size=1, max_size=3),
        st.sampled_from([0, 0, 0, 0, 0, 0, 0, 0, 1, -1]),
    ),
    min_size=1,
    max_size=3,
)
OPTIONS = st.builds(Options, st.sampled_from(Poll), st.booleans())


@settings(max_examples=400, derandomize=True, deadline=None)
@given(EDITS, OPTIONS)
def test_edited_modules(edits: Edits, options: Options) -> None:
    survives(edited(rich(), edits), options)


@settings(max_examples=100, derandomize=True, deadline=None)
@given(EDITS)
def test_edited_programs(edits: Edits) -> None:
    survives(edited((PROGRAMS / "queens.wasm").read_bytes(), edits), Options())


@settings(max_examples=300, derandomize=True, deadline=None)
@given(EDITS)
def test_edited_prepared_programs(edits: Edits) -> None:
    with suppress(Refused):
        continues(edited(rich_prepared(), edits))


@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.binary(max_size=200))
def test_noise_behind_a_header(noise: bytes) -> None:
    survives(b"\0asm\x01\0\0\0" + noise, Options())


def test_every_truncation_is_refused() -> None:
    wasm = rich()
    whole_sections = set()
    for size in range(len(wasm)):
        try:
            prepare(wasm[:size])
        except Refused:
            continue
        whole_sections.add(size)
    assert len(whole_sections) < 14, "only cuts between sections may leave a module"


def test_deep_nesting_needs_no_deep_stack() -> None:
    depth = 5 * sys.getrecursionlimit()
    wat = f"""(module (func $spin (loop $l (br_if $l (i32.const 0))))
      (func (export "f") (param i32) (result i32)
        {"(block " * depth} (call $spin) (br_if {depth - 1} (local.get 0)) {")" * depth}
        (local.get 0)))"""
    prepared = prepare(wasmtime.wat2wasm(wat), Options(nest=True))
    assert Continuations(prepared).module([ResumePoint(1, 1)])


def test_deep_chains_of_calls_need_no_deep_stack() -> None:
    count = 5 * sys.getrecursionlimit()
    functions = "".join(f"(func $f{n} (call $f{n + 1}))" for n in range(count))
    wat = f"(module {functions} (func $f{count} (loop $l (br_if $l (i32.const 0)))))"
    described = describe(prepare(wasmtime.wat2wasm(wat)))
    assert len(described.functions) == count + 1


def test_refusals_travel_between_processes() -> None:
    wasm = wasmtime.wat2wasm("(module (type $t (func)) (func $leap (drop (ref.null $t))))")
    with pytest.raises(Refused) as caught:
        prepare(wasm)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (Refused, str(caught.value))
    assert copy.function == "leap"


def test_a_name_section_may_be_nonsense() -> None:
    wasm = bytes(wasmtime.wat2wasm("(module (type $t (func)) (func (drop (ref.null $t))))"))
    for names in (b"\x01\x7f", b"\x01\x02\x05\x00", b"\x00\x01\x00\x01\x04\x01\x00\x01\xff"):
        section = b"\x04name" + names
        with pytest.raises(Refused) as caught:
            prepare(wasm + bytes([0, len(section)]) + section)
        assert caught.value.function in ("function 0", "\\xff")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"abi":2', b'"abi":x'),
        (b'"abi":2', b'"ABI":2'),
        (b'"poll":"countdown"', b'"poll":"never","a":1'),
        (b'"functions":[', b'"functions":[-'),
        (b'"frameSizes":[', b'"frameSizes":[0,'),
        (b'"memories":', b'"memories":"'),
        (b'"points":[', b'"points":[["1"],'),
        (b'"globals":[', b'"globals":[4,'),
    ],
)
def test_descriptions_that_make_no_sense(old: bytes, new: bytes) -> None:
    with pytest.raises(NotWasm, match="malformed"):
        describe(with_description(old, new))


def test_a_frame_size_below_its_trailer() -> None:
    first = describe(rich_prepared()).frame_sizes[0]
    with pytest.raises(NotWasm, match="malformed"):
        describe(with_description(b'"frameSizes":[%d' % first, b'"frameSizes":[7'))


def test_versions() -> None:
    with pytest.raises(Refused, match="prepared for ABI version 1, not 2"):
        describe(with_description(b'"abi":2', b'"abi":1'))
    with pytest.raises(Refused, match=r"(?i)another version"):
        Continuations(with_description(b'"pipeline":3', b'"pipeline":1'))


def test_a_description_must_fit_its_source() -> None:
    described = describe(rich_prepared())
    first = described.frame_sizes[0]
    wrong = with_description(b'"frameSizes":[%d' % first, b'"frameSizes":[%d' % (first + 4))
    with pytest.raises(NotWasm, match="contradicts"):
        Continuations(wrong).module([ResumePoint(0, 1)])


def test_a_source_with_unknown_instructions() -> None:
    wasm = bytes(wasmtime.wat2wasm("(module (func (loop (br_if 0 (i32.const 77)))))"))
    prepared = prepare(wasm)
    before, source = prepared.split(b"arts.source")
    broken = before + b"arts.source" + source.replace(b"\x41\xcd\x00", b"\x27\xcd\x00")
    with pytest.raises(Refused, match=r"(?i)unknown instruction 0x27 \(in function 0\)"):
        Continuations(broken).module([ResumePoint(0, 1)])


def test_continuations_need_the_source() -> None:
    prepared = rich_prepared().replace(b"arts.source", b"arts.sourcX")
    with pytest.raises(NotWasm, match="without its source"):
        Continuations(prepared).module([ResumePoint(0, 1)])


def with_description(old: bytes, new: bytes) -> bytes:
    """The rich program with its description edited, in a section of the right size."""
    content = custom_content(rich_prepared(), "arts.migratable")
    assert content is not None
    assert old in content
    description = custom_section("arts.migratable", content.replace(old, new, 1))
    return rich_prepared() + description
