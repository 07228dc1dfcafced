"""The input of one module: which messages it has, has taken, and owes the broker a word about.

PURE: knows topics and receipts, no session and no engine. The broker keeps every message that is
not acknowledged and hands it to whoever takes the module's session over, so what is acknowledged
decides what a move must carry.

A *receipt* is this inbox's number for one message on one path; the engine gives it back when the
module has taken the message. Acknowledgements go out for the taken *prefix* only, in order.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from arts.bus.base import Delivery
from arts.bus.topics import matches
from arts.model import ChannelSpec
from arts.protocol.sequence import Heard, Hearing, Stamp, read

STDIN: Final = "stdin"
"""The path that means standard input."""
HIGH_WATER: Final = 200
"""Untaken inputs at which the session should stop reading: the backlog stays at the broker."""
LOW_WATER: Final = 100
"""Untaken inputs at which it should read again."""


class Taken(NamedTuple):
    """A message that a module has, though its broker will hand it over once more: to whoever takes
    the module's session over."""

    topic: str
    digest: bytes
    """sha256 of its payload."""
    kept: bool = False
    """Whether a checkpoint with its effect is kept."""


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
    heard: tuple[Heard, ...]
    """What the module has had of sequenced channels, including what is carried."""
    taken: tuple[Taken, ...] = ()
    """What it has and is not acknowledged, in the order in which it comes again."""


@dataclass(slots=True)
class _Entry:
    delivery: Delivery
    kept: bool = False
    """Whether a checkpoint with its effect is kept."""
    untaken: set[int] = field(default_factory=set)
    begun: bool = False
    """Whether one of several readers has taken it."""
    stamp: Stamp | None = None
    """Its number, if a sequenced channel reads it for the first time."""


class Mark(NamedTuple):
    """Where input stands in a checkpoint that is being taken."""

    carry: frozenset[int]
    """Receipts of untaken input that the checkpoint must contain."""
    entries: tuple[_Entry, ...]
    """What may be acknowledged once it is kept."""
    heard: tuple[Heard, ...]
    """As in ``Cut``."""


