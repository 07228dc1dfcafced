"""Checkpoints between the bus and the store: takes those that runtimes send, sends those that they
are to go on from.

Speaks the transfer protocol of moves, so a recovery is, for the runtime, a move whose source is
the store. Needs a bus connection of its own. Knows no realm: it is told who may keep, and tells
what has happened. One piece of disk work at a time, off the loop: so whoever looks for the newest
checkpoint sees every one that a runtime was told is kept.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from arts.bus.base import Bus, Received
from arts.bus.mqtt import MqttBus
from arts.errors import ArtsError, BusError, NotFound, SnapshotError
from arts.log import get_logger
from arts.protocol.checkpoint import Origin, Parcel, decode_parcel
from arts.protocol.codec import encode_document
from arts.protocol.topics import Topics
from arts.protocol.transfer import Receiver, Sender, transfer_of
from arts.realm.effects import (
    CheckpointKept,
    Event,
    FindSnapshot,
    ForgetSnapshots,
    NoSnapshot,
    SendSnapshot,
    SnapshotFound,
    SnapshotUnfit,
)
from arts.store.checkpoints import Checkpoint, CheckpointStore, MissingPieces

log = get_logger(__name__)

T = TypeVar("T")

MAX_TRANSFERS: Final = 256
"""Checkpoints that come in at once; who is refused tries again at its next one."""

_Key = tuple[str, str]
"""Module, runtime."""


class Keeper:
    """Start and stop ``bus`` around ``run``. ``may_keep``: None, or why a checkpoint is not
    wanted. ``tell`` hears the realm's events."""

    def __init__(
        self,
        bus: Bus,
        topics: Topics,
        store: CheckpointStore,
        *,
        max_bytes: int,
        may_keep: Callable[[Origin], str | None],
        tell: Callable[[Event], None],
    ) -> None:
        self._bus, self._topics, self._store = bus, topics, store
        self._max_bytes = max_bytes
        self._may_keep, self._tell = may_keep, tell
        self._coming: dict[_Key, tuple[bytes, Receiver]] = {}
        self._going: dict[str, tuple[str, Sender]] = {}
        """Credit topic -> data topic, sender."""
        self._disk = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        self._bus.subscribe(self._topics.checkpoint_data("+", "+"))
        try:
            while True:
                for event in await self._bus.receive():
                    if isinstance(event, Received):
                        self._on_frame(event.topic, event.payload)
                self._tick()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in self._tasks:
                task.cancel()

    # ------------------------------------------------------------------ what the realm asks

    def find(self, wanted: FindSnapshot) -> None:
        """-> SnapshotFound | NoSnapshot."""
        self._do(self._find(wanted))

    async def _find(self, wanted: FindSnapshot) -> None:
        found, damaged, why = await self._on_disk(lambda: self._good(wanted))
        if found is None:
            detail = why or f"there is no checkpoint of {wanted.source}"
            self._tell(NoSnapshot(wanted.module, wanted.generation, detail, damaged))
            return
        number, digest, size, taken_at = found
        self._tell(
            SnapshotFound(
                wanted.module,
                wanted.generation,
                wanted.source,
                number,
                digest,
                size,
                taken_at,
                damaged,
            )
        )

    def _good(
        self, wanted: FindSnapshot
    ) -> tuple[tuple[int, str, int, float] | None, tuple[int, ...], str]:
        damaged, why = [], ""
        for number in reversed(self._store.numbers(wanted.source)):
            if wanted.at not in (None, number):
                continue
            if wanted.before is not None and number >= wanted.before:
                continue
            try:
                data = self._store.read(wanted.source, number)
            except SnapshotError as error:
                log.warning("checkpoint.damaged", module=wanted.source, error=str(error))
                damaged.append(number)
                why = str(error)
            else:
                checkpoint = self._store.get(wanted.source, number)
                if checkpoint.generation < wanted.since:
                    break
                taken_at = checkpoint.taken_at
                digest = Sender(data, 0.0).digest
                return (number, digest, len(data), taken_at), tuple(damaged), why
        if wanted.at is not None and not damaged:
            why = f"there is no checkpoint {wanted.at}"
        return None, tuple(damaged), why

    def send(self, wanted: SendSnapshot) -> None:
        """Send it to whoever waits for this migration. -> SnapshotUnfit, if it cannot."""
        self._do(self._send(wanted))

    async def _send(self, wanted: SendSnapshot) -> None:
        try:
            data = await self._on_disk(lambda: self._store.read(wanted.source, wanted.number))
        except (NotFound, SnapshotError) as error:
            unfit = SnapshotUnfit(wanted.module, wanted.generation, wanted.number, str(error))
            self._tell(unfit)
            return
        self._begin(wanted.migration, Sender(data, time.monotonic()))

    def _begin(self, migration: str, sender: Sender) -> None:
        data_topic = self._topics.snapshot_data(migration)
        credit_topic = self._topics.snapshot_credit(migration)
        self._going[credit_topic] = data_topic, sender
        self._bus.subscribe(credit_topic)
        self._publish(data_topic, sender.start())
        self._arm()

    async def export(self, module: str, number: int | None, transfer: str) -> dict[str, Any]:
        """Send a checkpoint to who listens to ``transfer``; it, as shown to people, with its
        ``digest``. None: the newest that is good. Raises ``NotFound``, ``SnapshotError``."""
        wanted = FindSnapshot(module, 0, module, number)
        found, damaged, why = await self._on_disk(lambda: self._good(wanted))
        if found is None:
            error = SnapshotError if damaged else NotFound
            raise error(why or f"there is no checkpoint of {module}")
        number, digest, *_ = found
        data = await self._on_disk(lambda: self._store.read(module, number))
        self._begin(transfer, Sender(data, time.monotonic()))
        return _shown(number, self._store.get(module, number)) | {"digest": digest}

    def forget(self, wanted: ForgetSnapshots) -> None:
        """Nobody needs the checkpoints of this module any more."""
        self._do(self._on_disk(lambda: self._store.forget(wanted.module)))

    async def snapshots(self, module: str) -> list[dict[str, Any]]:
        """What there is of a module, oldest first, as shown to people."""

        def look() -> list[dict[str, Any]]:
            sound = {found.number: found for found in self._store.checkpoints(module)}
            return [_shown(number, sound.get(number)) for number in self._store.numbers(module)]

        return await self._on_disk(look)

    def forget_all_but(self, known: Collection[str]) -> None:
        """The realm has these modules and no others: those of before it stopped are gone."""

        def clear() -> None:
            for module in self._store.modules():
                if module not in known:
                    self._store.forget(module)

        self._do(self._on_disk(clear))

    # ------------------------------------------------------------------ what comes in

    def _on_frame(self, topic: str, frame: bytes) -> None:
        if topic in self._going:
            data_topic, sender = self._going[topic]
            self._publish(data_topic, sender.handle(frame, time.monotonic()))
            return
        *_, module, _, runtime = topic.split("/")
        transfer = transfer_of(frame)
        if transfer is None:
            return
        key = module, runtime
        if self._coming.get(key, (b"",))[0] != transfer:
            if key not in self._coming and len(self._coming) >= MAX_TRANSFERS:
                return
            self._coming[key] = transfer, Receiver(max_bytes=self._max_bytes)
        self._feed(key, frame)

    def _feed(self, key: _Key, frame: bytes) -> None:
        receiver = self._coming[key][1]
        complete = receiver.data is not None
        answer = receiver.handle(frame, time.monotonic())
        self._publish(self._topics.checkpoint_credit(*key), answer)
        if receiver.data is not None and not complete:
            self._do(self._keep(key, receiver.data))
            receiver.data = b""  # it stays only to confirm chunks that come again

    async def _keep(self, key: _Key, data: bytes) -> None:
        serial = ""
        try:
            parcel = await asyncio.to_thread(decode_parcel, data, self._max_bytes)
            serial = parcel.origin.serial
            if key != (parcel.origin.module, parcel.origin.runtime):
                return
            checkpoint = await self._keep_parcel(parcel)
        except ArtsError as error:
            log.warning("checkpoint.refused", module=key[0], runtime=key[1], error=str(error))
            missing = error.positions if isinstance(error, MissingPieces) else ()
            self._answer(key, serial=serial, error=str(error), missing=missing)
        else:
            self._answer(key, serial=serial, number=checkpoint.number)
            self._tell(
                CheckpointKept(
                    parcel.origin.module,
                    parcel.origin.generation,
                    checkpoint.number,
                    checkpoint.size,
                    checkpoint.taken_at,
                    sent=len(data),
                    stood=parcel.stood,
                )
            )

    async def _keep_parcel(self, parcel: Parcel) -> Checkpoint:
        async with self._disk:
            # Asked behind the lock: an owner that is replaced later is looked after by ``find``,
            # which then waits for us.
            if reason := self._may_keep(parcel.origin):
                raise SnapshotError(reason)
            return await asyncio.to_thread(self._save, parcel)

    def _save(self, parcel: Parcel) -> Checkpoint:
        origin = parcel.origin
        return self._store.save(
            origin.module,
            parcel.digests,
            parcel.pieces,
            generation=origin.generation,
            program=origin.program,
            size=parcel.size,
            taken_at=time.time(),
        )

    # ------------------------------------------------------------------ the rest

    async def _on_disk(self, work: Callable[[], T]) -> T:
        async with self._disk:
            return await asyncio.to_thread(work)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _answer(self, key: _Key, **verdict: Any) -> None:
        self._publish(self._topics.checkpoint_verdict(*key), [encode_document(verdict)])

    def _publish(self, topic: str, frames: list[bytes]) -> None:
        for frame in frames:
            try:
                self._bus.publish(topic, frame, qos=1)
            except BusError as error:  # the other side asks again
                log.warning("checkpoint.frame_not_sent", topic=topic, error=str(error))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [sender.next_deadline() for _, sender in self._going.values()]
        deadlines += [receiver.next_deadline() for _, receiver in self._coming.values()]
        due = [deadline for deadline in deadlines if deadline is not None]
        if due:
            delay = max(0.0, min(due) - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        for topic, (data_topic, sender) in list(self._going.items()):
            self._publish(data_topic, sender.tick(now))
            if sender.failure:
                log.warning("checkpoint.not_sent", topic=data_topic, reason=sender.failure)
            if sender.done or sender.failure:
                del self._going[topic]
                self._bus.unsubscribe(topic)
        for key, (_, receiver) in list(self._coming.items()):
            self._publish(self._topics.checkpoint_credit(*key), receiver.tick(now))
            if receiver.failure:
                del self._coming[key]
        self._arm()


def _shown(number: int, checkpoint: Checkpoint | None) -> dict[str, Any]:
    if checkpoint is None:
        return {"number": number, "damaged": True}
    return {
        "number": number,
        "taken_at": checkpoint.taken_at,
        "bytes": checkpoint.size,
        "generation": checkpoint.generation,
        "program": checkpoint.program,
        "damaged": False,
    }


@asynccontextmanager
async def keeping(
    broker_url: str,
    realm: str,
    store: CheckpointStore,
    *,
    max_bytes: int,
    may_keep: Callable[[Origin], str | None],
    tell: Callable[[Event], None],
) -> AsyncIterator[Keeper]:
    """A keeper at the broker for the duration. A broker that is down is waited for."""
    bus = MqttBus(broker_url, f"{realm}-checkpoints")
    keeper = Keeper(bus, Topics(realm), store, max_bytes=max_bytes, may_keep=may_keep, tell=tell)
    await bus.start()
    running = asyncio.create_task(keeper.run(), name="keeper")
    try:
        yield keeper
    finally:
        running.cancel()
        await asyncio.wait([running])
        await bus.stop()
