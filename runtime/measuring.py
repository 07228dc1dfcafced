"""What a move of a module would have to carry: asked by whoever plans one, measured while it runs.

An answer costs nobody a pause: the same look at memory as before a move, twice. Knows copies and
topics; nothing here is needed for a move.
"""

import asyncio
from collections.abc import Callable

import msgspec

from arts.errors import SnapshotError
from arts.log import get_logger
from arts.protocol.plan import Ask, Measured, asked, encode
from arts.protocol.topics import Topics
from runtime.copies import Copy
from runtime.engines.base import Instance
from runtime.precopy import reason_to_stop_first
from runtime.settings import RuntimeSettings
from runtime.shadow import Shadow
from runtime.transfers import Transfers
from runtime.written import watched

log = get_logger(__name__)

WINDOW = 0.5
"""Seconds between the two looks."""


class Measuring:
    """Answers on ``measure/{runtime}/{asker}``. ``find``: the copy of a module that runs here."""

    def __init__(
        self,
        settings: RuntimeSettings,
        runtime: str,
        topics: Topics,
        transfers: Transfers,
        find: Callable[[str], Copy | None],
    ) -> None:
        self._settings, self._runtime = settings, runtime
        self._topics, self._transfers, self._find = topics, transfers, find
        self._tasks: set[asyncio.Task[None]] = set()
        transfers.listen(topics.measure(runtime), self._on_ask)

    def _on_ask(self, payload: bytes) -> None:
        try:
            ask = asked(payload)
        except (msgspec.MsgspecError, ValueError) as error:
            log.warning("measuring.not_understood", error=str(error))
            return
        task = asyncio.create_task(self._answer(ask))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, ask: Ask) -> None:
        copy = self._find(ask.module)
        try:
            if copy is None or copy.instance is None or copy.ended:
                raise SnapshotError("no such module runs here")
            answer = await self._measure(copy.instance)
        except (SnapshotError, OSError) as error:
            answer = Measured(unknown=str(error))
        self._transfers.say(self._topics.measured(self._runtime, ask.asker), encode(answer))

    async def _measure(self, instance: Instance) -> Measured:
        loop = asyncio.get_running_loop()
        shadow = Shadow(watched)
        try:
            used = await asyncio.to_thread(_look, instance, shadow)
            begun = loop.time()
            await asyncio.sleep(WINDOW)
            written = await asyncio.to_thread(_look, instance, shadow)
            seconds = loop.time() - begun
        finally:
            await asyncio.to_thread(shadow.close)
        memory = instance.stats().memory_bytes
        return Measured(
            memory_bytes=memory,
            used_bytes=used,
            written_bytes_per_second=written / seconds,
            stops_first=reason_to_stop_first(memory, self._settings.precopy),
        )


def _look(instance: Instance, shadow: Shadow) -> int:
    """Bytes that are not what they were at the last look; at the first, that are not zero."""
    found = 0
    while (change := instance.changes(shadow)) is not None:
        found += len(change.blocks)
    return found
