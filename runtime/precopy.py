"""Memory that leaves while its module still runs: both ends of it, during a move.

What has changed in a stretch of its memory is copied and travels, again and again, while the
module runs: what it changes during that will have changed the next time, or when it stands at
last. Whatever goes wrong here costs time only: the source then sends everything.
Knows copies and transfers; what to send and when to stop is decided by ``runtime.shadow``.
"""

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from arts.errors import ArtsError, SnapshotError
from arts.log import get_logger
from arts.protocol.topics import Topics
from arts.protocol.transfer import Receiver
from runtime import events as ev
from runtime.compared import Filled
from runtime.copies import Copy
from runtime.deltas import packing_level
from runtime.engines.base import Instance
from runtime.pages import Pages, split_names
from runtime.settings import RuntimeSettings
from runtime.shadow import (
    LARGEST_PARCEL,
    SMALL_PARCEL,
    Change,
    Shadow,
    another_round,
    decode_parcel,
    encode_parcel,
    grown,
    parcel_size,
)
from runtime.transfers import Transfers
from runtime.written import watched

log = get_logger(__name__)

WORTH_IT: Final = 512 * 1024
"""Bytes of memory from which on it is sent ahead. Less is soon sent when the module stands."""
_TELL: Final = 1.0
"""Seconds between words on how far it is."""
_CONFIRMED: Final = 2.0
"""Seconds for the target to say that it has a parcel. One that stands still must be given up, after
its rehearsal was, while the realm still waits for it."""


def reason_to_stop_first(memory: int, budget: float) -> str | None:
    """Why so much memory does not go ahead within ``budget`` seconds. None: it does."""
    if not budget:
        return "this runtime sends no memory ahead"
    if memory < WORTH_IT:
        return f"{memory} bytes of memory are sent soon enough when it stands"
    return None


