"""What the target of a move has of a module's memories while the module still runs. PURE.

The target's memories are the *shadow* of the module's. What differs is a *change*; it travels as a
*parcel* and becomes part of the shadow. The source finds it by comparing (``runtime.compared``) or
asks the kernel (``runtime.written``). Knows no engine, no transport and no clock.

``identity`` names the content by the parcels that made it, so that neither side takes the other's
shadow for something else.
"""

import hashlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Final, Protocol

import msgspec
import numpy as np
import zstandard

from arts.errors import SnapshotError
from runtime.deltas import QUICK, Versions
from runtime.pages import check_places, count_places, look_up, put_names
from runtime.snapshot import BLOCK, PAGE, MemoryImage, Numbers, write_blocks

PARCEL: Final = 4 * 1024 * 1024
"""Bytes of changes after which a parcel is full, and how few they may be on a slow line."""
SMALL_PARCEL: Final = 128 * 1024
_STRETCH: Final = 64 * 1024 * 1024
"""Bytes that are looked at in one go, whether something has changed in them or not."""
_NAMED: Final = PAGE // 4
"""Bytes that a named page counts for: it travels in no time, but it is looked up and written."""
_SPAN: Final = 1 << 17
"""Bytes after each of which it is seen whether the parcel is full."""
LARGEST_PARCEL: Final = PARCEL + 2 * _SPAN
"""Bytes of a parcel, packed or not."""

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]


