"""Moved modules: how fast they run afterwards, and how long it takes to restore them.

A run is paused near a quarter of its way, captured, and restored on a fresh instance. What the rest
takes is compared with the rest of a run that was never touched: its whole time less what the moved
one had used. The rest runs in continuations until the functions on the stack return.
"""

import statistics
import threading
import time
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from arts.bench.engine.pauses import load, spec_of, start
from arts.bench.engine.programs import Program
from runtime.engines.base import Exited, Instance, Outcome, Paused
from runtime.engines.wasmtime import MovableProgram
from runtime.snapshot import Snapshot, decode, encode

_FIRST_PART: Final = 0.25
_ATTEMPTS: Final = 5


@dataclass(frozen=True)
class Moved:
    """``overhead`` 1 is as fast as never moved. ``cold``: restored where nothing of the stack had
    been seen; ``warm``: where continuations of its points had been made before. ``capture``: until
    its state is ``snapshot_bytes`` to be sent."""

    overhead: float
    cold_seconds: float
    warm_seconds: float
    capture_seconds: float
    snapshot_bytes: int


def measure(prepared: bytes, program: Program, rounds: int) -> Moved:
    """Move it ``rounds`` times."""
    loaded = load(prepared)
    ratios, warm, captures, sizes = [], [], [], []
    with ThreadPoolExecutor(1) as worker:
        expected = _whole(loaded, program, worker)
        for _ in range(rounds):
            first, capture, data = _first_part(loaded, program, worker, expected)
            captures.append(capture)
            sizes.append(len(data))
            snapshot = decode(data)
            _restored(loaded, program, snapshot)[1].close()
            seconds, instance = _restored(loaded, program, snapshot)
            warm.append(seconds)
            rest = _to_the_end(instance, worker)
            expected = _whole(loaded, program, worker)
            ratios.append(rest / (expected - first))
    cold = []
    for _ in range(min(rounds, 3)):
        seconds, instance = _restored(load(prepared), program, snapshot)
        instance.close()
        cold.append(seconds)
    return Moved(
        overhead=statistics.median(ratios),
        cold_seconds=statistics.median(cold),
        warm_seconds=statistics.median(warm),
        capture_seconds=statistics.median(captures),
        snapshot_bytes=round(statistics.median(sizes)),
    )


def _whole(loaded: MovableProgram, program: Program, worker: Executor) -> float:
    return _to_the_end(start(loaded, program), worker)


def _to_the_end(instance: Instance, worker: Executor) -> float:
    outcome, seconds = worker.submit(_turn, instance).result()
    instance.close()
    if outcome != Exited(0):
        raise RuntimeError(f"a benchmark program ended with {outcome}")
    return seconds


def _first_part(
    loaded: MovableProgram, program: Program, worker: Executor, expected: float
) -> tuple[float, float, bytes]:
    """CPU seconds until it was paused, seconds to capture it, and its state then."""
    for attempt in range(1, _ATTEMPTS + 1):
        instance = start(loaded, program)
        timer = threading.Timer(expected * _FIRST_PART / attempt, instance.request_pause)
        timer.start()
        outcome, seconds = worker.submit(_turn, instance).result()
        timer.cancel()
        try:
            if isinstance(outcome, Paused):
                begin = time.perf_counter()
                data = encode(instance.snapshot(()))
                return seconds, time.perf_counter() - begin, data
        finally:
            instance.close()
    raise RuntimeError(f"{program.name} could not be paused")


def _restored(
    loaded: MovableProgram, program: Program, snapshot: Snapshot
) -> tuple[float, Instance]:
    begin = time.perf_counter()
    instance = loaded.restore(spec_of(program), snapshot, lambda activity: None)
    return time.perf_counter() - begin, instance


def _turn(instance: Instance) -> tuple[Outcome, float]:
    begin = time.thread_time()
    outcome = instance.run()
    return outcome, time.thread_time() - begin
