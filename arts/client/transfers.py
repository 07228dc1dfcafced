"""Large data between a client and the supervisor, over the client's own connection.

Moves the frames that ``arts.protocol.transfer`` makes. Does not know what the data means.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from arts.bus.base import Received
from arts.client.connection import RealmConnection
from arts.errors import BusError
from arts.protocol.transfer import Receiver, Sender

T = TypeVar("T")


async def receive(
    connection: RealmConnection,
    data_topic: str,
    credit_topic: str,
    digest: str,
    max_bytes: int,
    messages: AsyncIterator[Received],
    *,
    timeout: float,
) -> bytes:
    """The data with this sha256 (hex) from ``messages`` of the data topic. Raises ``BusError``."""
    loop = asyncio.get_running_loop()
    receiver = Receiver(max_bytes=max_bytes, expected=digest)

    def handle(message: Received | None) -> bytes | None:
        frames = receiver.handle(message.payload, loop.time()) if message else []
        for frame in frames or receiver.tick(loop.time()):
            connection.bus.publish(credit_topic, frame, qos=1)
        if receiver.failure is not None:
            raise BusError(f"the checkpoint did not come: {receiver.failure}")
        return receiver.data

    return await _converse(messages, handle, receiver.next_deadline, timeout)


async def send(
    connection: RealmConnection,
    data_topic: str,
    credit_topic: str,
    data: bytes,
    messages: AsyncIterator[Received],
    hear: Callable[[Received], T | None],
    *,
    timeout: float,
) -> T:
    """Send ``data`` until ``hear`` makes something of a message. Raises ``BusError``."""
    loop = asyncio.get_running_loop()
    sender = Sender(data, loop.time())

    def publish(frames: list[bytes]) -> None:
        for frame in frames:
            connection.bus.publish(data_topic, frame, qos=1)

    def handle(message: Received | None) -> T | None:
        if message is None:
            publish(sender.tick(loop.time()))
        elif message.topic == credit_topic:
            publish(sender.handle(message.payload, loop.time()))
        elif (heard := hear(message)) is not None:
            return heard
        if sender.failure is not None:
            raise BusError(f"the checkpoint was not taken: {sender.failure}")
        return None

    publish(sender.start())
    return await _converse(messages, handle, sender.next_deadline, timeout)


async def _converse(
    messages: AsyncIterator[Received],
    handle: Callable[[Received | None], T | None],
    next_deadline: Callable[[], float | None],
    timeout: float,
) -> T:
    """Until ``handle`` makes something of a message, or of time that passes (None)."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout
    coming: asyncio.Task[Received] | None = None
    try:
        while loop.time() < until:
            coming = coming or asyncio.create_task(_next(messages))
            deadline = min(until, next_deadline() or until)
            await asyncio.wait({coming}, timeout=max(0.0, deadline - loop.time()))
            message = None
            if coming.done():
                message, coming = coming.result(), None
            found = handle(message)
            if found is not None:
                return found
    finally:
        if coming is not None:
            coming.cancel()
    raise BusError(f"the checkpoint did not travel within {timeout:g} s")


async def _next(messages: AsyncIterator[Received]) -> Received:
    return await anext(messages)
