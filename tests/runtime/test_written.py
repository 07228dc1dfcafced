"""The kernel's word about what was written to is as good as comparing, and cheaper."""

import ctypes
import mmap
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import written
from runtime.compared import Compared
from runtime.shadow import Bytes, Shadow
from runtime.snapshot import BLOCK
from runtime.written import Written, watched

PAGE = 16 * BLOCK


def memory_of(pages: int) -> tuple[mmap.mmap, Bytes]:
    """Memory as an engine has it: private, and zero at first."""
    mapped = mmap.mmap(-1, pages * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mapped, np.frombuffer(mapped, dtype=np.uint8)


@pytest.fixture(scope="module", autouse=True)
def needs_a_kernel_that_tells() -> None:
    try:
        Written(memory_of(1)[1]).close()
    except OSError as error:
        pytest.skip(f"this kernel does not tell: {error}")


looks = st.tuples(
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, 639), st.integers(0, 2)), max_size=30),
    st.booleans(),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(looks, min_size=1, max_size=6))
def test_it_misses_nothing_that_comparing_finds(
    history: list[tuple[int, list[tuple[int, int]], bool]],
) -> None:
    _, reserved = memory_of(40)
    pages = 1
    told, compared = Written(reserved[:PAGE]), Compared(reserved[:PAGE])
    for grown, writes, claim in history:
        pages = max(pages, grown)
        memory = reserved[: pages * PAGE]
        for block, value in writes:
            if block * BLOCK < len(memory):
                memory[block * BLOCK + 7] = value
        found = told.find(memory, 0, len(memory), claim=claim)
        different = compared.find(memory, 0, len(memory), claim=claim)
        assert found == sorted(set(found))
        assert set(different) <= set(found)
        if claim:
            assert told.send(memory, different) == compared.send(memory, different)
    told.close()


def test_what_was_claimed_is_found_again_only_when_it_is_written() -> None:
    _, memory = memory_of(64)
    memory[:] = 1
    told = Written(memory)
    assert len(told.find(memory, 0, len(memory), claim=True)) == 64 * 16
    assert told.find(memory, 0, len(memory), claim=True) == []
    memory[:: BLOCK * 4] = 1
    every_fourth = list(range(0, 64 * 16, 4))
    assert told.find(memory, 0, len(memory), claim=False) == every_fourth
    assert told.find(memory, 0, len(memory), claim=True) == every_fourth
    assert told.find(memory, 0, len(memory), claim=False) == []
    told.close()


def test_more_regions_than_one_answer_holds() -> None:
    _, memory = memory_of(256)
    told = Written(memory)
    told.find(memory, 0, len(memory), claim=True)
    memory[:: 2 * BLOCK] = 1
    assert told.find(memory, 0, len(memory), claim=True) == list(range(0, 256 * 16, 2))
    told.close()


def test_nothing_is_lost_that_is_written_while_it_looks() -> None:
    """A thread counts in every block; each look's content is not older than the look."""
    mapped, memory = memory_of(32)
    words = memory.view(np.uint64).reshape(-1, BLOCK // 8)
    shadow, copy = Shadow(watched), np.zeros_like(memory)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            words[:, 3] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(200):
            while (change := shadow.next_change([memoryview(mapped)])) is not None:
                change.write(memoryview(copy))
    finally:
        stop.set()
        writer.join()
    (image,) = shadow.rest([memoryview(mapped)])
    copy.reshape(-1, BLOCK)[image.kept] = np.frombuffer(image.blocks, np.uint8).reshape(-1, BLOCK)
    assert np.array_equal(copy, memory)
    shadow.close()


def test_a_closed_one_leaves_no_descriptor_and_no_protection() -> None:
    _, memory = memory_of(4)
    for _ in range(2000):  # more than a process may have open
        told = Written(memory)
        told.find(memory, 0, len(memory), claim=True)
        told.close()
    memory[:] = 5


def test_where_the_kernel_does_not_tell_it_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    _, memory = memory_of(1)
    askew = np.frombuffer(
        (ctypes.c_uint8 * (3 * BLOCK)).from_buffer(bytearray(3 * BLOCK)), np.uint8
    )
    assert isinstance(watched(askew[8 : 8 + BLOCK]), Compared)
    monkeypatch.setattr(written, "_SYSCALL", {})
    assert isinstance(watched(memory), Compared)
    monkeypatch.setattr(written, "_SYSCALL", dict.fromkeys(["x86_64", "aarch64"], 100_000))
    assert isinstance(watched(memory), Compared)
