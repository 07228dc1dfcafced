"""Real programs, run, paused and moved: sizes, and what preparing, running and restoring cost.

Every program runs in the real engine, is asked to pause at some moment of its run, captured, and
restored on an engine that has never seen it (its code compiled before) and on one that has. What it
printed must be what it prints undisturbed.
"""

import hashlib
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from arts.bench.engine.footprint import code_size
from arts.bench.engine.pauses import spec_of
from arts.bench.engine.programs import Program
from arts.bench.programs import running
from arts.bench.programs.catalogue import CATALOGUE, find
from arts.bench.programs.running import Running
from arts.bench.statistics import milliseconds, percentile
from arts.migratable import Refused, describe, prepare, walk_frames
from arts.migratable.module import parse
from runtime.engines.base import Activity, Exited, Instance, OutputLine, Parked, Paused
from runtime.engines.wasmtime import MovableProgram, WasmtimeEngine
from runtime.snapshot import Snapshot, decode, encode

_ATTEMPTS: Final = 40
"""Runs for each move wanted; a busy machine lets some end before they are asked to pause."""


@dataclass
class Figures:
    """What was measured of one program."""

    bytes: int
    code_bytes: int
    prepared_bytes: int
    functions: int
    suspendable: int
    prepare_cpu_seconds: float
    running: Running
    restore_cold: list[float] = field(default_factory=list)
    restore_cold_cpu: list[float] = field(default_factory=list)
    restore_warm: list[float] = field(default_factory=list)
    restore_warm_cpu: list[float] = field(default_factory=list)
    raw: list[int] = field(default_factory=list)
    elided: list[int] = field(default_factory=list)
    compressed: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    points: list[int] = field(default_factory=list)

    def pause_ms(self, percent: float, clock: str = "seconds") -> float:
        """From a request until the stack is data."""
        samples = [getattr(pause, clock) for pause in self.running.pauses]
        return milliseconds(percentile(samples, percent))


