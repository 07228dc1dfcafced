"""What goes ahead of a snapshot makes the same memory on the other side, and nothing else does."""

import msgspec
import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from arts.errors import SnapshotError
from runtime.compared import Compared
from runtime.shadow import (
    ENOUGH,
    MOST_ROUNDS,
    PARCEL,
    SMALL_PARCEL,
    Change,
    Shadow,
    another_round,
    decode_parcel,
    encode_parcel,
    grown,
    parcel_size,
)
from runtime.snapshot import BLOCK, MemoryImage

PAGE, MIB = 16 * BLOCK, 1 << 20
NOTHING = MemoryImage(0, b"", b"")


class Target:
    """What a receiver makes of parcels and of the snapshot."""

    def __init__(self) -> None:
        self.memories: dict[int, bytearray] = {}
        self.identity = b""

    def take(self, parcel: bytes) -> None:
        change = decode_parcel(parcel)
        self.sized(change.memory, change.size)
        change.write(memoryview(self.memories[change.memory]))
        self.identity = grown(self.identity, parcel)

    def finish(self, images: tuple[MemoryImage, ...]) -> None:
        for number, image in enumerate(images):
            self.sized(number, image.size)
            image.write(memoryview(self.memories[number]), NOTHING)

    def sized(self, number: int, size: int) -> None:
        memory = self.memories.setdefault(number, bytearray())
        memory.extend(bytes(size - len(memory)))


def one_round(shadow: Shadow, memories: list[bytearray], target: Target) -> int:
    """Everything that has changed goes over; the bytes."""
    sent = 0
    while (change := shadow.next_change([memoryview(memory) for memory in memories])) is not None:
        parcel = encode_parcel(change)
        shadow.identity = grown(shadow.identity, parcel)
        target.take(parcel)
        sent += len(change.blocks)
    return sent


writes = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 3)), max_size=12)
growths = st.tuples(st.integers(0, 2), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(growths, writes), min_size=1, max_size=4))
def test_both_sides_have_the_same_after_any_rounds(
    history: list[tuple[tuple[int, int], list[tuple[int, int, int]]]],
) -> None:
    memories = [bytearray(PAGE), bytearray()]
    shadow, target = Shadow(Compared), Target()
    for round_number, (growth, changes) in enumerate(history):
        for memory, pages in zip(memories, growth, strict=True):
            memory.extend(bytes(pages * PAGE))
        for number, block, fill in changes:
            if (block + 1) * BLOCK <= len(memories[number]):
                memories[number][block * BLOCK] = fill
        if round_number < len(history) - 1:
            one_round(shadow, memories, target)
    target.finish(shadow.rest([memoryview(memory) for memory in memories]))
    assert [target.memories[number] for number in range(2)] == memories
    assert shadow.identity == target.identity


def test_only_what_has_changed_goes() -> None:
    memory, shadow, target = bytearray(3 * PAGE), Shadow(Compared), Target()
    memory[0] = memory[PAGE] = 1
    assert one_round(shadow, [memory], target) == 2 * BLOCK
    assert one_round(shadow, [memory], target) == 0
    memory[PAGE] = 0
    (image,) = shadow.rest([memoryview(memory)])
    assert image.blocks == bytes(BLOCK)
    assert image.kept.tolist() == [number == 16 for number in range(48)]


def test_parcels_have_a_bound() -> None:
    memory = np.random.default_rng(1).bytes(2 * PARCEL + PAGE)
    shadow, sizes = Shadow(Compared), []
    while (change := shadow.next_change([memoryview(memory)])) is not None:
        sizes.append(len(change.blocks))
    assert sizes == [PARCEL, PARCEL, PAGE]


def test_an_empty_shadow_stands_for_zeros() -> None:
    memory = bytearray(PAGE)
    memory[5] = 1
    (image,) = Shadow(Compared).rest([memoryview(memory)])
    assert image == MemoryImage.of(memoryview(memory))


