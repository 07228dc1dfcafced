"""Programs in chunks over the memory bus: whole in spite of losses, nothing for nonsense."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from arts.api import mqtt
from arts.api.mqtt import MqttProgramServer
from arts.bus.base import Received
from arts.bus.memory import MemoryBroker, MemoryBus
from arts.errors import BusError
from arts.migratable import Continuations, ResumePoint
from arts.model import Program
from arts.programs.store import ProgramStore
from arts.protocol.codec import decode_response, encode_document
from arts.protocol.messages import Response
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
    bus.subscribe(TOPICS.reply("rt-a"))
    await bus.start()
    yield bus
    await bus.stop()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[ProgramStore]:
    """An empty store."""
    store = ProgramStore(tmp_path)
    yield store
    await store.close()


@pytest.fixture
async def program(broker: MemoryBroker, store: ProgramStore) -> AsyncIterator[Program]:
    """A program in a store that is being served."""
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


async def fetch_continuations(
    bus: MemoryBus, digest: str, points: Sequence[ResumePoint], name: str = "c1"
) -> bytes:
    """Request continuations under a name and receive them."""
    request = {"runtime": "rt-a", "object_id": name, "points": points}
    bus.publish(TOPICS.program_request(digest), encode_document(request), qos=1)
    receiver = Receiver(max_bytes=1 << 20)
    while receiver.data is None:
        for event in await bus.receive():
            if isinstance(event, Received) and event.topic == TOPICS.program_data(name, "rt-a"):
                for frame in receiver.handle(event.payload, time.monotonic()):
                    bus.publish(TOPICS.program_credit(name, "rt-a"), frame, qos=1)
    return receiver.data


async def refusal(bus: MemoryBus) -> tuple[str, Response]:
    """The next refusal: object_id and answer."""
    while True:
        for event in await bus.receive():
            if isinstance(event, Received) and event.topic == TOPICS.reply("rt-a"):
                answer = decode_response(event.payload)
                assert answer is not None
                return answer


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


async def test_continuations_arrive(bus: MemoryBus, program: Program, store: ProgramStore) -> None:
    points = [ResumePoint(1, 2), ResumePoint(0, 1)]
    expected = Continuations(store.read(program.digest)).module(points)
    assert await fetch_continuations(bus, program.digest, points) == expected
    assert await fetch_continuations(bus, program.digest, points[:1], "c2") != expected


async def test_continuations_that_are_lost_are_sent_again(
    bus: MemoryBus, program: Program, broker: MemoryBroker
) -> None:
    lost = []

    def first(parcel: object) -> bool:
        if parcel.topic == TOPICS.program_data("c1", "rt-a") and not lost:  # type: ignore[attr-defined]
            lost.append(parcel)
            return True
        return False

    broker.drop(first)
    assert await fetch_continuations(bus, program.digest, [ResumePoint(0, 1)])
    assert lost


@pytest.mark.parametrize(
    ("digest", "fields", "code"),
    [
        ("0" * 64, {}, "not_found"),
        ("0" * 64, {"points": [[0, 1]]}, "not_found"),
        (None, {"points": [[0, 0]]}, "invalid"),
        (None, {"points": "all"}, "invalid"),
        (None, {"points": [[0, 1]], "object_id": "a/b"}, "invalid"),
        (None, {"points": [[0, 1]], "object_id": None}, "ok"),
    ],
)
async def test_what_cannot_be_had_is_said(
    bus: MemoryBus, program: Program, digest: str | None, fields: dict[str, Any], code: str
) -> None:
    request = {"runtime": "rt-a", "object_id": "c1"} | fields
    topic = TOPICS.program_request(digest or program.digest)
    bus.publish(topic, encode_document(request), qos=1)
    if code == "ok":
        assert await fetch_continuations(bus, program.digest, [ResumePoint(0, 1)])
        return
    name, answer = await asyncio.wait_for(refusal(bus), 5)
    assert (name, answer.ok, answer.code) == (request["object_id"], False, code)


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
    monkeypatch.setattr(mqtt, "Sender", sender)  # who answers may take its time
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
