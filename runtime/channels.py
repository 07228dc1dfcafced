"""The input of one module: which messages it has, has taken, and owes the broker a word about.

PURE: knows topics and receipts, no session and no engine. The broker keeps every message that is
not acknowledged and hands it to whoever takes the module's session over, so what is acknowledged
decides what a move must carry.

A *receipt* is this inbox's number for one message on one path; the engine gives it back when the
module has taken the message. Acknowledgements go out for the taken *prefix* only, in order.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from arts.bus.base import Delivery
from arts.bus.topics import matches
from arts.model import ChannelSpec

STDIN: Final = "stdin"
"""The path that means standard input."""
HIGH_WATER: Final = 200
"""Untaken inputs at which the session should stop reading: the backlog stays at the broker."""
LOW_WATER: Final = 100
"""Untaken inputs at which it should read again."""


class Input(NamedTuple):
    """A message for the module."""

    path: str
    payload: bytes
    receipt: int


class Cut(NamedTuple):
    """Where input is divided between a snapshot and the broker."""

    acknowledge: tuple[Delivery, ...]
    """To be acknowledged now, in this order."""
    carry: frozenset[int]
    """Receipts of untaken input that the broker will not hand over: the snapshot must."""


@dataclass(slots=True)
class _Entry:
    delivery: Delivery
    untaken: set[int] = field(default_factory=set)
    begun: bool = False
    """Whether one of several readers has taken it."""


class Inbox:
    """The input of one copy of a module.

    ``stdin_topic``: None when nobody reads it. ``first_receipt``: receipts count from here, so
    that those carried in a snapshot are not taken for ours.
    """

    def __init__(
        self,
        channels: Sequence[ChannelSpec],
        stdin_topic: str | None = None,
        *,
        first_receipt: int = 0,
        high_water: int = HIGH_WATER,
        low_water: int = LOW_WATER,
    ) -> None:
        self._readers = [(spec.topic, spec.path) for spec in channels if "r" in spec.mode]
        self.filters: dict[str, int] = {}
        """What to subscribe to: topic filter -> QoS."""
        for spec in channels:
            if "r" in spec.mode:
                qos = max(self.filters.get(spec.topic, 0), min(spec.qos, 1))
                self.filters[spec.topic] = qos
        if stdin_topic is not None:
            self._readers.append((stdin_topic, STDIN))
            self.filters[stdin_topic] = 1
        self._next_receipt = first_receipt
        self._high, self._low = high_water, low_water
        self._full = False
        self._untaken: dict[int, tuple[str, _Entry]] = {}
        self._owed: deque[_Entry] = deque()
        self._again: list[_Entry] = []

    @property
    def full(self) -> bool:
        """Whether the session should not read on: from high water until low water."""
        self._full = len(self._untaken) > (self._low if self._full else self._high)
        return self._full

    def take(self, delivery: Delivery) -> list[Input]:
        """What to hand to the engine of a message from the broker; ``settle`` afterwards."""
        known = self._redelivered(delivery)
        if known is not None:
            known.delivery = delivery
            self._owed.append(known)
            return []
        entry = _Entry(delivery)
        inputs = []
        for topic_filter, path in self._readers:
            if matches(topic_filter, delivery.topic):
                inputs.append(Input(path, delivery.payload, self._next_receipt))
                entry.untaken.add(self._next_receipt)
                self._untaken[self._next_receipt] = (path, entry)
                self._next_receipt += 1
        if delivery.qos:
            self._owed.append(entry)
        return inputs

    def taken(self, receipt: int) -> None:
        """The module has taken the input with this receipt; ``settle`` afterwards."""
        _, entry = self._untaken.pop(receipt, ("", None))
        if entry is not None:
            entry.untaken.discard(receipt)
            entry.begun = True

    def settle(self) -> list[Delivery]:
        """Deliveries to acknowledge now, in order: those that everybody has taken."""
        settled = []
        while self._owed and not self._owed[0].untaken:
            settled.append(self._owed.popleft().delivery)
        return settled

    def cut(self) -> Cut:
        """Divide what is here for a move (the module is paused).

        Acknowledged is everything up to the last message that the module may have begun: one it
        has taken, or the next one on some path, of which it may have read a part. What is untaken
        among those travels in the snapshot; so does what no broker repeats (QoS 0). The rest
        stays with the broker.
        """
        begun = {id(entry) for entry in self._heads()}
        last = 0
        for number, entry in enumerate(self._owed, 1):
            if entry.begun or not entry.untaken or id(entry) in begun:
                last = number
        acknowledge = tuple(self._owed.popleft().delivery for _ in range(last))
        kept = {receipt for entry in self._owed for receipt in entry.untaken}
        return Cut(acknowledge, frozenset(self._untaken.keys() - kept))

    def detach(self) -> None:
        """The connection is gone: what came over it can never be acknowledged.

        A broker that keeps the session will deliver it again on the next connection; it is then
        recognised, not read twice.
        """
        self._again += self._owed
        self._owed.clear()

    def expect_nothing(self) -> None:
        """The broker has lost the session: nothing will come a second time."""
        self._again.clear()

    def _heads(self) -> Iterable[_Entry]:
        heads: dict[str, _Entry] = {}
        for path, entry in self._untaken.values():
            heads.setdefault(path, entry)
        return heads.values()

    def _redelivered(self, delivery: Delivery) -> _Entry | None:
        for index, entry in enumerate(self._again):
            if delivery.qos and entry.delivery[:2] == delivery[:2]:
                return self._again.pop(index)
        return None
