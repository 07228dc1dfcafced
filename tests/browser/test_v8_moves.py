"""Programs move between wasmtime and V8 while they run, and nobody can tell from what they do."""

import random
from functools import cache

import pytest

from arts.bench.v8 import Guest as V8Guest
from arts.bench.v8 import Node, World
from arts.bench.v8 import Program as V8Program
from arts.migratable import prepare
from tests.browser.moves import (
    PROGRAMS,
    SMALL,
    arguments,
    in_wasmtime,
    prepared,
    to_v8,
    to_wasmtime,
)
from tests.migratable import host

POINTS = 20


@cache
def reference(name: str) -> tuple[bytes, int]:
    """(output, number of polls) of a run that nobody disturbs."""
    guest = host.Guest(in_wasmtime(prepared(name)), host.World(arguments(name)))
    assert guest.run() in ("done", "exit")
    return guest.world.out, guest.safepoints


def points_of(name: str) -> list[int]:
    """Where to pause."""
    _, polls = reference(name)
    return random.Random(f"{name} in V8").sample(range(1, polls + 1), POINTS)


@cache
def in_v8(node: Node, wasm: bytes) -> V8Program:
    """Compiled once a process."""
    return node.load(wasm)


def parked_in_wasmtime(name: str, point: int) -> host.Guest:
    guest = host.Guest(in_wasmtime(prepared(name)), host.World(arguments(name)))
    guest.pause_at(point)
    assert guest.run() == "parked"
    return guest


def parked_in_v8(node: Node, name: str, point: int) -> V8Guest:
    guest = in_v8(node, prepared(name)).start(World(arguments(name)))
    assert guest.run(polls=point).outcome == "parked"
    return guest


@pytest.mark.parametrize("name", PROGRAMS)
def test_v8_runs_programs_as_wasmtime_does(node: Node, name: str) -> None:
    guest = in_v8(node, prepared(name)).start(World(arguments(name)))
    turn = guest.run()
    assert (turn.outcome, guest.stdout, turn.polls) == ("returned", *reference(name))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_pause_in_v8_changes_nothing(node: Node, name: str) -> None:
    output, polls = reference(name)
    for point in points_of(name):
        parked = parked_in_v8(node, name, point)
        moved = parked.program.restore(parked.capture())
        turn = moved.run()
        assert (turn.outcome, moved.stdout, turn.polls) == ("returned", output, polls - point)
        parked.drop()
        moved.drop()


@pytest.mark.parametrize("name", PROGRAMS)
def test_from_wasmtime_to_v8(node: Node, name: str) -> None:
    output, polls = reference(name)
    for point in points_of(name):
        moved = in_v8(node, prepared(name)).restore(to_v8(parked_in_wasmtime(name, point)))
        turn = moved.run()
        assert (turn.outcome, moved.stdout, turn.polls) == ("returned", output, polls - point)
        moved.drop()


@pytest.mark.parametrize("name", PROGRAMS)
def test_from_v8_to_wasmtime(node: Node, name: str) -> None:
    output, polls = reference(name)
    for point in points_of(name):
        parked = parked_in_v8(node, name, point)
        moved = to_wasmtime(in_wasmtime(prepared(name)), parked.capture())
        moved.pause_at(0)
        assert moved.run() in ("done", "exit")
        assert (moved.world.out, moved.safepoints) == (output, polls - point)
        parked.drop()


@pytest.mark.parametrize("name", PROGRAMS)
def test_to_and_fro_many_times(node: Node, name: str) -> None:
    output, polls = reference(name)
    step, hops = max(1, polls // 21), 0
    program, theirs = in_v8(node, prepared(name)), in_wasmtime(prepared(name))
    guest = parked_in_wasmtime(name, step)
    while True:
        moved = program.restore(to_v8(guest))
        hops += 1
        if moved.run(polls=step).outcome != "parked":
            assert moved.stdout == output
            break
        guest = to_wasmtime(theirs, moved.capture())
        moved.drop()
        guest.pause_at(step)
        hops += 1
        if guest.run() != "parked":
            assert guest.world.out == output
            break
    assert hops >= 20


def test_states_are_the_same_wherever_they_were_captured(node: Node) -> None:
    """Memory, stack and globals, bit for bit, at the same point."""
    for name in ("queens", "sort", "nbody"):
        for point in points_of(name)[:5]:
            there, here = to_v8(parked_in_wasmtime(name, point)), parked_in_v8(node, name, point)
            state = here.capture()
            here.drop()
            assert (state.memories, state.stack, state.globals, state.world) == (
                there.memories,
                there.stack,
                there.globals,
                there.world,
            )


def test_readers_get_their_lines_wherever_they_wait(node: Node) -> None:
    wasm = prepare((SMALL / "blockio.wasm").read_bytes())
    lines = [b"alpha 1\n", b"beta 22\n", b"gamma 333\n", b"d\n", b"eps\n"]
    plain = host.Guest(in_wasmtime(wasm), host.World(stdin=b"".join(lines)))
    plain.run()
    assert plain.world.out.count(b"answer") == 5

    program = in_v8(node, wasm)
    guest = host.Guest(in_wasmtime(wasm), host.World(at_end=False))
    assert guest.run() == "parked"
    for number in range(0, 4, 2):
        moved = program.restore(to_v8(guest))
        moved.feed(lines[number])
        assert moved.run().outcome == "parked"
        guest = to_wasmtime(in_wasmtime(wasm), moved.capture())
        guest.world.stdin = lines[number + 1]
        assert guest.run() == "parked"
    guest = to_wasmtime(in_wasmtime(wasm), program.restore(to_v8(guest)).capture())
    guest.world.stdin = lines[-1]
    assert guest.run() == "done"
    assert guest.world.out == plain.world.out
