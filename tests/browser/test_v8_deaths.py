"""A host is killed (kill -9), and the other kind goes on from the last state that it gave away:
what the program has done since then it does again, from the same input, and nobody can tell."""

import multiprocessing
import os
import signal
import time
from functools import cache
from multiprocessing.connection import Connection

import pytest

from arts.bench.v8 import Node, State, V8Error, World
from arts.migratable import prepare
from tests.browser.moves import SMALL, in_wasmtime, to_v8, to_wasmtime
from tests.migratable import host

LINES = [b"alpha 1\n", b"beta 22\n", b"gamma 333\n", b"d\n", b"eps\n"]
"""What ``blockio`` reads, and answers."""
KEPT = 2
"""So many lines are part of the state that is kept."""


@cache
def program() -> bytes:
    """Waits for each of its lines."""
    return prepare((SMALL / "blockio.wasm").read_bytes())


@pytest.fixture(scope="module")
def undisturbed() -> bytes:
    """What it writes when nobody dies."""
    guest = host.Guest(in_wasmtime(program()), host.World(stdin=b"".join(LINES)))
    assert guest.run() == "done"
    return guest.world.out


def test_node_is_killed_and_wasmtime_goes_on(undisturbed: bytes) -> None:
    with Node() as node:
        guest = node.load(program()).start(World(at_end=False))
        assert guest.run().outcome == "parked"
        for line in LINES[:KEPT]:
            guest.feed(line)
            assert guest.run().outcome == "parked"
        kept = guest.capture()
        lost = node.load(program()).restore(kept)
        lost.feed(LINES[KEPT])  # nobody will know of this
        assert lost.run().outcome == "parked"
        node.kill()
        with pytest.raises(V8Error) as gone:
            lost.capture()
        assert gone.value.code == "gone"
    moved = to_wasmtime(in_wasmtime(program()), kept)
    moved.world.stdin = b"".join(LINES[KEPT:])
    assert moved.run() == "done"
    assert moved.world.out == undisturbed


def in_a_process(keep: Connection) -> None:
    """Runs in a process of wasmtime's: gives its state away, goes on, and waits for its end."""
    guest = host.Guest(in_wasmtime(program()), host.World(at_end=False))
    guest.world.stdin = b"".join(LINES[:KEPT])
    assert guest.run() == "parked"
    state = to_v8(guest)
    lost = to_wasmtime(in_wasmtime(program()), state)
    lost.world.stdin = LINES[KEPT]  # nobody will know of this
    assert lost.run() == "parked"
    keep.send(state)
    time.sleep(600)


def test_wasmtime_is_killed_and_node_goes_on(node: Node, undisturbed: bytes) -> None:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=in_a_process, args=(theirs,))
    process.start()
    assert ours.poll(30)
    kept: State = ours.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    moved = node.load(program()).restore(kept)
    for line in LINES[KEPT:]:
        moved.feed(line)
        turn = moved.run()
    assert (turn.outcome, moved.stdout) == ("returned", undisturbed)
    moved.drop()
