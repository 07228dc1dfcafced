"""The parts that have a life of their own: encodings, frames, descriptions, the call graph."""

import ast
import hashlib
import re
import struct
import sys
from pathlib import Path

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from arts.migratable import (
    PIPELINE_VERSION,
    Continuations,
    CorruptFrames,
    NotWasm,
    Options,
    Poll,
    ResumePoint,
    abi,
    describe,
    link_frames,
    prepare,
    walk_frames,
)
from arts.migratable.analysis import callers_of, cycle_breakers
from arts.migratable.binary import (
    Reader,
    custom_content,
    custom_section,
    sections,
    signed,
    u32,
    unsigned,
)

from .host import ENGINE

PROGRAMS = Path(__file__).parent / "programs"


@given(st.integers(0, 2**32 - 1))
def test_unsigned_numbers(value: int) -> None:
    encoded = unsigned(value)
    assert u32(encoded, 0) == (value, len(encoded))
    assert Reader(encoded).u32() == value
    assert len(encoded) == max(1, -(-value.bit_length() // 7))


@given(st.integers(-(2**63), 2**63 - 1))
def test_signed_numbers(value: int) -> None:
    encoded = signed(value)
    bits = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(encoded))
    width = 7 * len(encoded)
    assert bits - (bits >> width - 1 << width) == value
    assert all(byte & 0x80 for byte in encoded[:-1])
    assert not encoded[-1] & 0x80


def test_readers_stop_at_their_end() -> None:
    reader = Reader(b"\x01\x80\x80", 0, 2)
    assert reader.byte() == 1
    with pytest.raises(NotWasm):
        reader.u32()
    with pytest.raises(NotWasm):
        Reader(b"\x03ab").name()
    with pytest.raises(NotWasm):
        Reader(b"").peek()


@settings(max_examples=50)
@given(st.text(max_size=300), st.binary(max_size=300))
def test_custom_sections(title: str, content: bytes) -> None:
    wasm = b"\0asm\x01\0\0\0" + custom_section(title, b"old") + custom_section(title, content)
    assert custom_content(wasm, title) == content
    assert custom_content(wasm, title + "x") is None
    assert [number for number, _ in sections(wasm)] == [0, 0]


CHAIN = """(module
  (func $leaf (export "leaf") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func $spin (param i64) (loop $l (br_if $l (i64.eqz (local.get 0)))))
  (func $middle (param i32) (call $spin (i64.const 1)) (drop (call $leaf (local.get 0))))
  (func $top (export "top") (param i32 f64) (result f64)
    (call $middle (local.get 0)) (call $middle (i32.const 1)) (local.get 1))
  (func $again (param i32) (if (local.get 0) (then (call $again (i32.const 0))))))"""


def chain(options: Options | None = None) -> bytes:
    """A prepared module with a chain of calls and a recursion."""
    return prepare(wasmtime.wat2wasm(CHAIN), options)


def test_a_description_tells_what_a_host_needs() -> None:
    wasm = bytes(wasmtime.wat2wasm(CHAIN))
    described = describe(chain())
    assert described.abi_version == abi.ABI_VERSION
    assert described.pipeline_version == PIPELINE_VERSION
    assert described.source_digest == hashlib.sha256(wasm).hexdigest()
    assert described.options == Options()
    assert described.functions == (1, 2, 3, 4), "leaf functions stay as they are"
    assert described.recursive == (4,)
    assert described.frame_sizes == (8 + 8, 4 + 8, 8 + 8, 4 + 8)
    assert described.points == (1, 1, 2, 2)
    assert described.point_count == 6
    assert (described.memories, described.tables) == (0, 0)
    assert not described.has_countdown
    assert describe(chain(Options(Poll.COUNTDOWN))).has_countdown
    assert Continuations(chain()).function_name(2) == "top"


def frame(function: int, resume: int, size: int) -> bytes:
    """A frame with locals of ones."""
    return b"\1" * (size - abi.TRAILER_SIZE) + struct.pack("<II", resume, function)


def test_frames_are_walked_from_the_outermost() -> None:
    frames = frame(0, 1, 16) + frame(1, 1, 12) + frame(2, 2, 16)
    described = describe(chain())
    points = walk_frames(frames, described)
    assert points == [ResumePoint(2, 2), ResumePoint(1, 1), ResumePoint(0, 1)]
    assert walk_frames(b"", described) == []
    slots = {ResumePoint(2, 2): 40, ResumePoint(1, 1): 41, ResumePoint(0, 1): 42}
    linked = link_frames(frames, described, slots)
    assert linked == (
        b"\1" * 8 + struct.pack("<II", 1, 42)
        + b"\1" * 4 + struct.pack("<II", 1, 41)
        + b"\1" * 8 + struct.pack("<II", 2, 40)
    )  # fmt: skip
    with pytest.raises(KeyError):
        link_frames(frames, described, {})


@pytest.mark.parametrize(
    "frames",
    [
        bytes(4),
        bytes(16),
        frame(4, 1, 16),
        frame(0, 0, 16),
        frame(0, 2, 16),
        frame(0, 1, 16)[4:],
        b"1234" + frame(0, 1, 16),
    ],
)
def test_corrupt_frames(frames: bytes) -> None:
    with pytest.raises(CorruptFrames):
        walk_frames(frames, describe(chain()))


def test_preparing_is_reproducible() -> None:
    wasm = (PROGRAMS / "queens.wasm").read_bytes()
    assert prepare(wasm) == prepare(wasm)
    points = [ResumePoint(0, 1), ResumePoint(3, 1)]
    prepared = prepare(wasm)
    assert Continuations(prepared).module(points) == Continuations(prepared).module(points)


def test_what_is_generated_changes_only_with_its_version() -> None:
    """If this fails on purpose: raise PIPELINE_VERSION, then write the new digests down.

    Snapshots and caches of compiled code outlive a release; they are bound to the version.
    """
    prepared = prepare((PROGRAMS / "queens.wasm").read_bytes())
    counts = enumerate(describe(prepared).points)
    points = [ResumePoint(function, n + 1) for function, count in counts for n in range(count)]
    module = Continuations(prepared).module(points)
    digests = [hashlib.sha256(generated).hexdigest()[:16] for generated in (prepared, module)]
    assert (PIPELINE_VERSION, digests) == (3, ["b9420ffbdcfa2a3d", "21941a67f05f8b66"])


def test_continuations_are_small_and_link_to_little() -> None:
    prepared = prepare((PROGRAMS / "queens.wasm").read_bytes())
    module = Continuations(prepared).module([ResumePoint(0, 1)])
    assert len(module) < 1000
    imports = wasmtime.Module(ENGINE, module).imports
    assert {entry.name for entry in imports if entry.module == abi.PROGRAM_IMPORT} >= {
        abi.STATE,
        abi.SP,
        abi.FRAMES,
        abi.SLOTS,
    }
    described = wasmtime.Module(ENGINE, prepared)
    exported = {entry.name for entry in described.exports}
    assert {entry.name for entry in imports if entry.module == abi.PROGRAM_IMPORT} <= exported


@pytest.mark.parametrize("depth", [3, 300])
def test_blocks_of_a_large_switch_cost_a_continuation_nothing(depth: int) -> None:
    """Every turn of an interpreter's loop opens them all: guards there made it 25 times slower."""
    text = f"""(module (import "wasi_snapshot_preview1" "sched_yield" (func $wait (result i32)))
        (func (export "f") (param i32)
            (loop $next
                {"(block " * depth} (br_table {" ".join(map(str, range(depth)))} (local.get 0))
                {") (local.set 0 (call $wait))" * depth}
                (br $next))))"""
    continuations = Continuations(prepare(bytes(wasmtime.wat2wasm(text))), small_loop=0)
    assert continuations.description.points == (1 + depth,)
    guards_nothing = re.compile(rb"\x02\x40\x20.\x0d\x00\x0b", re.DOTALL)
    for resume in (2, depth, depth + 1):
        module = continuations.module([ResumePoint(0, resume)])
        assert not guards_nothing.search(module)
        assert module.count(b"\x0d\x00") <= 2, "of the switch, and of the call"


def test_a_program_keeps_its_own_exports_and_indices() -> None:
    original = wasmtime.Module(ENGINE, wasmtime.wat2wasm(CHAIN))
    prepared = wasmtime.Module(ENGINE, chain())
    names = [entry.name for entry in prepared.exports]
    assert names[: len(original.exports)] == [entry.name for entry in original.exports]
    assert f"{abi.FUNCTION_PREFIX}0" in names, "a leaf that continuations may call"
    assert f"{abi.FUNCTION_PREFIX}3" not in names, "nobody inside calls it"


def test_an_empty_module_can_be_prepared() -> None:
    prepared = prepare(wasmtime.wat2wasm("(module)"))
    assert describe(prepared).functions == ()
    names = {entry.name for entry in wasmtime.Module(ENGINE, prepared).exports}
    assert names == {abi.STATE, abi.SP, abi.FRAMES, abi.SLOTS}


def test_names_survive() -> None:
    prepared = chain()
    assert custom_content(prepared, "name") == custom_content(
        bytes(wasmtime.wat2wasm(CHAIN)), "name"
    )


def test_functions_are_found_wherever_their_address_is_taken() -> None:
    text = """(module (type $t (func)) {}
      (func $spin (type $t) (loop $l (br_if $l (i32.const 0))))
      (table $u 1 funcref) (func $caller (call_indirect $u (type $t) (i32.const 0))))"""
    for place, found in [
        ("", (0,)),
        ("(elem declare func $spin)", (0, 1)),
        ("(elem funcref (ref.null func) (ref.func $spin))", (0, 1)),
        ("(elem (table $u) (i32.const 0) funcref (ref.func $spin))", (0, 1)),
        ("(global funcref (ref.func $spin))", (0, 1)),
        ("(table 2 funcref (ref.func $spin))", (0, 1)),
    ]:
        wasm = bytes(wasmtime.wat2wasm(text.format(place)))
        wasmtime.Module.validate(ENGINE, wasm)
        prepared = prepare(wasm)
        wasmtime.Module.validate(ENGINE, prepared)
        assert describe(prepared).functions == found, place


def test_tables_others_can_reach_hold_whatever_is_exported() -> None:
    text = """(module (type $t (func)) (table {} 1 funcref)
      (func $spin (export "spin") (type $t) (loop $l (br_if $l (i32.const 0))))
      (func $caller (call_indirect (type $t) (i32.const 0))))"""
    closed = describe(prepare(wasmtime.wat2wasm(text.format(""))))
    exported = describe(prepare(wasmtime.wat2wasm(text.format('(export "table")'))))
    imported = describe(prepare(wasmtime.wat2wasm(text.format('(import "env" "table")'))))
    assert closed.functions == (0,)
    assert exported.functions == (0, 1)
    assert imported.functions == (0, 1)


def test_only_outermost_loops_of_call_free_nests_are_polled() -> None:
    text = """(module
      (func $spin (loop $l (br_if $l (i32.const 0))))
      (func $nest (loop (block (loop (loop))) (if (i32.const 1) (then (loop)))))
      (func $calling (loop (loop (loop) (call $spin)) (loop (loop))))
      (func $table (loop (loop (call_indirect (type $t) (i32.const 0)))))
      (type $t (func)) (table funcref (elem $spin)))"""
    wasm = wasmtime.wat2wasm(text)
    assert describe(prepare(wasm)).points == (1, 4, 6, 3)
    assert describe(prepare(wasm, Options(nest=True))).points == (1, 1, 5, 3)


GRAPHS = st.lists(st.sets(st.integers(0, 7)), min_size=8, max_size=8)


@given(GRAPHS, st.integers(0, 8))
def test_cycles(edges: list[set[int]], breakable: int) -> None:
    edges = [
        {to for to in targets if to < breakable} if node >= breakable else targets
        for node, targets in enumerate(edges)
    ]

    def reachable(start: int) -> set[int]:
        found, pending = set(edges[start]), list(edges[start])
        while pending:
            new = edges[pending.pop()] - found
            found |= new
            pending += new
        return found

    broken = cycle_breakers(edges, breakable)
    assert all(node < breakable and node in reachable(node) for node in broken)
    assert callers_of(edges, {3}) == {
        node for node in range(8) if node == 3 or 3 in reachable(node)
    }
    edges = [set() if node in broken else targets for node, targets in enumerate(edges)]
    assert not any(node in reachable(node) for node in range(8))


def test_the_package_depends_on_nothing() -> None:
    """Standard library only, and nothing of ours from outside."""
    for file in Path(abi.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            imported = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            for module in imported:
                root = module.split(".")[0]
                assert root in sys.stdlib_module_names or module.startswith("arts.migratable")
