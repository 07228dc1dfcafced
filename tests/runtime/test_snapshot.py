"""Snapshots survive the way through bytes exactly, and nothing else gets in."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from arts.bus.base import Publication
from arts.errors import SnapshotError
from arts.protocol.sequence import Heard, Stamp
from runtime.snapshot import (
    BLOCK,
    FORMAT_VERSION,
    MAGIC,
    GlobalValue,
    MemoryImage,
    Snapshot,
    TrafficState,
    decode,
    digest,
    encode,
    room_for,
)

EMPTY = MemoryImage(0, b"", b"")


def image(*blocks: int) -> MemoryImage:
    """A memory whose blocks are filled with these bytes."""
    return MemoryImage.of(memoryview(b"".join(bytes([fill]) * BLOCK for fill in blocks)))


def snapshot(*memories: MemoryImage, **fields: object) -> Snapshot:
    base = Snapshot(
        program="ab" * 32,
        abi=1,
        engine="test 1",
        memories=memories,
        globals=(GlobalValue(3, "i32", b"\1\0\0\0"), GlobalValue(7, "v128", bytes(range(16)))),
        tables=((0, None, 5), ()),
        frames=b"frames",
        wasi=b"wasi",
        cpu_seconds=1.5,
        messages_in=2,
        messages_out=3,
        lived_seconds=1.5,
    )
    return replace(base, **fields)  # type: ignore[arg-type]


SAMPLE = snapshot(image(0, 1, 0, 255), image(0))

images = st.lists(st.integers(0, 3), max_size=20).map(lambda fills: image(*fills))
snapshots = st.builds(
    snapshot,
    images,
    images,
    frames=st.binary(max_size=100),
    wasi=st.binary(max_size=100),
    engine=st.text(max_size=10),
    messages_in=st.integers(0, 2**60),
    cpu_seconds=st.floats(0, 1e9),
    lived_seconds=st.floats(0, 1e9),
    traffic=st.builds(
        TrafficState,
        unconfirmed=st.lists(st.builds(Publication, st.text(), st.binary(), st.integers(0, 1))).map(
            tuple
        ),
        heard=st.just((Heard("t", Stamp("m", 1, 2, 3)),)),
    ),
)


# ---------------------------------------------------------------------------- memories


def test_zero_blocks_are_left_out() -> None:
    found = image(0, 7, 0, 0, 9)
    assert found.size == 5 * BLOCK
    assert found.blocks == b"\7" * BLOCK + b"\x09" * BLOCK
    assert found.kept.tolist() == [False, True, False, False, True]


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=12))
def test_writing_replaces_what_was_there_initially(wanted: list[int], initial: list[int]) -> None:
    wanted += [0] * (len(initial) - len(wanted))
    memory = bytearray(b"".join(bytes([fill]) * BLOCK for fill in initial))
    before = MemoryImage.of(memoryview(bytes(memory)))
    memory += bytes(BLOCK * (len(wanted) - len(initial)))
    image(*wanted).write(memoryview(memory), before)
    assert memory == b"".join(bytes([fill]) * BLOCK for fill in wanted)


def test_writing_leaves_untouched_what_stays_zero() -> None:
    memory = bytearray(b"\5" * BLOCK * 2)
    image(0, 1).write(memoryview(memory), image(0, 0))
    assert memory == b"\5" * BLOCK + b"\1" * BLOCK


# ---------------------------------------------------------------------------- bytes


@given(snapshots)
def test_the_way_through_bytes_changes_nothing(original: Snapshot) -> None:
    data = encode(original)
    assert decode(data) == original
    assert encode(decode(data)) == data


def test_digest_is_that_of_the_bytes() -> None:
    data = encode(SAMPLE)
    assert len(digest(data)) == 64
    assert digest(data) == digest(encode(decode(data)))
    assert digest(data) != digest(encode(replace(SAMPLE, frames=b"")))


def test_what_repeats_is_small() -> None:
    assert len(encode(snapshot(image(*[0] * 300, 1, *[2] * 16)))) < 1000


@given(st.data())
def test_damage_is_always_a_snapshot_error(data: st.DataObject) -> None:
    encoded = bytearray(encode(SAMPLE))
    for _ in range(data.draw(st.integers(1, 4))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(encoded)))
    for damaged in {bytes(encoded), bytes(encoded[:cut])} - {encode(SAMPLE)}:
        with pytest.raises(SnapshotError):
            decode(damaged)


@given(st.binary(max_size=200))
def test_noise_is_always_a_snapshot_error(noise: bytes) -> None:
    for data in (noise, MAGIC + noise, repack(lambda _: noise)):
        with pytest.raises(SnapshotError):
            decode(data)


@given(st.data())
def test_a_forged_record_is_an_error_or_a_snapshot(data: st.DataObject) -> None:
    """Damage that has a correct checksum: nothing but SnapshotError, or something consistent."""

    def damage(content: bytes) -> bytes:
        forged = bytearray(content)
        position = data.draw(st.integers(0, min(len(forged), 300) - 1))
        forged[position] ^= data.draw(st.integers(1, 255))
        return bytes(forged)

    try:
        found = decode(repack(damage))
    except SnapshotError:
        return
    assert decode(encode(found)) == found


def unpack(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data[24:])


def repack(
    change: Callable[[bytes], bytes], size: int | None = None, version: int = FORMAT_VERSION
) -> bytes:
    """The sample with changed content, and everything around it made right again."""
    content = change(unpack(encode(SAMPLE)))
    packed = zstandard.ZstdCompressor(level=1).compress(content)
    size = len(content) if size is None else size
    return struct.pack("<8sIIQ", MAGIC, version, zlib.crc32(packed), size) + packed


def rewrite(change: Callable[[list[Any]], object]) -> bytes:
    """The sample with a changed record."""

    def in_content(content: bytes) -> bytes:
        (size,) = struct.unpack_from("<I", content)
        record = msgspec.msgpack.decode(content[4 : 4 + size])
        change(record)
        encoded = msgspec.msgpack.encode(record)
        return struct.pack("<I", len(encoded)) + encoded + content[4 + size :]

    return repack(in_content)


def set_field(index: int, value: object) -> bytes:
    return rewrite(lambda record: record.__setitem__(index, value))


MEMORIES, GLOBALS = 3, 4


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut off"),
        (encode(SAMPLE)[:23], "cut off"),
        (b"x" * 30, "not a snapshot"),
        (repack(bytes, version=1), "format 1"),
        (encode(SAMPLE)[:-1], "damaged"),
        (repack(bytes, size=5), "contradicts itself"),
        (repack(bytes, size=1 << 40), "more than is allowed"),
        (repack(lambda _: b""), "no content"),
        (repack(lambda content: b"\xff\xff\xff\xff" + content[4:]), "malformed"),
        (repack(lambda content: content + b"\0"), "not those of its memories"),
        (repack(lambda content: content[:-1]), "not those of its memories"),
        (set_field(0, 5), "malformed"),
        (set_field(GLOBALS, [[1, "i31", b"\0\0\0\0"]]), "malformed"),
        (set_field(GLOBALS, [{"number": 1, "type": "i31", "bits": b"\0" * 4}]), "type 'i31'"),
        (set_field(GLOBALS, [{"number": 1, "type": "i64", "bits": b"\0" * 4}]), "type 'i64'"),
        (set_field(MEMORIES, [[1 << 31, b"", b""]]), "cannot be restored"),
        (set_field(MEMORIES, [[-4096, b"", b""]]), "cannot be restored"),
        (set_field(MEMORIES, [[100, b"", b""]]), "cannot be restored"),
        (set_field(MEMORIES, [[4096, b"", b""]]), "does not fit"),
        (set_field(MEMORIES, [[4096, b"\2", b""]]), "does not fit"),
        (set_field(MEMORIES, [[4096, b"\0", b"\0"]]), "more deltas than blocks"),
        (rewrite(lambda record: record[MEMORIES][0].__setitem__(2, b"\1")), "deltas to nothing"),
        (set_field(MEMORIES, []), "not those of its memories"),
        (set_field(8, float("nan")), "malformed"),
        (set_field(8, float("inf")), "malformed"),
        (set_field(9, -1), "malformed"),
        (set_field(11, -1.0), "malformed"),
    ],
)
def test_every_contradiction_has_its_reason(data: bytes, reason: str) -> None:
    with pytest.raises(SnapshotError, match=reason):
        decode(data)


@pytest.mark.parametrize("blocks", [(1, 0, 2), (1, 1, 1, 1)])
def test_room_that_was_made_before_changes_nothing(blocks: tuple[int, ...]) -> None:
    """Also if the memory has filled since, beyond what there is room for."""
    memory = b"".join(bytes([fill]) * BLOCK for fill in blocks)
    room = room_for(memoryview(memory))
    memory += b"\5" * BLOCK
    made = MemoryImage.of(memoryview(memory), room)
    assert np.shares_memory(np.frombuffer(made.blocks, np.uint8), room)
    assert made == MemoryImage.of(memoryview(memory))
    assert encode(snapshot(made)) == encode(snapshot(MemoryImage.of(memoryview(memory))))
    memory += b"\6" * (len(room) * BLOCK)
    assert MemoryImage.of(memoryview(memory), room) == MemoryImage.of(memoryview(memory))


def test_a_frame_that_is_not_zstd() -> None:
    junk = b"not zstd at all, but with a right checksum"
    data = struct.pack("<8sIIQ", MAGIC, FORMAT_VERSION, zlib.crc32(junk), 100) + junk
    with pytest.raises(SnapshotError, match="cannot be unpacked"):
        decode(data)


def test_memory_is_limited_by_the_reader() -> None:
    zeros = encode(snapshot(MemoryImage.of(memoryview(np.zeros(1 << 20, np.uint8).data))))
    assert decode(zeros, max_bytes=1 << 20).memories[0].size == 1 << 20
    with pytest.raises(SnapshotError, match="cannot be restored"):
        decode(zeros, max_bytes=(1 << 20) - 1)


def test_an_empty_memory() -> None:
    assert MemoryImage.of(memoryview(b"")) == EMPTY
    EMPTY.write(memoryview(bytearray()), EMPTY)
    assert decode(encode(snapshot(EMPTY))).memories == (EMPTY,)
