"""Everything that makes up a running program goes along: memories, globals, deep stacks."""

import hashlib
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import wasmtime

from arts.errors import SnapshotError
from arts.migratable import abi, prepare
from arts.model import Limits
from runtime.conformance import Module
from runtime.engines.base import Exited, InstanceSpec, Outcome, Parked, Paused
from runtime.engines.wasmtime import MovableProgram, WasmtimeEngine
from runtime.engines.wasmtime_instance import MovableInstance
from runtime.snapshot import GlobalValue, MemoryImage, Snapshot

APPS = Path(__file__).resolve().parents[2] / "wasm-apps"
ENGINE = WasmtimeEngine()

LIBRARY = """
    (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\20\\00\\00\\00\\10\\00\\00\\00")
    (func $block (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))
"""
"""``$block`` waits for a line of input."""


def start(text: str, limits: Limits | None = None) -> Module:
    """The module, started, and parked at its first wait."""
    found = load(text, limits)
    assert isinstance(found.instance.run(), Parked)
    return found


def load(text: str, limits: Limits | None = None) -> Module:
    wasm = prepare(bytes(wasmtime.wat2wasm(f"(module {LIBRARY} {text})")))
    program = ENGINE.load(wasm, hashlib.sha256(wasm).hexdigest())
    return Module(program, InstanceSpec("uuid", "app", limits=limits or Limits()))


def move_and_go_on(module: Module) -> Outcome:
    module.move()
    module.instance.deliver("stdin", b"go on", None)
    return module.instance.run()


@pytest.mark.parametrize(
    ("kind", "value", "check"),
    [
        ("i32", "i32.const -2", "(i32.eq (global.get $g) (i32.const -2))"),
        ("i64", "i64.const 0x8000000000000001", "(i64.lt_s (global.get $g) (i64.const -99))"),
        (
            "f32",
            "f32.const nan:0x200001",
            "(i32.eq (i32.reinterpret_f32 (global.get $g)) (i32.const 0x7fa00001))",
        ),
        (
            "f64",
            "f64.const -nan:0x4000000000001",
            "(i64.eq (i64.reinterpret_f64 (global.get $g)) (i64.const 0xfff4000000000001))",
        ),
        (
            "v128",
            "v128.const i64x2 1 0x8000000000000002",
            "(i8x16.all_true (i8x16.eq (global.get $g) (v128.const i64x2 1 0x8000000000000002)))",
        ),
    ],
)  # fmt: skip
def test_globals_go_along_bit_by_bit(kind: str, value: str, check: str) -> None:
    zero = f"{kind}.const i64x2 0 0" if kind == "v128" else f"{kind}.const 0"
    module = start(f"""
        (global $g (mut {kind}) ({zero}))
        (func (export "_start")
            (global.set $g ({value})) (call $block) (call $exit {check}))""")
    assert move_and_go_on(module) == Exited(1)


def test_memories_that_have_grown_go_along() -> None:
    module = start("""
        (func (export "_start")
            (drop (memory.grow (i32.const 3)))
            (i32.store (i32.const 250000) (i32.const 42))
            (call $block)
            (call $exit (i32.add (memory.size) (i32.load (i32.const 250000)))))""")
    assert move_and_go_on(module) == Exited(46)
    assert module.instance.stats().memory_bytes == 4 << 16


def test_what_has_been_overwritten_with_zeros_stays_zero() -> None:
    """The initial data must not shine through."""
    module = start("""
        (data (i32.const 8192) "initial")
        (func (export "_start")
            (memory.fill (i32.const 4096) (i32.const 0) (i32.const 32768))
            (call $block)
            (call $exit (i32.add (i32.const 5) (i32.load8_u (i32.const 8192)))))""")
    assert move_and_go_on(module) == Exited(5)


def test_several_memories_go_along() -> None:
    module = start("""
        (memory $other 1)
        (func (export "_start")
            (i32.store $other (i32.const 100) (i32.const 7))
            (call $block)
            (call $exit (i32.load $other (i32.const 100))))""")
    assert move_and_go_on(module) == Exited(7)


DEEP = """
    (func $deep (param $n i32) (result i32)
        (if (i32.eqz (local.get $n)) (then (call $block) (return (i32.const 0))))
        (i32.add (i32.const 1) (call $deep (i32.sub (local.get $n) (i32.const 1)))))
    (func (export "_start")
        (call $exit (i32.rem_u (call $deep (i32.const 5000)) (i32.const 251))))"""


