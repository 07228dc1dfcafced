"""What the JavaScript host keeps of the contract, and what it refuses."""

import struct
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import wasmtime

from arts.bench.v8 import I64, Node, Program, State, V8Error, World
from arts.migratable import Options, Poll, prepare
from tests.browser.moves import SMALL, in_wasmtime, prepared, to_v8
from tests.migratable import host

ASK = frozenset({("env", "ask")})


@cache
def made(wat: str, poll: Poll = Poll.COUNTDOWN) -> bytes:
    return prepare(wasmtime.wat2wasm(wat), Options(poll, blocking=ASK))


# ------------------------------------------------------------------------ values

GLOBALS = """(module
  (global $a (mut i32) (i32.const 0))
  (global $b (mut i64) (i64.const 0))
  (global $c (mut f32) (f32.const 0))
  (global $d (mut f64) (f64.const 0))
  (global $e (mut v128) (v128.const i64x2 0 0))
  (global $fixed i32 (i32.const 7))
  (func (export "run") (result i64) (local $i i32)
    (global.set $a (i32.const -2))
    (global.set $b (i64.const 0x8123456789abcdef))
    (global.set $c (f32.reinterpret_i32 (i32.const 0xffa0beef)))
    (global.set $d (f64.reinterpret_i64 (i64.const 0x7ff4dead0000beef)))
    (global.set $e (v128.const i64x2 0x0123456789abcdef 0xfedcba9876543210))
    (loop $again
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                              (i32.const 9))))
    (i64.add
      (i64.add (i64.extend_i32_s (global.get $a)) (global.get $b))
      (i64.add
        (i64.add (i64.extend_i32_u (i32.reinterpret_f32 (global.get $c)))
                 (i64.reinterpret_f64 (global.get $d)))
        (i64.add (i64x2.extract_lane 0 (global.get $e))
                 (i64x2.extract_lane 1 (global.get $e)))))))"""

BITS = [
    (0, "i32", struct.pack("<i", -2)),
    (1, "i64", struct.pack("<Q", 0x8123456789ABCDEF)),
    (2, "f32", struct.pack("<I", 0xFFA0BEEF)),
    (3, "f64", struct.pack("<Q", 0x7FF4DEAD0000BEEF)),
    (4, "v128", struct.pack("<QQ", 0x0123456789ABCDEF, 0xFEDCBA9876543210)),
]


def test_globals_keep_every_bit(node: Node) -> None:
    """Payloads of signalling NaNs, the sign of a zero's kin, lanes of a vector."""
    program = node.load(made(GLOBALS))
    expected = program.start().run("run").result
    guest = program.start()
    assert guest.run("run", polls=5).outcome == "parked"
    state = guest.capture()
    assert state.globals == BITS
    moved = program.restore(state)
    assert moved.capture().globals == BITS
    assert moved.run().result == expected


def test_globals_are_the_same_bits_in_wasmtime(node: Node) -> None:
    wasm = made(GLOBALS)
    guest = host.Guest(in_wasmtime(wasm))
    guest.entry = "run"
    guest.pause_at(5)
    assert guest.run() == "parked"
    state = to_v8(guest)
    assert state.globals == BITS
    assert node.load(wasm).restore(state).run().result == node.load(wasm).start().run("run").result


def test_arguments_and_results_of_64_bits(node: Node) -> None:
    wat = """(module (func (export "half") (param i64 i32) (result i64)
      (loop (br_if 0 (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
      (i64.shr_s (local.get 0) (i64.const 1))))"""
    guest = node.load(made(wat)).start()
    assert guest.run("half", [I64(-(2**62)), 9], polls=4).outcome == "parked"
    assert guest.run().result == -(2**61)


# ------------------------------------------------------------------------ blocking and pausing

ASKING = """(module
  (import "env" "ask" (func $ask (param i32) (result KIND)))
  (memory (export "memory") 1)
  (func $deep (param i32) (result KIND)
    (if (result KIND) (local.get 0)
      (then (KIND.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (KIND.const 10)))
      (else (call $ask (i32.const 3)))))
  (func (export "run") (result KIND)
    (KIND.add (call $deep (i32.const 3)) (call $deep (i32.const 1)))))"""


