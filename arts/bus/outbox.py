"""Publications that the broker has not confirmed, oldest first. Owns all resending; pure.

It knows packet identifiers only as numbers that mean something to one connection, and nothing
of sockets or reconnecting.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from arts.errors import BusError

Send = Callable[[str, bytes, int, bool], int]
"""(topic, payload, qos, retain) -> packet identifier."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One publication. ``number`` orders it among all others of its outbox."""

    number: int
    topic: str
    payload: bytes
    qos: int
    retain: bool


class Outbox:
    """A bounded queue of unconfirmed publications.

    QoS 0 entries are in it only while they wait for a connection, one a topic: a newer one takes
    the older one's place at the end.
    """

    def __init__(self, max_messages: int, max_bytes: int) -> None:
        if not 0 < max_messages <= 65_000:
            raise ValueError("an outbox holds 1 to 65000 messages: MQTT has 16-bit identifiers")
        self.max_bytes = max_bytes
        self._max_messages = max_messages
        self._entries: dict[int, Entry] = {}
        self._by_mid: dict[int, int] = {}
        self._last_values: dict[str, int] = {}
        self._bytes = 0
        self._count = 0
        self._waiting: list[tuple[int, asyncio.Future[bool]]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def add(self, topic: str, payload: bytes, qos: int, retain: bool) -> Entry:
        """Append a publication. Raises ``BusError`` when full."""
        if qos == 0 and topic in self._last_values:
            self._remove(self._last_values[topic])
        full = len(self._entries) >= self._max_messages
        if full or self._bytes + len(payload) > self.max_bytes:
            raise BusError(
                f"the outbox is full: {len(self._entries)} messages, {self._bytes} bytes"
                " wait for the broker"
            )
        self._count += 1
        entry = Entry(self._count, topic, payload, qos, retain)
        self._entries[entry.number] = entry
        self._bytes += len(payload)
        if qos == 0:
            self._last_values[topic] = entry.number
        return entry

    def send(self, entry: Entry, send: Send) -> None:
        """Send an entry; a QoS 0 one is thereby done with."""
        mid = send(entry.topic, entry.payload, entry.qos, entry.retain)
        if entry.qos:
            self._by_mid[mid] = entry.number
        else:
            self._remove(entry.number)

    def resend(self, send: Send) -> None:
        """Send everything again, in order, on a new connection."""
        self.forget_identifiers()
        for entry in list(self._entries.values()):
            self.send(entry, send)

    def forget_identifiers(self) -> None:
        """The connection that gave them is gone."""
        self._by_mid.clear()

    def confirm(self, mid: int) -> None:
        """The broker has it. An unknown identifier is ignored."""
        number = self._by_mid.pop(mid, None)
        if number is not None:
            self._remove(number)
            self._wake()

    async def wait_until_confirmed(self, timeout: float) -> bool:
        """Wait until all present QoS 1 entries are confirmed; False after ``timeout`` seconds."""
        if self._oldest() > self._count:
            return True
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        waiting = (self._count, future)
        self._waiting.append(waiting)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except TimeoutError:
            return False
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def stop_waiting(self) -> None:
        """Whoever waits for confirmations shall wait no longer: they get False."""
        for _, future in self._waiting:
            if not future.done():
                future.set_result(False)

    def _wake(self) -> None:
        if not self._waiting:
            return
        oldest = self._oldest()
        for target, future in self._waiting:
            if target < oldest and not future.done():
                future.set_result(True)

    def _oldest(self) -> int:
        """Number of the oldest QoS 1 entry; one beyond the newest when there is none."""
        return next((e.number for e in self._entries.values() if e.qos), self._count + 1)

    def _remove(self, number: int) -> None:
        entry = self._entries.pop(number)
        self._bytes -= len(entry.payload)
        if entry.qos == 0:
            self._last_values.pop(entry.topic, None)
