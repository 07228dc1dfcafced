"""One connection to a broker, as ``Bus`` and ``Session`` need it: what a network must offer.

``connection`` does it over TCP, ``memory`` without any network. Everything that outlives a
connection (subscriptions, unconfirmed publications, reconnecting) is above this line, and so is
shared by the real bus and its twin.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Listener(Protocol):
    """Who hears of what arrives. Called on the loop's thread, one packet at a time, in order.

    Publishing and acknowledging from inside is fine; closing the link is not.
    """

    def on_message(self, topic: str, payload: bytes, qos: int, retain: bool, mid: int) -> None:
        """A PUBLISH from the broker."""
        ...

    def on_published(self, mid: int) -> None:
        """The broker acknowledged our QoS 1 publish ``mid``."""
        ...

    def on_lost(self, reason: str) -> None:
        """The connection ended, wanted or not. Called once, and only if it was ever open."""
        ...


class Link(Protocol):
    """A connection under one client id, never used again after its end."""

    async def open(self, timeout: float) -> bool:
        """Connect and wait for the CONNACK; True if the broker still had this client's session.

        Raises ``BusError`` when refused, unreachable or silent for ``timeout`` seconds.
        """
        ...

    async def close(self, timeout: float) -> None:
        """Say goodbye (no will is published) and wait until the broker has closed its end.

        What was published before goes out first. After ``timeout`` seconds it ends anyway.
        """
        ...

    def cut(self) -> None:
        """End it at once: to the broker this client has died."""
        ...

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> int:
        """Hand over a checked publication; its packet identifier for ``on_published``.

        On a link that has just ended it goes nowhere: ``on_lost`` tells.
        """
        ...

    def subscribe(self, filters: dict[str, int]) -> "asyncio.Future[dict[str, int]]":
        """Send one SUBSCRIBE (filter -> QoS). The future gives filter -> SUBACK code (128: no).

        It fails with ``BusError`` if the link ends first.
        """
        ...

    def unsubscribe(self, topic_filter: str) -> None:
        """Send an UNSUBSCRIBE; the answer does not matter."""
        ...

    def acknowledge(self, mid: int) -> None:
        """Send the PUBACK of a received QoS 1 message (links with ``manual_ack`` only)."""
        ...

    def push(self) -> None:
        """Give what was published to the operating system now, as far as it takes it."""
        ...

    def idle(self) -> bool:
        """Whether everything published has left this process."""
        ...

    def pause_reading(self) -> None:
        """Leave what comes at the broker. Resume well within keepalive."""
        ...

    def resume_reading(self) -> None:
        """Read again, beginning with what was left over."""
        ...


LinkFactory = Callable[[Listener], Link]
