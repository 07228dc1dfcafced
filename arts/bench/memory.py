"""How long modules with much memory stand still when they move: with what leaves while they still
run, and without; through the broker, and past it.

The program `dirty` fills memory with what does not compress, rewrites it at a given rate, and ends
if it finds anything else than it wrote: then the benchmark fails.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from arts.bench.statistics import percentile
from arts.client import Client
from arts.model import Limits

_ANEW: Final = ("--keep-pages", "0")
_WAYS: Final = {
    "stop": ("--precopy", "0"),
    "precopy": _ANEW,
    "direct": ("--direct", "127.0.0.1", *_ANEW),
    "back": (),
}
"""Way of moving -> arguments of the runtimes. ``back``: to where the module has been."""
_KEPT_AT: Final = 100.0
"""MiB a second of a module that has left which a runtime surely keeps."""


async def measure_memory(
    broker: str,
    moves: int,
    sizes: Sequence[float],
    rates: Sequence[float],
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Downtimes and how long the whole move took (ms), snapshot bytes and, of moves through the
    broker, all bytes over those of the memory; for each way, size (MiB) and rate (MB/s)."""
    from arts.bench.realm import bench_realm

    result: dict[str, Any] = {}
    for way, arguments in _WAYS.items():
        async with (
            bench_realm(broker=broker, runtimes=2, runtime_arguments=arguments) as realm,
            Client.connect(realm.broker_url, realm.name) as client,
        ):
            for size in sizes:
                for rate in rates:
                    progress(f"{way}: {size:g} MiB, {rate:g} MB/s")
                    name = f"{way}_{size:g}mib_{rate:g}mbps"
                    settling = 0.5 + size / _KEPT_AT if way == "back" else 0.0
                    result |= await _move(client, name, moves, size, rate, settling)
    return result


@asynccontextmanager
async def dirty_module(
    client: Client, name: str, size: float, rate: float, **fields: Any
) -> AsyncIterator[str]:
    """The uuid of a module that has filled ``size`` MiB and writes ``rate`` MB/s of them anew.

    ``fields``: more of ``Client.create``.
    """
    module = await client.create(
        "dirty",
        name=name,
        args=(str(round(size * 1024)), str(round(rate * 1000))),
        limits=Limits(memory_bytes=round((2 * size + 2) * (1 << 20))),
        **fields,
    )
    uuid = module["uuid"]
    async with client.output(uuid) as lines:
        await client.wait_state(uuid, {"running"}, timeout=60)
        await anext(aiter(lines))
        yield uuid
    await client.delete(uuid, force=True)


async def _move(
    client: Client, name: str, moves: int, size: float, rate: float, settling: float
) -> dict[str, Any]:
    """``settling``: seconds between moves, the first two of which then do not count."""
    async with dirty_module(client, name, size, rate) as uuid:
        answers, durations = [], []
        for _ in range(moves + (2 if settling else 0)):
            begun = time.perf_counter()
            answers.append(await client.move(uuid))
            durations.append(1000 * (time.perf_counter() - begun))
            await asyncio.sleep(settling)
        sent = await _count(client, uuid)
    downtimes = [float(answer["downtime_ms"]) for answer in answers[-moves:]]
    return {
        f"{name}_p50_ms": round(percentile(downtimes, 50), 3),
        f"{name}_p99_ms": round(percentile(downtimes, 99), 3),
        f"{name}_took_p50_ms": round(percentile(durations[-moves:], 50), 1),
        f"{name}_snapshot_bytes": max(answer["bytes"] for answer in answers[-moves:]),
    } | ({f"{name}_sent_ratio": round(sent / (size * (1 << 20)), 3)} if sent else {})


async def _count(client: Client, uuid: str) -> int:
    """Move once more, and count the bytes that go through the broker for it."""
    moves, counted = f"{client.topics.proc}/snapshot/+", 0
    async with client.messages(f"{moves}/pages", f"{moves}/data") as frames:

        async def count() -> None:
            nonlocal counted
            async for frame in frames:
                counted += len(frame.payload)

        counting = asyncio.create_task(count())
        await client.move(uuid)
        counting.cancel()
    return counted
