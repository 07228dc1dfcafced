"""Deadlines by name: set, move, cancel, and ask which is next. PURE; time is an argument."""

import heapq
from typing import Final, NamedTuple

_STALE: Final = 1000
"""So many stale entries are always tolerated."""


class DeadlineKey(NamedTuple):
    """What runs out: ``lease``, ``suspicion``, ``arrival`` of a runtime, ``phase``,
    ``checkpoint`` and ``import`` of a module."""

    kind: str
    uuid: str


class Deadlines:
    """A heap whose stale entries are dropped when they surface, or when they are too many."""

    def __init__(self) -> None:
        self._when: dict[DeadlineKey, float] = {}
        self._heap: list[tuple[float, DeadlineKey]] = []

    def set(self, key: DeadlineKey, when: float) -> None:
        """Let ``key`` run out at ``when`` and not at any time set before."""
        self._when[key] = when
        heapq.heappush(self._heap, (when, key))
        if len(self._heap) > 2 * len(self._when) + _STALE:
            self._heap = [(when, key) for key, when in self._when.items()]
            heapq.heapify(self._heap)

    def cancel(self, key: DeadlineKey) -> None:
        """Let it not run out. Harmless if it was not set."""
        self._when.pop(key, None)

    def get(self, key: DeadlineKey) -> float | None:
        """When it runs out, if it does."""
        return self._when.get(key)

    def next(self) -> float | None:
        """The earliest deadline."""
        while self._heap and self._when.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float) -> DeadlineKey | None:
        """Take out the earliest one that is over."""
        when = self.next()
        if when is None or when > now:
            return None
        _, key = heapq.heappop(self._heap)
        del self._when[key]
        return key

    def postpone(self, earliest: float) -> None:
        """Give everything time until at least ``earliest``."""
        for key, when in list(self._when.items()):
            if when < earliest:
                self.set(key, earliest)
