"""How much slower a module runs while its memory leaves ahead of a move.

The program `dirty` writes its memory at a rate; meanwhile another thread does what a move does,
again and again: look for what has changed, pack it, wait for the line, until little is left.
Compared is the CPU time of the module for the same work, undisturbed and disturbed in turns.
"""

import hashlib
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from arts import migratable
from arts.model import Limits
from runtime.engines.base import Exited, Instance, InstanceSpec, Program
from runtime.engines.wasmtime import WasmtimeEngine
from runtime.shadow import Shadow, another_round, encode_parcel
from runtime.written import watched

DIRTY: Final = Path("wasm-apps/dirty/dirty.wasm")
_TICKS: Final = 100
_LINE: Final = 60e6
"""Bytes a second that a broker carries on this kind of machine."""


def measure_slowdown(
    mebibytes: int, rate: float, *, runs: int = 5, progress: Callable[[str], None] = lambda _: None
) -> float:
    """CPU time with memory leaving over CPU time without, medians; ``rate``: MB/s."""
    prepared = migratable.prepare(DIRTY.read_bytes())
    alone, beside = [], []
    with tempfile.TemporaryDirectory() as cache:
        program = WasmtimeEngine(Path(cache)).load(prepared, hashlib.sha256(prepared).hexdigest())
        for number in range(runs):
            progress(f"run {number + 1} of {runs}: {mebibytes} MiB, {rate:g} MB/s")
            alone.append(_cpu_seconds(program, mebibytes, rate, leaves=False))
            beside.append(_cpu_seconds(program, mebibytes, rate, leaves=True))
    return statistics.median(beside) / statistics.median(alone)


def _cpu_seconds(program: Program, mebibytes: int, rate: float, *, leaves: bool) -> float:
    """Of a module from the time when its memory is full until it has done its work."""
    arguments = (str(mebibytes * 1024), str(round(rate * 1000)), str(_TICKS))
    limits = Limits(memory_bytes=(2 * mebibytes + 2) << 20)
    spec = InstanceSpec(uuid="dirty", name="dirty", args=arguments, limits=limits)
    lines: list[object] = []
    instance = program.start(spec, lines.append)
    try:
        while not lines:
            _turn(instance)
        before, over = instance.stats().cpu_seconds, threading.Event()
        sending = threading.Thread(target=_send, args=(instance, over))
        if leaves:
            sending.start()
        try:
            while not _turn(instance):
                pass
        finally:
            over.set()
            if leaves:
                sending.join()
        return instance.stats().cpu_seconds - before
    finally:
        instance.close()


def _turn(instance: Instance) -> bool:
    """Let it run until it waits; whether it has ended."""
    while not instance.ready(time.monotonic()):
        time.sleep(0.0005)
    outcome = instance.run()
    return isinstance(outcome, Exited)


def _send(instance: Instance, over: threading.Event) -> None:
    while not over.is_set():
        shadow, rounds = Shadow(watched), [0]
        while not over.is_set():
            change = instance.changes(shadow)
            if change is None:
                if not another_round(rounds):
                    break
                rounds.append(0)
            elif change.blocks:
                rounds[-1] += len(change.blocks)
                over.wait(len(encode_parcel(change)) / _LINE)
        shadow.close()
