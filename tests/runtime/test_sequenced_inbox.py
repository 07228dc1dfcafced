"""Input of sequenced channels: without its numbers, not twice, and remembered by the next copy."""

import pytest

from arts.bus.base import Delivery
from arts.model import ChannelSpec
from arts.protocol.sequence import Stamp, stamped
from runtime.channels import Inbox

SEQUENCED = ChannelSpec("/ch/in", "t", "r", sequenced=True)
PLAIN = ChannelSpec("/ch/raw", "t", "r")


def delivery(number: int, receipt: int, generation: int = 1) -> Delivery:
    said = stamped(Stamp("w", 1, generation, number), b"said")
    return Delivery("t", said, 1, False, receipt)


@pytest.mark.parametrize("durable", [False, True])
def test_a_repeated_message_is_acknowledged_and_not_read(durable: bool) -> None:
    inbox = Inbox([SEQUENCED], durable=durable)
    (found,) = inbox.take(delivery(1, 0))
    assert found.payload == b"said"
    assert inbox.take(delivery(1, 1, generation=2)) == []
    assert inbox.settle() == [], "not before the first one"
    inbox.taken(found.receipt)
    inbox.keep(inbox.mark())
    assert [each.receipt for each in inbox.settle()] == [0, 1]
    assert inbox.owing == 0


def test_who_reads_plainly_gets_all_as_it_came() -> None:
    inbox = Inbox([SEQUENCED, PLAIN])
    first = delivery(1, 0)
    assert [i.payload for i in inbox.take(first)] == [b"said", first.payload]
    again = delivery(1, 1, generation=2)
    assert [(i.path, i.payload) for i in inbox.take(again)] == [("/ch/raw", again.payload)]


def test_foreign_messages_pass_unchanged_and_as_often_as_they_come() -> None:
    inbox = Inbox([SEQUENCED])
    foreign = Delivery("t", b"foreign", 1, False, 0)
    assert [i.payload for i in (*inbox.take(foreign), *inbox.take(foreign))] == [b"foreign"] * 2


def test_the_next_copy_reads_what_was_left_and_nothing_else() -> None:
    inbox = Inbox([SEQUENCED], durable=True)
    for number in (1, 2, 3):
        inbox.take(delivery(number, number))
    inbox.taken(0)
    mark = inbox.mark()
    assert mark.carry == {1}, "it may have begun the second"
    other = Inbox([SEQUENCED], durable=True)
    other.remember(mark.heard)
    assert [len(other.take(delivery(n, n))) for n in (1, 2, 3)] == [0, 0, 1]
    cut = other.cut()
    assert (cut.carry, cut.heard[0].stamp.number) == ({0}, 3), "the third may have been begun"


def test_all_is_carried_of_a_module_that_is_not_durable() -> None:
    inbox = Inbox([SEQUENCED])
    for number in (1, 2, 3):
        inbox.take(delivery(number, number))
    assert inbox.mark().heard[0].stamp.number == 3
    assert inbox.cut().heard[0].stamp.number == 1
