"""A twin of the keeper of checkpoints, for a realm in virtual time: what it has, and what is wrong.

As the keeper does, it works in order behind one lock, asks the realm whose checkpoint it may keep
behind that lock, and loses all but what it has kept when its process dies. A state is a number:
how many inputs a module has taken.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from arts.realm.effects import (
    CheckpointKept,
    Event,
    FindSnapshot,
    ForgetSnapshots,
    KeeperEffect,
    NoSnapshot,
    SendSnapshot,
    SnapshotFound,
    SnapshotUnfit,
)


class Parcel(NamedTuple):
    """A checkpoint on its way from a runtime."""

    runtime: str
    module: str
    generation: int
    value: int


@dataclass
class Checkpoint:
    """One that is kept."""

    number: int
    generation: int
    value: int
    damaged: bool = False

    @property
    def digest(self) -> str:
        return f"value {self.value} of checkpoint {self.number}"


@dataclass
class Keep:
    """``refuses``: the realm's say, now."""

    refuses: Callable[[str, str, int], str | None]
    sent: dict[str, str]
    """Migration -> digest of what runtimes receive."""
    unfit: Collection[str]
    """Migrations of whose snapshot a runtime could make nothing."""
    kept: dict[str, list[Checkpoint]] = field(default_factory=dict)
    """By module, oldest first."""
    parcels: list[Parcel] = field(default_factory=list)
    works: list[Callable[[], None]] = field(default_factory=list)
    """What waits for the lock; the first is next."""
    news: list[Event] = field(default_factory=list)
    """What the realm has not been told yet."""
    recoveries: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Migration -> module and number of the checkpoint that it is to go on from."""
    newest: dict[str, int] = field(default_factory=dict)
    """Module -> the highest generation of its present life that has acted or been looked for: older
    ones are either found or refused, never kept then."""
    _born: dict[str, int] = field(default_factory=dict)
    """Module -> the first number that a checkpoint of its present life may have."""
    _numbers: dict[str, int] = field(default_factory=dict)

    # ------------------------------------------------------------------ what comes in

    def arrive(self, index: int) -> None:
        """A parcel is complete."""
        self.works.append(partial(self._keep, self.parcels.pop(index)))

    def ask(self, effect: KeeperEffect) -> None:
        """The realm wants something."""
        match effect:
            case FindSnapshot():
                self.works.append(partial(self._find, effect))
            case SendSnapshot():
                self.works.append(partial(self._send, effect))
            case ForgetSnapshots(module):
                self.works.append(lambda: self._forget({module}))

    def work(self) -> None:
        """Do the next thing."""
        self.works.pop(0)()

    def restart(self, known: Collection[str]) -> None:
        """Another process, of a realm that has these modules."""
        self.parcels.clear()
        self.works.append(lambda: self._forget(set(self.kept).difference(known)))

    def die(self) -> None:
        """What is kept is kept; nobody knows of the rest."""
        self.parcels.clear()
        self.works.clear()
        self.news.clear()

    # ------------------------------------------------------------------ what it does

    def _keep(self, parcel: Parcel) -> None:
        if self.refuses(parcel.module, parcel.runtime, parcel.generation) is not None:
            return
        newest = self.newest.get(parcel.module, 0)
        assert parcel.generation >= newest, f"kept what a ghost sent: {parcel}, not {newest}"
        number = self._numbers[parcel.module] = self._numbers.get(parcel.module, 0) + 1
        checkpoint = Checkpoint(number, parcel.generation, parcel.value)
        self.kept.setdefault(parcel.module, []).append(checkpoint)
        kept = CheckpointKept(parcel.module, parcel.generation, number, 8, 0.0, 8, 0.0)
        self.news.append(kept)

    def _find(self, wanted: FindSnapshot) -> None:
        damaged: list[int] = []
        module, generation = wanted.module, wanted.generation
        self.newest[module] = max(generation, self.newest.get(module, 0))
        for found in reversed(self.kept.get(wanted.source, [])):
            if wanted.before is not None and found.number >= wanted.before:
                continue
            if found.damaged:
                damaged.append(found.number)
                continue
            if found.generation < wanted.since:
                break
            self.news.append(
                SnapshotFound(
                    module,
                    generation,
                    wanted.source,
                    found.number,
                    found.digest,
                    8,
                    0.0,
                    tuple(damaged),
                )
            )
            return
        self.news.append(NoSnapshot(module, generation, "there is none", tuple(damaged)))

    def _send(self, wanted: SendSnapshot) -> None:
        found = self._at(wanted.source, wanted.number)
        if found is None or found.damaged:
            unfit = SnapshotUnfit(wanted.module, wanted.generation, wanted.number, "damaged")
            self.news.append(unfit)
        else:
            self.sent[wanted.migration] = found.digest

    def _forget(self, modules: Collection[str]) -> None:
        for module in modules:
            self.kept.pop(module, None)

    def _at(self, module: str, number: int) -> Checkpoint | None:
        return next((c for c in self.kept.get(module, []) if c.number == number), None)

    # ------------------------------------------------------------------ what must be true

    def begin(self, module: str) -> None:
        """A module begins its life: what is kept by now is of a former one."""
        self._born[module] = self._numbers.get(module, 0) + 1
        self.newest.pop(module, None)

    def floor(self, module: str, generation: int) -> int:
        """Behind this value nothing may go on at a generation: the effects up to there have been
        acknowledged, and a checkpoint that is good has them."""
        born = self._born.get(module, 0)
        unfit = {self.recoveries[move] for move in self.unfit if move in self.recoveries}
        good = [
            found.value
            for found in self.kept.get(module, [])
            if found.number >= born
            and found.generation < generation
            and not found.damaged
            and (module, found.number) not in unfit
        ]
        return max(good, default=0)
