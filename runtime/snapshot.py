"""A captured module as data, and as bytes. PURE: knows the format, no engine and no transport.

The bytes: a header (magic, format version, CRC-32 of the rest, size of the content), then one zstd
frame. The content: size of the record (u32), the record in MessagePack, and the 4 KiB blocks of
all memories that are not zero. The same snapshot gives the same bytes.

``decode`` trusts nothing: whatever it is fed, it returns a consistent snapshot or raises
``SnapshotError``, and never allocates more than it was allowed to.
"""

import hashlib
import struct
import threading
import zlib
from dataclasses import dataclass
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import zstandard

from arts.bus.base import Publication
from arts.errors import SnapshotError
from arts.protocol.sequence import Heard
from runtime.channels import Taken

FORMAT_VERSION: Final = 5
MAGIC: Final = b"ARTSsnap"
PLAIN: Final = b"ARTSrow\0"
"""Begins a snapshot whose content is not packed: what ``pieces`` makes."""
PAGE: Final = 65536
"""Bytes of a memory whose kept blocks are one piece."""
BLOCK: Final = 4096
"""Bytes of a memory that are kept or left out together."""
MAX_BYTES: Final = 1 << 30
"""What a snapshot may unfold to, all memories together, unless the reader says otherwise."""

_HEADER: Final = struct.Struct("<8sIIQ")
_RECORD_SIZE: Final = struct.Struct("<I")
_WORDS: Final = BLOCK // 8
_MORE: Final = 256
"""Blocks that a memory may fill from when there is room for its image until that is made."""
_RECORD_SHARE: Final = 1 << 26
"""Content beyond the memories: frames, files, input; and the bitmap, 1 bit a block."""
Numbers = np.ndarray[tuple[int], np.dtype[np.uint32]]
"""Numbers of blocks of a memory, ascending."""

_AT_ONCE: Final = 256
"""Blocks that are worked on together: about what a cache holds."""
_GLOBAL_SIZES: Final = {"i32": 4, "i64": 8, "f32": 4, "f64": 8, "v128": 16}


def write_blocks(
    memory: memoryview, numbers: Numbers, blocks: bytes | memoryview, deltas: bytes
) -> None:
    """Make blocks of a memory what they are now. ``deltas``: one bit each, of as many as it has,
    lowest first: whether the block is XORed with what is there."""
    there = np.frombuffer(memory, dtype=np.uint8).reshape(-1, BLOCK)
    content = np.frombuffer(blocks, dtype=np.uint8).reshape(-1, BLOCK)
    bits = np.unpackbits(np.frombuffer(deltas, dtype=np.uint8), bitorder="little")
    whole = np.ones(len(numbers), dtype=np.bool_)
    whole[: len(bits)] = bits[: len(numbers)] == 0
    there[numbers[whole]] = content[whole]
    changed = np.flatnonzero(~whole)
    for begin in range(0, len(changed), _AT_ONCE):
        some = changed[begin : begin + _AT_ONCE]
        there[numbers[some]] ^= content[some]


Room = np.ndarray[tuple[int, int], np.dtype[np.uint8]]
"""Memory for so many blocks."""


def room_for(memory: memoryview) -> Room:
    """Memory for an image of one that may change a little until then, and is at hand: to get it
    from the system takes longer than to copy."""
    room: Room = np.empty((int(_filled(memory).sum()) + _MORE, BLOCK), dtype=np.uint8)
    room[:, 0] = 0
    return room


def _filled(memory: memoryview) -> "np.ndarray[tuple[Any, ...], np.dtype[np.bool_]]":
    """Which blocks are not zero."""
    words = np.frombuffer(memory, dtype=np.uint64).reshape(-1, _WORDS)
    return np.asarray(words.any(axis=1))