@pytest.mark.parametrize(("kind", "wrap"), [("i32", int), ("i64", I64), ("f64", float)])
@pytest.mark.parametrize("poll", Poll)
def test_a_host_function_that_would_block_is_repeated(
    node: Node, kind: str, wrap: Callable[[int], Any], poll: Poll
) -> None:
    program = node.load(made(ASKING.replace("KIND", kind), poll))
    answers = {("env", "ask"): [None, wrap(5), None, None, wrap(6)]}
    guest = program.start(answers=answers)
    assert guest.run("run").outcome == "parked"
    assert guest.run().outcome == "parked"
    assert guest.run().outcome == "parked"
    assert guest.run().result == 5 + 30 + 6 + 10

    guest = program.start(answers={("env", "ask"): [None]})
    for hop in range(5):
        assert guest.run("run").outcome == "parked", hop
        guest = program.restore(guest.capture(), answers={("env", "ask"): [None]})
    guest = program.restore(guest.capture(), answers={("env", "ask"): [wrap(1)]})
    assert guest.run().result == 1 + 30 + 1 + 10


def test_a_host_function_can_ask_for_a_pause(node: Node) -> None:
    wat = """(module
      (import "wasi_snapshot_preview1" "sched_yield" (func $look (result i32)))
      (memory (export "memory") 1)
      (func (export "run") (result i32) (local $i i32)
        (loop $again
          (drop (call $look))
          (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1)))
                                  (i32.const 20))))
        (local.get $i)))"""
    program = node.load(made(wat, Poll.FLAG))
    guest = program.start()
    hops = 0
    while (turn := guest.run("run", calls=3)).outcome == "parked":
        guest = program.restore(guest.capture())
        hops += 1
    assert (turn.result, hops) == (20, 6)


def test_the_stack_is_cleaned_away(node: Node) -> None:
    """A parked program's frames are in its state and nowhere else, however often it went on."""
    program = node.load(prepared("queens"))
    guest = program.start(World(["queens", "5"]))
    for _ in range(20):
        assert guest.run(polls=7).outcome == "parked"
        assert guest.capture().stack
    assert guest.run().outcome == "returned"
    assert guest.capture().stack == b""


def test_a_program_that_stands_can_be_captured_at_any_time(node: Node) -> None:
    program = node.load(prepared("queens"))
    fresh = program.restore(program.start(World(["queens", "5"])).capture())
    assert fresh.run().outcome == "returned"
    again = program.restore(fresh.capture())
    assert (again.stdout, again.capture().started) == (fresh.stdout, True)


def test_a_trap_is_the_end(node: Node) -> None:
    wat = '(module (func (export "run") (loop (br_if 0 (i32.const 0))) unreachable))'
    guest = node.load(made(wat)).start()
    assert guest.run("run", polls=1).outcome == "parked"
    with pytest.raises(V8Error, match="RuntimeError: unreachable"):
        guest.run()
    with pytest.raises(V8Error, match="misuse: the program has ended"):
        guest.run("run")
    with pytest.raises(V8Error, match="misuse: the program has ended"):
        guest.capture()


def test_no_handler_of_the_program_keeps_it_from_leaving(node: Node) -> None:
    wat = """(module
      (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (memory (export "memory") 1)
      (func (export "_start")
        (block $caught (try_table (catch_all $caught) (call $exit (i32.const 9))))
        unreachable))"""
    wasm = made(wat)
    turn = node.load(wasm).start().run()
    assert (turn.outcome, turn.code) == ("exited", 9)
    assert host.Guest(in_wasmtime(wasm)).run() == "exit"


def test_whole_runs_are_timed_plain_and_prepared(node: Node) -> None:
    world = World(["queens", "6"])
    plain = node.load((SMALL / "queens.wasm").read_bytes())
    assert not plain.prepared
    runs = [program.time(world, runs=3) for program in (plain, node.load(prepared("queens")))]
    assert runs[0].stdout == runs[1].stdout != b""
    assert [len(run.seconds) for run in runs] == [3, 3]
    assert min(runs[0].seconds + runs[1].seconds) > 0


# ------------------------------------------------------------------------ refusals


