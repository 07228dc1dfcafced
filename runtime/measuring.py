"""What a move of a module would have to carry: asked by whoever plans one, measured while it runs.

An answer costs nobody a pause: the same look at memory as before a move, twice, and some messages
to the broker and back. Knows copies and topics; nothing here is needed for a move.
"""

import asyncio
import os
import uuid
from collections.abc import Callable
from typing import Final

import msgspec

from arts.errors import SnapshotError
from arts.log import get_logger
from arts.protocol.plan import Ask, Measured, asked, encode
from arts.protocol.topics import Topics
from runtime.copies import Copy
from runtime.engines.base import Instance
from runtime.estimate import left_when_it_stands, stop_seconds
from runtime.precopy import reason_to_stop_first
from runtime.settings import RuntimeSettings
from runtime.shadow import Shadow
from runtime.transfers import Transfers
from runtime.written import watched

log = get_logger(__name__)

_LARGE: Final = 128 * 1024
"""Bytes of a message whose way to the broker and back says how fast a line is."""
_ECHOES: Final = 6.0
"""Seconds for a few of them: 1 Mbit/s is enough."""
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
        stops_first = reason_to_stop_first(memory, self._settings.precopy)
        rate = written / seconds
        trip, line = await self._measure_line()
        budget = self._settings.precopy
        left = used if stops_first else left_when_it_stands(used, rate, line, budget)
        return Measured(
            memory_bytes=memory,
            used_bytes=used,
            written_bytes_per_second=rate,
            line_bytes_per_second=line,
            stop_seconds=stop_seconds(left, line, trip),
            stops_first=stops_first,
        )

    async def _measure_line(self) -> tuple[float, float]:
        """Seconds for a small message to the broker and back, and bytes a second of large ones.

        Raises ``SnapshotError`` when none comes back.
        """
        topic = self._topics.measured(self._runtime, uuid.uuid4().hex)
        echoes: asyncio.Queue[bytes] = asyncio.Queue()
        self._transfers.listen(topic, echoes.put_nowait)
        try:
            async with asyncio.timeout(_ECHOES):
                await self._echo(topic, 1, echoes)  # the subscription takes its time
                trip = min([await self._echo(topic, 1, echoes) for _ in range(3)])
                large = min([await self._echo(topic, _LARGE, echoes) for _ in range(2)])
        except TimeoutError:
            raise SnapshotError("the broker did not send back in time what was sent") from None
        finally:
            self._transfers.forget(topic)
        return trip, _LARGE / max(large - trip, 1e-4)

    async def _echo(self, topic: str, size: int, echoes: "asyncio.Queue[bytes]") -> float:
        clock = asyncio.get_running_loop().time
        begun = clock()
        self._transfers.say(topic, os.urandom(size))
        await echoes.get()
        return clock() - begun


def _look(instance: Instance, shadow: Shadow) -> int:
    """Bytes that are not what they were at the last look; at the first, that are not zero."""
    found = 0
    while (change := instance.changes(shadow)) is not None:
        found += len(change.blocks)
    return found