def measure(
    folder: Path,
    *,
    chosen: Collection[str] = (),
    moves: int = 7,
    requests: int = 100,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run the benchmark with the programs under ``folder`` (``wasm-apps``). Figures are medians;
    ``moves`` is also the number of runs, ``requests`` that of pauses.

    Raises ``NotFound`` for unknown names, ``RuntimeError`` when a moved program goes another way.
    """
    programs, missing = find(folder, chosen)
    found: dict[str, Figures] = {}
    for program in programs:
        progress(program.name)
        try:
            found[program.name] = _measure(program, moves, requests, progress)
        except Refused as refused:
            missing.append(f"{program.name}: {refused}")
    return {
        "benchmark": "programs",
        "engine": f"wasmtime {version('wasmtime')}",
        "moves": moves,
        "toolchain": {name: CATALOGUE[name].toolchain for name in found},
        **{key: _of_all(found, figure) for key, figure in _FIGURES.items()},
        "missing": missing,
    }


_FIGURES: Final[dict[str, Callable[[Figures], float | None]]] = {
    "bytes": lambda it: it.bytes,
    "code_bytes": lambda it: it.code_bytes,
    "prepared_bytes": lambda it: it.prepared_bytes,
    "functions": lambda it: it.functions,
    "suspendable": lambda it: it.suspendable,
    "prepare_cpu_seconds": lambda it: round(it.prepare_cpu_seconds, 3),
    "snapshot_raw_bytes": lambda it: statistics.median(it.raw),
    "snapshot_elided_bytes": lambda it: statistics.median(it.elided),
    "snapshot_compressed_bytes": lambda it: statistics.median(it.compressed),
    "stack_bytes": lambda it: statistics.median(it.frames),
    "stack_points": lambda it: statistics.median(it.points),
    "pause_p50_ms": lambda it: it.pause_ms(50),
    "pause_p99_ms": lambda it: it.pause_ms(99),
    "pause_cpu_p99_ms": lambda it: it.pause_ms(99, "cpu_seconds"),
    "overhead": lambda it: it.running.overhead,
    "v8_overhead": lambda it: it.running.v8_overhead,
    "restore_cold_ms": lambda it: milliseconds(statistics.median(it.restore_cold)),
    "restore_cold_cpu_ms": lambda it: milliseconds(statistics.median(it.restore_cold_cpu)),
    "restore_warm_ms": lambda it: milliseconds(statistics.median(it.restore_warm)),
    "restore_warm_cpu_ms": lambda it: milliseconds(statistics.median(it.restore_warm_cpu)),
}


def _of_all(
    found: dict[str, Figures], figure: Callable[[Figures], float | None]
) -> dict[str, float | None]:
    return {name: figure(figures) for name, figures in found.items()}


def _measure(
    program: Program, moves: int, requests: int, progress: Callable[[str], None]
) -> Figures:
    begin = time.process_time()
    prepared = prepare(program.wasm)
    preparing = time.process_time() - begin
    progress(f"{program.name} runs and pauses")
    figures = Figures(
        bytes=len(program.wasm),
        code_bytes=code_size(program.wasm),
        prepared_bytes=len(prepared),
        functions=len(parse(program.wasm).bodies),
        suspendable=len(describe(prepared).functions),
        prepare_cpu_seconds=preparing,
        running=running.measure(program, prepared, moves, requests),
    )
    progress(f"{program.name} is compiled")
    with tempfile.TemporaryDirectory() as cache, ThreadPoolExecutor(1) as worker:
        bench = _Bench(program, prepared, Path(cache), worker)
        for number in range(moves):
            progress(f"{program.name} moves ({number + 1} of {moves})")
            bench.move(figures)
    return figures


class _Bench:
    """One program on engines that share compiled code of the program, not of continuations."""

    def __init__(
        self, program: Program, prepared: bytes, cache: Path, worker: ThreadPoolExecutor
    ) -> None:
        self._program, self._prepared, self._worker = program, prepared, worker
        self._description = describe(prepared)
        self._cache = cache
        self._known = self._load()
        self._program_files = set(cache.iterdir())
        self._chance = random.Random(program.name)
        self._expected: list[bytes] = []
        begin = time.perf_counter()
        self._run_on(self._start(self._known, self._expected))
        self._seconds = time.perf_counter() - begin

    def _load(self) -> MovableProgram:
        digest = hashlib.sha256(self._prepared).hexdigest()
        loaded = WasmtimeEngine(self._cache).load(self._prepared, digest)
        assert isinstance(loaded, MovableProgram)
        return loaded

    def _start(self, loaded: MovableProgram, lines: list[bytes]) -> Instance:
        return loaded.start(spec_of(self._program), _into(lines))

    def move(self, figures: Figures) -> None:
        """Pause, capture, restore twice, go on to the end, compare."""
        lines, snapshot = self._paused()
        data = encode(snapshot)
        figures.raw.append(sum(image.size for image in snapshot.memories) + len(snapshot.frames))
        figures.elided.append(
            sum(len(image.blocks) for image in snapshot.memories) + len(snapshot.frames)
        )
        figures.compressed.append(len(data))
        figures.frames.append(len(snapshot.frames))
        figures.points.append(len(walk_frames(snapshot.frames, self._description)))
        for path in set(self._cache.iterdir()) - self._program_files:
            path.unlink()
        fresh = self._load()
        received = decode(data)
        for seconds, cpu_seconds in (
            (figures.restore_cold, figures.restore_cold_cpu),
            (figures.restore_warm, figures.restore_warm_cpu),
        ):
            rest: list[bytes] = []
            begin, cpu_begin = time.perf_counter(), time.process_time()
            instance = fresh.restore(spec_of(self._program), received, _into(rest))
            cpu_seconds.append(time.process_time() - cpu_begin)
            seconds.append(time.perf_counter() - begin)
            self._run_on(instance)
            if lines + rest != self._expected:
                raise RuntimeError(f"{self._program.name} goes another way after a move")

    def _paused(self) -> tuple[list[bytes], Snapshot]:
        for _ in range(_ATTEMPTS):
            lines: list[bytes] = []
            instance = self._start(self._known, lines)
            delay = self._seconds * self._chance.uniform(0.1, 0.8)
            timer = threading.Timer(delay, instance.request_pause)
            timer.start()
            outcome = self._worker.submit(instance.run).result()
            timer.cancel()
            try:
                if isinstance(outcome, Paused):
                    return lines, instance.snapshot(())
            finally:
                instance.close()
        raise RuntimeError(f"{self._program.name} could not be paused")

    def _run_on(self, instance: Instance) -> None:
        outcome = self._worker.submit(_to_the_end, instance).result()
        instance.close()
        if outcome != Exited(0):
            raise RuntimeError(f"{self._program.name} ended with {outcome}")


def _into(lines: list[bytes]) -> Callable[[Activity], None]:
    def listen(activity: Activity) -> None:
        if isinstance(activity, OutputLine):
            lines.append(activity.line)

    return listen


def _to_the_end(instance: Instance) -> object:
    outcome = instance.run()
    while isinstance(outcome, Parked | Paused):
        outcome = instance.run()
    return outcome