def test_a_deep_stack_goes_along() -> None:
    assert move_and_go_on(start(DEEP)) == Exited(5000 % 251)


def test_a_deep_stack_goes_on_in_place() -> None:
    module = start(DEEP)
    assert isinstance(module.instance.run(), Parked)
    module.instance.deliver("stdin", b"go on", None)
    assert module.instance.run() == Exited(5000 % 251)


# ---------------------------------------------------------------------------- continuations


def counter() -> Module:
    wasm = prepare((APPS / "counter/counter.wasm").read_bytes())
    program = ENGINE.load(wasm, hashlib.sha256(wasm).hexdigest())
    return Module(program, InstanceSpec("uuid", "counter", ("1", "4")))


def test_continuations_are_made_once_for_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    first = counter()
    program = first.program
    assert isinstance(program, MovableProgram)
    assert first.finish() == Exited(0)
    points = set(program._continued)
    assert points
    monkeypatch.setattr(program, "_make", None)
    second = Module(program, first.spec)
    assert second.finish(between=second.move) == Exited(0)
    assert set(program._continued) == points


def test_an_instance_links_a_continuation_once() -> None:
    module = counter()
    instance = module.instance
    assert isinstance(instance, MovableInstance)
    linked = []
    assert module.finish(between=lambda: linked.append(dict(instance._linked))) == Exited(0)
    assert linked[1]
    assert linked[1] == linked[-1]


def test_programs_are_shared_between_threads() -> None:
    """Instances of one program park, move and go on at once, on several threads."""
    program = counter().program
    modules = [Module(program, InstanceSpec("u", "counter", ("1", "20"))) for _ in range(4)]
    threads = [threading.Thread(target=each.finish, args=(each.move,)) for each in modules]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [f"count {number}" for number in range(1, 21)]
    assert [each.lines() for each in modules] == [expected] * 4


# ---------------------------------------------------------------------------- hygiene


def test_nothing_of_a_stack_stays_in_the_instance() -> None:
    """What activations saved may be secret: it is in the snapshot, and nowhere else."""
    module = start(DEEP)
    instance = module.instance
    assert isinstance(instance, MovableInstance)
    assert len(instance._frames) > 5000 * abi.TRAILER_SIZE
    assert not any(bytes(instance._stack._memory.view()[abi.FRAMES_BASE :]))
    assert isinstance(instance.run(), Parked)
    assert not any(bytes(instance._stack._memory.view()[abi.FRAMES_BASE :]))


def test_a_pause_between_turns_is_forgotten() -> None:
    module = counter()
    module.instance.request_pause()
    outcome = module.instance.run()
    assert not isinstance(outcome, Paused)


# ---------------------------------------------------------------------------- what does not fit


def broken(snapshot: Snapshot) -> dict[str, Snapshot]:
    """Snapshots that are consistent in themselves but not the program's."""
    zero = MemoryImage(1 << 16, bytes(2), b"")
    value = snapshot.globals[0]
    huge = replace(zero, size=1 << 22, bitmap=bytes(128))
    return {
        "no memory": replace(snapshot, memories=()),
        "one memory too many": replace(snapshot, memories=(*snapshot.memories, zero)),
        "smaller than at the start": replace(snapshot, memories=(MemoryImage(0, b"", b""),)),
        "not whole pages": replace(
            snapshot, memories=(replace(zero, size=(1 << 16) + 4096, bitmap=bytes(3)),)
        ),
        "over its limit": replace(snapshot, memories=(huge,)),
        "no globals": replace(snapshot, globals=()),
        "another type": replace(snapshot, globals=(GlobalValue(value.number, "i64", bytes(8)),)),
        "half a frame": replace(snapshot, frames=snapshot.frames[4:]),
        "no such point": replace(snapshot, frames=b"\xff" * len(snapshot.frames)),
    }


SIMPLE = """
    (global $g (mut i32) (i32.const 0))
    (func (export "_start") (global.set $g (i32.const 5)) (call $block)
        (call $exit (global.get $g)))"""


@pytest.mark.parametrize("case", broken(start(SIMPLE).instance.snapshot(())))
def test_snapshots_that_do_not_fit(case: str) -> None:
    module = start(SIMPLE, Limits(memory_bytes=1 << 20))
    wrong = broken(module.instance.snapshot(()))[case]
    with pytest.raises(SnapshotError):
        module.program.restore(module.spec, wrong, print)
    assert move_and_go_on(module) == Exited(5)
