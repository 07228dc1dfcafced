"""Which programs the wasmtime engine takes, how it contains the rest, and its cache."""

import hashlib
import threading
from pathlib import Path

import pytest
import wasmtime

from arts.errors import EngineError, ProgramError, SnapshotError
from arts.migratable import Options, describe, prepare
from arts.model import Limits
from runtime.conformance import Module
from runtime.engines import compiled
from runtime.engines.base import (
    Exited,
    InstanceSpec,
    Killed,
    OutputLine,
    Parked,
    Program,
    Trapped,
)
from runtime.engines.compiled import CompiledCache
from runtime.engines.wasmtime import WasmtimeEngine

APPS = Path(__file__).resolve().parents[2] / "wasm-apps"
WASI = '(import "wasi_snapshot_preview1" '

ENGINE = WasmtimeEngine()


def load(wasm: bytes, engine: WasmtimeEngine = ENGINE) -> Program:
    return engine.load(wasm, hashlib.sha256(wasm).hexdigest())


def app(name: str) -> bytes:
    return (APPS / name).read_bytes()


def wat(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def module(wasm: bytes, *args: str, limits: Limits | None = None) -> Module:
    return Module(load(wasm), InstanceSpec("uuid", "app", args, limits=limits or Limits()))


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("wasm", "reason"),
    [
        (b"", "not a WebAssembly module"),
        (b"(module)", "not a WebAssembly module"),
        (app("faulty/notwasm.wasm"), "not a WebAssembly module"),
        (b"\0asm\1\0\0\0\x01\xff", "does not compile"),
        (wat('(component)'), "does not compile"),
        (app("faulty/badimport.wasm"), "env.nope"),
        (prepare(app("faulty/badimport.wasm")), "env.nope"),
        (wat(f'(module {WASI} "no_such_call" (func)))'), "wasi_snapshot_preview1.no_such_call"),
        (wat('(module (func (export "initialize")))'), "build it as a command"),
        (wat('(module (func (export "_start") (param i32)))'), "build it as a command"),
        (wat('(module (func (export "_start") (result v128) unreachable))'), "build it as a"),
        (wat('(module (global (export "_start") v128 (v128.const i64x2 1 2)))'), "build it as a"),
        (
            wat(f'(module {WASI} "fd_read" (func)) (func (export "_start")))'),
            "cannot be linked",
        ),
    ],
)  # fmt: skip
def test_programs_that_cannot_run(wasm: bytes, reason: str) -> None:
    with pytest.raises(ProgramError, match=reason):
        load(wasm)


@pytest.mark.parametrize("prepared", [False, True])
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("unreachable", "unreachable executed"),
        ("i32.const -1 i32.load drop", "out of bounds memory access"),
        ("call 0", "call stack exhausted"),
        ("i32.const 1 i32.const 0 i32.div_s drop", "integer divide by zero"),
        ("i32.const 0x80000000 i32.const -1 i32.div_s drop", "integer overflow"),
        ("f32.const nan i32.trunc_f32_s drop", "invalid conversion to integer"),
        ("i32.const 0 call_indirect", "uninitialized table element"),
        ("i32.const 9 call_indirect", "undefined element: out of bounds table access"),
        ("i32.const 1 call_indirect (result i32) drop", "indirect call type mismatch"),
        ("throw $oops", "thrown Wasm exception"),
        ("i32.const 1 i32.atomic.load drop", "unaligned atomic access"),
    ],
)
def test_traps_have_readable_reasons(body: str, reason: str, prepared: bool) -> None:
    wasm = wat(
        '(module (memory (export "memory") 1) (tag $oops) (table 2 funcref) (elem (i32.const 1) 0)'
        f' (func (export "_start") {body}))'
    )
    assert module(prepare(wasm) if prepared else wasm).finish() == Trapped(reason)


def test_a_program_that_needs_more_memory_than_it_may_have() -> None:
    wasm = wat('(module (memory (export "memory") 32) (func (export "_start")))')
    limits = Limits(memory_bytes=1 << 20)
    with pytest.raises(EngineError, match="its limit is 1048576"):
        module(prepare(wasm), limits=limits)
    outcome = module(wasm, limits=limits).finish()
    assert isinstance(outcome, Trapped)
    assert "memory" in outcome.reason


