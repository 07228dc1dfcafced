"""Sequenced channels for Python programs: the same numbers as modules give and read."""

from collections.abc import AsyncIterator, Callable
from uuid import uuid4

from arts.bus.base import Received
from arts.protocol.sequence import Hearing, Stamp, read, stamped


class SequencedWriter:
    """Publishes to one topic with a number in front of each message.

    Its name and its numbers end with it: another one is another writer.
    """

    def __init__(self, publish: Callable[[str, bytes], None], topic: str) -> None:
        self._publish, self._topic = publish, topic
        self._name = str(uuid4())
        self._number = 0

    def publish(self, payload: bytes) -> None:
        """Publish the next message, QoS 1. Raises ``BusError`` if too much is unsent."""
        stamp = Stamp(self._name, 1, 1, self._number + 1)
        self._publish(self._topic, stamped(stamp, payload))
        self._number += 1


async def unrepeated(messages: AsyncIterator[Received]) -> AsyncIterator[Received]:
    """The messages without their headers, none of them twice; others as they are."""
    hearing = Hearing()
    async for message in messages:
        stamp, payload = read(message.payload)
        if stamp is None or hearing.is_new(message.topic, stamp):
            yield message._replace(payload=payload)
