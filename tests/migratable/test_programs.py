"""C programs behave the same however often, and wherever, they are paused and moved."""

import random
import threading
from functools import cache
from pathlib import Path

import pytest
import wasmtime

from arts.migratable import Options, Poll, abi, prepare

from .differential import run
from .host import Guest, Program, World

PROGRAMS = Path(__file__).parent / "programs"
SIZES = {"queens": b"5", "sort": b"120", "matmul": b"8", "sieve": b"400"}
FORMS = [(False, 256), (True, 256), (False, 0), (True, 12)]
"""(nest, small_loop): how loops are polled, and how continuations go back into them."""


@cache
def prepared(name: str, nest: bool, small_loop: int) -> Program:
    """A program with reproducible pause points."""
    wasm = (PROGRAMS / f"{name}.wasm").read_bytes()
    return Program(prepare(wasm, Options(Poll.COUNTDOWN, nest)), small_loop)


@cache
def reference(name: str, nest: bool, small_loop: int) -> tuple[bytes, int]:
    """(output, number of safepoints) of a run without pauses."""
    guest = start(name, nest, small_loop)
    assert guest.run() in ("done", "exit")
    return guest.world.out, guest.safepoints


def start(name: str, nest: bool, small_loop: int) -> Guest:
    """A new run of a program."""
    world = World([name.encode(), SIZES[name]])
    return Guest(prepared(name, nest, small_loop), world)


@pytest.mark.parametrize(("nest", "small_loop"), FORMS)
@pytest.mark.parametrize("name", SIZES)
def test_a_pause_anywhere_changes_nothing(name: str, nest: bool, small_loop: int) -> None:
    output, safepoints = reference(name, nest, small_loop)
    points = random.Random(name).sample(range(1, safepoints + 1), 25)
    for point in points:
        guest = start(name, nest, small_loop)
        guest.pause_at(point)
        assert guest.run() == "parked"
        moved = Guest.restore(guest.program, guest.capture())
        assert moved.run() in ("done", "exit")
        assert (moved.world.out, moved.safepoints) == (output, safepoints - point), point


@pytest.mark.parametrize(("nest", "small_loop"), FORMS)
@pytest.mark.parametrize("name", SIZES)
def test_fifty_moves_change_nothing(name: str, nest: bool, small_loop: int) -> None:
    output, safepoints = reference(name, nest, small_loop)
    step = safepoints // 51
    guest = start(name, nest, small_loop)
    guest.pause_at(step)
    hops = 0
    while guest.run() == "parked":
        guest = Guest.restore(guest.program, guest.capture())
        guest.pause_at(step)
        hops += 1
    assert hops >= 50
    assert guest.world.out == output


@pytest.mark.parametrize(("nest", "small_loop"), FORMS)
def test_a_pause_can_end_in_the_same_instance(nest: bool, small_loop: int) -> None:
    output, safepoints = reference("queens", nest, small_loop)
    guest = start("queens", nest, small_loop)
    guest.pause_at(safepoints // 20)
    hops = 0
    while guest.run() == "parked":
        guest.link(guest.frames())
        guest.pause_at(safepoints // 20)
        hops += 1
    assert hops >= 20
    assert guest.world.out == output


@pytest.mark.parametrize("poll", Poll)
def test_a_blocking_read_parks_the_whole_stack(poll: Poll) -> None:
    program = Program(prepare((PROGRAMS / "blockio.wasm").read_bytes(), Options(poll)))
    lines = [b"alpha 1\n", b"beta 22\n", b"gamma 333\n", b"d\n", b"eps\n"]
    plain = Guest(program, World(stdin=b"".join(lines)))
    plain.run()
    assert plain.world.out.count(b"answer") == 5

    guest = Guest(program, World(at_end=False))
    hops = 0
    while guest.run() == "parked":
        snapshot = guest.capture()
        assert snapshot.frames
        snapshot.world.stdin = lines[hops]
        guest = Guest.restore(program, snapshot)
        hops += 1
    assert hops == len(lines)
    assert guest.world.out == plain.world.out


ENDLESS = """(module
  (import "env" "started" (func $started))
  (memory (export "memory") 1)
  (func (export "spin") (result i32) (local $turns i32)
    (call $started)
    (loop $again
      (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
      (br_if $again (i32.eqz (i32.load (i32.const 0)))))
    (local.get $turns)))"""


@pytest.mark.parametrize("nest", [False, True])
def test_a_flag_from_another_thread_stops_an_endless_loop(nest: bool) -> None:
    program = Program(prepare(wasmtime.wat2wasm(ENDLESS), Options(Poll.FLAG, nest)))
    started = threading.Event()
    guest = Guest(program, imports={("env", "started"): lambda _: started.set()})
    guest.entry = "spin"
    outcome: list[str] = []
    thread = threading.Thread(target=lambda: outcome.append(guest.run()))
    thread.start()
    assert started.wait(30)
    guest.request_pause()
    thread.join(30)
    assert outcome == ["parked"]

    assert guest.frames()
    guest.link(guest.frames())
    guest.request_pause()
    assert guest.run() == "parked", "a pause asked for while parked is taken at the next safepoint"

    guest.link(guest.frames())
    guest.request_pause(0)
    guest.memory.write(guest.store, b"\1", 0)
    assert guest.run() == "done"
    assert guest.result > 1


def test_every_safepoint_makes_progress() -> None:
    """A pause is asked for all the time, and still the loop ends."""
    program = Program(prepare(wasmtime.wat2wasm(COUNTING), Options(Poll.FLAG)))
    guest = Guest(program)
    guest.entry = "count"
    guest.request_pause()
    hops = 0
    while guest.run(10) == "parked":
        guest.link(guest.frames())
        hops += 1
    assert (guest.result, hops) == (10, 10)


COUNTING = """(module (func (export "count") (param $n i32) (result i32) (local $i i32)
  (loop $again
    (local.set $i (i32.add (local.get $i) (i32.const 1)))
    (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
  (local.get $i)))"""


def test_frames_stack_up_from_their_base() -> None:
    guest = start("queens", False, 256)
    guest.pause_at(200)
    guest.run()
    end = guest.own(abi.SP).value(guest.store)
    assert abi.FRAMES_BASE + len(guest.frames()) == end


def test_deep_recursion_fits_into_the_memory_of_frames() -> None:
    wat = """(module
      (import "env" "ask" (func $ask (result i32)))
      (func $deep (export "deep") (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (i32.add (call $deep (i32.sub (local.get 0) (i32.const 1))) (local.get 0)))
          (else (call $ask)))))"""
    options = Options(Poll.NONE, blocking=frozenset({("env", "ask")}))
    program = Program(prepare(wasmtime.wat2wasm(wat), options))
    answers = iter([None, 7])
    ask = {("env", "ask"): lambda guest: guest.park() if (it := next(answers)) is None else it}
    guest = Guest(program, imports=ask)
    guest.entry = "deep"
    assert guest.run(3000) == "parked"
    assert len(guest.frames()) == 3001 * (4 + 8)
    guest.link(guest.frames())
    guest.run()
    assert guest.result == 7 + 3000 * 3001 // 2


def test_runs_can_be_compared() -> None:
    """The oracle itself must see a difference."""
    program = Program(prepare(wasmtime.wat2wasm(COUNTING), Options(Poll.COUNTDOWN)))
    assert run(program, "count", [5]) != run(program, "count", [6])
