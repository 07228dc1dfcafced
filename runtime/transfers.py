"""Snapshots and programs under way, on a bus connection of their own.

Moves the frames that ``arts.protocol.transfer`` makes; knows topics and timers, not what the data
means.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from arts.bus.base import Bus, Received
from arts.errors import BusError
from arts.log import get_logger
from arts.protocol.transfer import Receiver, Sender

log = get_logger(__name__)

_SUBSCRIBE_TIMEOUT = 5.0

Done = Callable[[Receiver], None]
"""Called once, when the receiver is complete or has failed."""


Detour = Callable[[str, bytes], bool]
"""Takes a frame for a topic, or says that it does not."""


class Transfers:
    """Transfers in both directions, each named by its data topic. ``run`` must be running."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._senders: dict[str, tuple[str, Sender]] = {}
        """Credit topic -> data topic, sender."""
        self._receivers: dict[str, tuple[str, Receiver, Done]] = {}
        """Data topic -> credit topic, receiver, whom to tell."""
        self._listeners: dict[str, Callable[[bytes], None]] = {}
        self._detours: dict[str, Detour] = {}
        """Topic without its last level -> another way than the bus."""
        self._timer: asyncio.TimerHandle | None = None

    def listen(self, topic: str, hear: Callable[[bytes], None]) -> None:
        """Hear small messages beside a transfer, until it is forgotten by this topic."""
        self._listeners[topic] = hear
        self._bus.subscribe(topic)

    def say(self, topic: str, payload: bytes) -> None:
        """Send a small message, which may be lost."""
        self._publish(topic, [payload])

    def send(self, data_topic: str, credit_topic: str, data: bytes) -> str:
        """Start sending; the sha256 (hex) of ``data``. ``forget`` it when it is of no use."""
        sender = Sender(data, self._loop.time())
        self._senders[credit_topic] = (data_topic, sender)
        self._bus.subscribe(credit_topic)
        self._publish(data_topic, sender.start())
        self._arm()
        return sender.digest

    def expect(self, data_topic: str, credit_topic: str, receiver: Receiver, done: Done) -> None:
        """Be ready to receive before the broker handles what we say next."""
        self._receivers[data_topic] = (credit_topic, receiver, done)
        self._bus.subscribe(data_topic)

    async def receive(
        self, data_topic: str, credit_topic: str, receiver: Receiver, done: Done
    ) -> None:
        """Be ready to receive: when this returns, the broker knows that we listen.

        Raises ``BusError`` if it does not in time.
        """
        self.expect(data_topic, credit_topic, receiver, done)
        # A broker handles our packets in order: this one confirmed, the subscription is in force.
        self._bus.publish(credit_topic, b"", qos=1)
        if not await self._bus.flush(_SUBSCRIBE_TIMEOUT):
            self.forget(data_topic)
            raise BusError("the broker does not answer on the transfer connection")

    def forget(self, topic: str) -> None:
        """Drop the transfer of this data or credit topic, or who listens to this one."""
        tables: tuple[dict[str, Any], ...] = (self._senders, self._receivers, self._listeners)
        if any([table.pop(topic, None) for table in tables]):
            self._bus.unsubscribe(topic)

    async def run(self) -> None:
        """Handle what arrives."""
        while True:
            for event in await self._bus.receive():
                if isinstance(event, Received):
                    self.arrived(event.topic, event.payload)

    def reroute(self, prefix: str, detour: Detour | None) -> None:
        """Send what is for topics under ``prefix`` by another way, as long as it takes it."""
        if detour is None:
            self._detours.pop(prefix, None)
        else:
            self._detours[prefix] = detour

    def arrived(self, topic: str, frame: bytes) -> None:
        """A frame has come, by the bus or by a detour."""
        now = self._loop.time()
        if topic in self._senders:
            data_topic, sender = self._senders[topic]
            self._publish(data_topic, sender.handle(frame, now))
            if sender.done:
                self.forget(topic)
        elif topic in self._receivers:
            credit_topic, receiver, _ = self._receivers[topic]
            self._publish(credit_topic, receiver.handle(frame, now))
            self._conclude(topic)
        elif topic in self._listeners:
            self._listeners[topic](frame)
        self._arm()

    def _conclude(self, topic: str) -> None:
        _, receiver, done = self._receivers[topic]
        if receiver.data is not None or receiver.failure is not None:
            self.forget(topic)
            done(receiver)

    def _publish(self, topic: str, frames: list[bytes]) -> None:
        detour = self._detours.get(topic.rpartition("/")[0])
        for frame in frames:
            if detour is not None and detour(topic, frame):
                continue
            try:
                self._bus.publish(topic, frame, qos=1)
            except BusError as error:  # the other side asks again
                log.warning("transfer.frame_not_sent", topic=topic, error=str(error))

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadlines = [sender.next_deadline() for _, sender in self._senders.values()]
        deadlines += [receiver.next_deadline() for _, receiver, _ in self._receivers.values()]
        due = [deadline for deadline in deadlines if deadline is not None]
        if due:
            self._timer = self._loop.call_at(min(due), self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        for topic, (data_topic, sender) in list(self._senders.items()):
            self._publish(data_topic, sender.tick(now))
            if sender.failure:
                log.warning("transfer.failed", topic=data_topic, reason=sender.failure)
                self.forget(topic)
        for topic, (credit_topic, receiver, _) in list(self._receivers.items()):
            self._publish(credit_topic, receiver.tick(now))
            self._conclude(topic)
        self._arm()

    def close(self) -> None:
        """Forget everything."""
        for topic in (*self._senders, *self._receivers, *self._listeners):
            self.forget(topic)
        if self._timer is not None:
            self._timer.cancel()
