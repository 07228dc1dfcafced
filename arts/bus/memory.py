"""A broker and its clients without any network: the deterministic twin of MQTT, with faults.

It does what the shared behaviour tests demand of real brokers (wildcards, retained messages,
wills, persistent sessions, takeover, redelivery) and, on top, whatever a test wants to go wrong.
Connecting and subscribing happen at once; publications and acknowledgements travel, each in the
lane of its link and direction, in order. By itself the broker moves them as soon as the loop is
free; with ``auto`` off nothing moves until ``deliver``.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from arts.bus.base import Will
from arts.bus.link import Listener
from arts.bus.reconnecting import ReconnectingBus
from arts.bus.session import TakeoverSession
from arts.bus.topics import matches
from arts.errors import BusError
from arts.log import get_logger

log = get_logger(__name__)


class Parcel(NamedTuple):
    """A message on its way from the broker to one receiver (a client id)."""

    receiver: str
    topic: str
    payload: bytes
    qos: int
    retain: bool


Predicate = Callable[[Parcel], bool]


@dataclass(eq=False)
class _Seat:
    """What the broker knows of a client id: its session, and its link while it has one."""

    client_id: str
    persistent: bool
    link: "MemoryLink | None" = None
    filters: dict[str, int] = field(default_factory=dict)
    unconfirmed: dict[int, Parcel] = field(default_factory=dict)
    waiting: list[Parcel] = field(default_factory=list)
    last_mid: int = 0


class _Step(NamedTuple):
    link: "MemoryLink"
    upward: bool
    act: Callable[[], None]


class MemoryBroker:
    """A broker in this process.

    ``auto``: deliver by itself whenever the loop is free. Turn it off to step by ``deliver``.
    """

    def __init__(self, *, auto: bool = True) -> None:
        self.auto = auto
        self.running = True
        self._seats: dict[str, _Seat] = {}
        self._retained: dict[str, tuple[bytes, int]] = {}
        self._steps: list[_Step] = []
        self._pumping = False
        self._copies: list[tuple[Predicate, int]] = []
        self._refused: set[str] = set()
        self._unreachable: set[str] = set()
        self._held: set[str] = set()
        self._reachable_again = asyncio.Event()

    # -- delivery -----------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """How many publications and acknowledgements are on their way, held ones included."""
        return len(self._steps)

    def deliver(self, count: int | None = None, choose: Callable[[int], int] = lambda _: 0) -> int:
        """Move ``count`` things (default: until nothing can move); how many moved.

        ``choose(n)`` picks one of the n lanes that have something, oldest first: a random one
        gives every order that a real network can give.
        """
        moved = 0
        while (count is None or moved < count) and (ready := list(self._lane_heads())):
            step = ready[choose(len(ready))]
            self._steps.remove(step)
            step.act()
            moved += 1
        return moved

    def _lane_heads(self) -> Iterator[_Step]:
        seen = set()
        for step in self._steps:
            lane = (step.link, step.upward)
            stuck = step.link.client_id in self._held or (step.link.paused and not step.upward)
            if lane not in seen and not stuck:
                yield step
            seen.add(lane)

    def _send(self, link: "MemoryLink", upward: bool, act: Callable[[], None]) -> None:
        self._steps.append(_Step(link, upward, act))
        self.wake()

    def wake(self) -> None:
        """Look again at what can move."""
        if self.auto and not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        # Only what was there at first: two clients that answer each other must not stop the loop.
        self._pumping = False
        moved = self.deliver(len(self._steps))
        if moved and self._steps:
            self.wake()

    # -- faults -------------------------------------------------------------------------------

    def drop(self, predicate: Predicate) -> None:
        """Lose every message for which ``predicate(parcel)`` holds, until ``heal``."""
        self._copies.append((predicate, 0))

    def duplicate(self, predicate: Predicate) -> None:
        """Deliver every such message twice, until ``heal``."""
        self._copies.append((predicate, 2))

    def hold(self, *client_ids: str) -> None:
        """Let nothing reach or leave these clients, unnoticed by both ends, until ``heal``."""
        self._held.update(client_ids)

    def refuse(self, topic_filter: str) -> None:
        """Answer subscriptions to this filter with 0x80, until ``heal``."""
        self._refused.add(topic_filter)

    def cut(self, client_id: str) -> None:
        """Break a client's connection: its will is published, it may come back at once."""
        seat = self._seats.get(client_id)
        if seat is not None and seat.link is not None:
            self._hang_up(seat.link, "the connection was cut", will=True)

    def partition(self, *client_ids: str) -> None:
        """Cut these clients off (wills are published) and keep them off until ``heal``."""
        self._unreachable.update(client_ids)
        for client_id in client_ids:
            self.cut(client_id)

    def heal(self) -> None:
        """End all faults but a stopped broker."""
        self._copies.clear()
        self._refused.clear()
        self._unreachable.clear()
        self._held.clear()
        self._reachable_again.set()
        self.wake()

    def stop(self, *, forget: bool = False) -> None:
        """End the broker; no will is published. ``forget``: sessions and retained are lost too."""
        self.running = False
        for seat in list(self._seats.values()):
            if seat.link is not None:
                self._hang_up(seat.link, "the broker stopped", will=False)
        if forget:
            self._seats.clear()
            self._retained.clear()

    def start(self) -> None:
        """Run again after ``stop``."""
        self.running = True
        self._reachable_again.set()

    async def wait_reachable(self, client_id: str) -> None:
        """Return when ``client_id`` could connect."""
        await asyncio.sleep(0)
        while not self.running or client_id in self._unreachable:
            self._reachable_again.clear()
            await self._reachable_again.wait()

    # -- the links' side ----------------------------------------------------------------------

    def attach(self, link: "MemoryLink", clean: bool) -> bool:
        """CONNECT: give ``link`` the seat of its client id; whether its session was there."""
        if not self.running or link.client_id in self._unreachable:
            raise BusError("the memory broker is out of reach")
        seat = self._seats.get(link.client_id)
        if seat is not None and seat.link is not None:
            self._hang_up(seat.link, "another client took the client id over", will=True)
            seat = self._seats.get(link.client_id)
        present = seat is not None and not clean
        if seat is None or clean:
            seat = self._seats[link.client_id] = _Seat(link.client_id, persistent=not clean)
        seat.link = link
        for mid, parcel in seat.unconfirmed.items():
            self._carry(link, parcel, mid)
        waiting, seat.waiting = seat.waiting, []
        for parcel in waiting:
            self._carry(link, parcel, 0)
        return present

    def detach(self, link: "MemoryLink", *, farewell: bool) -> None:
        """DISCONNECT after all that the link sent before; without farewell the will speaks."""
        if farewell and link.client_id not in self._held:
            for step in [s for s in self._steps if s.link is link and s.upward]:
                self._steps.remove(step)
                step.act()
        else:
            farewell = False
        self._hang_up(link, "the connection was closed", will=not farewell)

    def subscribe(self, link: "MemoryLink", filters: dict[str, int]) -> dict[str, int]:
        """SUBSCRIBE: filter -> granted QoS or 128; retained messages follow."""
        granted = {name: 128 if name in self._refused else qos for name, qos in filters.items()}
        seat = self._seats[link.client_id]
        for name, qos in granted.items():
            if qos == 128:
                continue
            seat.filters[name] = qos
            for topic, (payload, sent_qos) in self._retained.items():
                if matches(name, topic):
                    self._offer(
                        seat, Parcel(seat.client_id, topic, payload, min(qos, sent_qos), True)
                    )
        return granted

    def unsubscribe(self, link: "MemoryLink", topic_filter: str) -> None:
        """UNSUBSCRIBE."""
        self._seats[link.client_id].filters.pop(topic_filter, None)

    def publish(
        self, link: "MemoryLink", mid: int, topic: str, payload: bytes, qos: int, retain: bool
    ) -> None:
        """PUBLISH from a link; a QoS 1 one is confirmed to it as ``mid``."""

        def arrive() -> None:
            self.route(topic, payload, qos, retain)
            if qos:
                self._send(link, False, lambda: link.published(mid))

        self._send(link, True, arrive)

    def confirm(self, link: "MemoryLink", mid: int) -> None:
        """PUBACK from a link for a message it was given."""
        unconfirmed = self._seats[link.client_id].unconfirmed

        def arrive() -> None:
            unconfirmed.pop(mid, None)

        self._send(link, True, arrive)

    def route(self, topic: str, payload: bytes, qos: int = 0, retain: bool = False) -> None:
        """Hand a message to everybody who subscribed to it, and retain it if asked."""
        if retain:
            self._retained.pop(topic, None)
            if payload:
                self._retained[topic] = (payload, qos)
        for seat in list(self._seats.values()):
            granted = [q for name, q in seat.filters.items() if matches(name, topic)]
            if granted:
                self._offer(
                    seat, Parcel(seat.client_id, topic, payload, min(qos, max(granted)), False)
                )

    # -- sessions -----------------------------------------------------------------------------

    def _offer(self, seat: _Seat, parcel: Parcel) -> None:
        copies = next((n for predicate, n in self._copies if predicate(parcel)), 1)
        for _ in range(copies):
            mid = 0
            if parcel.qos and seat.persistent:
                seat.last_mid = mid = seat.last_mid % 65_535 + 1
                seat.unconfirmed[mid] = parcel
            elif seat.link is None:
                seat.waiting.append(parcel)
            if seat.link is not None:
                self._carry(seat.link, parcel, mid)

    def _carry(self, link: "MemoryLink", parcel: Parcel, mid: int) -> None:
        _, topic, payload, qos, retain = parcel
        self._send(link, False, lambda: link.receive(topic, payload, qos, retain, mid))

    def _hang_up(self, link: "MemoryLink", reason: str, *, will: bool) -> None:
        seat = self._seats.get(link.client_id)
        if seat is None or seat.link is not link:
            return
        self._steps = [step for step in self._steps if step.link is not link]
        seat.link = None
        if not seat.persistent:
            del self._seats[link.client_id]
        if will and link.will is not None:
            self.route(*link.will)
        link.end(reason)


