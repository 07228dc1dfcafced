"""Programs of real toolchains, paused anywhere, go on anywhere as if nothing had happened.

In a fresh instance, in a fresh process, in V8 and back, and in the engine that runtimes have.
``ARTS_TEST_PROFILE=soak`` tries more moments, and CPython, which takes minutes.
"""

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from arts.bench.engine.pauses import spec_of
from arts.bench.engine.programs import Program as Real
from arts.bench.programs.catalogue import CATALOGUE, LARGE, find
from arts.bench.v8 import Guest as V8Guest
from arts.bench.v8 import Node, find_node
from arts.bench.v8 import World as V8World
from arts.errors import NotFound
from arts.migratable import Options, Poll, prepare
from runtime.conformance.driver import Module
from runtime.engines.base import Exited, Paused, Trapped
from runtime.engines.wasmtime import WasmtimeEngine
from tests.browser.moves import to_v8, to_wasmtime
from tests.migratable.host import Guest, Program, World
from tests.programs_real.elsewhere import Task, go_on

APPS = Path(__file__).parents[2] / "wasm-apps"
QUICK = ("cxx", "lua")
SOAK = os.environ.get("ARTS_TEST_PROFILE") == "soak"
MOVES = 100 if SOAK else 10

NAMES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
    for name in CATALOGUE
    if SOAK or name not in LARGE
]

pytestmark = pytest.mark.timeout(1500)  # CPython is compiled three times


@dataclass(frozen=True)
class Subject:
    """A program with reproducible pause points, and what it does undisturbed."""

    name: str
    arguments: list[bytes]
    program: Program
    output: bytes
    polls: int
    prepared_file: Path
    compiled_file: Path

    def start(self) -> Guest:
        """A run of its own."""
        return Guest(self.program, World(list(self.arguments)))

    def parked(self, point: int) -> Guest:
        """A run that stands at its ``point``-th poll."""
        guest = self.start()
        guest.pause_at(point)
        assert guest.run() == "parked"
        return guest

    def effort(self, usual: int, soak: int) -> int:
        """How often to try; what is large is never tried more often than usual."""
        return soak if SOAK and self.name not in LARGE else usual

    def points(self, count: int, purpose: str) -> list[int]:
        """Where to pause: at other polls for each purpose, but always at the same."""
        return random.Random(f"{self.name} {purpose}").sample(range(1, self.polls + 1), count)


@cache
def real(name: str) -> Real:
    programs, missing = find(APPS, [name])
    if missing:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing[0])
    return programs[0]


@cache
def prepared(name: str, poll: Poll) -> bytes:
    return prepare(real(name).wasm, Options(poll))


@cache
def subject_of(name: str, folder: Path) -> Subject:
    arguments = [name.encode(), *(argument.encode() for argument in real(name).arguments)]
    program = Program(prepared(name, Poll.COUNTDOWN))
    files = folder / f"{name}.wasm", folder / f"{name}.compiled"
    files[0].write_bytes(program.prepared)
    files[1].write_bytes(program.module.serialize())
    guest = Guest(program, World(list(arguments)))
    guest.pause_at(0)
    assert guest.run() in ("done", "exit")
    return Subject(name, arguments, program, guest.world.out, guest.safepoints, *files)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("real")


@pytest.fixture
def subject(request: pytest.FixtureRequest, folder: Path) -> Subject:
    return subject_of(request.param, folder)


@pytest.fixture(scope="session")
def v8() -> Iterator[Node]:
    """A process that may take long: large programs are large lines."""
    try:
        executable = find_node()
    except NotFound as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    with Node(executable, timeout=600) as process:
        if "exnref" not in process.engine.features:
            pytest.skip("this V8 has no exnref")
        yield process


every_program = pytest.mark.parametrize("subject", NAMES, indirect=True)


@every_program
def test_it_does_real_work(subject: Subject) -> None:
    assert subject.output.count(b"\n") >= (1 if subject.name == "c" else 5)
    assert subject.polls > 5000


