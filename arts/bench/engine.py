"""What being movable costs: instrumented code against plain code, starts, and parked modules.

Both forms of each program run under the same engine with the engine's own WASI, in turns, so that a
noisy machine disturbs both alike; ``overhead`` is the ratio of the medians.
"""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import wasmtime

from arts import migratable
from arts.bench.statistics import milliseconds
from arts.errors import NotFound

PROGRAMS: Final = {
    "nbody": (),
    "sha256": (),
    "fannkuch": (),
    "sort": (),
    "matmul": (),
    "queens": (),
    "sieve": (),
    "mandelbrot": (),
}
"""Program -> arguments; none means the program's own size, about half a second."""

_PARKED: Final = """
import sys, psutil
from importlib.metadata import version
from pathlib import Path
from runtime.engines.base import InstanceSpec, Parked
from runtime.engines.wasmtime import WasmtimeEngine
count, program, digest, cache = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
engine = WasmtimeEngine(cache)
loaded = engine.load(program.read_bytes(), digest)
before = psutil.Process().memory_info().rss
parked = []
for number in range(count):
    spec = InstanceSpec(uuid=f"counter-{number}", name="counter", args=("1000",))
    instance = loaded.start(spec, lambda activity: None)
    assert isinstance(instance.run(), Parked)
    parked.append(instance)
print(before, psutil.Process().memory_info().rss)
"""


def measure(
    folder: Path,
    *,
    runs: int = 7,
    parked: int = 1000,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run the whole benchmark with the programs under ``folder`` (``wasm-apps``)."""
    overhead = {}
    for name, arguments in PROGRAMS.items():
        progress(name)
        wasm = _read(folder / "bench" / f"{name}.wasm")
        overhead[name] = round(_overhead(wasm, arguments, runs), 3)
    progress("starting and parking counters")
    counter = migratable.prepare(_read(folder / "counter" / "counter.wasm"))
    with tempfile.TemporaryDirectory() as directory:
        starts = _starts(counter, Path(directory))
        rss = _parked(counter, parked, Path(directory))
    return {
        "benchmark": "engine",
        "engine": f"wasmtime {version('wasmtime')}",
        "runs": runs,
        "overhead": overhead,
        "overhead_geomean": round(statistics.geometric_mean(overhead.values()), 3),
        **starts,
        **rss,
    }


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise NotFound(f"no {path}: run this from a checkout, or name the folder of the programs")
    return path.read_bytes()


def _overhead(wasm: bytes, arguments: tuple[str, ...], runs: int) -> float:
    engine = wasmtime.Engine()
    forms = [wasmtime.Module(engine, wasm), wasmtime.Module(engine, migratable.prepare(wasm))]
    seconds: list[list[float]] = [[], []]
    for _ in range(runs):
        for form, samples in zip(forms, seconds, strict=True):
            samples.append(_run(engine, form, arguments))
    return statistics.median(seconds[1]) / statistics.median(seconds[0])


def _run(engine: wasmtime.Engine, module: wasmtime.Module, arguments: tuple[str, ...]) -> float:
    store, linker = wasmtime.Store(engine), wasmtime.Linker(engine)
    linker.define_wasi()
    config = wasmtime.WasiConfig()
    config.argv = ["program", *arguments]
    config.stdout_file = os.devnull
    store.set_wasi(config)
    start = linker.instantiate(store, module).exports(store)["_start"]
    assert isinstance(start, wasmtime.Func)
    begin = time.perf_counter()
    try:
        start(store)
    except wasmtime.ExitTrap as exited:
        if exited.code:
            raise
    return time.perf_counter() - begin


def _starts(prepared: bytes, cache: Path) -> dict[str, float]:
    """From bytes to an instance at its first instruction: compiled, and from the cache."""
    from runtime.engines.base import InstanceSpec
    from runtime.engines.wasmtime import WasmtimeEngine

    digest = hashlib.sha256(prepared).hexdigest()
    seconds = []
    for _ in range(6):  # each engine is new: only the cache on disk is shared
        engine = WasmtimeEngine(cache)
        begin = time.perf_counter()
        program = engine.load(prepared, digest)
        program.start(InstanceSpec(uuid="counter", name="counter"), lambda activity: None).close()
        seconds.append(time.perf_counter() - begin)
    return {
        "cold_start_ms": milliseconds(seconds[0]),
        "cached_start_ms": milliseconds(statistics.median(seconds[1:])),
    }


def _parked(prepared: bytes, count: int, cache: Path) -> dict[str, float]:
    """Memory of a process that holds ``count`` parked counters."""
    file = cache / "counter.prepared.wasm"
    file.write_bytes(prepared)
    digest = hashlib.sha256(prepared).hexdigest()
    command = [sys.executable, "-c", _PARKED, str(count), str(file), digest, str(cache)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    before, after = map(int, result.stdout.split())
    return {
        "rss_process_mb": round(before / 1e6, 1),
        f"rss_parked_{count}_mb": round(after / 1e6, 1),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(Path("wasm-apps"))) + "\n")
