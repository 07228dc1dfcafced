"""How long many modules take that leave a runtime at once, and how much memory both ends need."""

import asyncio
import time
from pathlib import Path
from typing import Any, Final

from arts.bench.statistics import percentile
from arts.cli.children import Child
from arts.cli.local_realm import LocalRealm
from arts.client import Client

_TIMEOUT: Final = 120.0
_MEGABYTE: Final = 1e6


async def measure_crowd(realm: LocalRealm, client: Client, count: int) -> dict[str, Any]:
    """Move ``count`` counters from one runtime of ``realm`` to the other, all at once.

    Seconds until the last one has moved, downtimes (ms), and what the peak memory (MB) of each end
    was beyond what it had before.
    """
    source, target = realm.runtimes
    modules = [
        await client.create("counter", name=f"crowd-{number}", args=("200",), parent=source.name)
        for number in range(count)
    ]
    for module in modules:
        await client.wait_state(module["uuid"], {"running"}, timeout=_TIMEOUT)
    before = [_memory(end, begin=True) for end in (source, target)]
    begun = time.perf_counter()
    answers = await asyncio.gather(
        *(client.move(module["uuid"], target.name, timeout=_TIMEOUT) for module in modules)
    )
    seconds = time.perf_counter() - begun
    grown = [_memory(end) - had for end, had in zip((source, target), before, strict=True)]
    for module in modules:
        await client.delete(module["uuid"], force=True)
    downtimes = [float(answer["downtime_ms"]) for answer in answers]
    name = f"crowd_{count}"
    return {
        f"{name}_seconds": round(seconds, 3),
        f"{name}_downtime_p50_ms": round(percentile(downtimes, 50), 3),
        f"{name}_downtime_p99_ms": round(percentile(downtimes, 99), 3),
        f"{name}_source_peak_mb": round(grown[0], 1),
        f"{name}_target_peak_mb": round(grown[1], 1),
    }


def _memory(child: Child, *, begin: bool = False) -> float:
    """Peak of a process' memory since the last time when this began, in MB.

    See proc_pid_status(5), proc_pid_clear_refs(5).
    """
    process = Path("/proc") / str(child.pid)
    if begin:
        (process / "clear_refs").write_text("5")
    line = next(
        line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) * 1024 / _MEGABYTE
