"""Locals for operands that must leave the stack for a while.

Knows types and reuse. Does not know why an operand is moved.
"""

from collections.abc import Sequence


class Temporaries:
    """Locals for operands, each used again and again.

    Whether a block needs any is known only at its end. Those it takes then must not be those in
    use inside, so the highest use since its beginning is kept.
    """

    def __init__(self, types: bytearray) -> None:
        self.types = types
        self._pools: dict[int, list[int]] = {}
        self._taken: dict[int, int] = {}
        self._highest: dict[int, int] = {}

    def take(self, types: Sequence[int]) -> list[int]:
        """One local for each type, all different until the next ``release``."""
        return [self._one(code) for code in types]

    def _one(self, code: int) -> int:
        pool = self._pools.setdefault(code, [])
        number = self._taken.get(code, 0)
        self._taken[code] = number + 1
        self._highest[code] = max(self._highest.get(code, 0), number + 1)
        if number == len(pool):
            pool.append(len(self.types))
            self.types.append(code)
        return pool[number]

    def release(self) -> None:
        """What was taken may be taken again."""
        self._taken = {}

    def enter(self) -> dict[int, int]:
        """A block begins: what ``leave`` needs to know at its end."""
        outer = self._highest
        self._highest = {}
        return outer

    def rise(self) -> None:
        """Until the next release, take only what was not taken since the block began."""
        self._taken = self._highest.copy()

    def leave(self, outer: dict[int, int]) -> None:
        """The block has ended."""
        for code, number in self._highest.items():
            outer[code] = max(outer.get(code, 0), number)
        self._highest = outer
