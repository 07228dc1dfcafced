"""The one way out for what all modules print: bounded, in order, nothing lost.

The bus keeps what the broker has not confirmed; here it is kept small, so that reports and
answers always find room. Lines beyond the window wait here, and a module with too many of them is
choked until half of them are gone. Knows no module, only sources and topics.
"""

import asyncio
from collections import Counter, deque
from typing import Final, Protocol

from arts.bus.base import Bus

WINDOW: Final = 256
"""Lines of all modules that the broker has not confirmed."""
BACKLOG: Final = 256
"""Lines of one module that wait here before it is choked."""
_CONFIRM_TIMEOUT: Final = 5.0


class Source(Protocol):
    """Something that prints. Compared by identity."""

    def choke(self, choked: bool) -> None:
        """Stop printing (True), or go on (False)."""
        ...


class Outlet:
    """Lines of many sources on their way to one bus. ``run`` must be running."""

    def __init__(self, bus: Bus, *, window: int = WINDOW, backlog: int = BACKLOG) -> None:
        self._bus = bus
        self._window, self._backlog = window, backlog
        self._unconfirmed = 0
        self._lines: deque[tuple[Source, str, bytes]] = deque()
        self._waiting: Counter[Source] = Counter()
        self._choked: set[Source] = set()
        self._work = asyncio.Event()
        self._moved = asyncio.Event()

    def write(self, source: Source, topic: str, line: bytes) -> None:
        """Publish a line now or as soon as there is room; may choke ``source``."""
        self._lines.append((source, topic, line))
        self._waiting[source] += 1
        self._pump()
        if self._waiting[source] > self._backlog and source not in self._choked:
            self._choked.add(source)
            source.choke(True)

    async def confirmed(self, source: Source, timeout: float) -> bool:
        """Wait until the broker has all lines of ``source``; False after ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while self._waiting[source]:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return await self._bus.flush(timeout)

    def forget(self, source: Source) -> None:
        """``source`` is gone, and with it what it has not got out."""
        self._lines = deque(line for line in self._lines if line[0] is not source)
        del self._waiting[source]
        self._choked.discard(source)

    async def run(self) -> None:
        """Make room as the broker confirms."""
        while True:
            await self._work.wait()
            self._work.clear()
            while self._unconfirmed:
                sent = self._unconfirmed
                if await self._bus.flush(_CONFIRM_TIMEOUT):
                    self._unconfirmed -= sent
                    self._pump()

    def _pump(self) -> None:
        while self._lines and self._unconfirmed < self._window:
            source, topic, line = self._lines.popleft()
            self._bus.publish(topic, line, qos=1)
            self._unconfirmed += 1
            self._waiting[source] -= 1
            if source in self._choked and self._waiting[source] <= self._backlog // 2:
                self._choked.discard(source)
                source.choke(False)
        self._moved.set()
        if self._unconfirmed >= self._window // 2:
            self._work.set()
