"""A client that sends exact bytes to a real supervisor, and everything the supervisor says to it.

The supervisor has a broker around it, in memory or real, and a clock that only tests move. Knows
no dialect: what is sent and what must come back is written out in the tests.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple

from arts.bus.base import Bus, Connected, Received
from arts.bus.memory import MemoryBroker, MemoryBus
from arts.realm.state import RealmSettings
from arts.store.memory import MemoryStore
from arts.supervisor import Supervisor
from tests.support.supervised import Clock, Programs

Connect = Callable[[str], Bus]
"""A bus of that client id."""

REALM = "realm"
_OURS = (f"{REALM}/proc/state/", f"{REALM}/proc/log/realm", f"{REALM}/proc/reply/probe")
_PATIENCE = 20.0


class Said(NamedTuple):
    """One message of the supervisor."""

    topic: str
    payload: Any
    """As JSON says it; bytes if it is none."""


class Wire:
    """What goes over the wire, on both sides of the supervisor."""

    def __init__(self, speaker: Bus, listener: Bus, clock: Clock) -> None:
        self.clock = clock
        self.supervisor: Supervisor | None = None
        self._speaker, self._listener = speaker, listener
        self._sent: list[tuple[str, bytes]] = []
        self._heard: list[Said] = []
        self._probes: set[str] = set()
        self._changed = asyncio.Event()

    async def say(self, topic: str, payload: Any, *, retain: bool = False) -> list[Said]:
        """Send text, bytes or an object; what the supervisor says to it, in order."""
        return await self.say_all((topic, payload), retain=retain)

    async def say_all(self, *messages: tuple[str, Any], retain: bool = False) -> list[Said]:
        """Send several before listening to what comes back."""
        for topic, payload in messages:
            if isinstance(payload, str):
                payload = payload.encode()
            data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
            self._publish(topic, data, retain=retain)
        return await self.silence()

    async def silence(self) -> list[Said]:
        """Wait until the supervisor has said what it has to say: it answers in order."""
        probe = f"probe-{uuid.uuid4()}"
        request = {
            **{"object_id": probe, "type": "arts_req", "action": "get", "data": {"what": "realm"}},
            "reply_to": f"{REALM}/proc/reply/probe",
        }
        self._publish(f"{REALM}/proc/control", json.dumps(request).encode())
        async with asyncio.timeout(_PATIENCE):
            while probe not in self._probes:
                self._changed.clear()
                await self._changed.wait()
        heard, self._heard = self._heard, []
        return heard

    async def pass_time(self, seconds: float) -> list[Said]:
        """Let time pass for the supervisor; what it says."""
        self.clock.now += seconds
        # The supervisor looks at the clock with every message; what it says then comes after.
        return [*await self.silence(), *await self.silence()]

    def _publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        self._sent.append((topic, data))
        self._speaker.publish(topic, data, qos=1, retain=retain)

    async def listen(self) -> None:
        """Collect what others say until cancelled."""
        while True:
            for event in await self._listener.receive():
                if isinstance(event, Received):
                    self._note(event)
            self._changed.set()

    def _note(self, message: Received) -> None:
        if message.topic == f"{REALM}/proc/reply/probe":
            self._probes.add(json.loads(message.payload)["object_id"])
        elif (message.topic, message.payload) in self._sent:
            self._sent.remove((message.topic, message.payload))
        elif not message.topic.startswith(_OURS):
            self._heard.append(Said(message.topic, _parsed(message.payload)))


def _parsed(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload


def in_memory() -> Connect:
    """A broker without a network."""
    broker = MemoryBroker()
    return lambda client_id: MemoryBus(broker, client_id)


@asynccontextmanager
async def wire(connect: Connect, *, store: MemoryStore | None = None) -> AsyncIterator[Wire]:
    """A supervisor behind a broker, and who speaks to it."""
    settings = RealmSettings(name=REALM, link_grace=1.0, lost_after=5.0)
    async with AsyncExitStack() as stack:
        buses = []
        for role in ("speaker", "listener", "supervisor"):
            bus = connect(f"{role}-{uuid.uuid4().hex[:8]}")
            if role == "listener":
                bus.subscribe(f"{REALM}/#")
            if role != "supervisor":
                await bus.start()
                stack.push_async_callback(bus.stop)
                while not any(isinstance(event, Connected) for event in await bus.receive()):
                    pass
            buses.append(bus)
        speaker, listener, own = buses
        clock = Clock()
        wire = Wire(speaker, listener, clock)
        listening = asyncio.create_task(wire.listen(), name="wire")
        supervisor = Supervisor(settings, own, store or MemoryStore(), Programs(), clock=clock)
        wire.supervisor = supervisor
        running = asyncio.create_task(supervisor.run(), name="supervisor")
        await own.start()
        stack.push_async_callback(own.stop)
        try:
            await _until_heard(wire)
            yield wire
            supervisor.realm.validate()
        finally:
            for task in (running, listening):
                task.cancel()
            await asyncio.wait([running, listening])


async def _until_heard(wire: Wire) -> None:
    """A broker keeps nothing for who has not subscribed yet: ask until there is an answer."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            try:
                async with asyncio.timeout(0.5):
                    await wire.silence()
                    return
            except TimeoutError:
                continue
