"""Programs over MQTT, in chunks: for runtimes that cannot reach the supervisor over HTTP.

A runtime asks on ``programs/{sha256}/get`` who it is; the chunks (``arts.protocol.transfer``) go to
``programs/{sha256}/data/{runtime}``, and what it answers comes back on ``.../credit/{runtime}``.
A request with ``points`` asks for the continuations of the program instead, which go to
``programs/{object_id}/data/{runtime}``. What cannot be had is said on ``reply/{runtime}``.
Needs a bus connection of its own, so that large programs do not stand in the way of commands.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

from arts.bus.base import Bus, Received
from arts.bus.mqtt import MqttBus
from arts.errors import ArtsError, BusError, InvalidRequest
from arts.log import get_logger
from arts.model import ReplyTo
from arts.programs.store import ProgramStore
from arts.protocol.codec import decode_document, encode_response
from arts.protocol.messages import Response
from arts.protocol.points import parse_points
from arts.protocol.topics import Topics, is_safe_id
from arts.protocol.transfer import SILENCE, Sender

log = get_logger(__name__)

MAX_TRANSFERS: Final = 32
"""So many runtimes are served at once; the others ask again."""

_Key = tuple[str, str]
"""Digest or other name of what is sent, runtime."""


class _Wanted(NamedTuple):
    """A request for a program, or for its continuations at ``points``."""

    digest: str
    runtime: str
    object_id: str
    points: tuple[tuple[int, int], ...] | None

    @property
    def key(self) -> _Key:
        return (self.digest if self.points is None else self.object_id), self.runtime


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
        self._making: dict[_Key, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            await self._serve()
        finally:
            for task in self._making.values():
                task.cancel()

    async def _serve(self) -> None:
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
        if self._making:  # what is made begins to be sent without waking us
            due.append(time.monotonic() + SILENCE)
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
        object_id = str(document.get("object_id", ""))
        try:
            points = parse_points(document["points"]) if "points" in document else None
            if points is not None and not is_safe_id(object_id):
                raise InvalidRequest("the object_id must be fit to be a level of a topic")
            self._begin(_Wanted(digest, runtime, object_id, points))
        except (ArtsError, OSError) as error:
            self._refuse(runtime, object_id, error)
            raise

    def _begin(self, wanted: _Wanted) -> None:
        key, busy = wanted.key, self._senders.keys() | self._making.keys()
        if len(busy) >= MAX_TRANSFERS and key not in busy:
            raise BusError(f"{MAX_TRANSFERS} transfers are under way")
        if wanted.points is None:
            self._send(key, self._store.read(wanted.digest))
        elif key not in self._making:
            task = asyncio.create_task(self._make(wanted, wanted.points))
            self._making[key] = task
            task.add_done_callback(lambda _: self._making.pop(key, None))

    async def _make(self, wanted: _Wanted, points: Sequence[tuple[int, int]]) -> None:
        try:
            self._send(wanted.key, await self._store.continuations(wanted.digest, points))
        except (ArtsError, OSError) as error:
            log.warning("continuations.refused", digest=wanted.digest, error=str(error))
            self._refuse(wanted.runtime, wanted.object_id, error)

    def _send(self, key: _Key, data: bytes) -> None:
        sender = self._senders[key] = Sender(data, time.monotonic())
        self._publish(key, sender.start())

    def _refuse(self, runtime: str, object_id: str, error: Exception) -> None:
        code = error.code if isinstance(error, ArtsError) else "internal"
        to = ReplyTo(self._topics.reply(runtime), object_id)
        answer = encode_response(to, Response(ok=False, details=str(error), code=code))
        with suppress(BusError):  # it asks again
            self._bus.publish(to.topic, answer, qos=1)

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