@dataclass(frozen=True, slots=True)
class MemoryImage:
    """The content of a memory of ``size`` bytes, without its zero blocks."""

    size: int
    bitmap: bytes
    """One bit a block (lowest bit first): whether it is in ``blocks``."""
    blocks: bytes | memoryview
    deltas: bytes = b""
    """One bit for each of these: whether it is XORed with what the snapshot builds on."""

    @classmethod
    def of(cls, memory: memoryview, room: "Room | None" = None) -> "MemoryImage":
        """Copy what is not zero. ``memory``: bytes, a multiple of BLOCK. ``room``: where to, if it
        does; then it belongs to the image."""
        kept = _filled(memory)
        bitmap = np.packbits(kept, bitorder="little").tobytes()
        blocks = np.frombuffer(memory, dtype=np.uint8).reshape(-1, BLOCK)
        numbers = np.flatnonzero(kept)
        if room is None or len(numbers) > len(room):
            return cls(len(memory), bitmap, blocks[numbers].tobytes())
        copied = room[: len(numbers)]
        np.take(blocks, numbers, axis=0, out=copied, mode="clip")  # else it copies twice
        return cls(len(memory), bitmap, copied.reshape(-1).data)

    @property
    def kept(self) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Which blocks are not zero."""
        bits = np.frombuffer(self.bitmap, dtype=np.uint8)
        unpacked = np.unpackbits(bits, count=self.size // BLOCK, bitorder="little")
        return unpacked.view(np.bool_)

    @property
    def numbers(self) -> Numbers:
        """The numbers of the blocks that are not zero, ascending."""
        return np.flatnonzero(self.kept).astype(np.uint32)

    def write(self, memory: memoryview, initial: "MemoryImage") -> None:
        """Turn a memory that holds ``initial`` (and zeros behind it) into this one.

        Untouched pages stay untouched: they cost nothing. ``memory`` has ``size`` bytes.
        """
        blocks = np.frombuffer(memory, dtype=np.uint8).reshape(-1, BLOCK)
        kept = self.kept
        stale = initial.kept & ~kept[: initial.size // BLOCK]
        blocks[: len(stale)][stale] = 0
        write_blocks(memory, self.numbers, self.blocks, self.deltas)


@dataclass(frozen=True, slots=True)
class GlobalValue:
    """A mutable global of the program."""

    number: int
    type: str
    """``i32``, ``i64``, ``f32``, ``f64`` or ``v128``."""
    bits: bytes
    """Little-endian, as long as the type."""


@dataclass(frozen=True, slots=True)
class TrafficState:
    """Where the channels of the module stand."""

    unconfirmed: tuple[Publication, ...] = ()
    """What it has published and the broker has not confirmed, oldest first: published again
    before the module goes on."""
    origin: int = 0
    """The generation at which it began from nothing."""
    written: int = 0
    """How many messages it has written to channels since then."""
    heard: tuple[Heard, ...] = ()
    """The last of each writer that it has had on sequenced channels."""
    taken: tuple[Taken, ...] = ()
    """What it has of the input that its broker will hand over once more."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state of a module that stands."""

    program: str
    """sha256 (hex) of the program bytes whose state this is."""
    abi: int
    """Version of the contract between the program and its host."""
    engine: str
    """Who took it, for people."""
    memories: tuple[MemoryImage, ...]
    globals: tuple[GlobalValue, ...]
    tables: tuple[tuple[int | None, ...], ...]
    """Of each table that changes, the numbers of the functions in it."""
    frames: bytes
    """The stack; empty before the first instruction."""
    wasi: bytes
    """The host's side, in the encoding of ``runtime.wasi.state``."""
    cpu_seconds: float = 0.0
    messages_in: int = 0
    messages_out: int = 0
    lived_seconds: float = 0.0
    """How long it has been allowed to run, on all its runtimes: counts towards its life time."""
    base: bytes = b""
    """Identity of the ``runtime.shadow`` that the memories are changes to; empty: of zeros."""
    traffic: TrafficState = TrafficState()


_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    program: str
    abi: int
    engine: str
    memories: tuple[tuple[int, bytes, bytes], ...]
    globals: tuple[GlobalValue, ...]
    tables: tuple[tuple[int | None, ...], ...]
    frames: bytes
    wasi: bytes
    cpu_seconds: _Seconds
    messages_in: _Count
    messages_out: _Count
    lived_seconds: _Seconds
    base: bytes
    traffic: TrafficState


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Record)
_local = threading.local()


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """One for each thread and level: making one costs more than using it."""
    made: dict[int, zstandard.ZstdCompressor] = _local.__dict__.setdefault("compressors", {})
    if level not in made:
        made[level] = zstandard.ZstdCompressor(level=level)
    return made[level]


def encode(snapshot: Snapshot, level: int = 1) -> bytes:
    """The bytes of a snapshot; ``level``: of zstd."""
    record = _encoded_record(snapshot)
    blocks = [memory.blocks for memory in snapshot.memories]
    content = b"".join([_RECORD_SIZE.pack(len(record)), record, *blocks])
    packed = _compressor(level).compress(content)
    return _HEADER.pack(MAGIC, FORMAT_VERSION, zlib.crc32(packed), len(content)) + packed


def pieces(snapshot: Snapshot) -> list[bytes | memoryview]:
    """The snapshot, cut so that most pieces are equal as long as most of its memory is: one after
    the other, they can be decoded. The first is all but the memories."""
    record = _encoded_record(snapshot)
    pages = [page for memory in snapshot.memories for page in _pages(memory)]
    begin = _RECORD_SIZE.pack(len(record)) + record
    checksum = zlib.crc32(begin)
    for page in pages:
        checksum = zlib.crc32(page, checksum)
    size = len(begin) + sum(map(len, pages))
    return [_HEADER.pack(PLAIN, FORMAT_VERSION, checksum, size) + begin, *pages]