class Precopy:
    """What goes ahead of snapshots, from and to one runtime."""

    def __init__(
        self,
        settings: RuntimeSettings,
        topics: Topics,
        transfers: Transfers,
        emit: Callable[[ev.Event], None],
    ) -> None:
        self._settings, self._topics, self._transfers = settings, topics, transfers
        self._emit = emit
        self._pages = Pages(settings.kept_page_bytes)
        self._kept: dict[int, bytes] = {}
        """Copy that is to come here -> identity of what has come of it."""
        self._offered: dict[int, Mapping[bytes, bytes]] = {}
        """The same -> pages that need not come."""

    def topics_of(self, migration: str) -> set[str]:
        """What to forget when the move is over."""
        topics = self._topics
        return {
            topics.snapshot_pages(migration),
            topics.snapshot_pages_credit(migration),
            topics.snapshot_kept(migration),
        }

    # ------------------------------------------------------------------------ source

    async def send(self, copy: Copy, migration: str) -> Shadow | None:
        """Send memory ahead until little is left; what the target has now, to be closed. None:
        nothing."""
        instance = copy.instance
        if instance is None or not instance.migratable or copy.ended:
            return None
        reason = reason_to_stop_first(instance.stats().memory_bytes, self._settings.precopy)
        if reason is not None:
            log.debug("precopy.left_out", module=copy.module.uuid, reason=reason)
            return None
        confirmed: asyncio.Queue[bytes] = asyncio.Queue()
        topic = self._topics.snapshot_kept(migration)
        self._transfers.listen(topic, confirmed.put_nowait)
        shadow = Shadow(watched)
        try:
            await self._rounds(copy, instance, shadow, migration, confirmed)
        except BaseException as error:
            shadow.close()
            if not isinstance(error, TimeoutError | SnapshotError | OSError):
                raise
            log.info("precopy.given_up", module=copy.module.uuid, reason=str(error) or "no answer")
            return None
        else:
            return shadow
        finally:
            for topic in self.topics_of(migration):
                self._transfers.forget(topic)

    async def _rounds(
        self,
        copy: Copy,
        instance: Instance,
        shadow: Shadow,
        migration: str,
        confirmed: "asyncio.Queue[bytes]",
    ) -> None:
        clock = asyncio.get_running_loop().time
        rounds, deadline = [0], math.inf  # the first one takes as long as it takes
        told, named = clock(), 0
        shadow.parcel = SMALL_PARCEL
        while clock() < deadline:
            change = await asyncio.to_thread(instance.changes, shadow)
            if change is None:
                if not another_round(rounds):
                    break
                deadline = min(deadline, clock() + self._settings.precopy)
                rounds.append(0)
            elif change.blocks or change.places:
                begun = clock()
                sent = await self._send(shadow, change, migration, confirmed)
                seconds = clock() - begun
                shadow.parcel = parcel_size(change.weight, seconds)
                shadow.level = packing_level(sent, len(change.blocks), seconds)
                rounds[-1] += len(change.blocks)
                named += change.named
                if clock() - told >= _TELL:
                    told = clock()
                    self._emit(ev.MemoryAhead(copy.number, sum(rounds)))
        log.info("precopy.done", module=copy.module.uuid, rounds=rounds, named=named)

    async def _send(
        self,
        shadow: Shadow,
        change: Change,
        migration: str,
        confirmed: "asyncio.Queue[bytes]",
    ) -> int:
        """Send a change, and hear that it has arrived; the bytes of its parcel."""
        parcel = await asyncio.to_thread(encode_parcel, change, shadow.level)
        is_first = not shadow.identity
        shadow.identity = grown(shadow.identity, parcel)
        credit_topic = self._topics.snapshot_pages_credit(migration)
        self._transfers.send(self._topics.snapshot_pages(migration), credit_topic, parcel)
        async with asyncio.timeout(_CONFIRMED):
            answer = await confirmed.get()
        kept, names = answer[: len(shadow.identity)], answer[len(shadow.identity) :]
        if kept != shadow.identity:
            raise SnapshotError("the target keeps something else")
        if is_first:
            shadow.offered = split_names(names)
        return len(parcel)

    def remember(self, copy: Copy) -> None:
        """Keep the memory of a module that has left: it may come back. From any thread."""
        instance = copy.instance
        if instance is None or not instance.migratable:
            return
        if reason_to_stop_first(instance.stats().memory_bytes, self._settings.precopy) is not None:
            return
        shadow = Shadow(Filled)
        with suppress(SnapshotError):  # it ended after all
            while (change := instance.changes(shadow)) is not None:
                self._pages.keep(_program_of(copy), change.block_numbers, change.blocks)

    # ------------------------------------------------------------------------ target

    def expect(self, copy: Copy, migration: str) -> None:
        """Be ready for what comes ahead, before the broker handles what we say next."""
        self._kept[copy.number] = b""
        self._await_parcel(copy, migration)

    def check(self, copy: Copy, base: bytes) -> None:
        """Raises ``SnapshotError`` unless a snapshot that builds on ``base`` can be restored."""
        if base and base != self._kept.get(copy.number):
            raise SnapshotError("the snapshot builds on memory that is not here")

    def forget(self, copy: Copy) -> None:
        """The move is over."""
        self._kept.pop(copy.number, None)
        self._offered.pop(copy.number, None)

    def _await_parcel(self, copy: Copy, migration: str, last: str | None = None) -> None:
        self._transfers.expect(
            self._topics.snapshot_pages(migration),
            self._topics.snapshot_pages_credit(migration),
            Receiver(max_bytes=LARGEST_PARCEL, but=last),
            lambda receiver: self._on_parcel(copy, migration, receiver),
        )

    def _on_parcel(self, copy: Copy, migration: str, receiver: Receiver) -> None:
        if receiver.data is not None:
            copy.do(self._keep(copy, migration, receiver.data))
        else:
            self._drop(copy, migration, receiver.failure or "")

    async def _keep(self, copy: Copy, migration: str, parcel: bytes) -> None:
        offered = self._offered.get(copy.number)

        def take() -> Mapping[bytes, bytes]:
            copy.receive(decode_parcel(parcel).spelled_out(offered or {}))
            return self._offer(copy) if offered is None else offered

        try:
            pages = await asyncio.to_thread(take)
        except ArtsError as error:
            self._drop(copy, migration, str(error))
            return
        if copy.number not in self._kept:  # meanwhile everything has come at once
            copy.abandon()
            return
        self._offered[copy.number] = pages
        identity = self._kept[copy.number] = grown(self._kept[copy.number], parcel)
        self._emit(ev.MemoryAhead(copy.number, 0))
        self._await_parcel(copy, migration, hashlib.sha256(parcel).hexdigest())
        names = b"".join(pages) if offered is None else b""
        self._transfers.say(self._topics.snapshot_kept(migration), identity + names)

    def _offer(self, copy: Copy) -> Mapping[bytes, bytes]:
        """What is here of the module and its program: it need not come."""
        program = _program_of(copy)
        for image in copy.nest.initial if copy.nest is not None else ():
            self._pages.keep(program, image.numbers, bytes(image.blocks))
        return self._pages.of(program)

    def _drop(self, copy: Copy, migration: str, reason: str) -> None:
        log.info("precopy.dropped", module=copy.module.uuid, reason=reason)
        self._kept.pop(copy.number, None)
        copy.abandon()
        self._transfers.say(self._topics.snapshot_kept(migration), b"")


def _program_of(copy: Copy) -> str:
    program = copy.module.program
    return program.digest if program is not None else copy.module.filename
