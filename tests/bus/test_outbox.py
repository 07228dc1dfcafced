"""The outbox alone: bounds, order, identifiers."""

import asyncio

import pytest

from arts.bus.outbox import Outbox
from arts.errors import BusError


class Wire:
    """Counts up packet identifiers and remembers what was sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, topic: str, payload: bytes, qos: int, retain: bool) -> int:
        """Send."""
        self.sent.append(payload)
        return len(self.sent)


def test_limits_are_checked() -> None:
    for limit in (0, 65_001):
        with pytest.raises(ValueError, match="16-bit"):
            Outbox(limit, 1)


def test_bytes_are_bounded_too() -> None:
    outbox = Outbox(10, 10)
    outbox.add("t", b"12345678", 1, False)
    with pytest.raises(BusError, match="8 bytes wait"):
        outbox.add("t", b"123", 1, False)
    outbox.add("t", b"12", 1, False)


def test_confirmed_entries_make_room() -> None:
    outbox, wire = Outbox(1, 3), Wire()
    outbox.send(outbox.add("t", b"123", 1, False), wire.send)
    outbox.confirm(99)
    assert len(outbox) == 1
    outbox.confirm(1)
    outbox.confirm(1)
    assert len(outbox) == 0
    outbox.add("t", b"123", 1, False)


def test_a_newer_last_value_takes_the_older_ones_place_even_when_full() -> None:
    outbox, wire = Outbox(2, 100), Wire()
    outbox.add("state", b"old", 0, True)
    outbox.add("t", b"between", 1, False)
    outbox.add("state", b"new", 0, True)
    outbox.resend(wire.send)
    assert wire.sent == [b"between", b"new"]
    assert [entry.payload for entry in outbox] == [b"between"]


def test_identifiers_of_a_lost_connection_confirm_nothing() -> None:
    outbox, old, new = Outbox(10, 100), Wire(), Wire()
    for payload in (b"1", b"2"):
        outbox.send(outbox.add("t", payload, 1, False), old.send)
    outbox.forget_identifiers()
    outbox.confirm(1)
    assert len(outbox) == 2
    outbox.resend(new.send)
    outbox.confirm(1)
    assert [entry.payload for entry in outbox] == [b"2"]


async def test_waiting_ends_with_the_last_confirmation_in_any_order() -> None:
    outbox, wire = Outbox(10, 100), Wire()
    outbox.add("state", b"does not count", 0, True)
    assert await outbox.wait_until_confirmed(0)
    for payload in (b"1", b"2"):
        outbox.send(outbox.add("t", payload, 1, False), wire.send)
    waiting = asyncio.ensure_future(outbox.wait_until_confirmed(10))
    await asyncio.sleep(0)
    later = outbox.add("t", b"3", 1, False)
    outbox.confirm(2)
    await asyncio.sleep(0)
    assert not waiting.done()
    outbox.confirm(1)
    assert await waiting
    outbox.send(later, wire.send)
    assert not await outbox.wait_until_confirmed(0.001)


async def test_waiting_can_be_ended() -> None:
    outbox = Outbox(10, 100)
    outbox.add("t", b"1", 1, False)
    waiting = asyncio.ensure_future(outbox.wait_until_confirmed(10))
    await asyncio.sleep(0)
    outbox.stop_waiting()
    outbox.stop_waiting()
    assert not await waiting
