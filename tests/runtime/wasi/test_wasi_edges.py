"""Whatever a program passes, it gets an error number; whatever a snapshot says, it is checked."""

from contextlib import suppress
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasi_guest import BUFFER, MEMORY, OTHER_NAME, RESULT, ROOT_FD, SCRATCH, Guest

from arts.errors import SnapshotError
from runtime.wasi import state as states
from runtime.wasi.calls import CALLS, make
from runtime.wasi.host import Exit, WouldBlock
from runtime.wasi.preview1 import Errno
from runtime.wasi.state import Descriptor, Inode, Kind, State

TOP = {"i": (1 << 32) - 1, "I": (1 << 64) - 1}
interesting = st.sampled_from(
    [0, 1, 2, 3, 4, 8, SCRATCH, RESULT, OTHER_NAME, BUFFER, MEMORY - 1, MEMORY, 1 << 31, 1 << 40]
)


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"sched_yield", "proc_exit"}))
def test_pointers_to_nowhere(name: str) -> None:
    """Every argument at its maximum: an error, not an exception."""
    guest = Guest(env=("A=1",))
    arguments = [TOP[letter] for letter in CALLS[name].parameters]
    assert guest.errno(name, *arguments) != Errno.SUCCESS


@given(st.data())
def test_any_arguments(data: st.DataObject) -> None:
    """Calls with arbitrary arguments end in an error number, a wait or the end, and nothing else;
    and the state can still be captured."""
    guest = Guest()
    guest.open("file", 1)
    for _ in range(data.draw(st.integers(1, 20))):
        name = data.draw(st.sampled_from(sorted(CALLS)))
        arguments = tuple(
            data.draw(interesting | st.integers(0, TOP[letter])) & TOP[letter]
            for letter in CALLS[name].parameters
        )
        if name == "random_get":
            arguments = (arguments[0], arguments[1] % MEMORY)
        with suppress(WouldBlock, Exit):
            Errno(make(CALLS[name].function, guest.wasi, arguments))
    guest.move()


def test_buffers_are_looked_for_again_after_the_memory_has_grown() -> None:
    guest = Guest()
    guest.memory = bytearray(100)
    assert guest.errno("random_get", 90, 11) == Errno.FAULT
    guest.memory = bytearray(200)
    guest.call("random_get", 90, 11)
    assert any(guest.memory[90:101])


def test_too_many_vectors() -> None:
    assert Guest().errno("fd_write", 1, SCRATCH, 1025, RESULT) == Errno.INVAL


def test_results_are_checked_before_anything_happens() -> None:
    guest = Guest()
    guest.put(SCRATCH, (BUFFER).to_bytes(4, "little") + (3).to_bytes(4, "little"))
    assert guest.errno("fd_write", 1, SCRATCH, 1, MEMORY) == Errno.FAULT
    guest.write(1, b"\n")
    assert guest.lines() == [b""]
    arguments = (*guest.name("new"), 1, 0, 0, 0, MEMORY)
    assert guest.errno("path_open", ROOT_FD, 0, *arguments) == Errno.FAULT
    assert guest.open_errno("new") == Errno.NOENT


def test_unknown_flags() -> None:
    assert Guest().errno("fd_fdstat_set_flags", 1, 1 << 10) == Errno.INVAL


# ---------------------------------------------------------------------------- snapshots


def captured() -> State:
    return states.decode(Guest().wasi.capture(()))


def corrupted() -> dict[str, State]:
    good = captured()
    root, file = good.inodes[1], Descriptor(Kind.FILE, 1)
    return {
        "no root": replace(good, inodes={}),
        "root is a file": replace(good, inodes={**good.inodes, 1: Inode(Kind.FILE)}),
        "numbers run out": replace(good, next_inode=2),
        "name of nothing": replace(
            good, inodes={**good.inodes, 1: replace(root, entries={"x": 99})}
        ),
        "parent is nothing": replace(good, inodes={**good.inodes, 2: Inode(Kind.FILE, parent=99)}),
        "parent is a file": replace(
            good,
            inodes={**good.inodes, 90: Inode(Kind.FILE), 91: Inode(Kind.FILE, parent=90)},
            next_inode=100,
        ),
        "open on nothing": replace(good, descriptors={4: replace(file, inode=99)}),
        "open on another kind": replace(good, descriptors={4: file}),
        "negative position": replace(good, descriptors={4: Descriptor(Kind.STREAM, offset=-1)}),
        "negative number": replace(good, descriptors={-4: Descriptor(Kind.STREAM)}),
    }


@pytest.mark.parametrize("case", corrupted())
def test_states_that_contradict_themselves(case: str) -> None:
    with pytest.raises(SnapshotError, match="contradicts itself"):
        states.decode(states.encode(corrupted()[case]))


def test_states_that_are_none() -> None:
    for data in (b"", b"\xc1", b"\x81\xa4args\x01", msgspec.msgpack.encode({"args": 1})):
        with pytest.raises(SnapshotError, match="malformed"):
            states.decode(data)


@given(st.data())
def test_damaged_states_are_refused_or_harmless(data: st.DataObject) -> None:
    guest = Guest()
    guest.wasi.deliver("stdin", b"hello", None)
    guest.open("file", 1)
    encoded = bytearray(guest.wasi.capture(()))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, 9999)) % len(encoded)] = data.draw(st.integers(0, 255))
    with suppress(SnapshotError):
        states.decode(bytes(encoded))
