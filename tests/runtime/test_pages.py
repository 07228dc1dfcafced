"""Pages that the target still has are named, and what is named is what was there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arts.errors import SnapshotError
from runtime.compared import Compared, Filled
from runtime.pages import MOST_NAMES, NAME, Pages, name_of, split_names
from runtime.shadow import Change, Shadow, decode_parcel, encode_parcel
from runtime.snapshot import BLOCK, PAGE

PROGRAM, OTHER = "a" * 64, "b" * 64
PER_PAGE = PAGE // BLOCK


def memory_of(*fills: int) -> bytearray:
    """A page for each fill; of every other block of it only the last byte is filled."""
    memory = bytearray()
    for fill in fills:
        for block in range(PER_PAGE):
            whole = bytes([fill]) * BLOCK
            memory += whole if block % 2 else bytes(BLOCK - 1) + bytes([fill])
    return memory


def kept(*memories: bytearray, budget: int = 64 * PAGE, program: str = PROGRAM) -> Pages:
    """A store with what a runtime keeps of memories."""
    pages, shadow = Pages(budget), Shadow(Filled)
    views = [memoryview(memory) for memory in memories]
    while (change := shadow.next_change(views)) is not None:
        pages.keep(program, change.block_numbers, change.blocks)
    return pages


def sent(memory: bytearray, pages: Pages) -> tuple[bytearray, list[Change]]:
    """What the target makes of the memory when it has such pages, and what travelled for it."""
    shadow, target, changes = Shadow(Compared), bytearray(len(memory)), list[Change]()
    offered = pages.of(PROGRAM)
    shadow.offered = split_names(b"".join(offered))
    while (change := shadow.next_change([memoryview(memory)])) is not None:
        parcel = decode_parcel(encode_parcel(change))
        parcel.spelled_out(offered).write(memoryview(target))
        changes.append(parcel)
    return target, changes


def test_what_comes_back_unchanged_is_only_named() -> None:
    memory = memory_of(1, 2, 3)
    target, changes = sent(memory, kept(memory))
    assert target == memory
    assert sum(change.named for change in changes) == 3
    assert not any(change.blocks for change in changes)
    assert sum(change.weight for change in changes) == 3 * PAGE // 4, "else parcels become small"


def test_a_page_is_known_wherever_it_lies() -> None:
    target, changes = sent(memory_of(3, 0, 1, 1), kept(memory_of(1, 2, 3)))
    assert target == memory_of(3, 0, 1, 1)
    assert sum(change.named for change in changes) == 3


def test_only_what_is_new_travels() -> None:
    before, now = memory_of(1, 2, 3), memory_of(1, 2, 3)
    now[PAGE + 5] ^= 1
    target, changes = sent(now, kept(before))
    assert target == now
    assert sum(len(change.blocks) for change in changes) == PAGE


def test_names_are_used_the_first_time_only() -> None:
    """Later a page is not zero at the target where nothing is sent."""
    pages, memory = kept(memory_of(1, 2)), memory_of(1, 9)
    shadow = Shadow(Compared)
    shadow.offered = pages.of(PROGRAM)
    while shadow.next_change([memoryview(memory)]) is not None:
        pass
    memory[:] = memory_of(2, 9)
    change = shadow.next_change([memoryview(memory)])
    assert change is not None
    assert (change.named, len(change.blocks)) == (0, PAGE)


fills = st.lists(st.integers(0, 5), min_size=1, max_size=6)


@settings(max_examples=80, deadline=None)
@given(fills, fills, st.lists(st.tuples(st.integers(0, 95), st.integers(0, 2)), max_size=5))
def test_the_target_has_the_same_whatever_it_had(
    before: list[int], now: list[int], writes: list[tuple[int, int]]
) -> None:
    memory = memory_of(*now)
    for block, fill in writes:
        if (block + 1) * BLOCK <= len(memory):
            memory[block * BLOCK : (block + 1) * BLOCK] = bytes([fill]) * BLOCK
    target, changes = sent(memory, kept(memory_of(*before)))
    assert target == memory
    for change in changes:
        assert change.blocks or change.named or not change.numbers


# ---------------------------------------------------------------------------- the store


def test_pages_of_other_programs_are_not_named() -> None:
    assert kept(memory_of(1), program=OTHER).of(PROGRAM) == {}


def test_the_oldest_pages_make_room() -> None:
    pages = kept(memory_of(1, 2, 3), budget=2 * PAGE)
    assert pages.size == 2 * PAGE
    names = [name_of(bytes(memory_of(fill))) for fill in (1, 2, 3)]
    assert list(pages.of(PROGRAM)) == names[1:]


def test_what_is_seen_again_stays() -> None:
    pages = kept(memory_of(1, 2), budget=2 * PAGE)
    for fill in (1, 3):
        memory = bytes(memory_of(fill))
        pages.keep(PROGRAM, np.arange(PER_PAGE, dtype=np.uint32), memory)
    names = [name_of(bytes(memory_of(fill))) for fill in (1, 3)]
    assert list(pages.of(PROGRAM)) == names


def test_without_a_budget_nothing_is_kept() -> None:
    assert kept(memory_of(1), budget=PAGE - 1).size == 0


# ---------------------------------------------------------------------------- bad input


def place(number: int, name: bytes = bytes(NAME)) -> bytes:
    return number.to_bytes(4, "little") + name


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (place(0)[:-1], "cut off"),
        (place(0) * (MOST_NAMES + 1), "too long"),
        (place(1), "behind the end"),
    ],
)
def test_places_that_cannot_be_are_refused(places: bytes, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        decode_parcel(encode_parcel(Change(0, PAGE, b"", b"", places)))


def test_a_page_that_is_not_here_is_an_error() -> None:
    with pytest.raises(SnapshotError, match="not here"):
        Change(0, PAGE, b"", b"", place(0)).spelled_out({})
