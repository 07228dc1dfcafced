"""Programs over MQTT, in chunks: for runtimes that cannot reach the supervisor over HTTP.

A runtime asks on ``programs/{sha256}/get`` who it is; the chunks (``arts.protocol.transfer``) go to
``programs/{sha256}/data/{runtime}``, and what it answers comes back on ``.../credit/{runtime}``.
Needs a bus connection of its own, so that large programs do not stand in the way of commands.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from arts.bus.base import Bus, Received
from arts.bus.mqtt import MqttBus
from arts.errors import ArtsError, BusError, InvalidRequest
from arts.log import get_logger
from arts.programs.store import ProgramStore
from arts.protocol.codec import decode_document
from arts.protocol.topics import Topics, is_safe_id
from arts.protocol.transfer import Sender

log = get_logger(__name__)

MAX_TRANSFERS: Final = 32
"""So many runtimes are served at once; the others ask again."""

_Key = tuple[str, str]
"""Digest, runtime."""


@asynccontextmanager
async def serve(store: ProgramStore, broker_url: str, realm: str) -> AsyncIterator[None]:
    """Serve programs over MQTT for the duration. A broker that is down is waited for."""
    bus = MqttBus(broker_url, f"{realm}-programs")
    await bus.start()
    serving = asyncio.create_task(MqttProgramServer(bus, Topics(realm), store).run())
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await bus.stop()


class MqttProgramServer:
    """Answers requests for programs of ``store``; start and stop ``bus`` around ``run``."""

    def __init__(self, bus: Bus, topics: Topics, store: ProgramStore) -> None:
        self._bus = bus
        self._topics = topics
        self._store = store
        self._senders: dict[_Key, Sender] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        self._bus.subscribe(self._topics.program_request("+"))
        self._bus.subscribe(self._topics.program_credit("+", "+"))
        while True:
            try:
                async with asyncio.timeout(self._until_deadline()):
                    events = await self._bus.receive()
            except TimeoutError:
                events = []
            for event in events:
                if isinstance(event, Received):
                    self._on_message(event)
            self._tick()

    def _until_deadline(self) -> float | None:
        deadlines = [sender.next_deadline() for sender in self._senders.values()]
        due = [deadline for deadline in deadlines if deadline is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _on_message(self, message: Received) -> None:
        try:
            *_, digest, kind = message.topic.split("/")
            if kind == "get":
                self._on_request(digest, message.payload)
            else:  # .../{digest}/credit/{runtime}
                self._on_credit((message.topic.split("/")[-3], kind), message.payload)
        except (ArtsError, OSError) as error:
            log.warning("program.request_refused", topic=message.topic, error=str(error))

    def _on_request(self, digest: str, payload: bytes) -> None:
        document = decode_document(payload)
        runtime = document.get("runtime") if isinstance(document, dict) else None
        if not isinstance(runtime, str) or not is_safe_id(runtime):
            raise InvalidRequest("says not which runtime asks")
        key = (digest, runtime)
        if len(self._senders) >= MAX_TRANSFERS and key not in self._senders:
            raise BusError(f"{MAX_TRANSFERS} transfers are under way")
        sender = self._senders[key] = Sender(self._store.read(digest), time.monotonic())
        self._publish(key, sender.start())

    def _on_credit(self, key: _Key, frame: bytes) -> None:
        sender = self._senders.get(key)
        if sender is not None:
            self._publish(key, sender.handle(frame, time.monotonic()))

    def _tick(self) -> None:
        for key, sender in list(self._senders.items()):
            self._publish(key, sender.tick(time.monotonic()))
            if sender.failure:
                log.warning("program.not_sent", runtime=key[1], reason=sender.failure)
            if sender.done or sender.failure:
                del self._senders[key]

    def _publish(self, key: _Key, frames: list[bytes]) -> None:
        for frame in frames:
            try:
                self._bus.publish(self._topics.program_data(*key), frame, qos=1)
            except BusError as error:  # the runtime asks again
                log.warning("program.chunk_dropped", runtime=key[1], error=str(error))
