"""A client's connection to a realm: one answer for each request, and messages for who listens.

Knows reply topics, correlation and time-outs, and who is missing when nobody answers. Does not
know what is asked.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from arts.bus.base import Bus, Connected, Disconnected, Received, SubscriptionRefused
from arts.bus.topics import matches
from arts.errors import ArtsError, BusError, Unplaceable
from arts.protocol import codec
from arts.protocol.messages import AnyRequest, Response, SupervisorNotice
from arts.protocol.topics import Topics

_SUPERVISOR = 3.0


@dataclass(eq=False)
class _Listener:
    filters: tuple[str, ...]
    queue: "asyncio.Queue[Received | BusError]" = field(default_factory=asyncio.Queue)


class RealmConnection:
    """``bus`` need not be started. ``where`` is how errors call the broker. Times are seconds."""

    def __init__(self, bus: Bus, realm: str, *, client_id: str, where: str = "the broker") -> None:
        self.bus = bus
        self._where = where
        self.topics = Topics(realm)
        self._reply_topic = self.topics.reply(client_id)
        self._answers: dict[str, asyncio.Future[Response]] = {}
        self._unanswered: dict[str, tuple[str, bytes]] = {}
        """object_id -> topic, payload."""
        self._listeners: list[_Listener] = []
        self._notice = SupervisorNotice(instance="", online=False)
        self._supervised = asyncio.Event()
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @asynccontextmanager
    async def running(self, *, timeout: float = 5.0) -> AsyncIterator[None]:
        """Have the bus connected, and read from it, for the duration."""
        self.bus.subscribe(self._reply_topic)
        self.bus.subscribe(self.topics.supervisor_state)
        await self.bus.start()
        reader = asyncio.create_task(self._read(), name="client")
        try:
            try:
                async with asyncio.timeout(timeout):
                    await self._connected
            except TimeoutError:
                raise BusError(f"{self._where} does not answer") from None
            yield
        finally:
            reader.cancel()
            await asyncio.wait([reader])
            await self.bus.stop()

    # ------------------------------------------------------------------ in

    async def _read(self) -> None:
        while True:
            for event in await self.bus.receive():
                match event:
                    case Received():
                        self._on_message(event)
                    case Connected() if not self._connected.done():
                        self._connected.set_result(None)
                    case Disconnected(reason) if not self._connected.done():
                        error = BusError(f"cannot reach {self._where}: {reason}")
                        self._connected.set_exception(error)
                    case SubscriptionRefused(topic_filter):
                        self._on_refused(topic_filter)

    def _on_message(self, message: Received) -> None:
        if message.topic == self._reply_topic:
            if (answer := codec.decode_response(message.payload)) is None:
                return
            future = self._answers.get(answer[0])
            if future and not future.done():
                future.set_result(answer[1])
        elif message.topic == self.topics.supervisor_state:
            self._on_notice(codec.decode_notice(message.payload))
        for listener in self._listeners:
            if any(matches(topic_filter, message.topic) for topic_filter in listener.filters):
                listener.queue.put_nowait(message)

    def _on_notice(self, notice: SupervisorNotice | None) -> None:
        self._notice = notice or SupervisorNotice(instance="", online=False)
        if self._notice.online:
            self._supervised.set()
            self._ask_again()
        else:
            self._supervised.clear()

    def _ask_again(self) -> None:
        """The supervisor is back: what was asked in between may have met nobody. Ids make it safe
        to repeat."""
        with suppress(BusError):  # too much is unsent already: the request runs out of time
            for topic, payload in self._unanswered.values():
                self.bus.publish(topic, payload, qos=1)

    def _on_refused(self, topic_filter: str) -> None:
        error = BusError(f"{self._where} forbids us to listen to {topic_filter}")
        if topic_filter == self._reply_topic:
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(error)
            if not self._connected.done():
                self._connected.set_exception(error)
        for listener in self._listeners:
            if topic_filter in listener.filters:
                listener.queue.put_nowait(error)

    # ------------------------------------------------------------------ ask

    async def supervisor(self, *, timeout: float = _SUPERVISOR) -> SupervisorNotice:
        """Who supervises the realm. Raises ``BusError`` if nobody does."""
        try:
            async with asyncio.timeout(timeout):
                await self._supervised.wait()
        except TimeoutError:
            raise BusError(
                f"no supervisor in realm {self.topics.realm!r} at {self._where}"
                if self.bus.connected
                else f"lost {self._where}"
            ) from None
        return self._notice

    async def request(self, request: AnyRequest, *, timeout: float) -> dict[str, Any]:
        """Send any request and return the ``details`` of its answer.

        Raises the error that the supervisor answers with, or ``BusError`` if it does not answer.
        """
        object_id = request.object_id or str(uuid.uuid4())
        request = request.model_copy(update={"object_id": object_id})
        payload = codec.encode_request(request, reply_to=self._reply_topic)
        return await self._asked(self.topics.control, object_id, payload, timeout=timeout)

    async def ask(
        self, topic: str, action: str, data: dict[str, Any], *, timeout: float
    ) -> dict[str, Any]:
        """As ``request``, for what is asked elsewhere and has no model."""
        object_id = str(uuid.uuid4())
        envelope = {"object_id": object_id, "action": action, "type": "arts_req", "data": data}
        payload = codec.encode_document(envelope | {"reply_to": self._reply_topic})
        return await self._asked(topic, object_id, payload, timeout=timeout)

    async def _asked(
        self, topic: str, object_id: str, payload: bytes, *, timeout: float
    ) -> dict[str, Any]:
        await self.supervisor()
        future = self._answers[object_id] = asyncio.get_running_loop().create_future()
        self._unanswered[object_id] = topic, payload
        try:
            self.bus.publish(topic, payload, qos=1)
            async with asyncio.timeout(timeout):
                response = await future
        except TimeoutError:
            who = "the supervisor" if self.bus.connected else self._where
            raise BusError(f"{who} did not answer within {timeout:g} s") from None
        finally:
            del self._answers[object_id], self._unanswered[object_id]
        if not response.ok:
            raise answered(response.code, str(response.details))
        details = response.details
        return details if isinstance(details, dict) else {"details": details}

    @asynccontextmanager
    async def listen(self, *topic_filters: str) -> "AsyncIterator[AsyncIterator[Received]]":
        """Messages on any topics, from now on and retained ones first.

        Raises ``BusError`` while iterating if the broker forbids it.
        """
        listener = _Listener(topic_filters)
        self._listeners.append(listener)
        for topic_filter in topic_filters:
            self.bus.subscribe(topic_filter)
        try:
            yield _drain(listener.queue)
        finally:
            self._listeners.remove(listener)
            for topic_filter in set(topic_filters).difference(self._filters()):
                self.bus.unsubscribe(topic_filter)

    def _filters(self) -> Iterator[str]:
        yield from (self._reply_topic, self.topics.supervisor_state)
        for listener in self._listeners:
            yield from listener.filters


async def _drain(
    queue: "asyncio.Queue[Received | BusError]",
) -> AsyncIterator[Received]:
    while True:
        message = await queue.get()
        if isinstance(message, BusError):
            raise message
        yield message


def _tree(kind: type[ArtsError]) -> Iterator[type[ArtsError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


def answered(code: str | None, details: str) -> ArtsError:
    """What the supervisor refuses, as the exception that its code names.

    The deepest class with a code is what the code means.
    """
    kinds = {kind.code: kind for kind in _tree(ArtsError) if "code" in vars(kind)}
    kind = kinds.get(code or "", ArtsError)
    if kind is Unplaceable:  # made from reasons; here they are part of the sentence already
        error = Unplaceable({})
        error.args = (details,)
        return error
    return kind(details)
