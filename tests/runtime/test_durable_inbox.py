"""Input of a module that wants checkpoints: acknowledged when its effect is kept, not before."""

from arts.bus.base import Delivery
from arts.model import ChannelSpec
from runtime.channels import Cut, Inbox

READER = (ChannelSpec("/ch/in", "t", "r"),)


def delivery(number: int, qos: int = 1) -> Delivery:
    return Delivery("t", f"{number}".encode(), qos, False, number)


def filled(count: int, *, taken: int, durable: bool = True) -> Inbox:
    """An inbox with so many messages, the first of them taken by the module."""
    inbox = Inbox(READER, durable=durable)
    for number in range(count):
        inbox.take(delivery(number))
    for number in range(taken):
        inbox.taken(number)
    return inbox


def numbers(settled: list[Delivery]) -> list[int]:
    return [each.receipt for each in settled]


def test_nothing_is_acknowledged_before_it_is_kept() -> None:
    inbox = filled(5, taken=2)
    assert inbox.settle() == []
    assert inbox.owing == 2
    mark = inbox.mark()
    inbox.taken(2)
    assert inbox.settle() == [], "a mark changes nothing"
    inbox.keep(mark)
    # The third may have been begun when the mark was made, so the checkpoint contains it.
    assert mark.carry == {2}
    assert numbers(inbox.settle()) == [0, 1, 2]
    assert inbox.owing == 0


def test_what_came_since_waits_for_the_next() -> None:
    inbox = filled(2, taken=2)
    first = inbox.mark()
    inbox.take(delivery(2))
    inbox.taken(2)
    inbox.keep(first)
    assert numbers(inbox.settle()) == [0, 1]
    assert inbox.owing == 1
    inbox.keep(inbox.mark())
    assert numbers(inbox.settle()) == [2]


def test_a_message_with_two_readers_counts_once() -> None:
    inbox = Inbox((*READER, ChannelSpec("/ch/too", "t", "r")), durable=True)
    inbox.take(delivery(0))
    inbox.taken(0)
    assert inbox.owing == 0
    inbox.taken(1)
    assert inbox.owing == 1


def test_what_no_broker_repeats_is_carried() -> None:
    inbox = filled(1, taken=1)
    inbox.take(delivery(1, qos=0))
    inbox.take(delivery(2, qos=0))
    inbox.taken(1)
    mark = inbox.mark()
    assert mark.carry == {2}
    assert len(mark.entries) == 1
    assert inbox.owing == 1


def test_kept_twice_is_kept_once() -> None:
    inbox = filled(2, taken=2)
    one, other = inbox.mark(), inbox.mark()
    inbox.keep(one)
    inbox.keep(other)
    assert inbox.owing == 0
    assert numbers(inbox.settle()) == [0, 1]


def test_a_lost_connection_loses_no_mark() -> None:
    inbox = filled(3, taken=2)
    mark = inbox.mark()
    inbox.detach()
    assert inbox.mark().carry == set(), "what comes again is not carried"
    inbox.keep(mark)
    for number in range(3):
        assert inbox.take(delivery(number)) == [], "it is recognised"
    assert numbers(inbox.settle()) == [0, 1, 2]


def test_a_move_after_a_checkpoint_has_nothing_to_acknowledge() -> None:
    inbox = filled(5, taken=2)
    inbox.keep(inbox.mark())
    assert numbers(inbox.settle()) == [0, 1, 2]
    cut = inbox.cut()
    assert (cut.acknowledge, cut.carry) == ((), {2})


def test_who_is_not_durable_takes_all_input_along() -> None:
    inbox = filled(3, taken=1, durable=False)
    mark = inbox.mark()
    assert (mark.carry, mark.entries) == ({1, 2}, ())
    inbox.keep(mark)
    assert numbers(inbox.settle()) == [0]
    assert inbox.owing == 0


def moved(inbox: Inbox) -> tuple[Inbox, Cut]:
    """The next copy's inbox, as the snapshot makes it."""
    cut = inbox.cut()
    assert cut.acknowledge == (), "the checkpoint that a crash would go back to lacks it"
    other = Inbox(READER, durable=True, first_receipt=100)
    other.remember(cut.heard, cut.taken)
    return other, cut


def comes(inbox: Inbox, *numbers: int) -> list[bytes]:
    """What the module gets to read of messages that its broker hands over."""
    return [found.payload for number in numbers for found in inbox.take(delivery(number))]


def test_the_next_copy_knows_what_the_module_has_when_it_comes_again() -> None:
    other, cut = moved(filled(5, taken=2))
    assert cut.carry == {2}, "it may have begun the third"
    assert comes(other, 0, 1, 2, 3, 4) == [b"3", b"4"]
    assert other.owing == 3
    assert other.settle() == [], "no checkpoint with their effect is kept"
    mark = other.mark()
    other.keep(mark)
    assert numbers(other.settle()) == [0, 1, 2, 3]
    assert other.owing == 0


def test_what_is_new_is_read_though_some_is_still_to_come_again() -> None:
    other, _ = moved(filled(2, taken=2))
    assert comes(other, 7) == [b"7"]
    assert comes(other, 0, 1) == []


def test_so_does_the_one_after_it_whatever_has_come_by_then() -> None:
    other, _ = moved(filled(4, taken=2))
    assert comes(other, 0) == []
    third, _ = moved(other)
    assert comes(third, 0, 1, 2, 3) == [b"3"]
    assert third.owing == 3


def test_what_was_kept_before_is_acknowledged_when_it_comes_again() -> None:
    """The first one is not kept, so those behind it waited for it."""
    inbox = filled(3, taken=0)
    inbox.taken(1)
    inbox._owed[1].kept = True
    other, cut = moved(inbox)
    assert [known.kept for known in cut.taken] == [False, True]
    assert comes(other, 0, 1, 2) == [b"2"]
    assert other.owing == 1
    other.keep(other.mark())
    assert numbers(other.settle()) == [0, 1, 2]


def test_a_source_that_gets_its_module_back_has_what_it_had() -> None:
    inbox = filled(3, taken=2)
    moved(inbox)
    inbox.keep(inbox.mark())
    assert numbers(inbox.settle()) == [0, 1, 2]
    assert inbox.owing == 0


def test_a_broker_that_forgot_will_hand_over_nothing_again() -> None:
    other, _ = moved(filled(2, taken=2))
    assert other.owing == 2
    other.expect_nothing()
    assert other.owing == 0
    assert comes(other, 0) == [b"0"], "somebody says the same once more"


def test_a_checkpoint_says_nothing_of_that() -> None:
    """After a crash nobody knows whether the broker had the acknowledgements."""
    other, _ = moved(filled(2, taken=2))
    assert other.mark().entries == ()


def test_who_is_not_durable_knows_what_was_lost_with_a_connection_too() -> None:
    inbox = filled(2, taken=1, durable=False)
    inbox.detach()
    cut = inbox.cut()
    assert (cut.acknowledge, cut.carry) == ((), {1})
    other = Inbox(READER)
    other.remember(cut.heard, cut.taken)
    assert comes(other, 0, 1, 2) == [b"2"]
    assert numbers(other.settle()) == [0, 1]
