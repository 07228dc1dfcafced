"""Blocks that change again and again: only what has changed in them travels. PURE.

A block XORed with what the target has of it is zero wherever it has not changed, and packs to next
to nothing. For that the source keeps what it sent of such blocks; what leaves once is not kept.
The idea is that of XBZRLE (Svärd et al., VEE 2011; in QEMU), with zstd in place of run lengths.
"""

from typing import Final

import numpy as np
import zstandard

from runtime.snapshot import BLOCK, Numbers

BUDGET: Final = 64 * 1024 * 1024
"""Bytes of one memory that are kept at most; what changes beyond that travels whole."""
PAYS: Final = 0.8
"""So small must deltas be, packed, compared with blocks, that they are made."""
_SAMPLE: Final = 16
"""Blocks that are packed both ways to know."""
_AT_ONCE: Final = 256
"""Blocks that are worked on together: about what a cache holds."""

Blocks = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
"""Blocks of a memory, one in a row."""
_Slots = np.ndarray[tuple[int], np.dtype[np.int32]]
_Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]


class Versions:
    """What the target has of some blocks of one memory. ``budget``: bytes."""

    def __init__(self, budget: int = BUDGET) -> None:
        self._content: Blocks = np.empty((budget // BLOCK, BLOCK), dtype=np.uint8)  # untouched yet
        self._used = 0
        self._slots = np.full(0, -1, dtype=np.int32)
        """Block -> where its content is; -1: nowhere."""

    def subtract(self, numbers: Numbers, blocks: Blocks, *, note: bool) -> bytes:
        """Turn blocks into deltas, in place, where something is known of them; which these are, one
        bit each. Nothing, and they are as they were, where deltas are not much smaller.

        ``note``: the target will have these blocks.
        """
        slots = self._slots_of(numbers)
        known = slots >= 0
        pays = self._pays(blocks, slots)
        if note:
            slots = self._with_room(numbers, slots)
        for begin in range(0, len(blocks), _AT_ONCE) if pays or note else ():
            part = slice(begin, begin + _AT_ONCE)
            self._exchange(blocks[part], slots[part], known[part] & pays, note=note)
        return np.packbits(known, bitorder="little").tobytes() if pays else b""

    def _exchange(self, blocks: Blocks, slots: _Slots, deltas: _Flags, *, note: bool) -> None:
        before = self._content[slots[deltas]]
        if note:
            kept = slots >= 0
            self._content[slots[kept]] = blocks[kept]
        if len(before) == len(blocks):
            blocks ^= before
        else:
            blocks[deltas] ^= before

    def _with_room(self, numbers: Numbers, slots: _Slots) -> _Slots:
        """The same, with room for those that are new, as far as there is any."""
        new = np.flatnonzero(slots < 0)[: len(self._content) - self._used]
        slots = slots.copy()
        slots[new] = np.arange(self._used, self._used + len(new), dtype=np.int32)
        self._slots[numbers[new]] = slots[new]
        self._used += len(new)
        return slots

    def _slots_of(self, numbers: Numbers) -> _Slots:
        missing = int(numbers[-1]) + 1 - len(self._slots) if len(numbers) else 0
        if missing > 0:
            self._slots = np.concatenate((self._slots, np.full(missing, -1, dtype=np.int32)))
        return self._slots[numbers]

    def _pays(self, blocks: Blocks, slots: _Slots) -> bool:
        known = np.flatnonzero(slots >= 0)
        if not len(known):
            return False
        some = known[:: -(-len(known) // _SAMPLE)]
        pack = zstandard.ZstdCompressor(level=1).compress
        deltas = blocks[some] ^ self._content[slots[some]]
        return len(pack(deltas.tobytes())) < PAYS * len(pack(blocks[some].tobytes()))


SLOW_LINE: Final = 4e6
"""Bytes a second below which it pays to pack harder."""
QUICK, HARD = 1, 9
_TELLS: Final = 0.1
"""Seconds after which the way of a parcel says something about the line, and not of who waits."""


def packing_level(sent: int, size: int, seconds: float) -> int:
    """How hard to pack the next parcel (a level of zstd), when ``size`` bytes became ``sent`` ones
    that took so long to arrive.

    Measured on memories of Lua, QuickJS, SQLite and PolyBench: level 1 packs 0.4-2.6 GB/s, and what
    does not shrink at 10; level 9 packs 0.04-0.17 GB/s, to between 0.65 and 1.05 of that.
    """
    is_slow = seconds > _TELLS and sent < SLOW_LINE * seconds
    shrinks = sent < 0.9 * size
    return HARD if is_slow and shrinks else QUICK
