"""A script as users write it without ARTS: aiomqtt, JSON by hand, nothing of ours in between.

Knows the envelope as the reference documents it. Imports nothing of ``arts``, so that it stays
an independent witness of what goes over the wire.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiomqtt

from tests.support.realm import Observer


class Message(NamedTuple):
    """One message as it came."""

    topic: str
    payload: bytes

    @property
    def json(self) -> dict[str, Any]:
        """As an object; an empty one if it is none."""
        try:
            value = json.loads(self.payload)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


class Script:
    """An MQTT client that hears everything below ``proc`` of its realm but keepalives."""

    def __init__(self, mqtt: aiomqtt.Client, realm: str) -> None:
        self.mqtt = mqtt
        self.proc = f"{realm}/proc"
        self.heard: Observer[Message] = Observer()

    async def listen(self, topic: str) -> None:
        """Hear this too."""
        await self.mqtt.subscribe(topic, qos=1)

    async def publish(self, topic: str, payload: bytes | dict[str, Any]) -> None:
        """``topic`` is below ``proc``; objects become JSON."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        await self.mqtt.publish(f"{self.proc}/{topic}", data, qos=1)

    async def ask(self, envelope: dict[str, Any], *, topic: str = "control") -> dict[str, Any]:
        """Send a request and wait for the ``data`` of its answer, on whatever topic it comes."""
        envelope = {"object_id": str(uuid.uuid4()), "type": "arts_req"} | envelope
        await self.publish(topic, envelope)
        return (await self.answer(envelope["object_id"])).json["data"]  # type: ignore[no-any-return]

    async def answer(self, object_id: str) -> Message:
        """Wait for the answer to a request."""
        await self.heard.until(lambda seen: any(_answers(m, object_id) for m in seen))
        return next(m for m in self.heard.seen if _answers(m, object_id))

    def answers(self, object_id: str) -> list[Message]:
        """All answers to a request that have come so far."""
        return [m for m in self.heard.seen if _answers(m, object_id)]

    async def at(self, topic: str) -> Message:
        """Wait for the first message on this topic (below ``proc``)."""
        wanted = f"{self.proc}/{topic}"
        await self.heard.until(lambda seen: any(m.topic == wanted for m in seen))
        return next(m for m in self.heard.seen if m.topic == wanted)


def _answers(message: Message, object_id: str) -> bool:
    envelope = message.json
    is_answer = envelope.get("type") in ("arts_resp", "resp")
    return is_answer and envelope.get("object_id") == object_id


@asynccontextmanager
async def script(broker_url: str, realm: str) -> AsyncIterator[Script]:
    """A connected one that hears the answers on the topics of the original ARTS."""
    address = urlsplit(broker_url)
    async with aiomqtt.Client(address.hostname or "", address.port or 1883) as mqtt:
        script = Script(mqtt, realm)

        async def collect() -> None:
            async for message in mqtt.messages:
                script.heard.add(Message(str(message.topic), bytes(message.payload)))

        collecting = asyncio.create_task(collect(), name="script")
        for topic in ("control", "reg", "reg/+", "reply/+"):
            await script.listen(f"{script.proc}/{topic}")
        try:
            yield script
        finally:
            collecting.cancel()
            await asyncio.wait([collecting])
