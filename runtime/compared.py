"""Finding what has changed in a memory by comparing it with a copy. PURE."""

import ctypes
from typing import Final

import numpy as np

from runtime.shadow import Bytes
from runtime.snapshot import BLOCK

_SPAN: Final = 1 << 20
_PAGE: Final = 1 << 16
"""Bytes that are compared at once, before it matters which of their blocks differ."""

_memcmp: Final = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class Filled:
    """``shadow.Differences`` to nothing: for a memory that stands, and is looked at once."""

    def __init__(self, memory: Bytes) -> None:
        pass

    def find(self, memory: Bytes, begin: int, end: int, *, claim: bool) -> list[int]:
        """Blocks that are not zero."""
        words = memory[begin:end].view(np.uint64).reshape(-1, BLOCK // 8)
        return (np.flatnonzero(words.any(axis=1)) + begin // BLOCK).tolist()

    def send(self, memory: Bytes, blocks: list[int]) -> bytes:
        """See ``shadow.Differences``."""
        return memory.reshape(-1, BLOCK)[blocks].tobytes()

    def close(self) -> None:
        """Nothing to give back."""


class Compared:
    """``shadow.Differences`` on any machine: needs a copy of the memory, and reads both."""

    def __init__(self, memory: Bytes) -> None:
        self._known = np.zeros(len(memory), dtype=np.uint8)

    def find(self, memory: Bytes, begin: int, end: int, *, claim: bool) -> list[int]:
        """See ``shadow.Differences``."""
        if len(self._known) < len(memory):
            more = np.zeros(len(memory) - len(self._known), dtype=np.uint8)
            self._known = np.concatenate((self._known, more))
        return [
            block
            for start, stop in self._different(memory, begin, end, _SPAN)
            for first, last in self._different(memory, start, stop, _PAGE)
            for block in self._blocks(memory, first, last)
        ]

    def send(self, memory: Bytes, blocks: list[int]) -> bytes:
        """See ``shadow.Differences``."""
        content = memory.reshape(-1, BLOCK)[blocks]
        self._known.reshape(-1, BLOCK)[blocks] = content
        return content.tobytes()

    def close(self) -> None:
        """Give the copy back."""
        self._known = np.zeros(0, dtype=np.uint8)

    def _different(self, memory: Bytes, begin: int, end: int, size: int) -> list[tuple[int, int]]:
        now, known = memory.ctypes.data, self._known.ctypes.data
        parts = ((start, min(start + size, end)) for start in range(begin, end, size))
        return [
            (start, stop)
            for start, stop in parts
            if _memcmp(now + start, known + start, stop - start)
        ]

    def _blocks(self, memory: Bytes, begin: int, end: int) -> list[int]:
        now, known = (side[begin:end].view(np.uint64) for side in (memory, self._known))
        differ = np.not_equal(now, known).reshape(-1, BLOCK // 8).any(axis=1)
        return (np.flatnonzero(differ) + begin // BLOCK).tolist()
