"""From bytes to an instance at its first instruction, and the memory of many that are parked."""

import hashlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from arts import migratable
from arts.bench.statistics import milliseconds
from runtime.engines.base import InstanceSpec
from runtime.engines.wasmtime import WasmtimeEngine

_PARKED: Final = """
import sys, psutil
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


def measure(counter: bytes, parked: int) -> dict[str, float]:
    """With the example program ``counter``, which parks at once."""
    prepared = migratable.prepare(counter)
    with tempfile.TemporaryDirectory() as folder:
        return {**_starts(prepared, Path(folder)), **_parked(prepared, parked, Path(folder))}


def _starts(prepared: bytes, cache: Path) -> dict[str, float]:
    """Compiled, and from the cache."""
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
