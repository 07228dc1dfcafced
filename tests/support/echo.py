"""Numbered messages to an ``echo`` module, and whether each was answered exactly once, in order.

Knows the topics on both sides of the module. Does not know what happens to it meanwhile.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from arts.client import Client
from tests.support.broker import unique
from tests.support.realm import Observer, Watched, module

_LAST = "the end"


class Conversation:
    """One message after the other; the answers as they come."""

    def __init__(self, client: Client, topic: str) -> None:
        self.answers: Observer[str] = Observer()
        self._client = client
        self._topic = topic
        self._sent = 0

    async def talk(self, interval: float) -> None:
        """Send a message every ``interval`` seconds, until cancelled."""
        while True:
            self._sent += 1
            self._client.publish(f"{self._topic}/in", f"message {self._sent}".encode())
            await asyncio.sleep(interval)

    async def listen(self) -> None:
        """Collect answers until cancelled."""
        async with self._client.messages(f"{self._topic}/out") as messages:
            async for message in messages:
                self.answers.add(message.payload.decode())

    async def finish(self) -> None:
        """Say the last word and wait for its answer: whatever came twice has come by then."""
        self._client.publish(f"{self._topic}/in", _LAST.encode())
        await self.answers.until(lambda seen: _LAST in seen)

    def assert_exactly_once(self) -> None:
        """Each message was answered once, in the order in which they were sent."""
        assert self.answers.seen == [*(f"message {n + 1}" for n in range(self._sent)), _LAST]


@asynccontextmanager
async def conversation(
    client: Client, *, interval: float
) -> AsyncIterator[tuple[Watched, Conversation]]:
    """An ``echo`` module that is talked to; judged at the end."""
    topic = unique(f"{client.topics.realm}/echo")
    channels = [
        {"path": "/ch/in", "topic": f"{topic}/in", "mode": "r"},
        {"path": "/ch/out", "topic": f"{topic}/out", "mode": "w"},
    ]
    talking = Conversation(client, topic)
    listener = asyncio.create_task(talking.listen(), name="answers of echo")
    try:
        async with module(client, "echo", channels=channels) as echo:
            speaker = asyncio.create_task(talking.talk(interval), name="messages to echo")
            try:
                yield echo, talking
            finally:
                speaker.cancel()
                await asyncio.wait([speaker])
            await talking.finish()
            talking.assert_exactly_once()
    finally:
        listener.cancel()
        await asyncio.wait([listener])
