"""Can this broker hand a session over? Nothing it says on CONNECT tells, so it is tried.

A session of nobody takes some messages and acknowledges a few, leaves, and comes back while more
have arrived. What is owed to it must come at once, complete and in order: a module that moves
depends on exactly that. It proves nothing about load or a restart of the broker.
"""

import asyncio
import uuid
from collections.abc import Callable, Sequence

from arts.bus.base import Delivery, Publication, Session, SessionEvent
from arts.errors import BusError

_TAKEN, _DONE, _QUEUED, _SENT = 12, 4, 300, 360
"""The first owner gets the messages before the first number and acknowledges those before the
second; those before the third arrive while nobody is there, the others while the next owner comes.
What is open at one time stays below 20, the window of an unconfigured mosquitto."""

_PATIENCE = 2.0
"""Seconds without anything new until the rest counts as missing; NATS keeps it for 30 s."""


async def probe_takeover(make_session: Callable[[str], Session], prefix: str) -> str | None:
    """Why no session can be handed over at this broker; None if it can.

    ``make_session`` makes one for a client id; ``prefix`` begins the ids (and topics) of the
    probe. Raises ``BusError`` if there is no telling: not reachable, too slow, not allowed.
    """
    name = f"{prefix}-probe-{uuid.uuid4().hex[:12]}"
    writer, first, second = (make_session(each) for each in (f"{name}-writer", name, name))
    try:
        async with asyncio.timeout(10 * _PATIENCE):
            return await _hand_over(f"{name}/probe", writer, first, second)
    except TimeoutError:
        raise BusError(f"no verdict about the broker within {10 * _PATIENCE:g} s") from None
    finally:
        await first.close()
        await asyncio.gather(second.purge(), writer.purge(), return_exceptions=True)


async def _hand_over(topic: str, writer: Session, first: Session, second: Session) -> str | None:
    taken, rest = _Inbox(), _Inbox()
    await first.connect(taken.listen, _PATIENCE)
    await first.subscribe({topic: 1}, _PATIENCE)
    await writer.connect(_Inbox().listen, _PATIENCE)
    _publish(writer, topic, range(_TAKEN))
    if not await taken.wait_for(_TAKEN):
        raise BusError(f"of {_TAKEN} messages {len(taken.deliveries)} came")
    for delivery in taken.deliveries[:_DONE]:
        first.acknowledge(delivery)
    await _confirmed(first)
    await first.close()
    _publish(writer, topic, range(_TAKEN, _QUEUED))
    await _confirmed(writer)
    # Traffic does not pause for a takeover: aedes lets what arrives now overtake what it owes.
    halfway = (_QUEUED + _SENT) // 2
    _publish(writer, topic, range(_QUEUED, halfway))
    known = await second.connect(rest.consume(second), _PATIENCE)
    _publish(writer, topic, range(halfway, _SENT))
    if await rest.wait_for(_SENT - _DONE):
        await _confirmed(second)  # what comes twice comes before the answer to this
    return judge(known, range(_DONE, _SENT), rest.numbers())


def _publish(writer: Session, topic: str, numbers: range) -> None:
    for number in numbers:
        writer.publish(Publication(topic, b"%d" % number))


async def _confirmed(session: Session) -> None:
    if not await session.flush(_PATIENCE):
        raise BusError(f"the broker did not confirm within {_PATIENCE:g} s what it was told")


def judge(known: bool, expected: Sequence[int], came: Sequence[int]) -> str | None:
    """What is wrong if these messages came to the next owner; None if all is well."""
    if not known:
        return "it forgot the session when its owner left"
    if list(came) == list(expected):
        return None
    if missing := set(expected).difference(came):
        return (
            f"{len(missing)} of {len(expected)} messages that were owed to the session "
            f"did not come again within {_PATIENCE:g} s"
        )
    if len(came) > len(expected):
        return "messages came more than once, or again after they had been acknowledged"
    return "messages came again in another order"


class _Inbox:
    """What one owner of the session received."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self._news = asyncio.Event()
        self._lost = ""

    def listen(self, event: SessionEvent) -> None:
        if isinstance(event, Delivery):
            self.deliveries.append(event)
        else:
            self._lost = event.reason
        self._news.set()

    def consume(self, session: Session) -> Callable[[SessionEvent], None]:
        """A listener that acknowledges what comes, as a module does that keeps up."""

        def listen(event: SessionEvent) -> None:
            self.listen(event)
            if isinstance(event, Delivery):
                session.acknowledge(event)

        return listen

    def numbers(self) -> list[int]:
        return [int(delivery.payload) for delivery in self.deliveries]

    async def wait_for(self, count: int) -> bool:
        """Whether this many come. Raises ``BusError`` when the connection is lost meanwhile."""
        while len(self.deliveries) < count:
            if self._lost:
                raise BusError(self._lost)
            self._news.clear()
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self._news.wait()
            except TimeoutError:
                return False
        return True
