"""The inbox of a module: routing, acknowledging by prefix, cutting for a move, redelivery."""

from arts.bus.base import Delivery
from arts.model import ChannelSpec
from runtime.channels import STDIN, Inbox

RW = ChannelSpec(path="/ch/a", topic="t/a", mode="rw", qos=1)
B = ChannelSpec(path="/ch/b", topic="t/+/b", mode="r", qos=0)
OUT = ChannelSpec(path="/ch/out", topic="t/out", mode="w")


def message(n: int, topic: str = "t/a", qos: int = 1) -> Delivery:
    return Delivery(topic, f"m{n}".encode(), qos, False, n)


def take(inbox: Inbox, *deliveries: Delivery) -> list[int]:
    """Receipts of all inputs that these deliveries make."""
    return [i.receipt for d in deliveries for i in inbox.take(d)]


def test_subscribes_to_what_can_be_read_and_routes_by_filter() -> None:
    inbox = Inbox([RW, B, OUT], "stdin/m")
    assert inbox.filters == {"t/a": 1, "t/+/b": 0, "stdin/m": 1}
    assert [i.path for i in inbox.take(message(1))] == ["/ch/a"]
    assert [i.path for i in inbox.take(message(2, "t/x/b"))] == ["/ch/b"]
    assert [i.path for i in inbox.take(message(3, "stdin/m"))] == [STDIN]
    assert Inbox([OUT]).filters == {}


def test_one_filter_read_twice_is_subscribed_once_with_the_higher_qos() -> None:
    twice = [ChannelSpec("/ch/1", "t", "r", 0), ChannelSpec("/ch/2", "t", "r", 2)]
    inbox = Inbox(twice)
    assert inbox.filters == {"t": 1}
    first, second = take(inbox, message(1, "t"))
    inbox.taken(first)
    assert inbox.settle() == []
    inbox.taken(second)
    assert inbox.settle() == [message(1, "t")]


def test_acknowledges_the_taken_prefix_in_order() -> None:
    inbox = Inbox([RW, B])
    a1, b2, a3 = take(inbox, message(1), message(2, "t/x/b"), message(3))
    inbox.taken(b2)
    assert inbox.settle() == []
    inbox.taken(a1)
    assert inbox.settle() == [message(1), message(2, "t/x/b")]
    inbox.taken(a3)
    assert inbox.settle() == [message(3)]
    inbox.taken(a3)  # said twice
    assert inbox.settle() == []


def test_what_nobody_reads_is_acknowledged_in_its_turn() -> None:
    inbox = Inbox([RW])
    (a1,) = take(inbox, message(1), message(2, "old/topic"))
    assert inbox.settle() == []
    inbox.taken(a1)
    assert inbox.settle() == [message(1), message(2, "old/topic")]


def test_reading_pauses_at_high_water_and_resumes_at_low_water() -> None:
    inbox = Inbox([RW], high_water=3, low_water=1)
    receipts = take(inbox, *(message(n) for n in range(3)))
    assert not inbox.full
    receipts += take(inbox, message(3))
    assert inbox.full
    inbox.taken(receipts[0])
    inbox.taken(receipts[1])
    assert inbox.full
    inbox.taken(receipts[2])
    assert not inbox.full


def test_cut_carries_only_what_may_have_been_begun() -> None:
    inbox = Inbox([RW], first_receipt=100)
    receipts = take(inbox, *(message(n) for n in range(4)))
    assert receipts == [100, 101, 102, 103]
    inbox.taken(100)
    assert inbox.settle() == [message(0)]
    acknowledge, carry = inbox.cut()[:2]
    assert acknowledge == (message(1),)  # the module may have read a part of it
    assert carry == {101}


def test_cut_carries_holes_before_the_last_taken() -> None:
    inbox = Inbox([RW, B])
    a0, a1, a2, b3, _b4, _a5 = take(
        inbox,
        *(message(n) for n in range(3)),
        message(3, "t/x/b"),
        message(4, "t/x/b"),
        message(5),
    )
    inbox.taken(b3)
    acknowledge, carry = inbox.cut()[:2]
    assert [d.receipt for d in acknowledge] == [0, 1, 2, 3, 4]
    assert carry == {a0, a1, a2, _b4}


def test_cut_carries_qos_0_which_no_broker_repeats() -> None:
    inbox = Inbox([RW])
    _, _, third = take(inbox, message(0), message(1), message(2, qos=0))
    acknowledge, carry = inbox.cut()[:2]
    assert acknowledge == (message(0),)
    assert third in carry
    assert len(carry) == 2


def test_cut_of_an_empty_inbox_is_empty() -> None:
    assert Inbox([RW]).cut()[:2] == ((), frozenset())


def test_after_a_cut_that_led_nowhere_nothing_is_acknowledged_twice() -> None:
    inbox = Inbox([RW])
    receipts = take(inbox, *(message(n) for n in range(3)))
    assert inbox.cut().acknowledge == (message(0),)
    for receipt in receipts:
        inbox.taken(receipt)
    assert inbox.settle() == [message(1), message(2)]


def test_a_message_that_one_of_two_readers_took_is_carried_for_the_other() -> None:
    inbox = Inbox([ChannelSpec("/ch/1", "t", "r"), ChannelSpec("/ch/2", "t", "r")])
    receipts = take(inbox, message(1, "t"), message(2, "t"), message(3, "t"))
    inbox.taken(receipts[0])
    inbox.taken(receipts[2])
    acknowledge, carry = inbox.cut()[:2]
    assert [d.receipt for d in acknowledge] == [1, 2, 3]
    assert carry == {receipts[1], receipts[3], receipts[4], receipts[5]}


def test_redelivery_after_reconnecting_is_recognised_and_not_read_twice() -> None:
    inbox = Inbox([RW])
    first, second = take(inbox, message(1), message(2))
    inbox.detach()
    inbox.taken(first)
    assert inbox.settle() == []  # the connection to say it on is gone
    again = [Delivery("t/a", b"m1", 1, False, 7), Delivery("t/a", b"m2", 1, False, 8)]
    assert take(inbox, *again) == []
    assert inbox.settle() == [again[0]]
    inbox.taken(second)
    assert inbox.settle() == [again[1]]
    assert len(take(inbox, Delivery("t/a", b"m2", 1, False, 9))) == 1


def test_a_lost_session_brings_nothing_back() -> None:
    inbox = Inbox([RW])
    (first,) = take(inbox, message(1))
    inbox.detach()
    inbox.expect_nothing()
    assert len(take(inbox, Delivery("t/a", b"m1", 1, False, 7))) == 1
    assert inbox.cut()[:2] == ((), {first})


def test_qos_0_is_never_taken_for_a_redelivery() -> None:
    inbox = Inbox([RW])
    take(inbox, message(1))
    inbox.detach()
    assert len(take(inbox, Delivery("t/a", b"m1", 0, False, 7))) == 1