class Change(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Blocks of one memory that are no longer what they were."""

    memory: Annotated[int, msgspec.Meta(ge=0)]
    """Its number."""
    size: Annotated[int, msgspec.Meta(ge=0)]
    """Bytes that it has now."""
    numbers: bytes
    """Those of the blocks: u32, little-endian, ascending."""
    blocks: bytes
    places: bytes = b""
    """Pages that are only named: see ``runtime.pages``."""
    deltas: bytes = b""
    """One bit a block, lowest first: whether it is XORed with what the target has of it."""

    def spelled_out(self, pages: Mapping[bytes, bytes]) -> "Change":
        """The same with the content of the pages that it names. Raises ``SnapshotError``."""
        if not self.places:
            return self
        found = [*look_up(self.places, pages)]
        numbers = b"".join([self.numbers, *(numbers.tobytes() for numbers, _ in found)])
        blocks = b"".join([self.blocks, *(blocks for _, blocks in found)])
        return Change(self.memory, self.size, numbers, blocks, deltas=self.deltas)

    @property
    def block_numbers(self) -> Numbers:
        """The numbers of the blocks, as an array."""
        return np.frombuffer(self.numbers, dtype="<u4")

    @property
    def named(self) -> int:
        """How many pages are only named."""
        return count_places(self.places)

    @property
    def weight(self) -> int:
        """Bytes that it counts for when a parcel is to be full."""
        return len(self.blocks) + self.named * _NAMED

    def write(self, memory: memoryview) -> None:
        """Make the change in a memory that is as large as it says."""
        write_blocks(memory, self.block_numbers, self.blocks, self.deltas)


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Change)


def encode_parcel(change: Change, level: int = QUICK) -> bytes:
    """The bytes of a change; ``level``: of zstd."""
    return zstandard.ZstdCompressor(level=level).compress(_encoder.encode(change))


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
    if len(change.deltas) > (len(numbers) + 7) // 8:
        raise SnapshotError("the parcel has more deltas than blocks")
    check_places(change.places, change.size)
    return change


def grown(identity: bytes, parcel: bytes) -> bytes:
    """The identity of a shadow after one more parcel. That of an empty shadow is ``b""``."""
    return hashlib.sha256(identity + parcel).digest()


class Differences(Protocol):
    """Finds what of one memory is not as the target has it. At first that has zeros."""

    def find(self, memory: Bytes, begin: int, end: int, *, claim: bool) -> list[int]:
        """Numbers of such blocks among the bytes from ``begin`` to ``end``: all of them, in order,
        and maybe others.

        ``memory``: as it is now; it may have grown, and may be written to meanwhile. ``claim``:
        those that are found will be sent, so that from now on they are found only when they are
        written to again. Whoever claims begins at 0, then goes on where it ended.
        """
        ...

    def send(self, memory: Bytes, blocks: list[int]) -> bytes:
        """The content of blocks that were claimed."""
        ...

    def close(self) -> None:
        """Nothing will be asked any more."""
        ...


class Shadow:
    """What the target has. ``watch`` makes the ``Differences`` of a memory to that."""

    def __init__(self, watch: Callable[[Bytes], Differences]) -> None:
        self.identity = b""
        self.parcel = PARCEL
        """Bytes of changes after which the next parcel is full."""
        self.offered: Collection[bytes] = ()
        """Names of pages that the target has, for the first time that a memory is looked at."""
        self.level = QUICK
        """Of zstd, for what is sent next."""
        self._watch = watch
        self._memories: list[Differences] = []
        self._versions: list[Versions] = []
        """Of the same memories, from the second time on that they are looked at."""
        self._looking, self._closed = threading.Lock(), False
        self._memory = self._offset = 0

    def next_change(self, memories: Sequence[memoryview]) -> Change | None:
        """Look at a stretch of the memories: what has changed there, maybe nothing, and not much
        more than ``parcel`` bytes.

        None at the end of them; then it begins again. A change counts as made.
        """
        with self._open():
            return self._next_change(memories)

    def _next_change(self, memories: Sequence[memoryview]) -> Change | None:
        if self._memory >= len(memories):
            self._memory = self._offset = 0
            self.offered = ()
            self._versions += (Versions() for _ in memories[len(self._versions) :])
            return None
        number = self._memory
        now = np.frombuffer(memories[number], dtype=np.uint8)
        found = self._stretch(now, self._of(number, now))
        if self._offset >= len(now):
            self._memory, self._offset = number + 1, 0
        numbers, blocks, places = (b"".join(part) for part in zip(*found, strict=True))
        deltas = b""
        if number < len(self._versions):
            rows = np.frombuffer(bytearray(blocks), dtype=np.uint8).reshape(-1, BLOCK)
            which = np.frombuffer(numbers, dtype="<u4")
            deltas = self._versions[number].subtract(which, rows, note=True)
            blocks = rows.tobytes()
        return Change(number, len(now), numbers, blocks, places, deltas)

    def _stretch(self, now: Bytes, differences: Differences) -> list[tuple[bytes, bytes, bytes]]:
        """What has changed from here on, until it is enough: numbers, blocks, places."""
        found, size = [(b"", b"", b"")], 0
        stop = min(self._offset + _STRETCH, len(now))
        while self._offset < stop and size < self.parcel:
            end = min(self._offset + _SPAN, len(now))
            changed = differences.find(now, self._offset, end, claim=True)
            self._offset = end
            if changed:
                numbers: Numbers = np.array(changed, dtype="<u4")
                blocks, places = differences.send(now, changed), b""
                if self.offered:
                    numbers, blocks, places = put_names(numbers, blocks, self.offered)
                found.append((numbers.tobytes(), blocks, places))
                size += len(blocks) + count_places(places) * _NAMED
        return found

    def rest(self, memories: Sequence[memoryview]) -> tuple[MemoryImage, ...]:
        """All that has changed since, in the form of a snapshot. Does not count as made."""
        with self._open():
            return tuple(self._image(number, memory) for number, memory in enumerate(memories))

    def close(self) -> None:
        """It is of no use any more. From any thread, as all of this."""
        with self._looking:
            self._closed = True
            for differences in self._memories:
                differences.close()
            self._memories, self._versions = [], []

    @contextmanager
    def _open(self) -> Iterator[None]:
        with self._looking:
            if self._closed:
                raise SnapshotError("the move is over")
            yield

    def _image(self, number: int, memory: memoryview) -> MemoryImage:
        now = np.frombuffer(memory, dtype=np.uint8)
        found = self._of(number, now).find(now, 0, len(now), claim=False)
        changed = np.zeros(len(now) // BLOCK, dtype=np.bool_)
        changed[found] = True
        blocks, deltas = now.reshape(-1, BLOCK)[found], b""
        if number < len(self._versions):
            which = np.array(found, dtype="<u4")
            deltas = self._versions[number].subtract(which, blocks, note=False)
        bitmap = np.packbits(changed, bitorder="little").tobytes()
        return MemoryImage(len(now), bitmap, blocks.tobytes(), deltas)

    def _of(self, number: int, now: Bytes) -> Differences:
        if number == len(self._memories):
            self._memories.append(self._watch(now))
        return self._memories[number]


# ---------------------------------------------------------------------------- rounds


ENOUGH: Final = 64 * 1024
"""So little may be left for the time when the module stands."""
MOST_ROUNDS: Final = 12
_SHRINKS: Final = 0.8
_ARRIVES: Final = 0.5
"""Seconds for a parcel."""


def parcel_size(size: int, seconds: float) -> int:
    """How large to make the next parcel, when one of ``size`` bytes took so long to arrive: so that
    a slow line shows often enough that it is not dead."""
    return min(max(int(size / max(seconds, 1e-3) * _ARRIVES), SMALL_PARCEL), PARCEL)


def another_round(rounds: Sequence[int]) -> bool:
    """Whether one more round, while the module runs, would leave less for when it stands.

    ``rounds``: of each so far, the bytes that had changed. The next one will find about as much,
    unless rounds become shorter; and they do as long as they find less.
    """
    last = rounds[-1]
    if last <= ENOUGH or len(rounds) >= MOST_ROUNDS:
        return False
    return len(rounds) == 1 or last <= _SHRINKS * rounds[-2]