# ---------------------------------------------------------------------------- forgeries

GOOD = {
    "arts.memory.0": '(memory (export "arts.memory.0") 1)',
    "arts.state": '(global (export "arts.state") (mut i32) (i32.const 0))',
    "arts.sp": '(global (export "arts.sp") (mut i32) (i32.const 64))',
    "arts.frames": '(memory (export "arts.frames") 256 256)',
    "arts.slots": '(table (export "arts.slots") 0 funcref)',
}


def forge(start: str = "", **replaced: str) -> bytes:
    """A module that says that it is prepared, but is not."""
    fields = GOOD | {name.replace("_", "."): text for name, text in replaced.items()}
    body = f'(func (export "_start") {start})'
    described = describe(prepare(wat("(module (memory 1))")))
    return wat(f"(module {' '.join(fields.values())} {body})") + described.section()


@pytest.mark.parametrize("missing", sorted(GOOD.keys() - {"arts.slots"}))
def test_a_forged_program_with_exports_of_other_kinds(missing: str) -> None:
    assert module(forge()).finish() == Exited(0)
    for other in ("", f'(func (export "{missing}"))', f'(table (export "{missing}") 1 funcref)'):
        with pytest.raises(EngineError, match=f"no {missing}"):
            module(forge(**{missing.replace(".", "_"): other}))


def test_a_forged_program_with_a_small_stack() -> None:
    with pytest.raises(EngineError, match="stack memory"):
        module(forge(arts_frames='(memory (export "arts.frames") 1 256)'))


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        ("(global.set 0 (i32.const 1))", "without leaving a stack"),
        ("(global.set 0 (i32.const 1)) (global.set 1 (i32.const 0))", "without leaving a stack"),
        ("(global.set 0 (i32.const 1)) (global.set 1 (i32.const -1))", "cannot be continued"),
        ("(global.set 0 (i32.const 1)) (global.set 1 (i32.const 96))", "cannot be continued"),
    ],
)
def test_a_forged_program_with_a_wrong_stack(start: str, reason: str) -> None:
    outcome = module(forge(start)).finish()
    assert isinstance(outcome, Trapped)
    assert reason in outcome.reason


def test_a_program_prepared_for_another_host() -> None:
    with pytest.raises(ProgramError, match="never wait"):
        load(prepare(app("hello/hello.wasm"), Options(blocking=frozenset())))


# ---------------------------------------------------------------------------- unmovable programs


@pytest.mark.parametrize(
    ("name", "lines"),
    [("externref", ["main"]), ("tables", ["old", "new"]), ("startsection", ["started", "main"])],
)
def test_programs_that_cannot_be_prepared_run_all_the_same(name: str, lines: list[str]) -> None:
    found = module(app(f"faulty/{name}.wasm"))
    assert found.program.refusal
    assert not found.instance.migratable
    assert found.finish() == Exited(0)
    assert found.lines() == lines


def test_an_unmovable_program_waits_on_its_thread() -> None:
    found = module(app("stdinread/stdinread.wasm"))
    assert found.program.reads_stdin
    words = iter([b"one", b"two", b"quit"])
    outcome = found.interrupt(lambda: found.instance.deliver("stdin", next(words, b"late"), None))
    assert outcome == Exited(0)
    assert found.lines() == ["got: one", "got: two"]


def test_an_unmovable_program_cannot_be_captured_or_restored() -> None:
    movable = Module(load(prepare(app("hello/hello.wasm"))), InstanceSpec("uuid", "app"))
    found = module(app("hello/hello.wasm"))
    found.instance.request_pause()
    with pytest.raises(SnapshotError, match="cannot be moved"):
        found.instance.snapshot(())
    with pytest.raises(SnapshotError, match="cannot be moved"):
        found.program.restore(found.spec, movable.instance.snapshot(()), print)
    found.instance.close()
    found.instance.close()
    assert found.instance.run() == Killed()


@pytest.mark.parametrize("name", ["faulty/spin.wasm", "stdinread/stdinread.wasm"])
def test_killing_an_unmovable_program_kills_no_other(name: str) -> None:
    victim, other = module(app(name)), module(app("counter/counter.wasm"), "1", "20")
    outcomes: list[object] = []
    thread = threading.Thread(target=lambda: outcomes.append(other.instance.run()))
    thread.start()
    assert victim.interrupt(victim.instance.kill) == Killed()
    thread.join()
    assert outcomes == [Exited(0)]
    assert other.lines()[-1] == "count 20"


