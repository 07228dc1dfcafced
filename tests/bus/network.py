"""One face for all brokers, so that one test says what every bus must do.

``Network`` hands out buses and sessions at a broker (memory, mosquitto or iotcore) and can break
the connection of a single client.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from arts.bus.base import Bus, BusEvent, Received, Session, Will
from arts.bus.memory import MemoryBroker, MemoryBus, MemorySession
from arts.bus.mqtt import MqttBus
from arts.bus.session import MqttSession
from tests.support.broker import unique
from tests.support.proxy import Proxy

PATIENCE = 15.0
"""Seconds after which something that must happen has not."""


class Network(Protocol):
    """Clients of one broker, and their misfortunes. Topics below ``prefix`` are the test's own."""

    kind: str
    prefix: str

    async def bus(self, name: str, *, will: Will | None = None, outbox_limit: int = 1000) -> Bus:
        """A bus, not started yet."""
        ...

    async def session(self, name: str, *, outbox_limit: int = 1000) -> Session:
        """A session, not connected yet; the same name is the same client id."""
        ...

    def cut(self, name: str) -> None:
        """Break the connection of this client."""
        ...

    def refuse(self, name: str) -> None:
        """Break it, and keep it broken until ``accept``."""
        ...

    def accept(self, name: str) -> None:
        """Let the client connect again."""
        ...

    def stall_answers(self, name: str) -> None:
        """Let the broker's answers to this client hang, until ``cut`` or ``close``."""
        ...

    async def close(self) -> None:
        """Stop all that was handed out."""
        ...


class _Clients:
    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.prefix = unique()
        self._closing: list[Callable[[], Awaitable[Any]]] = []

    def _id(self, name: str) -> str:
        return f"{self.prefix}-{name}"

    async def close(self) -> None:
        for close in reversed(self._closing):
            await close()


class MemoryNetwork(_Clients):
    """``Network`` in memory."""

    def __init__(self) -> None:
        super().__init__("memory")
        self.broker = MemoryBroker()

    async def bus(self, name: str, *, will: Will | None = None, outbox_limit: int = 1000) -> Bus:
        bus = MemoryBus(self.broker, self._id(name), will=will, outbox_limit=outbox_limit)
        self._closing.append(bus.stop)
        return bus

    async def session(self, name: str, *, outbox_limit: int = 1000) -> Session:
        session = MemorySession(self.broker, self._id(name), outbox_limit=outbox_limit)
        self._closing.append(session.close)
        return session

    def cut(self, name: str) -> None:
        self.broker.cut(self._id(name))

    def refuse(self, name: str) -> None:
        self.broker.partition(self._id(name))

    def accept(self, name: str) -> None:
        self.broker.heal()

    def stall_answers(self, name: str) -> None:
        self.broker.hold(self._id(name))

    async def close(self) -> None:
        self.broker.heal()
        await super().close()


class RealNetwork(_Clients):
    """``Network`` at a real broker: each client goes through a proxy of its own."""

    def __init__(self, kind: str, url: str) -> None:
        super().__init__(kind)
        self._port = urlsplit(url).port or 0
        self._proxies: dict[str, list[Proxy]] = {}

    async def bus(self, name: str, *, will: Will | None = None, outbox_limit: int = 1000) -> Bus:
        url = await self._way(name)
        bus = MqttBus(url, self._id(name), will=will, outbox_limit=outbox_limit)
        self._closing.append(bus.stop)
        return bus

    async def session(self, name: str, *, outbox_limit: int = 1000) -> Session:
        session = MqttSession(await self._way(name), self._id(name), outbox_limit=outbox_limit)
        self._closing.append(session.close)
        return session

    async def _way(self, name: str) -> str:
        proxy = Proxy(self._port)
        await proxy.start()
        self._closing.append(proxy.stop)
        self._proxies.setdefault(name, []).append(proxy)
        return f"mqtt://127.0.0.1:{proxy.port}"

    def cut(self, name: str) -> None:
        for proxy in self._proxies[name]:
            proxy.cut()

    def refuse(self, name: str) -> None:
        for proxy in self._proxies[name]:
            proxy.refuse()

    def accept(self, name: str) -> None:
        for proxy in self._proxies[name]:
            proxy.accept()

    def stall_answers(self, name: str) -> None:
        for proxy in self._proxies[name]:
            proxy.stall_answers()


async def events_until(
    bus: Bus, done: Callable[[list[BusEvent]], bool], timeout: float = PATIENCE
) -> list[BusEvent]:
    """Everything the bus brings until ``done(events)``; fails after ``timeout`` seconds."""
    events: list[BusEvent] = []
    try:
        async with asyncio.timeout(timeout):
            while not done(events):
                events += await bus.receive()
    except TimeoutError:
        raise AssertionError(f"this is all that came: {events[-20:]}") from None
    return events


async def event_of(bus: Bus, kind: type[BusEvent]) -> list[BusEvent]:
    """Everything up to (and with) the batch that brings an event of this kind."""
    return await events_until(bus, lambda events: any(isinstance(e, kind) for e in events))


async def messages(bus: Bus, count: int) -> list[Received]:
    """The next ``count`` messages or a few more; other events are skipped."""
    events = await events_until(
        bus, lambda events: sum(isinstance(e, Received) for e in events) >= count
    )
    return [e for e in events if isinstance(e, Received)]


async def eventually(condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
    """Wait until ``condition()``; fails after ``timeout`` seconds."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)
