"""How long somebody who asks a module to pause waits for it.

The real engine runs the prepared program on a worker thread; another thread asks at random moments.
A sample is the time from the request until the worker has control and the stack is data; beside it
stands the CPU time that the worker used meanwhile: what remains where nothing else wants to run.
"""

import hashlib
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple

from arts.bench.engine.programs import Program
from arts.migratable import Description, describe, walk_frames
from runtime.engines.base import Instance, InstanceSpec, Outcome, Paused
from runtime.engines.wasmtime import MovableProgram, WasmtimeEngine

_SHORTEST_RUN: Final = 0.0002
_LONGEST_RUN: Final = 0.003
"""Seconds after which a module is asked to pause."""
_MOST_TURNS: Final = 4
"""Turns for each sample wanted; some end the program."""


class Pause(NamedTuple):
    """From the request until the stack is data."""

    seconds: float
    cpu_seconds: float


class _Stood(NamedTuple):
    outcome: Outcome
    at: float
    cpu: float


def load(prepared: bytes) -> MovableProgram:
    """By an engine that has never seen the program, nor any continuation of it."""
    loaded = WasmtimeEngine().load(prepared, hashlib.sha256(prepared).hexdigest())
    assert isinstance(loaded, MovableProgram)
    return loaded


def start(loaded: MovableProgram, program: Program) -> Instance:
    """A new instance, whose output nobody reads."""
    return loaded.start(spec_of(program), lambda activity: None)


def spec_of(program: Program) -> InstanceSpec:
    """How the engine is told to run it."""
    return InstanceSpec(uuid=program.name, name=program.name, args=program.arguments)


def ask_at_random(prepared: bytes, program: Program, count: int) -> list[Pause]:
    """``count`` pauses (fewer of a program that ends at once), over its whole run."""
    loaded, description = load(prepared), describe(prepared)
    chance = random.Random(program.name)
    pauses: list[Pause] = []
    instance = start(loaded, program)
    with ThreadPoolExecutor(1) as worker:
        cpu_clock = time.pthread_getcpuclockid(worker.submit(threading.get_ident).result())
        for _ in range(_MOST_TURNS * count):
            turn = worker.submit(_turn, instance)
            time.sleep(chance.uniform(_SHORTEST_RUN, _LONGEST_RUN))
            asked, cpu_then = time.perf_counter(), time.clock_gettime(cpu_clock)
            instance.request_pause()
            stood = turn.result()
            if isinstance(stood.outcome, Paused):
                pauses.append(Pause(stood.at - asked, stood.cpu - cpu_then))
                if len(pauses) == count:
                    break
                _continue_ahead(loaded, description, instance)
            else:
                instance.close()
                instance = start(loaded, program)
    instance.close()
    return pauses


def _turn(instance: Instance) -> _Stood:
    outcome = instance.run()
    return _Stood(outcome, time.perf_counter(), time.thread_time())


def _continue_ahead(loaded: MovableProgram, description: Description, instance: Instance) -> None:
    """Make what the next turn needs now, lest the next request finds it being made."""
    loaded.continue_at(walk_frames(instance.snapshot(()).frames, description))
