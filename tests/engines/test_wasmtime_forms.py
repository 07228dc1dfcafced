"""The engine runs every form of a prepared program, and carries what changes in each of them."""

import hashlib
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import wasmtime

from arts.errors import EngineError, SnapshotError
from arts.migratable import Frames, Options, Poll, abi, prepare
from arts.model import Limits
from runtime.conformance import Module
from runtime.engines.base import Exited, InstanceSpec, Killed, Outcome, Parked, Paused
from runtime.engines.wasmtime import WasmtimeEngine

APPS = Path(__file__).resolve().parents[2] / "wasm-apps"
ENGINE = WasmtimeEngine()
FORMS = {
    "as by default": Options(),
    "twins": Options(twins=True),
    "counting": Options(Poll.COUNTDOWN),
    "primary frames": Options(Poll.COUNTDOWN, frames=Frames.PRIMARY),
    "primary frames and twins": Options(Poll.COUNTDOWN, frames=Frames.PRIMARY, twins=True),
}
BLOCK = """
    (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "\\20\\00\\00\\00\\10\\00\\00\\00")
    (func $block (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8))))
"""


def load(wasm: bytes, options: Options, *args: str, limits: Limits | None = None) -> Module:
    prepared = prepare(wasm, options)
    program = ENGINE.load(prepared, hashlib.sha256(prepared).hexdigest())
    return Module(program, InstanceSpec("uuid", "app", args, limits=limits or Limits()))


def assemble(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(f"(module {BLOCK} {text})"))


def pause_soon(module: Module) -> Outcome:
    """A turn that is asked to stop after a while."""
    timer = threading.Timer(0.005, module.instance.request_pause)
    timer.start()
    outcome = module.instance.run()
    timer.join()
    return outcome


@pytest.mark.parametrize("form", FORMS)
def test_a_program_that_computes_is_stopped_and_moved(form: str) -> None:
    moves = 0
    while not moves:  # on a busy machine it may have ended before it is asked
        module = load((APPS / "queens/queens.wasm").read_bytes(), FORMS[form], "10")
        while isinstance(outcome := pause_soon(module), Paused):
            module.move()
            moves += 1
        assert outcome == Exited(0)
        assert any("724" in line for line in module.lines())


@pytest.mark.parametrize("form", FORMS)
def test_what_changes_in_tables_goes_along(form: str) -> None:
    wasm = assemble("""
        (table $t 2 funcref) (type $k (func (result i32))) (elem $p func $one $two)
        (func $one (result i32) (i32.const 1))
        (func $two (result i32) (call $block) (i32.const 2))
        (func (export "_start")
            (table.init $t $p (i32.const 0) (i32.const 0) (i32.const 2))
            (elem.drop $p)
            (drop (table.grow $t (ref.func $one) (i32.const 3)))
            (table.set $t (i32.const 0) (ref.null func))
            (call $block)
            (call $exit (i32.add
                (i32.mul (i32.const 10) (call_indirect $t (type $k) (i32.const 1)))
                (i32.add (call_indirect $t (type $k) (i32.const 4))
                    (i32.add (ref.is_null (table.get $t (i32.const 0)))
                        (i32.mul (i32.const 100) (i32.eq (table.size $t) (i32.const 5)))))))
            (table.init $t $p (i32.const 0) (i32.const 0) (i32.const 1)))""")
    module = load(wasm, FORMS[form])
    for _ in range(2):
        assert isinstance(module.instance.run(), Parked)
        module.move()
        module.move()
        module.instance.deliver("stdin", b"go on", None)
    assert module.instance.run() == Exited(122)


def test_references_to_things_of_the_host_do_not_travel() -> None:
    wasm = assemble("""
        (table $t 1 externref)
        (func (export "_start")
            (call $block) (table.set $t (i32.const 0) (table.get $t (i32.const 0))))""")
    module = load(wasm, Options())
    assert isinstance(module.instance.run(), Parked)
    snapshot = module.instance.snapshot(())
    assert snapshot.tables == ((None,),)


@pytest.mark.parametrize("size", [0, 1])
def test_tables_for_things_of_the_host_travel_while_they_are_empty(size: int) -> None:
    wasm = assemble(f"""
        (table $t {size} externref)
        (func (export "_start")
            (drop (table.grow $t (ref.null extern) (i32.const 3)))
            (call $block)
            (call $exit (i32.add (table.size $t)
                (i32.mul (i32.const 10) (ref.is_null (table.get $t (i32.const 2)))))))""")
    module = load(wasm, Options())
    assert isinstance(module.instance.run(), Parked)
    module.move()
    module.instance.deliver("stdin", b"go on", None)
    assert module.instance.run() == Exited(10 + 3 + size)


def test_tables_of_another_program_are_refused() -> None:
    text = """(table $t 1 funcref)
        (func (export "_start") (call $block) (table.set $t (i32.const 0) (ref.null func)))"""
    module = load(assemble(text), Options())
    assert isinstance(module.instance.run(), Parked)
    snapshot = module.instance.snapshot(())
    for tables, reason in [
        ((), "not the program's"),
        (((),), "cannot be that small"),
        (((99,),), "does not have"),
        (((None,) * (1 << 21),), "cannot have|grow"),
    ]:
        with pytest.raises((SnapshotError, EngineError), match=reason):
            module.program.restore(
                module.spec, replace(snapshot, tables=tables), lambda activity: None
            )


@pytest.mark.parametrize("form", ["primary frames", "as by default"])
def test_hidden_pages_count_for_nobody(form: str) -> None:
    wasm = assemble("""
        (func (export "_start")
            (call $block) (drop (memory.grow (i32.const 1)))
            (call $block) (call $exit (memory.size)))""")
    module = load(wasm, FORMS[form], limits=Limits(memory_bytes=2 << 16))
    for size in (1, 2):
        assert isinstance(module.instance.run(), Parked)
        assert module.instance.stats().memory_bytes == size << 16
        module.move()
        module.instance.deliver("stdin", b"go on", None)
    assert module.instance.run() == Exited(2)
    with pytest.raises(EngineError, match="its limit is"):
        load(wasm, FORMS[form], limits=Limits(memory_bytes=1 << 15)).instance.run()


def test_a_program_without_polls_can_be_killed() -> None:
    module = load(assemble('(func (export "_start") (loop $l (br $l)))'), Options(Poll.NONE))
    outcomes = []
    thread = threading.Thread(target=lambda: outcomes.append(module.instance.run()))
    thread.start()
    time.sleep(0.05)
    module.instance.kill()
    thread.join(30)
    assert outcomes == [Killed()]


def test_a_program_without_polls_moves_where_it_waits() -> None:
    wasm = assemble('(func (export "_start") (loop (call $block)) (call $exit (i32.const 7)))')
    module = load(wasm, Options(Poll.NONE))
    assert isinstance(module.instance.run(), Parked)
    module.move()
    module.instance.deliver("stdin", b"go on", None)
    assert module.instance.run() == Exited(7)


def test_a_stack_that_is_too_large_for_its_place() -> None:
    wasm = assemble('(func (export "_start") (call $block) (call $exit (i32.const 7)))')
    module = load(wasm, FORMS["primary frames"])
    assert isinstance(module.instance.run(), Parked)
    snapshot = module.instance.snapshot(())
    large = replace(snapshot, frames=snapshot.frames * (abi.PRIMARY_FRAMES_PAGES << 13))
    restored = module.program.restore(module.spec, large, lambda activity: None)
    restored.deliver("stdin", b"go on", None)
    assert "stack is larger" in str(restored.run())