def test_a_closed_shadow_is_of_no_use() -> None:
    memory, shadow = bytearray(PAGE), Shadow(Compared)
    one_round(shadow, [memory], Target())
    shadow.close()
    with pytest.raises(SnapshotError, match="over"):
        shadow.next_change([memoryview(memory)])
    with pytest.raises(SnapshotError, match="over"):
        shadow.rest([memoryview(memory)])


def test_the_identity_says_which_parcels_and_in_which_order() -> None:
    assert grown(grown(b"", b"a"), b"b") != grown(grown(b"", b"b"), b"a")


# ---------------------------------------------------------------------------- bad input

GOOD = Change(0, 2 * BLOCK, (1).to_bytes(4, "little"), bytes(BLOCK))


def test_a_change_survives_the_way() -> None:
    assert decode_parcel(encode_parcel(GOOD)) == GOOD


@pytest.mark.parametrize(
    "bad",
    [
        Change(0, 2 * BLOCK, (2).to_bytes(4, "little"), bytes(BLOCK)),
        Change(0, 2 * BLOCK, b"\0\0\0", b""),
        Change(0, 2 * BLOCK, bytes(8), bytes(BLOCK)),
        Change(0, 2 * BLOCK, bytes(4), bytes(BLOCK + 1)),
        Change(0, BLOCK + 1, bytes(4), bytes(BLOCK)),
    ],
    ids=["behind the end", "half a number", "too few blocks", "too many bytes", "no whole block"],
)
def test_a_change_that_contradicts_itself_is_refused(bad: Change) -> None:
    with pytest.raises(SnapshotError):
        decode_parcel(encode_parcel(bad))


@pytest.mark.parametrize(
    "bad",
    [
        b"",
        b"nonsense",
        encode_parcel(GOOD)[:-5],
        zstandard.compress(msgspec.msgpack.encode([-1, BLOCK, b"", b""])),
        zstandard.compress(msgspec.msgpack.encode("text")),
        zstandard.compress(bytes(2 * PARCEL)),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(100)),
    ],
)
def test_what_is_no_parcel_is_refused(bad: bytes) -> None:
    with pytest.raises(SnapshotError):
        decode_parcel(bad)


@given(st.binary(max_size=60), st.integers(0, 200))
def test_damage_never_does_more_than_be_refused(noise: bytes, at: int) -> None:
    data = bytearray(encode_parcel(GOOD))
    data[at : at + len(noise)] = noise
    try:
        change = decode_parcel(bytes(data))
    except SnapshotError:
        return
    change.write(memoryview(bytearray(change.size)))


# ---------------------------------------------------------------------------- rounds


@pytest.mark.parametrize(
    ("size", "seconds", "then"),
    [
        (MIB, 1.0, MIB // 2),
        (MIB, 60.0, SMALL_PARCEL),
        (SMALL_PARCEL, 0.01, PARCEL),
        (SMALL_PARCEL, 0.0, PARCEL),
    ],
    ids=["some", "slow", "fast", "at once"],
)
def test_a_parcel_is_as_large_as_the_line_is_fast(size: int, seconds: float, then: int) -> None:
    assert parcel_size(size, seconds) == then


def test_parcels_may_be_smaller() -> None:
    memory, shadow = np.random.default_rng(1).bytes(2 * PAGE + MIB), Shadow(Compared)
    shadow.parcel, sizes = SMALL_PARCEL, []
    while (change := shadow.next_change([memoryview(memory)])) is not None:
        sizes.append(len(change.blocks))
    assert sizes == [SMALL_PARCEL] * 9


@pytest.mark.parametrize(
    ("rounds", "more"),
    [
        ([ENOUGH], False),
        ([ENOUGH + 1], True),
        ([100 * ENOUGH, 10 * ENOUGH], True),
        ([100 * ENOUGH, 90 * ENOUGH], False),
        ([100 * ENOUGH, ENOUGH], False),
        ([10**9 // 2**n for n in range(MOST_ROUNDS)], False),
    ],
    ids=["little", "much", "it shrinks", "it does not shrink", "little is left", "long enough"],
)
def test_when_to_go_once_more(rounds: list[int], more: bool) -> None:
    assert another_round(rounds) is more
