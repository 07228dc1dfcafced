"""A snapshot cut in pieces: together they are the snapshot, and most stay equal."""

import pytest

from arts.errors import SnapshotError
from runtime.snapshot import (
    BLOCK,
    PAGE,
    GlobalValue,
    MemoryImage,
    Snapshot,
    decode,
    pieces,
)


def snapshot(*memories: bytes) -> Snapshot:
    return Snapshot(
        program="p" * 64,
        abi=1,
        engine="test",
        memories=tuple(MemoryImage.of(memoryview(bytearray(m))) for m in memories),
        globals=(GlobalValue(0, "i32", b"\x01\0\0\0"),),
        tables=((1, None),),
        frames=b"frames",
        wasi=b"wasi",
    )


def memory(pages: int, **blocks: int) -> bytearray:
    """Zeros, but for these blocks: ``b17=3`` fills block 17 with threes."""
    data = bytearray(pages * PAGE)
    for name, value in blocks.items():
        begin = int(name[1:]) * BLOCK
        data[begin : begin + BLOCK] = bytes([value]) * BLOCK
    return data


@pytest.mark.parametrize(
    "memories",
    [
        (),
        (b"",),
        (memory(3),),
        (memory(3, b0=1, b15=2, b16=3, b47=4), memory(1, b3=5)),
        (memory(2, b1=1)[: PAGE + BLOCK],),
    ],
)
def test_together_they_are_the_snapshot(memories: tuple[bytes, ...]) -> None:
    whole = snapshot(*memories)
    assert decode(b"".join(pieces(whole))) == whole


def test_only_the_pages_that_changed_are_other_pieces() -> None:
    before = pieces(snapshot(memory(8, b0=1, b20=2, b100=3)))
    after = pieces(snapshot(memory(8, b0=1, b20=2, b21=9, b100=3)))
    assert [len(piece) for piece in before[1:]] == [BLOCK] * 3
    assert [len(piece) for piece in after[1:]] == [BLOCK, 2 * BLOCK, BLOCK]
    assert (before[1], before[3]) == (after[1], after[3])


def test_damage_is_found() -> None:
    data = b"".join(pieces(snapshot(memory(2, b0=1, b20=2))))
    for spoiled in (data[:-1], data + b"\0", data[:-1] + b"x"):
        with pytest.raises(SnapshotError):
            decode(spoiled)


def test_a_size_that_is_a_lie() -> None:
    data = bytearray(b"".join(pieces(snapshot(memory(1, b0=1)))))
    data[16:24] = (5).to_bytes(8, "little")
    with pytest.raises(SnapshotError, match="contradicts itself about its size"):
        decode(bytes(data))
