"""How long modules with much memory stand still when they move: with what leaves while they still
run, and without; through the broker, and past it.

The program `dirty` fills memory with what does not compress, rewrites it at a given rate, and ends
if it finds anything else than it wrote: then the benchmark fails.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final

from arts.bench.statistics import percentile
from arts.client import Client
from arts.model import Limits

_WAYS: Final = {
    "stop": ("--precopy", "0"),
    "precopy": (),
    "direct": ("--direct", "127.0.0.1"),
}
"""Way of moving -> arguments of the runtimes."""


async def measure_memory(
    broker: str,
    moves: int,
    sizes: Sequence[float],
    rates: Sequence[float],
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Downtimes (ms), snapshot bytes and, of moves through the broker, all bytes over those of the
    memory; for each way, size (MiB) and rate (MB/s)."""
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
                    result |= await _move(client, name, moves, size, rate)
    return result


async def _move(client: Client, name: str, moves: int, size: float, rate: float) -> dict[str, Any]:
    module = await client.create(
        "dirty",
        name=name,
        args=(str(round(size * 1024)), str(round(rate * 1000))),
        limits=Limits(memory_bytes=round((2 * size + 2) * (1 << 20))),
    )
    uuid = module["uuid"]
    async with client.output(uuid) as lines:
        await client.wait_state(uuid, {"running"}, timeout=60)
        await anext(aiter(lines))
        answers = [await client.move(uuid) for _ in range(moves)]
        sent = await _count(client, uuid)
    await client.delete(uuid, force=True)
    downtimes = [float(answer["downtime_ms"]) for answer in answers]
    return {
        f"{name}_p50_ms": round(percentile(downtimes, 50), 3),
        f"{name}_p99_ms": round(percentile(downtimes, 99), 3),
        f"{name}_snapshot_bytes": max(answer["bytes"] for answer in answers),
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
