"""Carries captured programs between the two minimal hosts: wasmtime's and V8's.

Both have the same world: see ``tests/migratable/host.py`` and ``runtime/browser/wasi.mjs``.
"""

import hashlib
import struct
from functools import cache
from pathlib import Path
from typing import Any

from arts.bench import v8
from arts.migratable import Options, Poll, abi, prepare
from runtime.engines import wasmtime_ffi as ffi
from tests.migratable.differential import FORMS
from tests.migratable.host import Guest, Program, Snapshot, World

ROOT = Path(__file__).parents[2]
SMALL = ROOT / "tests" / "migratable" / "programs"
BENCH = ROOT / "wasm-apps" / "bench"

PROGRAMS = {
    "queens": (SMALL / "queens.wasm", "5"),
    "sort": (SMALL / "sort.wasm", "120"),
    "matmul": (SMALL / "matmul.wasm", "8"),
    "sieve": (SMALL / "sieve.wasm", "400"),
    "nbody": (BENCH / "nbody.wasm", "20"),
    "sha256": (BENCH / "sha256.wasm", "1"),
    "fannkuch": (BENCH / "fannkuch.wasm", "5"),
    "mandelbrot": (BENCH / "mandelbrot.wasm", "12"),
}
"""Name -> (file, size): each runs some hundred to some thousand polls."""

_LAYOUT = {"i32": "<i", "i64": "<q", "f32": "<f", "f64": "<d"}


@cache
def prepared(name: str, form: str = "own frames") -> bytes:
    """A program with reproducible pause points."""
    return prepare(PROGRAMS[name][0].read_bytes(), Options(Poll.COUNTDOWN, **FORMS[form]))


@cache
def in_wasmtime(wasm: bytes) -> Program:
    """Compiled once."""
    return Program(wasm)


def arguments(name: str) -> list[bytes]:
    """What the program is started with."""
    return [name.encode(), PROGRAMS[name][1].encode()]


def to_v8(guest: Guest) -> v8.State:
    """The state of a parked guest of wasmtime, for V8."""
    snapshot, world = guest.capture(), guest.world
    described = guest.program.description
    bits = [
        (number, kind, ffi.read_global(guest.store._context(), _global(guest, number), kind))
        for number, kind in described.mutable_globals
    ]
    return v8.State(
        abi=described.abi_version,
        program=hashlib.sha256(guest.program.prepared).hexdigest(),
        started=True,
        memories=snapshot.memories,
        stack=snapshot.frames,
        globals=bits,
        tables=list(zip(described.mutable_tables, snapshot.tables, strict=True)),
        world=v8.WorldState(
            args=world.args,
            env=[],
            stdin=world.stdin,
            at_end=world.at_end,
            stdout=world.out,
            stderr=b"",
            clock=world.clock // 1_000_000,
            random=world.random,
            open=[],
        ),
    )


def to_wasmtime(program: Program, state: v8.State) -> Guest:
    """A guest of wasmtime that goes on from a state of V8."""
    assert state.program == hashlib.sha256(program.prepared).hexdigest()
    seen = state.world
    world = World(
        args=seen.args,
        stdin=seen.stdin,
        at_end=seen.at_end,
        out=seen.stdout,
        clock=seen.clock * 1_000_000,
        random=seen.random,
    )
    values = {
        number: struct.unpack(_LAYOUT[kind], bits)[0]
        for number, kind, bits in state.globals
        if kind in _LAYOUT
    }
    tables = [elements for _, elements in state.tables]
    guest = Guest.restore(
        program, Snapshot(state.memories, values, tables, state.stack, world, "_start")
    )
    # Once more, because Python's floats do not keep every bit either.
    for number, kind, bits in state.globals:
        ffi.write_global(guest.store._context(), _global(guest, number), kind, bits)
    return guest


def _global(guest: Guest, number: int) -> Any:
    name = f"{abi.GLOBAL_PREFIX}{number}"
    return ffi.export(guest.store._context(), guest.instance._instance, name, ffi.GLOBAL)
