"""What it costs a module to be durable: how long it cannot run when a checkpoint is taken, what is
sent for one, and how many messages it handles with checkpoints and without.

A real realm takes the checkpoints, periodically and while the module works. How long a module
cannot run is its runtime's word; of interpreters it is also seen from outside, because they may
have to wait for continuations after that: as the longest time without a line.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from arts.bench.memory import dirty_module
from arts.bench.statistics import percentile
from arts.client import Client

Progress = Callable[[str], None]
Document = dict[str, Any]

_PATIENCE: Final = 60.0
"""Seconds for the next checkpoint."""
_LOOK: Final = 0.02
"""Seconds between looks for a newer checkpoint."""
_AHEAD: Final = 200
"""Messages that are not answered yet: enough to keep the module busy."""
_ROUNDS: Final = 3

SCRIPTS: Final[Mapping[str, str]] = {
    "lua": """
        local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
        while true do fib(23) print("tick") io.stdout:flush() end
    """,
    "quickjs": """
        function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
        for (;;) { fib(22); print("tick".padEnd(1100)); }
    """,
}
"""Interpreter -> what computes for ever, and prints (JavaScript: enough to be written at once)."""

WAYS: Final[Mapping[str, Document]] = {
    "none": {"durability": "none"},
    "1 s": {"durability": "checkpoint", "checkpoint_interval": 1.0},
    "0.1 s": {"durability": "checkpoint", "checkpoint_interval": 0.1},
    "always": {"durability": "always"},
}
"""What an echo is created with, when messages are counted."""


async def measure(
    *,
    broker: str = "auto",
    checkpoints: int = 50,
    sizes: Sequence[float] = (0.0625, 1.0, 16.0, 72.0),
    rates: Sequence[float] = (0.0, 1.0, 10.0),
    interval: float = 0.5,
    seconds: float = 5.0,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """``checkpoints``: of each module, one every ``interval`` seconds. ``sizes`` (MiB) and
    ``rates`` (MB/s): of memory that is rewritten. ``seconds``: of counting messages, thrice each
    way."""
    from arts.bench.realm import bench_realm

    result: dict[str, Any] = {"benchmark": "checkpoint", "checkpoints": checkpoints}
    result["interval_s"] = interval
    durable = {"durability": "checkpoint", "checkpoint_interval": interval}
    async with (
        bench_realm(broker=broker, runtimes=1) as realm,
        Client.connect(realm.broker_url, realm.name) as client,
    ):
        result["broker"] = realm.broker.kind
        for size, rate in itertools.product(sizes, rates):
            name = f"{size:g} MiB, {rate:g} MB/s"
            progress(f"{checkpoints} checkpoints of {name}")
            async with dirty_module(client, "dirty", size, rate, **durable) as uuid:
                costs = await _costs(client, uuid, checkpoints)
            _note(result, name, pauses(costs))
        for name in SCRIPTS:
            progress(f"{checkpoints} checkpoints of {name}")
            _note(result, name, await _interrupted(client, name, checkpoints, durable))
        result["messages_per_s_of"] = await _throughput(client, seconds, progress)
    return result


def _note(result: dict[str, Any], name: str, figures: Mapping[str, float]) -> None:
    """Enter the figures of one module, each under its own key."""
    for key, value in figures.items():
        result.setdefault(f"{key}_of", {})[name] = value


# ---------------------------------------------------------------------------- what one costs


async def _costs(client: Client, uuid: str, count: int) -> list[Document]:
    """The next ``count`` checkpoints of a module, but for those that came between two looks."""
    seen: list[Document] = []
    last = await _newer(client, uuid, 0)
    while len(seen) < count:
        last = await _newer(client, uuid, last["number"])
        seen.append(last)
    return seen


async def _newer(client: Client, uuid: str, number: int) -> Document:
    async with asyncio.timeout(_PATIENCE):
        while True:
            found: Document | None = (await client.query("module", uuid))["checkpoint"]
            if found is not None and found["number"] > number:
                return found
            await asyncio.sleep(_LOOK)


def pauses(costs: Sequence[Document]) -> dict[str, float]:
    """``every_s``: the time from one to the next, which is more than was asked for if one takes
    longer than that."""
    stood = [cost["stood_ms"] for cost in costs]
    return {
        "stood_p50_ms": percentile(stood, 50),
        "stood_p99_ms": percentile(stood, 99),
        "sent_bytes": statistics.median(cost["sent_bytes"] for cost in costs),
        "every_s": round(_between(costs), 3),
    }


def _between(costs: Sequence[Document]) -> float:
    """Seconds from one checkpoint to the next, median."""
    times = (
        (after["taken_at"] - before["taken_at"]) / (after["number"] - before["number"])
        for before, after in itertools.pairwise(costs)
    )
    return float(statistics.median(times))


# ---------------------------------------------------------------------------- interpreters


async def _interrupted(
    client: Client, interpreter: str, count: int, durable: Document
) -> dict[str, float]:
    """Of a script that computes: the longest time without a line between two checkpoints, and in
    times as long without any."""
    async with _script(client, interpreter) as (_, lines):
        await asyncio.sleep(count * durable["checkpoint_interval"])
    alone = longest_gaps(lines, durable["checkpoint_interval"])
    async with _script(client, interpreter, **durable) as (uuid, lines):
        costs = await _costs(client, uuid, count)
    cost = pauses(costs)
    gaps = longest_gaps(lines, cost["every_s"])
    return cost | {
        "gap_p50_ms": percentile(gaps, 50),
        "gap_p99_ms": percentile(gaps, 99),
        "undisturbed_gap_p50_ms": percentile(alone, 50),
        "undisturbed_gap_p99_ms": percentile(alone, 99),
    }


@asynccontextmanager
async def _script(
    client: Client, interpreter: str, **fields: Any
) -> AsyncIterator[tuple[str, list[float]]]:
    """A module (uuid) that runs the script, and when its lines came."""
    arrivals: list[float] = []

    async def listen(uuid: str) -> None:
        async with client.output(uuid) as lines:
            note = arrivals.append
            async for _ in lines:
                note(time.monotonic())

    args = ("-e", SCRIPTS[interpreter])
    module = await client.create(interpreter, name=interpreter, args=args, **fields)
    uuid = module["uuid"]
    listening = asyncio.create_task(listen(uuid))
    try:
        await client.wait_state(uuid, {"running"}, timeout=_PATIENCE)
        yield uuid, arrivals
    finally:
        listening.cancel()
        await asyncio.wait([listening])
        await client.delete(uuid, force=True)


def longest_gaps(arrivals: Sequence[float], period: float) -> list[float]:
    """Of each ``period`` seconds, the longest time (ms) from one line to the next."""
    longest: dict[int, float] = {}
    for before, after in itertools.pairwise(arrivals):
        number = int((after - arrivals[0]) / period)
        longest[number] = max(longest.get(number, 0.0), after - before)
    return [round(gap * 1000, 3) for gap in longest.values()]


# ---------------------------------------------------------------------------- messages


async def _throughput(client: Client, seconds: float, progress: Progress) -> dict[str, int]:
    """Way of being durable -> messages a second; the median of rounds in turns."""
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for number in range(_ROUNDS):
        for way, fields in WAYS.items():
            progress(f"messages, durability {way} ({number + 1} of {_ROUNDS})")
            found[way].append(await _messages_per_second(client, seconds, fields))
    return {way: round(statistics.median(counts)) for way, counts in found.items()}


async def _messages_per_second(client: Client, seconds: float, fields: Document) -> float:
    """Answers of an echo that always has something to do; each once and in order."""
    topic = f"{client.topics.realm}/bench/echo"
    channels = [
        {"path": "/ch/in", "topic": f"{topic}/in", "mode": "r"},
        {"path": "/ch/out", "topic": f"{topic}/out", "mode": "w"},
    ]
    module = await client.create("echo", name="echo", channels=channels, **fields)
    await client.wait_state(module["uuid"], {"running"}, timeout=_PATIENCE)
    sent = answered = 0
    async with client.messages(f"{topic}/out") as answers:
        began = time.monotonic()
        while (took := time.monotonic() - began) < seconds:
            while sent - answered < _AHEAD:
                client.publish(f"{topic}/in", str(sent).encode())
                sent += 1
            async with asyncio.timeout(_PATIENCE):
                answer = await anext(answers)
            if answer.payload != str(answered).encode():
                raise RuntimeError(f"answer {answered} is {answer.payload!r}")
            answered += 1
    await client.delete(module["uuid"], force=True)
    return answered / took
