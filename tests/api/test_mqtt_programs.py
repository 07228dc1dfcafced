"""Programs in chunks over the memory bus: whole in spite of losses, nothing for nonsense."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arts.api import mqtt
from arts.api.mqtt import MqttProgramServer
from arts.bus.base import Received
from arts.bus.memory import MemoryBroker, MemoryBus
from arts.errors import BusError
from arts.model import Program
from arts.programs.store import ProgramStore
from arts.protocol.codec import encode_document
from arts.protocol.topics import Topics
from arts.protocol.transfer import Receiver

APPS = Path(__file__).parents[2] / "wasm-apps"
TOPICS = Topics("realm")


@pytest.fixture
def broker() -> MemoryBroker:
    """A broker that delivers by itself."""
    return MemoryBroker()


@pytest.fixture
async def bus(broker: MemoryBroker) -> AsyncIterator[MemoryBus]:
    """The connection of the runtimes."""
    bus = MemoryBus(broker, "runtime")
    bus.subscribe(TOPICS.program_data("+", "+"))
    await bus.start()
    yield bus
    await bus.stop()


@pytest.fixture
async def program(broker: MemoryBroker, tmp_path: Path) -> AsyncIterator[Program]:
    """A program in a store that is being served."""
    store = ProgramStore(tmp_path)
    program = await store.add((APPS / "counter" / "counter.wasm").read_bytes())
    server_bus = MemoryBus(broker, "programs")
    await server_bus.start()
    serving = asyncio.create_task(MqttProgramServer(server_bus, TOPICS, store).run())
    yield program
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    await server_bus.stop()


def ask(bus: MemoryBus, digest: str, runtime: object = "rt-a") -> None:
    """Request a program."""
    payload = encode_document({"runtime": runtime, "object_id": "o"})
    bus.publish(TOPICS.program_request(digest), payload, qos=1)


async def fetch(bus: MemoryBus, digest: str, runtime: str = "rt-a") -> bytes:
    """Request a program and receive it, as a runtime does."""
    receiver = Receiver(max_bytes=1 << 20, expected=digest)
    ask(bus, digest, runtime)
    while receiver.data is None:
        for event in await bus.receive():
            if isinstance(event, Received) and event.topic == TOPICS.program_data(digest, runtime):
                for frame in receiver.handle(event.payload, time.monotonic()):
                    bus.publish(TOPICS.program_credit(digest, runtime), frame, qos=1)
    return receiver.data


async def test_a_program_arrives(bus: MemoryBus, program: Program) -> None:
    assert len(await fetch(bus, program.digest)) == program.size
    assert len(await fetch(bus, program.digest, "rt-b")) == program.size


async def test_a_lost_chunk_is_sent_again(
    bus: MemoryBus, program: Program, broker: MemoryBroker
) -> None:
    lost = []

    def first_chunk(parcel: object) -> bool:
        if parcel.topic == TOPICS.program_data(program.digest, "rt-a") and not lost:  # type: ignore[attr-defined]
            lost.append(parcel)
            return True
        return False

    broker.drop(first_chunk)
    assert len(await fetch(bus, program.digest)) == program.size
    assert lost


@pytest.mark.parametrize(
    ("digest", "runtime"),
    [("0" * 64, "rt-a"), ("no digest", "rt-a"), (None, "a/b"), (None, None), (None, "+")],
)
async def test_nonsense_is_not_answered(
    bus: MemoryBus, program: Program, digest: str | None, runtime: object
) -> None:
    ask(bus, digest or program.digest, runtime)
    bus.publish(TOPICS.program_request(program.digest), b"[]", qos=1)
    bus.publish(TOPICS.program_request(program.digest), b"{", qos=1)
    bus.publish(TOPICS.program_credit(program.digest, "rt-a"), b"stray", qos=1)
    assert len(await fetch(bus, program.digest, "rt-good")) == program.size


async def test_only_so_many_at_once(
    bus: MemoryBus, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_TRANSFERS", 1)
    ask(bus, program.digest, "rt-first")
    ask(bus, program.digest, "rt-second")
    ask(bus, program.digest, "rt-first")
    heard = [e for e in await asyncio.wait_for(messages(bus, 2), 5) if isinstance(e, Received)]
    assert {event.topic for event in heard} == {TOPICS.program_data(program.digest, "rt-first")}


async def messages(bus: MemoryBus, count: int) -> list[object]:
    """The next so many messages."""
    heard: list[object] = []
    while len(heard) < count:
        heard += [event for event in await bus.receive() if isinstance(event, Received)]
    return heard


async def test_a_runtime_that_falls_silent_is_given_up(
    bus: MemoryBus, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mqtt, "MAX_TRANSFERS", 1)
    sender = mqtt.Sender
    monkeypatch.setattr(
        mqtt, "Sender", lambda data, now: sender(data, now, silence=0.01, patience=0.03)
    )
    ask(bus, program.digest, "rt-silent")
    await messages(bus, 2)
    await asyncio.sleep(0.1)
    assert len(await fetch(bus, program.digest, "rt-b")) == program.size


async def test_a_full_outbox_loses_a_chunk_and_nothing_else(
    bus: MemoryBus, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = MemoryBus.publish
    refused = []

    def full_once(self: MemoryBus, topic: str, payload: bytes, **how: object) -> None:
        if topic == TOPICS.program_data(program.digest, "rt-a") and not refused:
            refused.append(topic)
            raise BusError("the outbox is full")
        publish(self, topic, payload, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(MemoryBus, "publish", full_once)
    assert len(await fetch(bus, program.digest)) == program.size
    assert refused
