"""Programs on a runtime: fetched once, verified, kept on disk, compiled once.

Knows digests, the supervisor's HTTP address and the topics of its programs; no module.
"""

import asyncio
import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import Final

import aiohttp

from arts import model
from arts.bus.base import Bus
from arts.errors import BusError, ProgramError
from arts.files import whole_file
from arts.log import get_logger
from arts.protocol.codec import encode_document
from arts.protocol.topics import Topics
from arts.protocol.transfer import Receiver
from runtime.engines.base import Engine, Program
from runtime.transfers import Transfers

log = get_logger(__name__)

_COMPILED: Final = 64
"""Compiled programs kept in memory; modules hold on to theirs anyway."""
_HTTP_TIMEOUT: Final = aiohttp.ClientTimeout(total=60, sock_connect=3, sock_read=10)
_MQTT_TIMEOUT: Final = 30.0
_ASK_AGAIN: Final = 2.0
"""Seconds between requests that nobody answers: the supervisor may be a new one by then."""


class ProgramCache:
    """Program bytes on disk, by sha256 (hex); the least recently used go first."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory, self._max_bytes = directory, max_bytes
        directory.mkdir(parents=True, exist_ok=True)

    def get(self, digest: str) -> bytes | None:
        """The program; None when it is not here, or no longer what it was."""
        path = self._directory / digest
        try:
            data = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        if hashlib.sha256(data).hexdigest() == digest:
            return data
        log.warning("program.damaged", digest=digest)
        path.unlink(missing_ok=True)
        return None

    def put(self, digest: str, data: bytes) -> None:
        """Keep a program, and no more than fits."""
        with whole_file(self._directory / digest, prefix=".", sync=False) as file:
            file.write(data)
        self._prune(digest)

    def _prune(self, newest: str) -> None:
        files = [path for path in self._directory.iterdir() if not path.name.startswith(".")]
        files.sort(key=lambda path: path.stat().st_mtime_ns)
        total = sum(path.stat().st_size for path in files)
        for path in files:
            if total <= self._max_bytes:
                return
            if path.name != newest:
                total -= path.stat().st_size
                path.unlink(missing_ok=True)


class ProgramSource:
    """Where programs come from: the supervisor's HTTP address, or else its topics."""

    def __init__(
        self, runtime: str, topics: Topics, bus: Bus, transfers: Transfers, max_bytes: int
    ) -> None:
        self._runtime, self._topics = runtime, topics
        self._bus, self._transfers = bus, transfers
        self._max_bytes = max_bytes
        self.http_url: str | None = None
        """As the supervisor's notice says; None where HTTP is not served."""

    async def fetch(self, digest: str) -> bytes:
        """The program with this sha256. Raises ``ProgramError``."""
        data = None
        if self.http_url is not None:
            try:
                data = await self._over_http(f"{self.http_url}/programs/{digest}")
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("program.no_http", digest=digest, error=str(error))
        if data is None:
            return await self._over_mqtt(digest)
        if hashlib.sha256(data).hexdigest() != digest:
            raise ProgramError(f"what came is not program {digest}")
        return data

    async def _over_http(self, url: str) -> bytes:
        async with (
            aiohttp.ClientSession(timeout=_HTTP_TIMEOUT) as http,
            http.get(url, raise_for_status=True) as response,
        ):
            data = bytearray()
            async for block in response.content.iter_any():
                data += block
                if len(data) > self._max_bytes:
                    raise ProgramError(f"the program has more than {self._max_bytes} bytes")
            return bytes(data)

    async def _over_mqtt(self, digest: str) -> bytes:
        arrived: asyncio.Future[Receiver] = asyncio.get_running_loop().create_future()
        receiver = Receiver(max_bytes=self._max_bytes, expected=digest)
        data_topic = self._topics.program_data(digest, self._runtime)
        credit_topic = self._topics.program_credit(digest, self._runtime)
        try:
            await self._transfers.receive(data_topic, credit_topic, receiver, arrived.set_result)
            async with asyncio.timeout(_MQTT_TIMEOUT):
                while not arrived.done():
                    if receiver.next_deadline() is None:  # not a single chunk so far
                        self._ask(digest)
                    await asyncio.wait([arrived], timeout=_ASK_AGAIN)
        except (BusError, TimeoutError) as error:
            raise ProgramError(
                f"program {digest} did not come: {str(error) or 'no answer'}"
            ) from None
        finally:
            self._transfers.forget(data_topic)
        if receiver.data is None:
            raise ProgramError(f"program {digest} did not come: {receiver.failure}")
        return receiver.data

    def _ask(self, digest: str) -> None:
        request = {"runtime": self._runtime, "object_id": f"{self._runtime}/{digest}"}
        self._bus.publish(self._topics.program_request(digest), encode_document(request), qos=1)


class Programs:
    """Compiled programs. However many modules ask at once, a program is loaded once."""

    def __init__(self, engine: Engine, cache: ProgramCache, source: ProgramSource) -> None:
        self._engine, self._cache, self._source = engine, cache, source
        self._loaded: OrderedDict[str, Program] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Program]] = {}

    async def load(self, program: model.Program | None) -> Program:
        """The compiled program. Raises ``ProgramError``."""
        if program is None:
            raise ProgramError("the start command names no program")
        digest = program.digest
        if digest in self._loaded:
            self._loaded.move_to_end(digest)
            return self._loaded[digest]
        task = self._loading.get(digest)
        if task is None:
            task = self._loading[digest] = asyncio.create_task(self._load(digest))
            task.add_done_callback(lambda done: self._on_loaded(digest, done))
        return await asyncio.shield(task)  # others may wait for the same program

    async def close(self) -> None:
        """Give up what is still being loaded."""
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _load(self, digest: str) -> Program:
        data = await asyncio.to_thread(self._cache.get, digest)
        if data is None:
            data = await self._source.fetch(digest)
            await asyncio.to_thread(self._cache.put, digest, data)
        return await asyncio.to_thread(self._engine.load, data, digest)

    def _on_loaded(self, digest: str, task: asyncio.Task[Program]) -> None:
        del self._loading[digest]
        if not task.cancelled() and task.exception() is None:
            self._loaded[digest] = task.result()
            if len(self._loaded) > _COMPILED:
                self._loaded.popitem(last=False)