class Inbox:
    """The input of one copy of a module.

    ``durable``: what is taken is acknowledged only once a checkpoint with its effect is kept.

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
        durable: bool = False,
    ) -> None:
        self._durable = durable
        self.owing = 0
        """Messages that are taken and wait for a checkpoint to be kept."""
        self._readers = [
            (spec.topic, spec.path, spec.sequenced) for spec in channels if "r" in spec.mode
        ]
        self._hearing = Hearing()
        self.filters: dict[str, int] = {}
        """What to subscribe to: topic filter -> QoS."""
        for spec in channels:
            if "r" in spec.mode:
                qos = max(self.filters.get(spec.topic, 0), min(spec.qos, 1))
                self.filters[spec.topic] = qos
        if stdin_topic is not None:
            self._readers.append((stdin_topic, STDIN, False))
            self.filters[stdin_topic] = 1
        self._next_receipt = first_receipt
        self._high, self._low = high_water, low_water
        self._full = False
        self._untaken: dict[int, tuple[str, _Entry]] = {}
        self._owed: deque[_Entry] = deque()
        self._again: list[tuple[Taken, _Entry]] = []
        """What comes again and is here already."""

    def remember(self, heard: Iterable[Heard], taken: Iterable[Taken] = ()) -> None:
        """What the module has had already, in another copy."""
        self._hearing = Hearing(heard)
        for known in taken:
            delivery = Delivery(known.topic, b"", 1, False, 0)  # until it comes again
            self._again.append((known, _Entry(delivery, known.kept, begun=True)))
            self.owing += self._durable and not known.kept

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
        for path, payload in self._addressed(entry):
            inputs.append(Input(path, payload, self._next_receipt))
            entry.untaken.add(self._next_receipt)
            self._untaken[self._next_receipt] = (path, entry)
            self._next_receipt += 1
        if delivery.qos:
            self._owed.append(entry)
        return inputs

    def _addressed(self, entry: _Entry) -> list[tuple[str, bytes]]:
        """Which paths read a message, and what; sequenced ones only what they have not had."""
        topic, payload = entry.delivery.topic, entry.delivery.payload
        readers = [(path, seq) for name, path, seq in self._readers if matches(name, topic)]
        if not any(sequenced for _, sequenced in readers):
            return [(path, payload) for path, _ in readers]
        stamp, bare = read(payload)
        if stamp is not None and not self._hearing.is_new(topic, stamp):
            addressed = [(path, payload) for path, sequenced in readers if not sequenced]
            # What came first is acknowledged first: its effect is kept when this one's turn comes.
            entry.kept = not addressed
            return addressed
        entry.stamp = stamp
        return [(path, bare if sequenced else payload) for path, sequenced in readers]

    def taken(self, receipt: int) -> None:
        """The module has taken the input with this receipt; ``settle`` afterwards."""
        _, entry = self._untaken.pop(receipt, ("", None))
        if entry is not None:
            entry.untaken.discard(receipt)
            entry.begun = True
            self.owing += bool(entry.delivery.qos and self._waits(entry))

    def settle(self) -> list[Delivery]:
        """Deliveries to acknowledge now, in order: those that everybody has taken, or whose effect
        is kept."""
        settled = []
        while self._owed and self._is_settled(self._owed[0]):
            settled.append(self._owed.popleft().delivery)
        return settled

    def _is_settled(self, entry: _Entry) -> bool:
        return entry.kept if self._durable else not entry.untaken

    def mark(self) -> Mark:
        """Divide what is here for a checkpoint (the module is paused), and change nothing.

        As for a move; but the input of a module that is not durable goes along with it as a whole,
        because the module will have acknowledged it when the checkpoint is used.
        """
        if not self._durable:
            return Mark(frozenset(self._untaken), (), self._heard(()))
        begun = tuple(self._owed)[: self._begun()]
        rest = tuple(self._owed)[len(begun) :]
        left = (*(entry for _, entry in self._again), *rest)
        kept = {receipt for entry in left for receipt in entry.untaken}
        return Mark(frozenset(self._untaken.keys() - kept), begun, self._heard(left))

    def keep(self, mark: Mark) -> None:
        """The checkpoint is kept; ``settle`` afterwards."""
        for entry in mark.entries:
            if not entry.kept and not entry.untaken:
                self.owing -= 1
            entry.kept = True

    def cut(self) -> Cut:
        """Divide what is here for a move (the module is paused).

        Acknowledged is everything up to the last message that the module may have begun: one it
        has taken, or the next one on some path, of which it may have read a part. What is untaken
        among those travels in the snapshot; so does what no broker repeats (QoS 0). The rest
        stays with the broker. Of a durable module nothing is acknowledged, because no checkpoint
        with its effect is kept: the next copy knows it when it comes again.
        """
        begun = tuple(self._owed)[: self._begun()]
        again = [known for known, _ in self._again]
        if self._durable:
            again += map(_known, begun)
        else:
            for _ in begun:
                self._owed.popleft()
        left = tuple(self._owed)[len(begun) if self._durable else 0 :]
        kept = {receipt for entry in left for receipt in entry.untaken}
        carry = frozenset(self._untaken.keys() - kept)
        acknowledge = () if self._durable else tuple(entry.delivery for entry in begun)
        return Cut(acknowledge, carry, self._heard(left), tuple(again))

    def _heard(self, left: Iterable[_Entry]) -> tuple[Heard, ...]:
        """What the module has had, but for what is left at the broker."""
        return self._hearing.without(
            Heard(entry.delivery.topic, entry.stamp)
            for entry in left
            if entry.untaken and entry.stamp is not None
        )

    def _begun(self) -> int:
        """How many of the owed messages, from the first on, the module may have begun."""
        begun = {id(entry) for entry in self._heads()}
        last = 0
        for number, entry in enumerate(self._owed, 1):
            if entry.begun or not entry.untaken or id(entry) in begun:
                last = number
        return last

    def detach(self) -> None:
        """The connection is gone: what came over it can never be acknowledged.

        A broker that keeps the session will deliver it again on the next connection; it is then
        recognised, not read twice.
        """
        self._again += ((_known(entry), entry) for entry in self._owed)
        self._owed.clear()

    def expect_nothing(self) -> None:
        """The broker has lost the session: nothing will come a second time."""
        self.owing -= sum(self._waits(entry) for _, entry in self._again)
        self._again.clear()

    def _heads(self) -> Iterable[_Entry]:
        heads: dict[str, _Entry] = {}
        for path, entry in self._untaken.values():
            heads.setdefault(path, entry)
        return heads.values()

    def _redelivered(self, delivery: Delivery) -> _Entry | None:
        if not self._again or not delivery.qos:
            return None
        digest = hashlib.sha256(delivery.payload).digest()
        for index, (known, entry) in enumerate(self._again):
            if (known.topic, known.digest) == (delivery.topic, digest):
                del self._again[index]
                return entry
        return None

    def _waits(self, entry: _Entry) -> bool:
        """Whether it is taken, and waits for a checkpoint to be kept."""
        return self._durable and entry.begun and not entry.untaken and not entry.kept


def _known(entry: _Entry) -> Taken:
    digest = hashlib.sha256(entry.delivery.payload).digest()
    return Taken(entry.delivery.topic, digest, entry.kept)
