"""How fast requests become commands: 1,000 runtimes, a real broker, a durable store.

The supervisor is a process of its own; this process plays all clients and all runtimes over one
connection. The runtimes report ``started`` for every command, as real ones do. The broker's own
echo is measured beside it: no supervisor can be faster than that.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

from arts.bench.statistics import milliseconds, percentile
from arts.bus.base import Connected, Received
from arts.bus.mqtt import MqttBus
from arts.protocol import codec
from arts.protocol.messages import CreateModule, RegisterRuntime, Report
from arts.protocol.topics import Topics

Progress = Callable[[str], None]


class Fleet:
    """All clients and runtimes of the benchmark, on one connection."""

    def __init__(self, bus: MqttBus, topics: Topics) -> None:
        self._bus = bus
        self._topics = topics
        self._arrived = asyncio.Event()
        self.forwarded: dict[str, float] = {}
        """Module uuid -> when its start command arrived at a runtime."""
        self.answered = 0
        self.echoes = 0

    async def listen(self) -> None:
        """Play the runtimes until cancelled."""
        control, echo = f"{self._topics.control}/", f"{self._topics.proc}/echo"
        while True:
            for event in await self._bus.receive():
                if not isinstance(event, Received):
                    continue
                if event.topic.startswith(control):
                    self._obey(event.topic[len(control) :], event.payload)
                elif event.topic == echo:
                    self.echoes += 1
                else:
                    self.answered += 1
            self._arrived.set()

    def _obey(self, runtime: str, payload: bytes) -> None:
        command = codec.decode_document(payload)
        module, generation = command["data"]["uuid"], command["data"]["generation"]
        self.forwarded[module] = time.perf_counter()
        report = Report(
            kind="started", runtime=runtime, instance="bench", uuid=module, generation=generation
        )
        self._bus.publish(self._topics.events_of(runtime), codec.encode_report(report), qos=1)

    async def until(self, done: Callable[[], bool], timeout: float = 60.0) -> None:
        """Wait until what has arrived satisfies ``done``."""
        async with asyncio.timeout(timeout):
            while not done():
                self._arrived.clear()
                await self._arrived.wait()

    async def register(self, count: int) -> None:
        """Announce ``count`` runtimes."""
        for number in range(count):
            request = RegisterRuntime(
                object_id=f"reg-{number}",
                uuid=f"runtime-{number}",
                name=f"runtime-{number}",
                max_nmodules=1_000_000,
                instance="bench",
                features=frozenset({"events"}),
            )
            payload = codec.encode_request(request, reply_to=self._topics.reply("bench"))
            self._bus.publish(self._topics.registry, payload, qos=1)
        expected = self.answered + count
        await self.until(lambda: self.answered >= expected)

    def create(self, module: str) -> None:
        """Ask for one module."""
        self._bus.publish(self._topics.control, self._request(module), qos=1)

    def _request(self, module: str) -> bytes:
        request = CreateModule(
            object_id=f"req-{module}",
            uuid=module,
            name="bench",
            filename="bench.wasm",
            args=("a", "b"),
            env=("SCENE=bench",),
        )
        return codec.encode_request(request, reply_to=self._topics.reply("bench"))

    async def echo(self) -> float:
        """Round trip of one message to this process and back, seconds."""
        expected, begin = self.echoes + 1, time.perf_counter()
        self._bus.publish(f"{self._topics.proc}/echo", b"x" * 300, qos=1)
        await self.until(lambda: self.echoes >= expected)
        return time.perf_counter() - begin


async def measure(
    *,
    broker: str = "auto",
    runtimes: int = 1000,
    burst: int = 2000,
    sustained_seconds: float = 8.0,
    window: int = 256,
    latency_samples: int = 1000,
    synchronous: str = "normal",
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Run the whole benchmark. Rates are creates/s, times milliseconds."""
    from arts.bench.realm import bench_realm

    async with AsyncExitStack() as stack:
        realm = await stack.enter_async_context(
            bench_realm(broker=broker, runtimes=0, synchronous=synchronous)
        )
        topics = Topics(realm.name)
        bus = MqttBus(realm.broker_url, "bench-fleet", outbox_limit=60_000)
        for topic_filter in (f"{topics.control}/+", topics.reply("bench"), f"{topics.proc}/echo"):
            bus.subscribe(topic_filter, 1)
        await bus.start()
        stack.push_async_callback(bus.stop)
        while not any(isinstance(event, Connected) for event in await bus.receive()):
            pass
        fleet = Fleet(bus, topics)
        listener = asyncio.create_task(fleet.listen(), name="bench fleet")
        stack.callback(listener.cancel)

        progress(f"registering {runtimes} runtimes")
        began = time.perf_counter()
        await fleet.register(runtimes)
        registered = runtimes / (time.perf_counter() - began)
        progress("one request in flight")
        echoes = [await fleet.echo() for _ in range(latency_samples)]
        latencies = [await _forward_latency(fleet, n) for n in range(latency_samples)]
        progress(f"a burst of {burst}")
        bursts = [await _burst(fleet, burst, n) for n in range(3)]
        progress(f"sustained for {sustained_seconds:g} s")
        sustained = await _sustained(fleet, sustained_seconds, window)
        return {
            "benchmark": "control-plane",
            "broker": realm.broker.kind,
            "synchronous": synchronous,
            "runtimes": runtimes,
            "registrations_per_s": round(registered),
            "sustained_creates_per_s": round(sustained),
            "burst_creates_per_s": round(percentile(bursts, 50)),
            "forward_p50_ms": milliseconds(percentile(latencies, 50)),
            "forward_p99_ms": milliseconds(percentile(latencies, 99)),
            "echo_p50_ms": milliseconds(percentile(echoes, 50)),
            "echo_p99_ms": milliseconds(percentile(echoes, 99)),
        }


async def _forward_latency(fleet: Fleet, number: int) -> float:
    module, answered, begin = f"latency-{number}", fleet.answered, time.perf_counter()
    fleet.create(module)
    await fleet.until(lambda: module in fleet.forwarded)
    # One in flight: this one is answered, and its report handled, before the next is sent.
    await fleet.until(lambda: fleet.answered > answered)
    for _ in range(3):
        await fleet.echo()
    return fleet.forwarded[module] - begin


async def _burst(fleet: Fleet, count: int, number: int) -> float:
    """All at once; the rate until the last command has arrived."""
    names = [f"burst-{number}-{n}" for n in range(count)]
    expected, begin = len(fleet.forwarded) + count, time.perf_counter()
    for name in names:
        fleet.create(name)
    await fleet.until(lambda: len(fleet.forwarded) >= expected)
    return count / (time.perf_counter() - begin)


async def _sustained(fleet: Fleet, seconds: float, window: int) -> float:
    """Always ``window`` requests in flight, each answered and each module started."""
    begin, before, sent = time.perf_counter(), len(fleet.forwarded), 0
    while time.perf_counter() - begin < seconds:
        while sent - (len(fleet.forwarded) - before) < window:
            fleet.create(f"sustained-{sent}")
            sent += 1
        enough = before + sent - window // 2
        await fleet.until(lambda enough=enough: len(fleet.forwarded) >= enough)  # type: ignore[misc]
    await fleet.until(lambda: len(fleet.forwarded) >= before + sent)
    return sent / (time.perf_counter() - begin)