@pytest.fixture
def parked(node: Node) -> tuple[Program, State]:
    program = node.load(prepared("queens"))
    guest = program.start(World(["queens", "5"]))
    assert guest.run(polls=40).outcome == "parked"
    return program, guest.capture()


def refused(program: Program, state: State, reason: str) -> None:
    with pytest.raises(V8Error, match=reason):
        program.restore(state)


def test_states_of_other_programs_are_refused(node: Node, parked: tuple[Program, State]) -> None:
    program, state = parked
    refused(node.load(prepared("sort")), state, "foreign: the state belongs to program")
    refused(program, replace(state, abi=1), "foreign: the state is of ABI version 1")


def test_corrupt_stacks_are_refused(parked: tuple[Program, State]) -> None:
    program, state = parked
    stack = state.stack
    for broken, reason in [
        (stack[:-8] + struct.pack("<II", 1, 1000), "function id 1000, which does not exist"),
        (stack[:-8] + struct.pack("<II", 99, 0), "a frame at point 99 of function id 0"),
        (stack[:-8] + struct.pack("<I", 0) + stack[-4:], "a frame at point 0 of function id"),
        (stack[1:], "the innermost frame is cut off"),
        (stack[-4:], "4 bytes are too few for a frame"),
    ]:
        refused(program, replace(state, stack=broken), f"corrupt: the stack is corrupt: .*{reason}")


def test_states_that_contradict_their_program_are_refused(parked: tuple[Program, State]) -> None:
    program, state = parked
    number, kind, bits = state.globals[0]
    other = {"i32": "i64"}[kind]
    for broken, reason in [
        (replace(state, memories=[]), "number of memories"),
        (replace(state, memories=[state.memories[0][: 1 << 16]]), "size of a memory"),
        (replace(state, memories=[state.memories[0] + b"x"]), "size of a memory"),
        (replace(state, globals=state.globals[1:]), "list of globals"),
        (replace(state, globals=[(number + 100, kind, bits)]), "list of globals"),
        (replace(state, globals=[(number, other, bits * 2)]), "list of globals"),
        (replace(state, globals=[(number, kind, bits[1:])]), f"value of global {number}"),
        (replace(state, tables=[(0, [None])]), "list of tables"),
    ]:
        refused(program, broken, f"corrupt: the state contradicts its program: {reason}")


def test_a_stack_that_does_not_fit_is_refused(parked: tuple[Program, State]) -> None:
    program, state = parked
    sizes = program.continuations.description.frame_sizes
    largest = sizes.index(max(sizes))
    frame = bytes(sizes[largest] - 8) + struct.pack("<II", 1, largest)
    deep = frame * ((17 << 20) // len(frame))
    guest = program.restore(replace(state, stack=deep))
    with pytest.raises(V8Error, match=r"corrupt: a stack of .* bytes does not fit"):
        guest.run()


def test_programs_that_are_not_prepared_are_refused(node: Node) -> None:
    plain = node.load((SMALL / "queens.wasm").read_bytes())
    with pytest.raises(V8Error, match="not-prepared: the program is not prepared"):
        plain.start()
    with pytest.raises(V8Error, match="CompileError"):
        node.load(b"\0asm")


def test_a_program_that_takes_too_long_is_given_up(node: Node) -> None:
    wat = '(module (func (export "run") (loop (br 0))))'
    with Node(timeout=1.0) as impatient:
        guest = impatient.load(made(wat)).start()
        with pytest.raises(V8Error, match=r"late: node took more than 1 s for run"):
            guest.run("run")
        with pytest.raises(V8Error, match="gone"):
            guest.capture()


def test_there_is_nothing_to_start_but_exports(node: Node) -> None:
    guest = node.load(prepared("queens")).start()
    for name in ("nothing", "memory"):
        with pytest.raises(V8Error, match=f"misuse: the program exports no function {name}"):
            guest.run(name)


def test_a_countdown_needs_polls_that_count(node: Node) -> None:
    guest = node.load(made(GLOBALS, Poll.FLAG)).start()
    with pytest.raises(V8Error, match="misuse: this program has no countdown"):
        guest.run("run", polls=3)
