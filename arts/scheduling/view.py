"""The scheduler's picture of a realm: who is there, how full, in pools of runtimes that look alike.

PURE. A ``View`` is read by the scheduler and kept up to date, change by change, by its owner, so
that a placement among ten thousand runtimes looks at a handful of pools and not at each of them.
"""

from bisect import bisect_right, insort
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from arts.model import Ability, Filetype, Runtime, RuntimeState


class Profile(NamedTuple):
    """Everything about a runtime that filters may ask and that does not change with load."""

    filetypes: frozenset[Filetype]
    apis: frozenset[str]
    labels: tuple[tuple[str, str], ...]
    features: frozenset[str]
    abilities: frozenset[Ability]

    @classmethod
    def of(cls, runtime: Runtime) -> "Profile":
        """The profile of a runtime."""
        return cls(
            runtime.filetypes, runtime.apis, runtime.labels, runtime.features, runtime.abilities
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A runtime with the places taken on it (modules, and room reserved for moves to it)."""

    runtime: Runtime
    occupied: int
    sequence: int
    """Order of first registration: breaks every tie."""
    profile: Profile

    @property
    def is_open(self) -> bool:
        """Whether it takes one more module."""
        return self.runtime.state is RuntimeState.ONLINE and self.occupied < (
            self.runtime.max_nmodules
        )


class Pool:
    """The open runtimes of one profile, by how many places are taken and by sequence."""

    def __init__(self) -> None:
        self._by_occupied: dict[int, list[int]] = {}
        self._sequences: list[int] = []
        self._uuid_of: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._sequences)

    def add(self, candidate: Candidate) -> None:
        """Take a runtime in."""
        insort(self._by_occupied.setdefault(candidate.occupied, []), candidate.sequence)
        insort(self._sequences, candidate.sequence)
        self._uuid_of[candidate.sequence] = candidate.runtime.uuid

    def remove(self, candidate: Candidate) -> None:
        """Take a runtime out, as it was put in."""
        bucket = self._by_occupied[candidate.occupied]
        del bucket[bisect_right(bucket, candidate.sequence) - 1]
        if not bucket:
            del self._by_occupied[candidate.occupied]
        del self._sequences[bisect_right(self._sequences, candidate.sequence) - 1]
        del self._uuid_of[candidate.sequence]

    def by_fewest(self) -> Iterator[tuple[int, int, str]]:
        """(occupied, sequence, uuid), the emptiest first."""
        for occupied in sorted(self._by_occupied):
            for sequence in self._by_occupied[occupied]:
                yield occupied, sequence, self._uuid_of[sequence]

    def after(self, cursor: int) -> Iterator[tuple[int, int, str]]:
        """(0 before the wrap, 1 after it; sequence; uuid), beginning behind ``cursor``."""
        start = bisect_right(self._sequences, cursor)
        for sequence in self._sequences[start:]:
            yield 0, sequence, self._uuid_of[sequence]
        for sequence in self._sequences[:start]:
            yield 1, sequence, self._uuid_of[sequence]


class View:
    """All runtimes of a realm, open or not. ``cursor`` is the memory of the round-robin policy."""

    def __init__(self) -> None:
        self.cursor = -1
        self._candidates: dict[str, Candidate] = {}
        self._pools: dict[Profile, Pool] = {}
        self._profiles: Counter[Profile] = Counter()
        self._next_sequence = 0

    @property
    def candidates(self) -> Mapping[str, Candidate]:
        """Every runtime by uuid, in order of registration."""
        return self._candidates

    @property
    def pools(self) -> Mapping[Profile, Pool]:
        """The open runtimes by profile."""
        return self._pools

    @property
    def profiles(self) -> Collection[Profile]:
        """The profiles of all runtimes, open or not."""
        return self._profiles

    def put(self, runtime: Runtime, occupied: int) -> None:
        """Set how a runtime is now."""
        old = self._candidates.get(runtime.uuid)
        if old is None:
            sequence, self._next_sequence = self._next_sequence, self._next_sequence + 1
        else:
            sequence = old.sequence
            self._forget(old)
        new = Candidate(runtime, occupied, sequence, Profile.of(runtime))
        self._candidates[runtime.uuid] = new
        self._profiles[new.profile] += 1
        if new.is_open:
            self._pools.setdefault(new.profile, Pool()).add(new)

    def remove(self, uuid: str) -> None:
        """Forget a runtime."""
        self._forget(self._candidates.pop(uuid))

    def _forget(self, candidate: Candidate) -> None:
        self._profiles[candidate.profile] -= 1
        if not self._profiles[candidate.profile]:
            del self._profiles[candidate.profile]
        if not candidate.is_open:
            return
        pool = self._pools[candidate.profile]
        pool.remove(candidate)
        if not pool:
            del self._pools[candidate.profile]
