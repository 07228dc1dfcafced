"""Locals for operands that must leave the stack for a while.

Knows types and reuse. Does not know why an operand is moved.
"""

from collections.abc import Sequence


class Temporaries:
    """Locals for operands, reused like a stack: what is taken is released all at once."""

    def __init__(self, types: bytearray) -> None:
        self.types = types
        self._pools: dict[int, list[int]] = {}
        self._taken: dict[int, int] = {}

    def take(self, types: Sequence[int]) -> list[int]:
        """One local for each type."""
        return [self._one(code) for code in types]

    def _one(self, code: int) -> int:
        pool = self._pools.setdefault(code, [])
        number = self._taken.get(code, 0)
        self._taken[code] = number + 1
        if number == len(pool):
            pool.append(len(self.types))
            self.types.append(code)
        return pool[number]

    def mark(self) -> dict[int, int]:
        """What is taken now, for ``release``."""
        return self._taken.copy()

    def release(self, mark: dict[int, int]) -> None:
        """Free what was taken since the mark."""
        self._taken = mark
