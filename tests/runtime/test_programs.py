"""Programs on a runtime: fetched once over HTTP or MQTT, verified, cached, compiled once."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from aiohttp import web

from arts.bus.base import Received
from arts.bus.memory import MemoryBroker, MemoryBus
from arts.errors import ProgramError
from arts.model import Program as ProgramRecord
from arts.protocol.codec import decode_document
from arts.protocol.topics import Topics
from arts.protocol.transfer import Sender
from runtime.engines.base import Engine, Program
from runtime.programs import ProgramCache, Programs, ProgramSource
from runtime.transfers import Transfers

TOPICS = Topics("realm")
DATA = b"\0asm a program"
DIGEST = hashlib.sha256(DATA).hexdigest()
RECORD = ProgramRecord(DIGEST, len(DATA), DIGEST)


@dataclass
class CountingEngine:
    """Compiles anything, and remembers what."""

    name: str = "counting"
    loaded: list[bytes] = field(default_factory=list)

    def load(self, program: bytes, digest: str) -> Program:
        self.loaded.append(program)
        return cast(Program, object())


# ---------------------------------------------------------------------------- cache


def test_the_cache_returns_what_it_was_given(tmp_path: Path) -> None:
    cache = ProgramCache(tmp_path / "programs", 1000)
    assert cache.get(DIGEST) is None
    cache.put(DIGEST, DATA)
    assert cache.get(DIGEST) == DATA
    assert ProgramCache(tmp_path / "programs", 1000).get(DIGEST) == DATA


def test_a_damaged_program_is_dropped(tmp_path: Path) -> None:
    cache = ProgramCache(tmp_path, 1000)
    cache.put(DIGEST, DATA)
    (tmp_path / DIGEST).write_bytes(DATA[:-1])
    assert cache.get(DIGEST) is None
    assert list(tmp_path.iterdir()) == []


def test_the_least_recently_used_program_goes_first(tmp_path: Path) -> None:
    import os

    cache = ProgramCache(tmp_path, 25)
    programs = {hashlib.sha256(text).hexdigest(): text for text in (b"0" * 10, b"1" * 10)}
    for age, (digest, data) in enumerate(programs.items()):
        cache.put(digest, data)
        os.utime(tmp_path / digest, (age, age))
    oldest, newer = programs
    assert cache.get(oldest) is not None  # and is now the newest
    cache.put(DIGEST, DATA[:10])
    assert cache.get(newer) is None
    assert cache.get(oldest) is not None


def test_a_program_that_fills_the_cache_alone_is_kept(tmp_path: Path) -> None:
    cache = ProgramCache(tmp_path, 3)
    cache.put(DIGEST, DATA)
    assert cache.get(DIGEST) == DATA


# ---------------------------------------------------------------------------- source


class Realm:
    """A memory broker with a runtime's source on it, and whoever answers for the supervisor."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.bus = MemoryBus(self.broker, "runtime")
        self.transfer_bus = MemoryBus(self.broker, "transfers")
        self.supervisor = MemoryBus(self.broker, "supervisor")
        self.transfers = Transfers(self.transfer_bus)
        self.source = ProgramSource("rt", TOPICS, self.bus, self.transfers, max_bytes=1 << 20)
        self.requests: list[object] = []

    async def serve_over_mqtt(self, data: bytes) -> None:
        """Answer each request for DIGEST with ``data``."""
        sender = Sender(data, 0.0)
        async for event in self._events():
            if event.topic == TOPICS.program_request(DIGEST):
                self.requests.append(decode_document(event.payload))
                sender = Sender(data, 0.0)
                frames = sender.start()
            else:
                frames = sender.handle(event.payload, 0.0)
            for frame in frames:
                self.supervisor.publish(TOPICS.program_data(DIGEST, "rt"), frame, qos=1)

    async def _events(self) -> AsyncIterator[Received]:
        while True:
            for event in await self.supervisor.receive():
                if isinstance(event, Received):
                    yield event


@pytest.fixture
async def realm() -> AsyncIterator[Realm]:
    realm = Realm()
    realm.supervisor.subscribe(TOPICS.program_request(DIGEST))
    realm.supervisor.subscribe(TOPICS.program_credit(DIGEST, "rt"))
    buses = (realm.supervisor, realm.bus, realm.transfer_bus)
    for bus in buses:
        await bus.start()
    running = asyncio.create_task(realm.transfers.run())
    yield realm
    running.cancel()
    for bus in buses:
        await bus.stop()


