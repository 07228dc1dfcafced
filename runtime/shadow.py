"""What the target of a move has of a module's memories while the module still runs. PURE.

The source keeps a *shadow*: an equal copy, to which it compares the module's memories. What
differs is a *change*; it travels as a *parcel* and becomes part of the shadow on both sides.
Knows no engine, no transport and no clock.

``identity`` names the content by the parcels that made it, so that neither side takes the other's
shadow for something else.
"""

import ctypes
import hashlib
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
import zstandard

from arts.errors import SnapshotError
from runtime.snapshot import BLOCK, MemoryImage

PARCEL: Final = 4 * 1024 * 1024
"""Bytes of changes after which a parcel is full."""
_STRETCH: Final = 64 * 1024 * 1024
"""Bytes that are compared in one go, whether something has changed in them or not."""
_SPAN: Final = 1 << 20
_PAGE: Final = 1 << 16
"""Bytes that are compared at once, before it matters which of their blocks differ."""
LARGEST_PARCEL: Final = PARCEL + 2 * _SPAN
"""Bytes of a parcel, packed or not."""

_memcmp: Final = ctypes.CDLL(None).memcmp
_memcmp.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)

_Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]


class Change(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Blocks of one memory that are no longer what they were."""

    memory: Annotated[int, msgspec.Meta(ge=0)]
    """Its number."""
    size: Annotated[int, msgspec.Meta(ge=0)]
    """Bytes that it has now."""
    numbers: bytes
    """Those of the blocks: u32, little-endian, ascending."""
    blocks: bytes

    def write(self, memory: memoryview) -> None:
        """Make the change in a memory that is as large as it says."""
        numbers = np.frombuffer(self.numbers, dtype="<u4")
        content = np.frombuffer(self.blocks, dtype=np.uint8).reshape(-1, BLOCK)
        np.frombuffer(memory, dtype=np.uint8).reshape(-1, BLOCK)[numbers] = content


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Change)


def encode_parcel(change: Change) -> bytes:
    """The bytes of a change."""
    return zstandard.ZstdCompressor(level=1).compress(_encoder.encode(change))


def decode_parcel(data: bytes) -> Change:
    """The change of these bytes. Raises ``SnapshotError``, whatever is wrong with them."""
    try:
        if not 0 <= zstandard.frame_content_size(data) <= LARGEST_PARCEL:
            raise SnapshotError("the parcel says no size, or one that is too large")
        change = _decoder.decode(zstandard.ZstdDecompressor().decompress(data))
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError) as error:
        raise SnapshotError(f"the parcel is malformed: {error}") from None
    numbers = np.frombuffer(change.numbers[: len(change.numbers) & ~3], dtype="<u4")
    whole = 4 * len(numbers) == len(change.numbers) and not change.size % BLOCK
    if not whole or len(change.blocks) != len(numbers) * BLOCK:
        raise SnapshotError("the parcel's blocks are not those that it lists")
    if len(numbers) and int(numbers.max()) >= change.size // BLOCK:
        raise SnapshotError("the parcel's blocks lie behind the end of their memory")
    return change


def grown(identity: bytes, parcel: bytes) -> bytes:
    """The identity of a shadow after one more parcel. That of an empty shadow is ``b""``."""
    return hashlib.sha256(identity + parcel).digest()


class Shadow:
    """The source's copy of what the target has. At first: zeros, whatever the size."""

    def __init__(self) -> None:
        self.identity = b""
        self._memories: list[_Bytes] = []
        self._memory = self._offset = 0

    def next_change(self, memories: Sequence[memoryview]) -> Change | None:
        """Look at a stretch of the memories: what has changed there, maybe nothing.

        None at the end of them; then it begins again. A change counts as made.
        """
        if self._memory >= len(memories):
            self._memory = self._offset = 0
            return None
        now = np.frombuffer(memories[self._memory], dtype=np.uint8)
        known = self._known(self._memory, len(now))
        stop = min(self._offset + _STRETCH, len(now))
        pair, found = _Pair(now, known), list[int]()
        while self._offset < stop and len(found) * BLOCK < PARCEL:
            found += pair.different(self._offset)
            self._offset += _SPAN
        number = self._memory
        if self._offset >= len(now):
            self._memory, self._offset = number + 1, 0
        blocks = _take(now, known, found)
        return Change(number, len(now), np.array(found, dtype="<u4").tobytes(), blocks)

    def rest(self, memories: Sequence[memoryview]) -> tuple[MemoryImage, ...]:
        """All that has changed since, in the form of a snapshot. Does not count as made."""
        return tuple(self._image(number, memory) for number, memory in enumerate(memories))

    def _image(self, number: int, memory: memoryview) -> MemoryImage:
        now = np.frombuffer(memory, dtype=np.uint8)
        known = self._known(number, len(now))
        pair = _Pair(now, known)
        found = [block for offset in range(0, len(now), _SPAN) for block in pair.different(offset)]
        changed = np.zeros(len(now) // BLOCK, dtype=np.bool_)
        changed[found] = True
        blocks = now.reshape(-1, BLOCK)[found].tobytes()
        return MemoryImage(len(now), np.packbits(changed, bitorder="little").tobytes(), blocks)

    def _known(self, number: int, size: int) -> _Bytes:
        if number == len(self._memories):
            self._memories.append(np.zeros(size, dtype=np.uint8))
        known = self._memories[number]
        if len(known) < size:
            known = self._memories[number] = np.concatenate(
                (known, np.zeros(size - len(known), dtype=np.uint8))
            )
        return known


class _Pair:
    """A memory and what the target has of it."""

    def __init__(self, now: _Bytes, known: _Bytes) -> None:
        self._now, self._known = now, known
        self._addresses = now.ctypes.data, known.ctypes.data

    def different(self, offset: int) -> list[int]:
        """The blocks of the span there that differ."""
        stop = min(offset + _SPAN, len(self._now))
        if self._equal(offset, stop):
            return []
        pages = ((begin, min(begin + _PAGE, stop)) for begin in range(offset, stop, _PAGE))
        return [
            block
            for begin, end in pages
            if not self._equal(begin, end)
            for block in self._blocks(begin, end)
        ]

    def _equal(self, begin: int, end: int) -> bool:
        now, known = self._addresses
        return not _memcmp(now + begin, known + begin, end - begin)

    def _blocks(self, begin: int, end: int) -> list[int]:
        now, known = (side[begin:end].view(np.uint64) for side in (self._now, self._known))
        differ = np.not_equal(now, known).reshape(-1, BLOCK // 8).any(axis=1)
        first = begin // BLOCK
        return [first + int(block) for block in np.flatnonzero(differ)]


def _take(now: _Bytes, known: _Bytes, found: list[int]) -> bytes:
    blocks = now.reshape(-1, BLOCK)[found]
    known.reshape(-1, BLOCK)[found] = blocks
    return blocks.tobytes()


# ---------------------------------------------------------------------------- rounds


ENOUGH: Final = 64 * 1024
"""So little may be left for the time when the module stands."""
MOST_ROUNDS: Final = 12
_SHRINKS: Final = 0.8


def another_round(rounds: Sequence[int]) -> bool:
    """Whether one more round, while the module runs, would leave less for when it stands.

    ``rounds``: of each so far, the bytes that had changed. The next one will find about as much,
    unless rounds become shorter; and they do as long as they find less.
    """
    last = rounds[-1]
    if last <= ENOUGH or len(rounds) >= MOST_ROUNDS:
        return False
    return len(rounds) == 1 or last <= _SHRINKS * rounds[-2]
