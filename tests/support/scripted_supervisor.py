"""A supervisor that answers what a test tells it to: the other end of a client under test."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from arts.bus.base import Bus
from arts.bus.memory import MemoryBroker, MemoryBus
from arts.client import Client
from arts.client.connection import RealmConnection
from arts.protocol import codec
from arts.protocol.messages import Response, SupervisorNotice
from arts.protocol.topics import Topics
from tests.support.native import request_in

Answer = Response | None
Script = Callable[[Any], Answer]
"""From a request to its answer; None is silence."""

TOPICS = Topics("realm")


class ScriptedSupervisor:
    """Answers requests with ``script`` and remembers them in ``requests``."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.script: Script = lambda request: Response(ok=True, details={})
        self.requests: list[Any] = []

    def answers(self, details: dict[str, Any] | str, *, code: str | None = None) -> None:
        """Answer everything alike; with a ``code`` it is a refusal."""
        self.script = lambda request: Response(ok=code is None, details=details, code=code)

    def announce(self, *, online: bool = True, http_url: str | None = None) -> None:
        """Publish the retained notice."""
        notice = SupervisorNotice(instance="scripted", online=online, http_url=http_url)
        self.show(TOPICS.supervisor_state, notice)

    def show(self, topic: str, document: Any) -> None:
        """Publish a retained document; None removes it."""
        payload = b"" if document is None else codec.encode_document(document)
        self.bus.publish(topic, payload, qos=1, retain=True)

    async def run(self) -> None:
        """Serve until cancelled."""
        self.bus.subscribe(TOPICS.control)
        while True:
            for event in await self.bus.receive():
                if hasattr(event, "payload"):
                    self._answer(event.topic, event.payload)

    def _answer(self, topic: str, payload: bytes) -> None:
        request = request_in(topic, payload)
        if request is None:
            return
        self.requests.append(request)
        answer = self.script(request)
        if answer and request.reply:
            self.bus.publish(request.reply.topic, codec.encode_response(request.reply, answer))


@asynccontextmanager
async def memory_client(broker: MemoryBroker, *, timeout: float = 5.0) -> AsyncIterator[Client]:
    """A client on the memory bus."""
    connection = RealmConnection(MemoryBus(broker, "me"), "realm", client_id="me")
    async with connection.running(timeout=timeout):
        yield Client(connection)
