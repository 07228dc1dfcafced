"""How long a module stands still when it moves, and how soon it stops when it is asked to.

Downtime is from the moment the source stopped the module to the moment the target ran it, on the
one clock of the machine that both run on: the snapshot, the trips through the broker, the commit on
disk, restoring and taking over the channels are all in it.
"""

import asyncio
import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from arts import migratable
from arts.bench.crowd import measure_crowd
from arts.bench.memory import measure_memory
from arts.bench.slowdown import measure_slowdown
from arts.bench.statistics import milliseconds, percentile
from arts.client import Client
from runtime.engines.base import InstanceSpec, Paused
from runtime.engines.wasmtime import WasmtimeEngine

MODULES: Final[dict[str, tuple[str, ...]]] = {"counter": ("10",), "queens": ("15",)}
"""Program -> arguments that keep it busy for longer than the benchmark."""
_SLOWED: Final = 72
"""MiB of the module that is slowed down while its memory leaves."""
QUEENS: Final = Path("wasm-apps/queens/queens.wasm")

Progress = Callable[[str], None]


async def measure(
    *,
    broker: str = "auto",
    moves: int = 100,
    sizes: Sequence[float] = (),
    rates: Sequence[float] = (0.0, 1.0, 10.0, 100.0),
    crowds: Sequence[int] = (),
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Move each module ``moves`` times between two processes. Times are milliseconds.

    ``sizes`` (MiB) and ``rates`` (MB/s): also modules with so much memory, that write so fast.
    ``crowds``: also so many modules at once.
    """
    from arts.bench.realm import bench_realm

    result: dict[str, Any] = {"benchmark": "migration", "moves": moves}
    everything: list[float] = []
    snapshot_bytes = 0
    async with (
        bench_realm(broker=broker, runtimes=2) as realm,
        Client.connect(realm.broker_url, realm.name) as client,
    ):
        result["broker"] = realm.broker.kind
        for program, arguments in MODULES.items():
            progress(f"{moves} moves of {program}")
            downtimes, size = await _move_often(client, program, arguments, moves)
            everything += downtimes
            snapshot_bytes = max(snapshot_bytes, size)
            result[f"{program}_downtime_p50_ms"] = round(percentile(downtimes, 50), 3)
            result[f"{program}_downtime_p99_ms"] = round(percentile(downtimes, 99), 3)
            result[f"{program}_snapshot_bytes"] = size
        for count in crowds:
            progress(f"{count} modules at once")
            result |= await measure_crowd(realm, client, count)
    if sizes:
        result |= await measure_memory(broker, moves, sizes, rates, progress)
        for rate in rates:
            name = f"slowdown_{_SLOWED:g}mib_{rate:g}mbps"
            slowdown = await asyncio.to_thread(measure_slowdown, _SLOWED, rate, progress=progress)
            result[name] = round(slowdown, 3)
    progress("pausing queens")
    pauses = await asyncio.to_thread(pause_latencies, QUEENS, samples=moves * 2)
    return result | {
        "downtime_p50_ms": round(percentile(everything, 50), 3),
        "downtime_p99_ms": round(percentile(everything, 99), 3),
        "pause_p50_ms": milliseconds(percentile(pauses, 50)),
        "pause_p99_ms": milliseconds(percentile(pauses, 99)),
        "snapshot_bytes": snapshot_bytes,
    }


async def _move_often(
    client: Client, program: str, arguments: tuple[str, ...], moves: int
) -> tuple[list[float], int]:
    module = await client.create(program, name=f"bench-{program}", args=arguments)
    await client.wait_state(module["uuid"], {"running"}, timeout=60)
    answers = [await client.move(module["uuid"]) for _ in range(moves)]
    await client.delete(module["uuid"], force=True)
    return [float(answer["downtime_ms"]) for answer in answers], max(a["bytes"] for a in answers)


def pause_latencies(wasm: Path, *, samples: int) -> list[float]:
    """Seconds from asking a computing module to stop until it has stopped."""
    prepared = migratable.prepare(wasm.read_bytes())
    latencies = []
    with tempfile.TemporaryDirectory() as cache:
        engine = WasmtimeEngine(Path(cache))
        program = engine.load(prepared, hashlib.sha256(prepared).hexdigest())
        spec = InstanceSpec(uuid="queens", name="queens", args=("15",))
        instance = program.start(spec, lambda activity: None)
        for _ in range(samples):
            asked: list[float] = []

            def ask(asked: list[float] = asked) -> None:
                asked.append(time.perf_counter())
                instance.request_pause()

            timer = threading.Timer(0.005, ask)
            timer.start()
            outcome = instance.run()
            stopped = time.perf_counter()
            timer.join()
            assert isinstance(outcome, Paused), outcome
            latencies.append(stopped - asked[0])
        instance.close()
    return latencies