def _pages(memory: MemoryImage) -> list[bytes | memoryview]:
    """What is kept of each page that is not all zeros."""
    kept = memory.kept
    per_page = PAGE // BLOCK
    padded = np.zeros(-(-len(kept) // per_page) * per_page, dtype=np.bool_)
    padded[: len(kept)] = kept
    ends = np.cumsum(padded.reshape(-1, per_page).sum(axis=1)) * BLOCK
    found, begin = [], 0
    for end in ends.tolist():
        if end > begin:
            found.append(memory.blocks[begin:end])
        begin = end
    return found


def _encoded_record(snapshot: Snapshot) -> bytes:
    return _encoder.encode(
        _Record(
            snapshot.program,
            snapshot.abi,
            snapshot.engine,
            tuple((memory.size, memory.bitmap, memory.deltas) for memory in snapshot.memories),
            snapshot.globals,
            snapshot.tables,
            snapshot.frames,
            snapshot.wasi,
            snapshot.cpu_seconds,
            snapshot.messages_in,
            snapshot.messages_out,
            snapshot.lived_seconds,
            snapshot.base,
            snapshot.traffic,
        )
    )


def decode(data: bytes, max_bytes: int = MAX_BYTES) -> Snapshot:
    """The snapshot of these bytes; its memories have at most ``max_bytes`` together.

    Raises ``SnapshotError``, whatever is wrong with them.
    """
    content = _unpack(data, max_bytes)
    if len(content) < _RECORD_SIZE.size:
        raise SnapshotError("the snapshot has no content")
    end = _RECORD_SIZE.size + _RECORD_SIZE.unpack_from(content)[0]
    try:
        record = _decoder.decode(content[_RECORD_SIZE.size : end])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise SnapshotError(f"the snapshot's record is malformed: {error}") from None
    for value in record.globals:
        if _GLOBAL_SIZES.get(value.type) != len(value.bits):
            raise SnapshotError(f"global {value.number} is not a value of type {value.type!r}")
    memories = _images(record.memories, content, end, max_bytes)
    if not record.base and any(memory.deltas for memory in memories):
        raise SnapshotError("the snapshot has deltas to nothing")
    return Snapshot(
        record.program,
        record.abi,
        record.engine,
        memories,
        record.globals,
        record.tables,
        record.frames,
        record.wasi,
        record.cpu_seconds,
        record.messages_in,
        record.messages_out,
        record.lived_seconds,
        record.base,
        record.traffic,
    )


def digest(data: bytes) -> str:
    """sha256 (hex) of an encoded snapshot: what source and target compare."""
    return hashlib.sha256(data).hexdigest()


def _unpack(data: bytes, max_bytes: int) -> bytes:
    if len(data) < _HEADER.size:
        raise SnapshotError("the snapshot is cut off")
    magic, version, checksum, size = _HEADER.unpack_from(data)
    if magic not in (MAGIC, PLAIN):
        raise SnapshotError("this is not a snapshot")
    if version != FORMAT_VERSION:
        raise SnapshotError(f"the snapshot has format {version}; here is format {FORMAT_VERSION}")
    packed = memoryview(data)[_HEADER.size :]
    if zlib.crc32(packed) != checksum:
        raise SnapshotError("the snapshot is damaged (its checksum is wrong)")
    if size > max_bytes + _RECORD_SHARE:
        raise SnapshotError(f"the snapshot unfolds to {size} bytes, more than is allowed here")
    if magic == PLAIN:
        if len(packed) != size:
            raise SnapshotError("the snapshot contradicts itself about its size")
        return bytes(packed)
    try:
        if zstandard.frame_content_size(packed[:18]) != size:
            raise SnapshotError("the snapshot contradicts itself about its size")
        return zstandard.ZstdDecompressor().decompress(packed)
    except zstandard.ZstdError as error:
        raise SnapshotError(f"the snapshot cannot be unpacked: {error}") from None


def _images(
    memories: tuple[tuple[int, bytes, bytes], ...], content: bytes, start: int, max_bytes: int
) -> tuple[MemoryImage, ...]:
    images = []
    for size, bitmap, deltas in memories:
        max_bytes -= size
        if size < 0 or size % BLOCK or max_bytes < 0:
            raise SnapshotError(f"a memory of {size} bytes cannot be restored here")
        count = size // BLOCK
        if len(bitmap) != (count + 7) // 8 or int.from_bytes(bitmap, "little") >> count:
            raise SnapshotError("a memory's list of blocks does not fit its size")
        kept = int.from_bytes(bitmap, "little").bit_count()
        if len(deltas) > (kept + 7) // 8:
            raise SnapshotError("a memory has more deltas than blocks")
        end = start + kept * BLOCK
        images.append(MemoryImage(size, bitmap, content[start:end], deltas))
        start = end
    if start != len(content):
        raise SnapshotError("the snapshot's blocks are not those of its memories")
    return tuple(images)
