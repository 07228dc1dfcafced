"""The MQTT session of one module: the logic behind ``Session``, and ``MqttSession``.

The session lives at the broker; this is one runtime's hold on it. It never reconnects by itself
(whoever owns the module decides that), never acknowledges by itself, and keeps the module's own
publications until the broker has them. It knows no module, no generation and no supervisor.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable

from arts.bus.address import parse_address
from arts.bus.base import Closed, Delivery, Publication, SessionEvent
from arts.bus.connection import Connection
from arts.bus.link import Link, Listener
from arts.bus.outbox import Entry, Outbox
from arts.bus.topics import check_filter, check_publication
from arts.errors import BusError

_FAREWELL = 0.5
"""Seconds to wait for the broker's end of a disconnect; the next CONNECT kicks us anyway."""


class TakeoverSession:
    """``Session`` over links from ``make_link(listener, clean)``.

    ``outbox_limit`` publications or ``outbox_bytes`` may be unacknowledged; what comes on top
    raises ``BusError``. ``flush`` publishes an empty message to ``barrier_topic`` (see there).
    """

    def __init__(
        self,
        make_link: Callable[[Listener, bool], Link],
        name: str,
        *,
        barrier_topic: str,
        timeout: float = 5.0,
        outbox_limit: int = 10_000,
        outbox_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._make_link = make_link
        self._name = name
        self._barrier_topic = barrier_topic
        self._timeout = timeout
        self._outbox = Outbox(outbox_limit, outbox_bytes)
        self._link: Link | None = None
        self._ready = False
        self._listener: Callable[[SessionEvent], None] | None = None
        self._deliveries: deque[tuple[int, int]] = deque()
        self._last_receipt = 0
        self._barriers: dict[int, asyncio.Future[bool]] = {}
        self._barrier_needed = False

    async def connect(self, listener: Callable[[SessionEvent], None], timeout: float) -> bool:
        """Take the session over (whoever had it is cut off). True if the broker knew it.

        Publications that an earlier connection of this object could not get acknowledged are
        repeated first. Raises ``BusError`` if it does not work within ``timeout`` seconds.
        """
        if self._link is not None:
            raise BusError(f"{self._name}: already connected")
        # The broker may send right behind its CONNACK: be ready before that.
        self._listener, self._link = listener, self._make_link(self, False)
        try:
            known = await self._link.open(timeout)
        except BaseException:
            self._link = None
            raise
        if self._link is None:
            raise BusError(f"{self._name}: lost while connecting")
        # What the listener published meanwhile has waited: older publications go first.
        self._ready = True
        self._outbox.resend(self._link.publish)
        return known

    async def subscribe(self, topic_filters: dict[str, int], timeout: float) -> None:
        """Subscribe (filter -> QoS) and check what was granted; ``BusError`` if refused."""
        for topic_filter, qos in topic_filters.items():
            check_filter(topic_filter, qos)
        if not topic_filters:
            return
        try:
            async with asyncio.timeout(timeout):
                granted = await self._connected().subscribe(topic_filters)
        except TimeoutError:
            raise BusError(f"{self._name}: no answer to a subscription") from None
        if refused := [name for name, code in granted.items() if code > 2]:
            raise BusError(f"{self._name}: subscription refused: {', '.join(refused)}")

    def acknowledge(self, delivery: Delivery) -> None:
        """Tell the broker that this delivery, and so all before it, is done with."""
        while self._deliveries and self._deliveries[0][0] <= delivery.receipt:
            _, mid = self._deliveries.popleft()
            if self._link is not None:
                self._link.acknowledge(mid)
                self._barrier_needed = True

    def publish(self, publication: Publication) -> None:
        """Send for the module; QoS 1 stays in ``unacknowledged`` until the broker has it.

        Raises ``BusError`` for an impossible topic and when too much is unacknowledged.
        """
        topic, payload, qos = publication
        check_publication(topic, payload, qos)
        if qos:
            entry = self._outbox.add(topic, payload, qos, False)
            if self._link is not None and self._ready:
                self._outbox.send(entry, self._link.publish)
                self._barrier_needed = False
        elif self._link is not None:
            self._link.publish(topic, payload, 0, False)

    def unacknowledged(self) -> tuple[Publication, ...]:
        """The module's own publishes that the broker has not confirmed, oldest first."""
        return tuple(map(_publication, self._outbox))

    def pause_reading(self) -> None:
        """Stop reading the socket: the backlog stays at the broker. Resume well in keep-alive."""
        if self._link is not None:
            self._link.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._link is not None:
            self._link.resume_reading()

    async def flush(self, timeout: float) -> bool:
        """Barrier: own publishes confirmed *and* own acknowledgements processed by the broker.

        A broker handles the packets of one connection in order, so the PUBACK of a publication
        proves that all acknowledgements sent before it have been processed. If the module has
        not published since, an empty QoS 1 message to the barrier topic does.
        False after ``timeout`` seconds (and at once without a connection): then a takeover may
        repeat what was acknowledged last.
        """
        if self._link is None:
            return False
        waits = [self._outbox.wait_until_confirmed(timeout)]
        if self._barrier_needed:
            waits.append(self._barrier(self._link, timeout))
        return all(await asyncio.gather(*waits))

    async def _barrier(self, link: Link, timeout: float) -> bool:
        mid = link.publish(self._barrier_topic, b"", 1, False)
        passed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._barriers[mid] = passed
        self._barrier_needed = False
        try:
            async with asyncio.timeout(timeout):
                return await passed
        except TimeoutError:
            self._barrier_needed = True
            return False
        finally:
            self._barriers.pop(mid, None)

    async def close(self) -> None:
        """Disconnect; the broker keeps the session and queues for it."""
        if self._link is not None:
            await self._link.close(_FAREWELL)

    async def purge(self) -> None:
        """Disconnect and make the broker forget the session: the module is gone for good.

        Raises ``BusError`` if the broker cannot be reached: then the session is still there.
        """
        await self.close()
        link = self._make_link(_Nobody(), True)
        await link.open(self._timeout)
        await link.close(_FAREWELL)

    # -- what the link tells (Listener) -------------------------------------------------------

    def on_message(self, topic: str, payload: bytes, qos: int, retain: bool, mid: int) -> None:
        """Number a delivery and pass it on."""
        self._last_receipt += 1
        if qos:
            self._deliveries.append((self._last_receipt, mid))
        self._tell(Delivery(topic, payload, qos, retain, self._last_receipt))

    def on_published(self, mid: int) -> None:
        """A publication, or the barrier, is safe with the broker."""
        if mid in self._barriers:
            _resolve(self._barriers.pop(mid), True)
        else:
            self._outbox.confirm(mid)

    def on_lost(self, reason: str) -> None:
        """The connection is gone, and with it every receipt."""
        self._link, self._ready = None, False
        self._deliveries.clear()
        self._barrier_needed = False
        for passed in self._barriers.values():
            _resolve(passed, False)
        self._barriers.clear()
        self._outbox.forget_identifiers()
        self._outbox.stop_waiting()
        self._tell(Closed(reason))

    def _tell(self, event: SessionEvent) -> None:
        if self._listener is not None:
            self._listener(event)

    def _connected(self) -> Link:
        if self._link is None:
            raise BusError(f"{self._name}: not connected")
        return self._link


class MqttSession(TakeoverSession):
    """``Session`` over MQTT 3.1.1, as ``client_id`` at the broker at ``url``.

    ``keepalive`` in seconds: a broker that is silent for up to twice that counts as lost. Raises
    ``BusError`` for a bad URL.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        *,
        keepalive: int = 10,
        barrier_topic: str | None = None,
        outbox_limit: int = 10_000,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        address = parse_address(url)

        def make_link(listener: Listener, clean: bool) -> Connection:
            return Connection(
                address,
                client_id,
                listener,
                clean=clean,
                manual_ack=True,
                keepalive=keepalive,
                tls=tls,
            )

        super().__init__(
            make_link,
            f"{address} ({client_id})",
            barrier_topic=barrier_topic or f"{client_id}/barrier",
            outbox_limit=outbox_limit,
        )


class _Nobody:
    """Listens to a link that only exists to end a session."""

    def on_message(self, *_: object) -> None:
        """A message that nobody will read."""

    def on_published(self, mid: int) -> None:
        """Nothing was published."""

    def on_lost(self, reason: str) -> None:
        """As intended."""


def _resolve(passed: asyncio.Future[bool], result: bool) -> None:
    if not passed.done():  # whoever waited may have been cancelled a moment ago
        passed.set_result(result)


def _publication(entry: Entry) -> Publication:
    return Publication(entry.topic, entry.payload, entry.qos)
