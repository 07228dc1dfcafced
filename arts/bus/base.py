"""What the rest of ARTS asks of a message bus, and nothing of how MQTT does it.

Two things travel differently and so have two protocols:

* ``Bus``: the connection of a process (supervisor, runtime, client). It reconnects by itself,
  subscribes again, keeps what it could not send (bounded), and hands everything over in batches.
* ``Session``: the MQTT session of one *module*. It follows the module from runtime to runtime by
  session takeover, so it never reconnects by itself, and it acknowledges a message only when the
  module has consumed it.

Both are used from one asyncio loop; ``publish``, ``subscribe`` and ``acknowledge`` never block.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Received(NamedTuple):
    """One message from the broker."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Connected(NamedTuple):
    """The bus has a broker (again); all subscriptions are in force. Re-announce yourself."""

    session_present: bool = False


class Disconnected(NamedTuple):
    """The broker is gone, or was not there to begin with; the bus keeps trying to reach it."""

    reason: str


class SubscriptionRefused(NamedTuple):
    """The broker said no to a subscription (SUBACK 0x80): this process is deaf to it."""

    topic_filter: str
    code: int


BusEvent = Received | Connected | Disconnected | SubscriptionRefused


class Will(NamedTuple):
    """What the broker publishes when the connection dies without a farewell."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


class Bus(Protocol):
    """The connection of one process to its broker."""

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable right now."""
        ...

    async def start(self) -> None:
        """Begin connecting, and keep at it with backoff until ``stop``. Does not wait."""
        ...

    async def stop(self) -> None:
        """Send what is queued (bounded time), disconnect cleanly: the will is not published."""
        ...

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Listen to a filter, now and after every reconnect."""
        ...

    def unsubscribe(self, topic_filter: str) -> None:
        """Stop listening."""
        ...

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send, or keep for the next connection. QoS 1 is repeated until acknowledged.

        Raises ``BusError`` when the outbox is full: the caller decides what to drop.
        QoS 0 without retain is dropped silently while offline: that is what QoS 0 means.
        """
        ...

    def push(self) -> None:
        """Hand to the network what was published, now and not at the end of this turn of the loop.

        For what somebody waits for; otherwise the messages of a turn leave together, which is
        cheaper.
        """
        ...

    async def receive(self) -> list[BusEvent]:
        """Wait for at least one event, then return all that is queued, in order."""
        ...

    async def flush(self, timeout: float) -> bool:
        """Wait until every QoS 1 publish so far is acknowledged; False if that took longer."""
        ...


class Delivery(NamedTuple):
    """One message for a module, unacknowledged. ``receipt`` means something to its session only."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    receipt: int


class Closed(NamedTuple):
    """The session's connection is gone, wanted or not. Nobody may act until ownership is clear."""

    reason: str


SessionEvent = Delivery | Closed


class Publication(NamedTuple):
    """A message of the module that the broker has not acknowledged yet."""

    topic: str
    payload: bytes
    qos: int = 1


class Session(Protocol):
    """The MQTT session of one module: persistent, acknowledged by hand, movable.

    Events arrive through ``listener`` on the loop's thread, in the broker's order.
    """

    async def connect(self, listener: Callable[[SessionEvent], None], timeout: float) -> bool:
        """Take the session over (whoever had it is cut off). True if the broker knew it.

        Raises ``BusError`` if that does not work within ``timeout`` seconds.
        """
        ...

    async def subscribe(self, topic_filters: dict[str, int], timeout: float) -> None:
        """Subscribe (filter -> QoS) and check what was granted; ``BusError`` if refused."""
        ...

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that this delivery, and so all before it, is done with.

        Callers acknowledge in the order of delivery: MQTT-4.6.0-2 wants it and some brokers
        cut the connection otherwise. QoS 0 deliveries need none; acknowledging one is ignored.
        """
        ...

    def publish(self, publication: Publication) -> None:
        """Send for the module; QoS 1 stays in ``unacknowledged`` until the broker has it."""
        ...

    def unacknowledged(self) -> tuple[Publication, ...]:
        """The module's own publishes that the broker has not confirmed, oldest first."""
        ...

    def pause_reading(self) -> None:
        """Stop reading the socket: the backlog stays at the broker. Resume well in keep-alive."""
        ...

    def resume_reading(self) -> None:
        """Read again."""
        ...

    async def flush(self, timeout: float) -> bool:
        """Barrier: own publishes confirmed *and* own acknowledgements processed by the broker."""
        ...

    async def close(self) -> None:
        """Disconnect; the broker keeps the session and queues for it."""
        ...

    async def purge(self) -> None:
        """Disconnect and make the broker forget the session: the module is gone for good."""
        ...