@asynccontextmanager
async def http_server(answer: Callable[[], web.Response]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        assert request.path == f"/programs/{DIGEST}"
        return answer()

    app = web.Application()
    app.router.add_get("/programs/{digest}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield site.name if not runner.addresses else f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_a_program_comes_over_http(realm: Realm) -> None:
    async with http_server(lambda: web.Response(body=DATA)) as realm.source.http_url:
        assert await realm.source.fetch(DIGEST) == DATA


async def test_another_program_under_that_digest_is_refused(realm: Realm) -> None:
    async with http_server(lambda: web.Response(body=b"evil")) as realm.source.http_url:
        with pytest.raises(ProgramError, match="is not program"):
            await realm.source.fetch(DIGEST)


async def test_too_large_a_program_is_refused(realm: Realm) -> None:
    async with http_server(lambda: web.Response(body=bytes(2 << 20))) as realm.source.http_url:
        with pytest.raises(ProgramError, match="more than 1048576 bytes"):
            await realm.source.fetch(DIGEST)


async def test_where_http_fails_mqtt_is_used(realm: Realm) -> None:
    serving = asyncio.create_task(realm.serve_over_mqtt(DATA))
    async with http_server(lambda: web.Response(status=404)) as realm.source.http_url:
        assert await realm.source.fetch(DIGEST) == DATA
    assert realm.requests == [{"runtime": "rt", "object_id": f"rt/{DIGEST}"}]
    serving.cancel()


async def test_an_unreachable_http_server_is_no_obstacle(realm: Realm) -> None:
    async with http_server(lambda: web.Response()) as url:
        pass
    realm.source.http_url = url
    serving = asyncio.create_task(realm.serve_over_mqtt(DATA))
    assert await realm.source.fetch(DIGEST) == DATA
    serving.cancel()


async def test_silence_on_mqtt_is_an_error(realm: Realm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.programs._MQTT_TIMEOUT", 0.01)
    with pytest.raises(ProgramError, match="did not come: no answer"):
        await realm.source.fetch(DIGEST)


async def test_a_request_that_met_nobody_is_made_again(
    realm: Realm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.programs._ASK_AGAIN", 0.01)
    fetching = asyncio.create_task(realm.source.fetch(DIGEST))
    async for event in realm._events():
        if event.topic == TOPICS.program_request(DIGEST):
            break
    serving = asyncio.create_task(realm.serve_over_mqtt(DATA))
    assert await fetching == DATA
    serving.cancel()


async def test_a_failed_transfer_is_an_error(realm: Realm) -> None:
    realm.source._max_bytes = 3
    serving = asyncio.create_task(realm.serve_over_mqtt(DATA))
    with pytest.raises(ProgramError, match="the limit is 3"):
        await realm.source.fetch(DIGEST)
    serving.cancel()


# ---------------------------------------------------------------------------- programs


def programs_of(realm: Realm, tmp_path: Path) -> tuple[Programs, CountingEngine]:
    engine = CountingEngine()
    cache = ProgramCache(tmp_path, 1 << 20)
    return Programs(cast(Engine, engine), cache, realm.source), engine


async def test_however_many_ask_it_is_fetched_and_compiled_once(
    realm: Realm, tmp_path: Path
) -> None:
    programs, engine = programs_of(realm, tmp_path)
    serving = asyncio.create_task(realm.serve_over_mqtt(DATA))
    loaded = await asyncio.gather(*(programs.load(RECORD) for _ in range(5)))
    assert len({id(program) for program in loaded}) == 1
    assert await programs.load(RECORD) is loaded[0]
    assert engine.loaded == [DATA]
    assert len(realm.requests) == 1
    again, second_engine = programs_of(realm, tmp_path)
    await again.load(RECORD)  # from the disk
    assert second_engine.loaded == [DATA]
    assert len(realm.requests) == 1
    serving.cancel()


async def test_one_that_gives_up_does_not_take_it_from_the_others(
    realm: Realm, tmp_path: Path
) -> None:
    programs, _ = programs_of(realm, tmp_path)
    impatient = asyncio.create_task(programs.load(RECORD))
    patient = asyncio.create_task(programs.load(RECORD))
    await asyncio.sleep(0)
    impatient.cancel()
    serving = asyncio.create_task(realm.serve_over_mqtt(DATA))
    assert await patient is not None
    serving.cancel()


async def test_a_failure_is_not_remembered(
    realm: Realm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs, engine = programs_of(realm, tmp_path)
    monkeypatch.setattr("runtime.programs._MQTT_TIMEOUT", 0.01)
    with pytest.raises(ProgramError):
        await programs.load(RECORD)
    monkeypatch.setattr("runtime.programs._MQTT_TIMEOUT", 30.0)
    serving = asyncio.create_task(realm.serve_over_mqtt(DATA))
    await programs.load(RECORD)
    assert engine.loaded == [DATA]
    serving.cancel()


async def test_a_command_without_a_program_is_an_error(realm: Realm, tmp_path: Path) -> None:
    programs, _ = programs_of(realm, tmp_path)
    with pytest.raises(ProgramError, match="names no program"):
        await programs.load(None)


async def test_closing_gives_up_what_is_being_loaded(realm: Realm, tmp_path: Path) -> None:
    programs, _ = programs_of(realm, tmp_path)
    waiting = asyncio.create_task(programs.load(RECORD))
    await asyncio.sleep(0)
    await programs.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_only_so_many_compiled_programs_are_kept(
    realm: Realm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.programs._COMPILED", 1)
    programs, engine = programs_of(realm, tmp_path)
    records = []
    for data in (b"one", b"two"):
        digest = hashlib.sha256(data).hexdigest()
        ProgramCache(tmp_path, 1 << 20).put(digest, data)
        records.append(ProgramRecord(digest, 3, digest))
    for record in (*records, records[1], records[0]):
        await programs.load(record)
    assert engine.loaded == [b"one", b"two", b"one"]
