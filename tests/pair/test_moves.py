"""A module keeps counting while it moves, whatever is lost on the way."""

from collections.abc import Callable, Iterator

import pytest
from support.network import Node

from .conftest import Pair, counting


def test_a_module_keeps_counting(pair: Pair) -> None:
    pair.move("counter", "b")
    pair.drain()
    pair.count(2)
    assert pair.where("counter") == "b"
    assert pair.answer("move counter to b")
    assert pair.world.said["counter"] == [1, 2, 3, 4, 5]
    pair.check_settled()


def test_there_and_back(pair: Pair) -> None:
    for _ in range(5):
        for target in ("b", "a"):
            pair.deliveries.clear()
            pair.answers.clear()
            pair.move("counter", target)
            pair.drain()
            pair.count()
    assert pair.world.said["counter"] == list(range(1, 14))
    pair.check_settled()


def test_a_uuid_can_be_used_again(pair: Pair) -> None:
    """Also after the supervisor has forgotten how often it was used."""
    for _ in range(3):
        pair.delete("counter")
        pair.crash_supervisor()
        pair.drain()
        pair.deliveries.clear()
        pair.answers.clear()
        pair.create("counter")
        assert pair.realm.module("counter").state == "running"
        pair.check_settled()


def steps(pair: Pair) -> Iterator[tuple[str, Node]]:
    """What may happen next in a move, one at a time, in order: (direction, runtime)."""
    while True:
        for node in pair.nodes.values():
            if node.incoming:
                yield "down", node
                break
            if node.online and node.peer is not None and node.peer.outgoing:
                yield "up", node
                break
        else:
            if not any(n.peer.progress(pair.now) for n in pair.nodes.values() if n.peer):
                return


def play(pair: Pair, fault: Callable[[Pair, str, Node], None], at: int) -> bool:
    """Move the counter; let ``fault`` take the place of message number ``at``. False: no such."""
    pair.move("counter", "b")
    pair.count()
    for number, (direction, node) in enumerate(steps(pair)):
        if number == at:
            fault(pair, direction, node)
            pair.check()
            return True
        (pair.to_runtime if direction == "down" else pair.to_supervisor)(node)
        pair.count()
        pair.check()
    return False


def cut(pair: Pair, direction: str, node: Node) -> None:
    pair.cut(node)


def cut_and_tell(pair: Pair, direction: str, node: Node) -> None:
    """The connection breaks and is back before anybody knows."""
    pair.cut(node)
    pair.wills.clear()
    pair.connect(node)


def deaf(pair: Pair, direction: str, node: Node) -> None:
    """The supervisor misses a report and everything else for a while."""
    pair.lose_link()
    if direction == "up":
        pair.to_supervisor(node)
    pair.advance(5.0)


def repeated(pair: Pair, direction: str, node: Node) -> None:
    (pair.to_runtime if direction == "down" else pair.to_supervisor)(node, again=True)


def killed(pair: Pair, direction: str, node: Node) -> None:
    pair.crash_supervisor()


def killed_before_commit(pair: Pair, direction: str, node: Node) -> None:
    _killed(pair, direction, node, committed=False)


def killed_after_commit(pair: Pair, direction: str, node: Node) -> None:
    _killed(pair, direction, node, committed=True)


def _killed(pair: Pair, direction: str, node: Node, *, committed: bool) -> None:
    last = None
    if direction == "up":
        assert node.peer is not None
        last = pair.outgoing_event(node)
        node.peer.outgoing.pop(0)
    pair.crash_supervisor(last, committed=committed)


def source_dies(pair: Pair, direction: str, node: Node) -> None:
    pair.crash(pair.nodes["a"])


def target_dies(pair: Pair, direction: str, node: Node) -> None:
    pair.crash(pair.nodes["b"])


HARMLESS = [cut, cut_and_tell, deaf, repeated, killed, killed_before_commit, killed_after_commit]


@pytest.mark.parametrize("fault", HARMLESS, ids=lambda fault: fault.__name__)
def test_no_fault_costs_the_module_anything(fault: Callable[[Pair, str, Node], None]) -> None:
    """Whichever message it strikes: it counts on without a gap, it moves all the same, and the
    client has one answer."""
    at = 0
    while play(pair := counting(), fault, at):
        pair.settle()
        pair.count(3)
        said = pair.world.said["counter"]
        assert said == list(range(1, len(said) + 1)), f"message {at}: {said}"
        assert len(said) >= 7
        pair.check_settled()
        assert pair.where("counter") == "b", f"message {at}"
        at += 1
    assert at >= 9, "a move is at least so many messages"


@pytest.mark.parametrize(
    "fault", [fault for fault in HARMLESS if fault is not cut], ids=lambda fault: fault.__name__
)
def test_a_move_survives_a_blink_without_waiting(fault: Callable[[Pair, str, Node], None]) -> None:
    """No deadline has to run out: who registers again says again how far it is."""
    at = 0
    while play(pair := counting(), fault, at):
        pair.restore_link()
        pair.settle(1.0)
        pair.count()
        assert pair.where("counter") == "b", f"message {at}"
        said = pair.world.said["counter"]
        assert said == list(range(1, len(said) + 1))
        pair.check_settled()
        at += 1


def outcomes(fault: Callable[[Pair, str, Node], None], survivor: str) -> list[str]:
    """What becomes of the counter when an end of its move dies, message by message."""
    found: list[str] = []
    while play(pair := counting(), fault, len(found)):
        pair.settle()
        pair.count(3)
        said = pair.world.said["counter"]
        on = said == list(range(1, len(said) + 1))
        assert on or said[-3:] == [1, 2, 3]
        assert pair.where("counter") == survivor
        pair.check_settled()
        found.append("counts on" if on else "starts anew")
    return found


def test_death_of_the_source() -> None:
    """Until the commit point the module dies with it; behind it the target has everything."""
    found = outcomes(source_dies, survivor="b")
    assert found == sorted(found, reverse=True)
    assert set(found) == {"counts on", "starts anew"}


def test_death_of_the_target() -> None:
    """Until the target runs the source has everything; then the module dies with the target."""
    found = outcomes(target_dies, survivor="a")
    assert found == sorted(found)
    assert set(found) == {"counts on", "starts anew"}


@pytest.mark.parametrize("fault", HARMLESS, ids=lambda fault: fault.__name__)
def test_what_has_ended_is_not_started_again(fault: Callable[[Pair, str, Node], None]) -> None:
    """Whoever misses the report of it."""
    pair = counting()
    node = pair.nodes["a"]
    assert node.peer is not None
    node.peer.end("counter", False, pair.now)
    fault(pair, "up", node)
    pair.settle(100.0)
    module = pair.realm.module("counter")
    assert module is not None
    assert (module.state, module.exit_code) == ("exited", 0)
    pair.check_settled()


def test_what_ends_out_of_reach_is_not_started_again(pair: Pair) -> None:
    node = pair.nodes["a"]
    assert node.peer is not None
    pair.cut(node)
    node.peer.end("counter", True, pair.now)
    pair.settle(100.0)
    module = pair.realm.module("counter")
    assert module is not None
    assert module.state == "failed"