@every_program
def test_a_pause_anywhere_is_not_noticed(subject: Subject) -> None:
    for point in subject.points(subject.effort(8, 100), "pause"):
        moved = Guest.restore(subject.program, subject.parked(point).capture())
        moved.pause_at(0)
        assert moved.run() in ("done", "exit"), point
        assert (moved.world.out, moved.safepoints) == (subject.output, subject.polls - point), point


@every_program
def test_many_moves_are_not_noticed(subject: Subject) -> None:
    least = subject.effort(6, 50)
    step, hops = subject.polls // (least + 1), 0
    guest = subject.parked(step)
    while True:
        guest = Guest.restore(subject.program, guest.capture())
        guest.pause_at(step)
        hops += 1
        if guest.run() != "parked":
            break
    assert hops >= least
    assert guest.world.out == subject.output


@every_program
def test_a_fresh_process_goes_on(subject: Subject) -> None:
    files = subject.prepared_file, subject.compiled_file
    for point in subject.points(subject.effort(1, 5), "process"):
        turn = go_on(*files, Task(subject.parked(point).capture()))
        assert turn.outcome in ("done", "exit")
        assert (turn.output, turn.polls) == (subject.output, subject.polls - point), point


@every_program
@pytest.mark.slow
def test_from_process_to_process(subject: Subject) -> None:
    files = subject.prepared_file, subject.compiled_file
    step = subject.polls // 4
    snapshot, hops = subject.parked(step).capture(), 1
    while True:
        turn = go_on(*files, Task(snapshot, step))
        if turn.snapshot is None:
            break
        snapshot, hops = turn.snapshot, hops + 1
    assert hops >= 4
    assert turn.output == subject.output


@every_program
def test_v8_and_wasmtime_take_turns(subject: Subject, v8: Node) -> None:
    """There, from there, and both in one life."""
    theirs = v8.load(subject.program.prepared)
    step = subject.polls // 6
    (late,) = subject.points(1, "V8")

    there = theirs.restore(to_v8(subject.parked(late)))
    assert (there.run().outcome in ("returned", "exited"), there.stdout) == (True, subject.output)
    there.drop()

    here = theirs.start(V8World(subject.arguments))
    assert here.run(polls=late).outcome == "parked"
    back = to_wasmtime(subject.program, here.capture())
    here.drop()
    back.pause_at(0)
    assert back.run() in ("done", "exit")
    assert (back.world.out, back.safepoints) == (subject.output, subject.polls - late)

    guest: Guest = subject.parked(step)
    for _ in range(2):
        away: V8Guest = theirs.restore(to_v8(guest))
        assert away.run(polls=step).outcome == "parked"
        guest = to_wasmtime(subject.program, away.capture())
        away.drop()
        guest.pause_at(step)
        assert guest.run() == "parked"
    guest.link(guest.frames())
    guest.pause_at(0)
    assert guest.run() in ("done", "exit")
    assert guest.world.out == subject.output
    theirs.drop()


@every_program
def test_runtimes_move_it_while_it_runs(subject: Subject, tmp_path: Path) -> None:
    """The real engine: asked from another thread, through the bytes of a snapshot, to a program
    that another engine has loaded."""
    wasm = prepared(subject.name, Poll.FLAG)
    digest = hashlib.sha256(wasm).hexdigest()
    sites = [WasmtimeEngine(tmp_path).load(wasm, digest) for _ in range(2)]
    moves, moment = 0, 0.0
    while not moves:  # on a busy machine it may have ended before it is asked
        module = Module(sites[0], spec_of(real(subject.name)))
        while True:
            moment = (moment * 1.7 + 0.0013) % 0.04
            timer = threading.Timer(moment, module.instance.request_pause)
            timer.start()
            outcome = module.instance.run()
            timer.cancel()
            if isinstance(outcome, Exited | Trapped):
                break
            if isinstance(outcome, Paused) and moves < MOVES:
                moves += 1
                module.move(sites[moves % 2])
        assert outcome == Exited(0)
        assert module.lines() == subject.output.decode().splitlines()
