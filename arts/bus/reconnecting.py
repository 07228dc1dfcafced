"""A process's connection to its broker, whatever carries it: the logic behind ``Bus``.

It keeps one link after another alive, knows every subscription and every publication the broker
has not confirmed, and repeats both on the next link. The broker is asked to remember nothing of
this client. What the messages mean is for others.
"""

import asyncio
import random
import time
from collections import deque

from arts.bus.base import BusEvent, Connected, Disconnected, Received, SubscriptionRefused
from arts.bus.link import Link, LinkFactory
from arts.bus.outbox import Outbox
from arts.bus.topics import check_filter, check_publication
from arts.errors import BusError
from arts.log import get_logger

log = get_logger(__name__)

_FIRST_DELAY = 0.05
_LONGEST_DELAY = 3.0
_FAREWELL = 2.0
_FILTERS_A_PACKET = 200
_INBOX_LIMIT = 20_000


class ReconnectingBus:
    """``Bus`` over links from ``connect``, which is called for each attempt.

    ``outbox_limit`` messages or ``outbox_bytes`` are kept while they cannot be sent; what comes
    on top raises ``BusError``. ``timeout`` (seconds) bounds a connect and its subscriptions.
    """

    def __init__(
        self,
        connect: LinkFactory,
        name: str,
        *,
        timeout: float,
        outbox_limit: int,
        outbox_bytes: int,
    ) -> None:
        self._make_link = connect
        self._name = name
        self._timeout = timeout
        self._filters: dict[str, int] = {}
        self._outbox = Outbox(outbox_limit, outbox_bytes)
        self._inbox: deque[BusEvent] = deque()
        self._news = asyncio.Event()
        self._lost = asyncio.Event()
        self._link: Link | None = None
        self._connected = False
        self._down = False
        self._paused = False
        self._unsent_bytes = 0
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether the broker is reachable right now, with all subscriptions in force."""
        return self._connected

    async def start(self) -> None:
        """Begin connecting, and keep at it until ``stop``. Does not wait."""
        if self._task is None:
            self._down = False
            self._task = asyncio.create_task(self._stay_connected(), name=f"bus {self._name}")

    async def stop(self) -> None:
        """Send what is queued (at most 2 s), disconnect cleanly. The will is not published."""
        if self._task is None:
            return
        if self._connected:
            await self.flush(_FAREWELL)
        self._down = True  # from here on a lost connection is no news
        task, self._task = self._task, None
        task.cancel()
        await asyncio.wait([task])
        link, self._link, self._connected = self._link, None, False
        if link is not None:
            await link.close(_FAREWELL)

    # -- staying connected --------------------------------------------------------------------

    async def _stay_connected(self) -> None:
        attempt = 0
        while True:
            began = time.monotonic()
            try:
                await self._connect()
            except BusError as error:
                self._went_down(str(error))
            else:
                await self._lost.wait()
            # A connection that is lost at once (a taken client id, say) is no success.
            attempt = attempt + 1 if time.monotonic() - began < _LONGEST_DELAY else 0
            await self._wait_to_retry(attempt)

    async def _wait_to_retry(self, attempt: int) -> None:
        await asyncio.sleep(_delay(attempt))

    async def _connect(self) -> None:
        self._lost.clear()
        link = self._make_link(self)
        session_present = await link.open(self._timeout)
        self._link = link
        try:
            await self._subscribe_all(link)
        except (BusError, TimeoutError) as error:
            link.cut()
            raise BusError(f"{self._name} does not answer subscriptions: {error}") from None
        if self._lost.is_set():
            raise BusError(f"{self._name}: lost while connecting")
        self._connected, self._down = True, False
        log.info("bus.connected", bus=self._name)
        self._emit(Connected(session_present))
        self._outbox.resend(link.publish)

    async def _subscribe_all(self, link: Link) -> None:
        filters = list(self._filters.items())
        grants = [
            link.subscribe(dict(filters[at : at + _FILTERS_A_PACKET]))
            for at in range(0, len(filters), _FILTERS_A_PACKET)
        ]
        async with asyncio.timeout(self._timeout):
            for grant in grants:
                self._check_grants(await grant)

    def _check_grants(self, granted: dict[str, int]) -> None:
        for topic_filter, code in granted.items():
            if code > 2:
                log.error("bus.subscription_refused", bus=self._name, topic=topic_filter)
                self._emit(SubscriptionRefused(topic_filter, code))

    def _went_down(self, reason: str) -> None:
        if not self._down:
            self._down = True
            log.warning("bus.disconnected", bus=self._name, reason=reason)
            self._emit(Disconnected(reason))

    # -- what the link tells (Listener) -------------------------------------------------

    def on_message(self, topic: str, payload: bytes, qos: int, retain: bool, mid: int) -> None:
        """Queue what came; stop reading when nobody takes it away."""
        self._emit(Received(topic, payload, qos, retain))
        if len(self._inbox) >= _INBOX_LIMIT and self._link and not self._paused:
            self._link.pause_reading()
            self._paused = True

    def on_published(self, mid: int) -> None:
        """A publication is safe with the broker."""
        self._outbox.confirm(mid)

    def on_lost(self, reason: str) -> None:
        """The connection is gone: say so, and let ``_stay_connected`` make another."""
        self._link, self._connected, self._paused = None, False, False
        self._outbox.forget_identifiers()
        self._unsent_bytes = 0
        self._went_down(reason)
        self._lost.set()

    # -- what the owner asks ------------------------------------------------------------------

    def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Listen to a filter, now and after every reconnect. Raises ``BusError`` if invalid."""
        check_filter(topic_filter, qos)
        self._filters[topic_filter] = qos
        if self._link is not None:
            grant = self._link.subscribe({topic_filter: qos})
            grant.add_done_callback(self._on_grant)

    def _on_grant(self, grant: "asyncio.Future[dict[str, int]]") -> None:
        if not grant.cancelled() and grant.exception() is None:
            self._check_grants(grant.result())

    def unsubscribe(self, topic_filter: str) -> None:
        """Stop listening."""
        if self._filters.pop(topic_filter, None) is not None and self._link is not None:
            self._link.unsubscribe(topic_filter)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        """Send, or keep for the next connection; see ``Bus.publish``.

        While offline the newest retained QoS 0 publication of each topic is kept as well.
        """
        check_publication(topic, payload, qos)
        if self._connected and self._link is not None:
            if qos:
                entry = self._outbox.add(topic, payload, qos, retain)
                self._outbox.send(entry, self._link.publish)
            else:
                self._send_once(self._link, topic, payload, retain)
        elif qos or retain:
            self._outbox.add(topic, payload, qos, retain)

    def push(self) -> None:
        """Send what was published now, not when the loop comes round."""
        if self._link is not None:
            self._link.push()

    def _send_once(self, link: Link, topic: str, payload: bytes, retain: bool) -> None:
        if link.idle():
            self._unsent_bytes = 0
        self._unsent_bytes += len(payload)
        if self._unsent_bytes > self._outbox.max_bytes:
            raise BusError(f"{self._name} does not take {self._unsent_bytes} bytes of output")
        link.publish(topic, payload, 0, retain)

    async def receive(self) -> list[BusEvent]:
        """Wait for at least one event, then return all that is queued, in order."""
        while not self._inbox:
            self._news.clear()
            await self._news.wait()
        events = list(self._inbox)
        self._inbox.clear()
        if self._paused and self._link is not None:
            self._paused = False
            self._link.resume_reading()
        return events

    async def flush(self, timeout: float) -> bool:
        """Wait until every QoS 1 publish so far is acknowledged; False if that took longer."""
        return await self._outbox.wait_until_confirmed(timeout)

    def _emit(self, event: BusEvent) -> None:
        self._inbox.append(event)
        self._news.set()


def _delay(attempt: int) -> float:
    """Exponential backoff with full jitter: a fleet must not come back in step."""
    return random.uniform(0, min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(attempt, 10)))
