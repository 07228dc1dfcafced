"""The tables of instructions agree with an engine, and both ways to pass over code agree."""

import itertools
from functools import cache
from pathlib import Path

import pytest
import wasmtime

from arts.migratable import opcodes
from arts.migratable.binary import name, section, sized, unsigned, vector
from arts.migratable.module import parse
from arts.migratable.opcodes import F32, F64, I32, I64, PLAIN, PREFIXED, V128, Immediate, Shape

CONSTANTS = {
    I32: b"\x41\0",
    I64: b"\x42\0",
    F32: b"\x43" + bytes(4),
    F64: b"\x44" + bytes(8),
    V128: b"\xfd\x0c" + bytes(16),
}
IMMEDIATES = {
    Immediate.NONE: b"",
    Immediate.LEB: b"\0",
    Immediate.LEB2: b"\0\0",
    Immediate.FOUR_BYTES: bytes(4),
    Immediate.EIGHT_BYTES: bytes(8),
    Immediate.SIXTEEN_BYTES: bytes(16),
    Immediate.LANE: b"\0",
}
FUNCREF_CONSTANT = b"\xd0\x70"


@cache
def everything() -> wasmtime.Engine:
    """An engine with all the features whose instructions are in the tables."""
    config = wasmtime.Config()
    config.wasm_threads = True
    config.wasm_relaxed_simd = True
    return wasmtime.Engine(config)


def module(body: bytes, results: bytes) -> bytes:
    """A module with a function of that body, a memory, a table, and segments."""
    code = sized(b"\0" + body + b"\x0b")
    return b"".join(
        [
            b"\0asm\x01\0\0\0",
            section(1, vector([b"\x60\0" + sized(results)])),
            section(3, b"\x01\0"),
            section(4, b"\x01\x70\0\0"),
            section(5, b"\x01\0\0"),
            section(7, vector([name("f") + b"\0\0"])),
            section(9, b"\x01\x01\0\0"),
            section(12, b"\x01"),
            section(10, vector([code])),
            section(11, b"\x01\x01\0"),
        ]
    )


def valid(wasm: bytes) -> bool:
    """Whether an engine accepts it."""
    try:
        wasmtime.Module.validate(everything(), wasm)
    except wasmtime.WasmtimeError:
        return False
    return True


def instructions(opcode: int, number: int | None, shape: Shape) -> list[bytes]:
    """The instruction in encodings of which one must be right: alignments differ."""
    start = bytes([opcode]) + (b"" if number is None else unsigned(number))
    if shape.immediate in IMMEDIATES:
        return [start + IMMEDIATES[shape.immediate]]
    lane = b"\0" if shape.immediate is Immediate.MEMARG_LANE else b""
    return [start + bytes([alignment, 0]) + lane for alignment in range(4)]


def is_right(opcode: int, number: int | None, shape: Shape) -> bool:
    """Whether with some operands, as many as the table says, the results are as it says."""
    results = bytes([shape.pushes]) if shape.pushes else b""
    operands = [*CONSTANTS.values(), FUNCREF_CONSTANT]
    return any(
        valid(module(b"".join(chosen) + instruction, results))
        for instruction in instructions(opcode, number, shape)
        for chosen in itertools.product(operands, repeat=shape.pops)
    )


ALL = [(opcode, None, shape) for opcode, shape in PLAIN.items() if opcode not in (0x1A, 0xD1)]
ALL += [
    (prefix, number, shape) for prefix, table in PREFIXED.items() for number, shape in table.items()
]


@pytest.mark.parametrize("part", range(8))
def test_effects_are_those_of_an_engine(part: int) -> None:
    wrong = [entry for entry in ALL[part::8] if not is_right(*entry)]
    assert wrong == []


def test_drop_and_null_checks() -> None:
    assert valid(module(b"\x41\0\x1a", b""))
    assert valid(module(FUNCREF_CONSTANT + b"\xd1", bytes([I32])))
    assert (PLAIN[0x1A].pops, PLAIN[0xD1].pushes) == (1, I32)


def test_instructions_are_passed_over_whole() -> None:
    for opcode, number, shape in ALL:
        for instruction in instructions(opcode, number, shape):
            assert opcodes.skip_instruction(instruction + b"\x0b", 0) == len(instruction)
            run = opcodes.BETWEEN_BLOCKS.match(instruction)
            assert run is not None
            assert run.end() == len(instruction)


def test_odd_but_legal_encodings_are_passed_over() -> None:
    for instruction in (
        b"\x41\xff\xff\xff\xff\x7f",
        b"\x20\x80\x80\x00",
        b"\x28\x82\x00\x80\x00",
        b"\x28\x42\x01\x80\x00",
        b"\xfd\x8e\x80\x00",
        b"\xfc\x80\x00",
        b"\xfe\x03\x00",
        b"\x02\xff\x00",
        b"\x04\x80\x01",
        b"\x1c\x01\x7f",
        b"\x0e\x02\x00\x80\x01\x00",
        b"\x1f\x40\x03\x00\x05\x01\x01\x05\x01\x02\x00",
        b"\xd0\x70",
    ):
        assert opcodes.skip_instruction(instruction + b"\x0b", 0) == len(instruction)
        assert list(opcodes.stops(opcodes.BETWEEN_CALLS, instruction, 0, len(instruction))) in (
            [],
            [0],
        )


@pytest.mark.parametrize("pattern", ["BETWEEN_CALLS", "BETWEEN_BLOCKS"])
@pytest.mark.parametrize("program", ["queens", "sort"])
def test_runs_end_where_single_steps_end(pattern: str, program: str) -> None:
    wasm = (Path(__file__).parent / "programs" / f"{program}.wasm").read_bytes()
    parsed = parse(wasm)
    first = len(parsed.imported_functions)
    for function in range(first, len(parsed.functions)):
        _, at, end = parsed.locals_of(function)
        stops = set(opcodes.stops(getattr(opcodes, pattern), wasm, at, end))
        steps = set()
        while at < end:
            steps.add(at)
            at = opcodes.skip_instruction(wasm, at)
        assert at == end
        assert stops <= steps
        interesting = (
            {0x03, 0x10, 0x11}
            if pattern == "BETWEEN_CALLS"
            else {0x02, 0x03, 0x04, 0x05, 0x0B, 0x10, 0x11}
        )
        assert {step for step in steps if wasm[step] in interesting} <= stops