def test_memory_of_an_unmovable_program_is_measured() -> None:
    found = module(app("faulty/hog.wasm"), limits=Limits(memory_bytes=4 << 20))
    assert found.finish() == Exited(1)
    assert 2 << 20 < found.instance.stats().memory_bytes <= 4 << 20


def test_a_program_without_memory_gets_errors_from_its_calls() -> None:
    text = f"""(module {WASI} "random_get" (func $get (param i32 i32) (result i32)))
        {WASI} "proc_exit" (func $exit (param i32)))
        (func (export "_start") (call $exit (call $get (i32.const 0) (i32.const 1)))))"""
    for wasm in (wat(text), prepare(wat(text))):
        assert module(wasm).finish() == Exited(21)


# ---------------------------------------------------------------------------- faults of the host


@pytest.mark.parametrize("prepared", [False, True])
def test_a_failing_host_ends_the_module_not_the_process(prepared: bool) -> None:
    def listen(activity: object) -> None:
        if isinstance(activity, OutputLine):
            raise RuntimeError("out of order")

    wasm = app("hello/hello.wasm")
    program = load(prepare(wasm) if prepared else wasm)
    outcome = program.start(InstanceSpec("uuid", "app"), listen).run()
    assert isinstance(outcome, Trapped)
    assert "fd_write" in outcome.reason
    assert "out of order" in outcome.reason


# ---------------------------------------------------------------------------- the cache


def run_counter(cache: Path) -> Module:
    """Start, park and resume a counter with an engine of its own."""
    program = load(prepare(app("counter/counter.wasm")), WasmtimeEngine(cache))
    found = Module(program, InstanceSpec("uuid", "counter", ("1", "3")))
    assert found.finish() == Exited(0)
    assert found.lines() == ["count 1", "count 2", "count 3"]
    return found


def test_everything_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache"
    run_counter(cache)
    files = sorted(cache.iterdir())
    assert len(files) >= 2  # the program and continuations

    def compiles(*_: object) -> None:
        raise AssertionError("it was compiled again")

    monkeypatch.setattr(wasmtime.Module, "__init__", compiles)
    run_counter(cache)
    assert sorted(cache.iterdir()) == files


@pytest.mark.parametrize("content", [b"", b"x" * 100, "flipped", "foreign"])
def test_damaged_entries_are_made_again(tmp_path: Path, content: bytes | str) -> None:
    run_counter(tmp_path)
    whole = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path, good in whole.items():
        if content == "flipped":
            path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        elif content == "foreign":  # whole, but nothing that this wasmtime made
            path.write_bytes(hashlib.sha256(b"foreign").digest() + b"foreign")
        else:
            path.write_bytes(bytes(content))  # type: ignore[arg-type]
    run_counter(tmp_path)
    assert {path: path.read_bytes()[32:] for path in tmp_path.iterdir()}.keys() == whole.keys()
    for path in tmp_path.iterdir():
        code = path.read_bytes()
        assert hashlib.sha256(code[32:]).digest() == code[:32]
        assert len(code) > 1000


def test_a_cache_that_cannot_be_used_is_no_cache(tmp_path: Path) -> None:
    run_counter(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.unlink()
        path.mkdir()  # neither readable nor replaceable
    run_counter(tmp_path)


def test_the_cache_forgets_what_is_long_unused(tmp_path: Path) -> None:
    cache = CompiledCache(tmp_path)
    for key in ("old", "new"):
        cache.put(key, bytes(1000))
    compiled.os.utime(cache._path("old"), (1, 1))
    cache = CompiledCache(tmp_path, max_bytes=1500)
    assert cache.get("old") is None
    assert cache.get("new") == bytes(1000)


def test_parked_is_parked_however_often_it_is_looked_at() -> None:
    found = Module(
        load(prepare(app("counter/counter.wasm"))), InstanceSpec("uuid", "counter", ("60000",))
    )
    for _ in range(5):
        assert isinstance(found.instance.run(), Parked)
    assert found.lines() == ["count 1"]