class MemoryLink:
    """``Link`` to a ``MemoryBroker``."""

    def __init__(
        self,
        broker: MemoryBroker,
        client_id: str,
        listener: Listener,
        *,
        clean: bool,
        will: Will | None = None,
    ) -> None:
        self.client_id = client_id
        self.will = will
        self.paused = False
        self._broker = broker
        self._listener = listener
        self._clean = clean
        self._alive = False
        self._last_mid = 0

    async def open(self, timeout: float) -> bool:
        """Connect at once, or raise ``BusError`` at once."""
        present = self._broker.attach(self, self._clean)
        self._alive = True
        return present

    async def close(self, timeout: float) -> None:
        """End it; what was sent arrives first."""
        self._broker.detach(self, farewell=True)

    def cut(self) -> None:
        """Die."""
        self._broker.detach(self, farewell=False)

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> int:
        """Send; the packet identifier."""
        self._last_mid = self._last_mid % 65_535 + 1
        if self._alive:
            self._broker.publish(self, self._last_mid, topic, payload, qos, retain)
        return self._last_mid

    def subscribe(self, filters: dict[str, int]) -> "asyncio.Future[dict[str, int]]":
        """Subscribe at once."""
        future: asyncio.Future[dict[str, int]] = asyncio.get_running_loop().create_future()
        if self._alive:
            future.set_result(self._broker.subscribe(self, filters))
        else:
            future.set_exception(BusError("not connected"))
        return future

    def unsubscribe(self, topic_filter: str) -> None:
        """Unsubscribe at once."""
        self._broker.unsubscribe(self, topic_filter)

    def acknowledge(self, mid: int) -> None:
        """Send a PUBACK."""
        self._broker.confirm(self, mid)

    def push(self) -> None:
        """Nothing waits here: a publication is with the broker at once."""

    def idle(self) -> bool:
        """Always: there is no operating system in between."""
        return True

    def pause_reading(self) -> None:
        """Leave what comes in the broker's lane."""
        self.paused = True

    def resume_reading(self) -> None:
        """Take it again."""
        self.paused = False
        self._broker.wake()

    # -- the broker's side --------------------------------------------------------------------

    def receive(self, topic: str, payload: bytes, qos: int, retain: bool, mid: int) -> None:
        """A message arrives."""
        self._tell(self._listener.on_message, topic, payload, qos, retain, mid)

    def published(self, mid: int) -> None:
        """A PUBACK arrives."""
        self._tell(self._listener.on_published, mid)

    def end(self, reason: str) -> None:
        """The broker hung up."""
        self._alive = False
        self._tell(self._listener.on_lost, reason)

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        try:
            what(*arguments)
        except Exception:  # as on a real connection
            log.exception("bus.listener_failed", client=self.client_id)


class MemoryBus(ReconnectingBus):
    """``Bus`` to a ``MemoryBroker``. It reconnects as soon as the broker lets it, without time."""

    def __init__(
        self,
        broker: MemoryBroker,
        client_id: str,
        *,
        will: Will | None = None,
        outbox_limit: int = 10_000,
    ) -> None:
        super().__init__(
            lambda listener: MemoryLink(broker, client_id, listener, clean=True, will=will),
            f"memory ({client_id})",
            timeout=5.0,
            outbox_limit=outbox_limit,
            outbox_bytes=256 * 1024 * 1024,
        )
        self._broker = broker
        self._client_id = client_id

    async def _wait_to_retry(self, attempt: int) -> None:
        await self._broker.wait_reachable(self._client_id)


class MemorySession(TakeoverSession):
    """``Session`` at a ``MemoryBroker``."""

    def __init__(self, broker: MemoryBroker, client_id: str, *, outbox_limit: int = 10_000) -> None:
        super().__init__(
            lambda listener, clean: MemoryLink(broker, client_id, listener, clean=clean),
            f"memory ({client_id})",
            barrier_topic=f"{client_id}/barrier",
            outbox_limit=outbox_limit,
        )
