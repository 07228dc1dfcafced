"""Numbered messages to an ``echo`` module, and whether each was answered exactly once, in order.

Knows the topics on both sides of the module. Does not know what happens to it meanwhile.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from arts.client import Client
from tests.support.broker import unique
from tests.support.realm import Observer, Watched, module

DURABLE = {"durability": "checkpoint", "checkpoint_interval": 0.3}
"""Fields of a module that has a checkpoint often."""
_LAST = "the end"
_AHEAD = 500
_PAUSE = 0.005

_SCRIPT = """
local ballast, heard = {{}}, 0
for n = 1, {kilobytes} do
  local t = {{}}
  for i = 1, 1024 do t[i] = string.char(math.random(0, 255)) end
  ballast[n] = table.concat(t)
end
local inbox, outbox = io.open("/ch/in", "rb"), io.open("/ch/out", "wb")
outbox:setvbuf("no")
while true do
  local line = inbox:read("L")
  if not line then break end
  heard = heard + 1
  outbox:write(({answer}))
end
"""


def scripted(*, kilobytes: int = 0, counting: bool = False) -> dict[str, Any]:
    """For ``conversation``: an echo in Lua, with so much memory that no compression makes smaller.

    ``counting``: it answers with how many messages it has had, and not with the number that it is
    told. One whose state goes back behind a message that it took is found out by its next answer.
    """
    answer = "line:gsub('%d+', heard)" if counting else "line"
    script = _SCRIPT.format(kilobytes=kilobytes, answer=answer)
    return {"program": "lua", "args": ("-e", script), "end": "\n"}


class Conversation:
    """One message after the other; the answers as they come."""

    def __init__(self, client: Client, topic: str, end: str, *, sequenced: bool = False) -> None:
        self.judge: Callable[[], None] = self.assert_exactly_once
        """What must be true of the answers in the end; a test may expect less."""
        self.answers: Observer[str] = Observer()
        self._client = client
        self._sequenced = sequenced
        writer = client.sequenced_writer(f"{topic}/in")
        self._say: Callable[[bytes], None] = (
            writer.publish if sequenced else lambda said: client.publish(f"{topic}/in", said)
        )
        self._topic = topic
        self._end = end
        self.sent = 0

    async def talk(self, interval: float) -> None:
        """Send a message every ``interval`` seconds, several at once if need be; until cancelled.

        Waits for answers when it is far ahead: more would measure the queues in between.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if self.sent - len(self.answers.seen) > _AHEAD:
                due = loop.time() + _PAUSE  # this rate cannot be reached here
            while due <= loop.time():
                self.sent += 1
                due += interval
                self._say(f"message {self.sent}{self._end}".encode())
            await asyncio.sleep(max(_PAUSE, due - loop.time()))

    async def listen(self) -> None:
        """Collect answers until cancelled."""
        topic = f"{self._topic}/out"
        async with self._client.messages(topic, sequenced=self._sequenced) as messages:
            async for message in messages:
                self.answers.add(message.payload.decode().removesuffix(self._end))

    async def finish(self) -> None:
        """Say the last word and wait for its answer: whatever came twice has come by then."""
        self._say(f"{_LAST}{self._end}".encode())
        await self.answers.until(lambda seen: _LAST in seen)

    def assert_exactly_once(self) -> None:
        """Each message was answered once, in the order in which they were sent."""
        expected = [*(f"message {n + 1}" for n in range(self.sent)), _LAST]
        assert self.answers.seen == expected, f"{self.summary()}: {self.answers.seen}"

    def assert_in_order(self) -> None:
        """Where a crash may lose or repeat: no answer is new after a later one."""
        numbers = [int(a.removeprefix("message ")) for a in self.answers.seen if a != _LAST]
        first = list(dict.fromkeys(numbers))
        assert first == sorted(first), self.summary()

    def assert_nothing_repeated(self) -> None:
        """Where the way there loses: no answer comes twice, or after a later one."""
        numbers = [int(a.removeprefix("message ")) for a in self.answers.seen if a != _LAST]
        assert numbers == sorted(set(numbers)), self.summary()

    def assert_nothing_lost(self) -> None:
        """Each message was answered, perhaps more than once; in order."""
        missing = {f"message {n + 1}" for n in range(self.sent)} - set(self.answers.seen)
        assert not missing, self.summary()
        self.assert_in_order()

    def summary(self) -> str:
        """How many messages were answered not at all, or more than once."""
        counts = Counter(self.answers.seen)
        lost = sum(1 for n in range(self.sent) if f"message {n + 1}" not in counts)
        return f"{self.sent} sent, {lost} lost, {sum(counts.values()) - len(counts)} doubled"


@asynccontextmanager
async def listening(client: Client, topic: str) -> AsyncIterator[Observer[str]]:
    """What is said on a topic, a line at a time."""
    heard: Observer[str] = Observer()
    async with client.messages(topic) as messages:

        async def listen() -> None:
            async for message in messages:
                for line in message.payload.decode().splitlines():
                    heard.add(line)

        listener = asyncio.create_task(listen(), name=f"lines on {topic}")
        try:
            yield heard
        finally:
            listener.cancel()
            await asyncio.wait([listener])


@asynccontextmanager
async def conversation(
    client: Client,
    *,
    interval: float,
    program: str = "echo",
    end: str = "",
    sequenced: bool = False,
    **fields: Any,
) -> AsyncIterator[tuple[Watched, Conversation]]:
    """An ``echo`` module (or one like it) that is talked to; judged at the end.

    ``end``: what it takes as the end of a message, if a message of its own is not enough.
    ``sequenced``: both channels number what is written.
    """
    topic = unique(f"{client.topics.realm}/echo")
    channels = [
        {"path": "/ch/in", "topic": f"{topic}/in", "mode": "r", "sequenced": sequenced},
        {"path": "/ch/out", "topic": f"{topic}/out", "mode": "w", "sequenced": sequenced},
    ]
    talking = Conversation(client, topic, end, sequenced=sequenced)
    listener = asyncio.create_task(talking.listen(), name="answers of echo")
    try:
        async with module(
            client, program, *fields.pop("args", ()), channels=channels, **fields
        ) as echo:
            speaker = asyncio.create_task(talking.talk(interval), name="messages to echo")
            try:
                yield echo, talking
            finally:
                speaker.cancel()
                await asyncio.wait([speaker])
            await talking.finish()
            talking.judge()
    finally:
        listener.cancel()
        await asyncio.wait([listener])
