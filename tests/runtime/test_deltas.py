"""What changes a little, again and again, travels as little, and arrives as it is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arts.errors import SnapshotError
from runtime.compared import Compared
from runtime.deltas import HARD, QUICK, SLOW_LINE, Versions, packing_level
from runtime.shadow import Change, Shadow, decode_parcel, encode_parcel
from runtime.snapshot import BLOCK, MemoryImage, write_blocks

NOTHING = MemoryImage(0, b"", b"")
COUNT = 64
"""Blocks of the memories here."""


def noise(seed: int, blocks: int = COUNT) -> bytearray:
    """What does not pack."""
    return bytearray(np.random.default_rng(seed).bytes(blocks * BLOCK))


class Pair:
    """A memory, and what its target makes of what is sent of it."""

    def __init__(self) -> None:
        self.memory, self.target = noise(1), bytearray(COUNT * BLOCK)
        self.shadow = Shadow(Compared)

    def round(self) -> int:
        """Send what has changed; the bytes of the parcels."""
        sent = 0
        while (change := self.shadow.next_change([memoryview(self.memory)])) is not None:
            parcel = encode_parcel(change)
            decode_parcel(parcel).write(memoryview(self.target))
            sent += len(parcel)
        return sent

    def touch(self, value: int) -> None:
        """Change one byte of each block."""
        for block in range(COUNT):
            self.memory[block * BLOCK + 7] = value


def test_the_third_time_only_what_has_changed_in_a_block_travels() -> None:
    pair = Pair()
    sent = []
    for value in (1, 2, 3, 4):
        pair.touch(value)
        sent.append(pair.round())
        assert pair.target == pair.memory
    assert sent[0] > COUNT * BLOCK
    assert sent[1] > COUNT * BLOCK, "what leaves once is not kept: it costs memory"
    assert max(sent[2:]) < COUNT * BLOCK / 50


def test_so_does_what_is_left_for_the_snapshot() -> None:
    pair = Pair()
    for value in (1, 2):
        pair.touch(value)
        pair.round()
    pair.touch(3)
    (image,) = pair.shadow.rest([memoryview(pair.memory)])
    assert len(image.blocks) == COUNT * BLOCK
    assert image.blocks.count(0) > COUNT * (BLOCK - 2)
    image.write(memoryview(pair.target), NOTHING)
    assert pair.target == pair.memory


def test_what_is_new_altogether_travels_as_it_is() -> None:
    pair = Pair()
    for seed in (1, 2, 3):
        pair.memory[:] = noise(seed)
        pair.round()
    pair.memory[:] = noise(4)
    change = pair.shadow.next_change([memoryview(pair.memory)])
    assert change is not None
    assert (change.blocks, change.deltas) == (bytes(pair.memory), b"")


writes = st.lists(st.tuples(st.integers(0, COUNT - 1), st.integers(0, 99)), max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(writes, min_size=1, max_size=6), st.integers(0, COUNT))
def test_both_sides_have_the_same_after_any_rounds(
    history: list[list[tuple[int, int]]], budget: int
) -> None:
    pair = Pair()
    pair.round()
    pair.shadow._versions = [Versions(budget * BLOCK)]
    for changes in history:
        for block, value in changes:
            pair.memory[block * BLOCK + value] = value
        pair.round()
        assert pair.target == pair.memory
    for block, value in history[0]:
        pair.memory[block * BLOCK] = value + 1
    (image,) = pair.shadow.rest([memoryview(pair.memory)])
    image.write(memoryview(pair.target), NOTHING)
    assert pair.target == pair.memory


def test_beyond_the_budget_blocks_travel_whole() -> None:
    versions, numbers = Versions(2 * BLOCK), np.arange(4, dtype=np.uint32)
    now = np.frombuffer(noise(1, 4), dtype=np.uint8).reshape(-1, BLOCK)
    versions.subtract(numbers, now.copy(), note=True)
    blocks = now.copy()
    blocks[0, 0] ^= 1
    assert versions.subtract(numbers, blocks, note=False) == b"\3"
    assert blocks[:2].tobytes() == b"\1" + bytes(2 * BLOCK - 1)
    assert (blocks[2:] == now[2:]).all()


def test_bits_for_some_blocks_leave_the_others_as_they_are() -> None:
    memory = bytearray(b"\1" * 10 * BLOCK)
    write_blocks(memoryview(memory), np.arange(10, dtype=np.uint32), b"\2" * 10 * BLOCK, b"\1")
    assert memory == b"\3" * BLOCK + b"\2" * 9 * BLOCK


def test_a_change_with_more_deltas_than_blocks_is_refused() -> None:
    with pytest.raises(SnapshotError, match="more deltas"):
        decode_parcel(encode_parcel(Change(0, BLOCK, bytes(4), bytes(BLOCK), deltas=bytes(2))))


@pytest.mark.parametrize(
    ("shrinks_to", "rate", "seconds", "level"),
    [
        (0.5, SLOW_LINE / 2, 0.5, HARD),
        (0.5, SLOW_LINE * 2, 0.5, QUICK),
        (0.95, SLOW_LINE / 2, 0.5, QUICK),
        (0.5, SLOW_LINE / 2, 0.05, QUICK),
    ],
    ids=["slow", "fast", "slow, but does not pack", "too short to tell"],
)
def test_how_hard_to_pack(shrinks_to: float, rate: float, seconds: float, level: int) -> None:
    sent = round(rate * seconds)
    assert packing_level(sent, round(sent / shrinks_to), seconds) == level
