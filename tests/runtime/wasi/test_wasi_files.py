"""The file system in memory: what POSIX programs expect of it, its bounds, and that it moves."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wasi_guest import BUFFER, OTHER_NAME, RESULT, ROOT_FD, SCRATCH, Guest

from runtime.wasi.preview1 import (
    FDFLAG_APPEND,
    OFLAG_CREAT,
    OFLAG_DIRECTORY,
    OFLAG_EXCL,
    OFLAG_TRUNC,
    RIGHT_FD_READ,
    RIGHT_FD_WRITE,
    Errno,
    Filetype,
)

NEW = OFLAG_CREAT | OFLAG_EXCL


@pytest.fixture
def guest() -> Guest:
    return Guest()


def make_file(guest: Guest, path: str, content: bytes = b"content") -> int:
    fd = guest.open(path, NEW)
    assert guest.write(fd, content) == Errno.SUCCESS
    return fd


def content(guest: Guest, path: str) -> bytes:
    fd = guest.open(path, rights=RIGHT_FD_READ)
    found = guest.read(fd)
    guest.call("fd_close", fd)
    return found


def rename(guest: Guest, old: str, new: str) -> Errno:
    new_name = guest.put(OTHER_NAME, new.encode())
    return guest.errno("path_rename", ROOT_FD, *guest.name(old), ROOT_FD, *new_name)


def mkdir(guest: Guest, path: str) -> Errno:
    return guest.errno("path_create_directory", ROOT_FD, *guest.name(path))


def seek(guest: Guest, fd: int, delta: int, whence: int) -> int:
    guest.call("fd_seek", fd, delta & (1 << 64) - 1, whence, RESULT)
    return guest.u64()


# ---------------------------------------------------------------------------- content


def test_reading_and_writing_at_the_position(guest: Guest) -> None:
    fd = make_file(guest, "file", b"hello world")
    assert guest.read(fd) == b""
    assert seek(guest, fd, 6, 0) == 6
    assert guest.read(fd, 3) == b"wor"
    assert seek(guest, fd, -3, 1) == 6
    assert guest.write(fd, b"W", b"or") == Errno.SUCCESS
    assert seek(guest, fd, -5, 2) == 6
    assert guest.read(fd) == b"World"
    guest.call("fd_tell", fd, RESULT)
    assert guest.u64() == 11


def test_reading_and_writing_elsewhere_leaves_the_position(guest: Guest) -> None:
    fd = make_file(guest, "file", b"hello")
    guest.put(SCRATCH, struct.pack("<IIII", *guest.put(BUFFER, b"J"), BUFFER + 1, 0))
    guest.call("fd_pwrite", fd, SCRATCH, 2, 0, RESULT)
    guest.put(SCRATCH, struct.pack("<IIII", BUFFER, 2, BUFFER + 2, 9))
    guest.call("fd_pread", fd, SCRATCH, 2, 0, RESULT)
    assert guest.memory[BUFFER : BUFFER + guest.u32()] == b"Jello"
    guest.call("fd_tell", fd, RESULT)
    assert guest.u64() == 5


def test_a_gap_is_zeros(guest: Guest) -> None:
    fd = guest.open("file", NEW)
    seek(guest, fd, 3, 0)
    guest.write(fd, b"x")
    assert content(guest, "file") == b"\0\0\0x"


def test_appending_ignores_the_position(guest: Guest) -> None:
    make_file(guest, "file", b"one")
    fd = guest.open("file", fdflags=FDFLAG_APPEND)
    guest.write(fd, b"two")
    seek(guest, fd, 0, 0)
    guest.write(fd, b"three")
    assert content(guest, "file") == b"onetwothree"


def test_size_can_be_set(guest: Guest) -> None:
    fd = make_file(guest, "file", b"hello")
    guest.call("fd_filestat_set_size", fd, 2)
    assert content(guest, "file") == b"he"
    guest.call("fd_allocate", fd, 1, 3)
    assert content(guest, "file") == b"he\0\0"
    guest.call("fd_allocate", fd, 0, 1)
    assert guest.filestat("file")[4] == 4
    guest.open("file", OFLAG_TRUNC)
    assert content(guest, "file") == b""


def test_positions_are_checked(guest: Guest) -> None:
    fd = make_file(guest, "file")
    assert guest.errno("fd_seek", fd, (1 << 64) - 1, 0, RESULT) == Errno.INVAL
    assert guest.errno("fd_seek", fd, 1 << 50, 0, RESULT) == Errno.FBIG
    assert guest.errno("fd_seek", fd, 0, 3, RESULT) == Errno.INVAL
    assert guest.errno("fd_seek", ROOT_FD, 0, 0, RESULT) == Errno.ISDIR
    assert guest.errno("fd_seek", 1, 0, 0, RESULT) == Errno.BADF
    assert guest.errno("fd_tell", 1, RESULT) == Errno.SPIPE


def test_space_is_bounded(guest: Guest) -> None:
    fd = make_file(guest, "file")
    assert guest.errno("fd_filestat_set_size", fd, 1 << 24) == Errno.NOSPC
    guest.call("fd_filestat_set_size", fd, 15 << 20)
    other = guest.open("other", NEW)
    assert guest.errno("fd_allocate", other, 0, 2 << 20) == Errno.NOSPC
    guest.call("fd_filestat_set_size", fd, 0)
    guest.call("fd_allocate", other, 0, 2 << 20)


def test_inodes_cost_space_too(guest: Guest) -> None:
    made = 0
    while (errno := mkdir(guest, f"d{made}")) == Errno.SUCCESS:
        made += 1
    assert errno == Errno.NOSPC
    assert 10_000 < made < 20_000


def test_names_cost_space_too(guest: Guest) -> None:
    make_file(guest, "file")
    used, made = guest.wasi.tree._used, 0
    while True:
        name = guest.put(OTHER_NAME, b"n%d" % made)
        errno = guest.errno("path_link", ROOT_FD, 0, *guest.name("file"), ROOT_FD, *name)
        if errno != Errno.SUCCESS:
            break
        made += 1
    assert errno == Errno.NOSPC
    assert 10_000 < made < 20_000
    for number in range(made):
        guest.call("path_unlink_file", ROOT_FD, *guest.name(f"n{number}"))
    assert guest.wasi.tree._used == used


def test_writing_is_bounded_however_often_the_same_bytes_are_named(guest: Guest) -> None:
    fd = guest.open("file", NEW)
    guest.put(SCRATCH, struct.pack("<II", BUFFER, 512 << 10) * 40)
    assert guest.errno("fd_write", fd, SCRATCH, 40, RESULT) == Errno.NOSPC
    assert guest.errno("fd_pwrite", fd, SCRATCH, 40, 0, RESULT) == Errno.NOSPC
    guest.call("fd_write", fd, SCRATCH, 2, RESULT)
    assert guest.u32() == 1 << 20


# ---------------------------------------------------------------------------- names


def test_open_flags(guest: Guest) -> None:
    assert guest.open_errno("file") == Errno.NOENT
    make_file(guest, "file")
    assert guest.open_errno("file", NEW) == Errno.EXIST
    assert guest.open_errno("file", OFLAG_DIRECTORY) == Errno.NOTDIR
    assert guest.open_errno("file/") == Errno.NOTDIR
    assert guest.open_errno("file/below") == Errno.NOTDIR
    assert guest.open_errno("new/", OFLAG_CREAT) == Errno.INVAL
    assert guest.open_errno("new", OFLAG_CREAT | OFLAG_DIRECTORY) == Errno.INVAL
    assert guest.open_errno("none/new", OFLAG_CREAT) == Errno.NOENT
    assert guest.open_errno(".", 0, RIGHT_FD_WRITE) == Errno.ISDIR


def test_paths_stay_inside(guest: Guest) -> None:
    assert guest.open_errno("/etc") == Errno.NOTCAPABLE
    assert guest.open_errno("..") == Errno.NOTCAPABLE
    assert guest.open_errno("ch/../../x") == Errno.NOTCAPABLE
    assert guest.open_errno("") == Errno.NOENT
    assert guest.open_errno("a\0b") == Errno.INVAL
    assert guest.open_errno("x" * 256, OFLAG_CREAT) == Errno.NAMETOOLONG
    assert guest.open_errno("x/" * 2049) == Errno.NAMETOOLONG
    assert guest.errno("path_create_directory", ROOT_FD, *guest.put(BUFFER, b"\xff")) == Errno.ILSEQ


def test_directories(guest: Guest) -> None:
    assert mkdir(guest, "a") == mkdir(guest, "a/b/") == Errno.SUCCESS
    assert mkdir(guest, "a") == Errno.EXIST
    assert mkdir(guest, "x/y") == Errno.NOENT
    assert mkdir(guest, ".") == mkdir(guest, "a/..") == Errno.INVAL
    make_file(guest, "a/b/../file")
    assert guest.listing("a") == [".", "..", "b", "file"]
    assert guest.errno("path_remove_directory", ROOT_FD, *guest.name("a")) == Errno.NOTEMPTY
    assert guest.errno("path_remove_directory", ROOT_FD, *guest.name("a/file")) == Errno.NOTDIR
    assert guest.errno("path_remove_directory", ROOT_FD, *guest.name("none")) == Errno.NOENT
    guest.call("path_remove_directory", ROOT_FD, *guest.name("a/b"))
    assert guest.listing("a") == [".", "..", "file"]
    assert guest.filestat("a")[2] == Filetype.DIRECTORY


def test_nothing_is_made_in_a_removed_directory(guest: Guest) -> None:
    mkdir(guest, "a")
    fd = guest.open("a")
    guest.call("path_remove_directory", ROOT_FD, *guest.name("a"))
    assert guest.errno("path_create_directory", fd, *guest.name("b")) == Errno.NOENT
    guest.move()
    guest.call("fd_close", fd)


def test_long_listings_come_in_pieces(guest: Guest) -> None:
    mkdir(guest, "many")
    names = [f"entry-{number:02}" for number in range(30)]
    for name in names:
        make_file(guest, f"many/{name}")
    assert guest.listing("many") == [".", "..", *names]


def test_unlinking(guest: Guest) -> None:
    fd = make_file(guest, "file", b"hello")
    mkdir(guest, "dir")
    assert guest.errno("path_unlink_file", ROOT_FD, *guest.name("dir")) == Errno.ISDIR
    assert guest.errno("path_unlink_file", ROOT_FD, *guest.name("none")) == Errno.NOENT
    assert guest.errno("path_unlink_file", ROOT_FD, *guest.name("ch/in")) == Errno.PERM
    guest.call("path_unlink_file", ROOT_FD, *guest.name("file"))
    assert guest.open_errno("file") == Errno.NOENT
    guest.move()
    seek(guest, fd, 0, 0)
    assert guest.read(fd) == b"hello"
    inodes = len(guest.wasi.state.inodes)
    guest.call("fd_close", fd)
    assert len(guest.wasi.state.inodes) == inodes - 1


def test_links(guest: Guest) -> None:
    make_file(guest, "file", b"hello")
    other = guest.put(OTHER_NAME, b"other")
    guest.call("path_link", ROOT_FD, 0, *guest.name("file"), ROOT_FD, *other)
    assert guest.filestat("other")[3] == 2
    assert guest.errno("path_link", ROOT_FD, 0, *guest.name("file"), ROOT_FD, *other) == Errno.EXIST
    assert guest.errno("path_link", ROOT_FD, 0, *guest.name("ch"), ROOT_FD, *other) == Errno.PERM
    guest.call("path_unlink_file", ROOT_FD, *guest.name("file"))
    assert content(guest, "other") == b"hello"


def test_renaming(guest: Guest) -> None:
    make_file(guest, "file", b"1")
    make_file(guest, "other", b"2")
    for directory in ("dir", "dir/sub", "empty"):
        mkdir(guest, directory)
    assert rename(guest, "file", "file") == Errno.SUCCESS
    assert rename(guest, "file", "other") == Errno.SUCCESS
    assert content(guest, "other") == b"1"
    assert rename(guest, "other", "dir") == Errno.ISDIR
    assert rename(guest, "dir", "other") == Errno.NOTDIR
    assert rename(guest, "empty", "dir") == Errno.NOTEMPTY
    assert rename(guest, "dir", "dir/sub/x") == Errno.INVAL
    assert rename(guest, "none", "x") == Errno.NOENT
    assert rename(guest, "other", "ch/in") == Errno.PERM
    assert rename(guest, "ch/in", "x") == Errno.PERM
    assert rename(guest, "dir", "empty") == Errno.SUCCESS
    assert guest.listing("empty") == [".", "..", "sub"]
    assert rename(guest, "empty/sub", "sub") == Errno.SUCCESS
    guest.call("path_filestat_get", ROOT_FD, 0, *guest.name("sub/.."), BUFFER)
    assert guest.listing("sub/..") == guest.listing()


def test_no_symbolic_links(guest: Guest) -> None:
    make_file(guest, "file")
    assert (
        guest.errno("path_symlink", *guest.put(OTHER_NAME, b"a"), ROOT_FD, *guest.name("b"))
        == Errno.NOTSUP
    )
    arguments = (*guest.name("file"), BUFFER, 10, RESULT)
    assert guest.errno("path_readlink", ROOT_FD, *arguments) == Errno.INVAL


# ---------------------------------------------------------------------------- attributes


def test_attributes(guest: Guest) -> None:
    fd = make_file(guest, "file", b"hello")
    _, inode, kind, links, size, atime, mtime, _ = guest.filestat("file")
    assert (kind, links, size) == (Filetype.REGULAR_FILE, 1, 5)
    guest.call("fd_filestat_get", fd, BUFFER)
    assert struct.unpack_from("<QQ", guest.memory, BUFFER)[1] == inode
    guest.call("fd_filestat_set_times", fd, 5, 6, 1)
    assert guest.filestat("file")[5:7] == (5, mtime)
    guest.call("path_filestat_set_times", ROOT_FD, 0, *guest.name("file"), 7, 8, 2 | 4)
    assert guest.filestat("file")[5] >= atime
    assert guest.filestat("file")[6] == 8
    guest.call("fd_filestat_set_times", fd, 5, 6, 8)
    assert guest.filestat("file")[6] > 8
    assert guest.errno("fd_filestat_set_times", fd, 0, 0, 3) == Errno.INVAL
    guest.call("fd_filestat_set_times", 1, 0, 0, 3)
    guest.call("fd_filestat_get", 1, BUFFER)
    assert guest.memory[BUFFER + 16] == Filetype.CHARACTER_DEVICE


def test_rights_can_only_be_given_up(guest: Guest) -> None:
    fd = make_file(guest, "file")
    guest.call("fd_fdstat_set_rights", fd, RIGHT_FD_READ, 0)
    assert guest.write(fd, b"x") == Errno.BADF
    assert guest.errno("fd_fdstat_set_rights", fd, RIGHT_FD_WRITE, 0) == Errno.NOTCAPABLE
    guest.call("fd_fdstat_get", fd, BUFFER)
    assert struct.unpack_from("<BxHxxxxQQ", guest.memory, BUFFER) == (4, 0, RIGHT_FD_READ, 0)
    assert guest.write(ROOT_FD, b"x") == Errno.ISDIR


def test_calls_with_nothing_to_do(guest: Guest) -> None:
    fd = make_file(guest, "file")
    guest.call("fd_advise", fd, 0, 0, 0)
    guest.call("fd_sync", fd)
    guest.call("fd_datasync", fd)
    assert guest.errno("fd_advise", 9, 0, 0, 0) == Errno.BADF


def test_the_root_is_preopened(guest: Guest) -> None:
    guest.call("fd_prestat_get", ROOT_FD, RESULT)
    assert struct.unpack_from("<II", guest.memory, RESULT) == (0, 1)
    guest.call("fd_prestat_dir_name", ROOT_FD, BUFFER, 1)
    assert guest.memory[BUFFER : BUFFER + 1] == b"/"
    assert guest.errno("fd_prestat_dir_name", ROOT_FD, BUFFER, 0) == Errno.NAMETOOLONG
    assert guest.errno("fd_prestat_get", 4, RESULT) == Errno.BADF
    assert guest.errno("fd_prestat_get", 1, RESULT) == Errno.BADF
    assert guest.errno("fd_prestat_dir_name", 1, BUFFER, 1) == Errno.BADF


def test_descriptors_are_numbered_from_below(guest: Guest) -> None:
    first, second = make_file(guest, "a", b"a"), make_file(guest, "b", b"b")
    assert (first, second) == (4, 5)
    guest.call("fd_renumber", second, first)
    assert guest.errno("fd_tell", second, RESULT) == Errno.BADF
    seek(guest, first, 0, 0)
    assert guest.read(first) == b"b"
    guest.call("fd_renumber", first, first)
    assert guest.errno("fd_renumber", first, 77) == Errno.BADF
    assert guest.open("a") == 5
    guest.call("fd_close", 0)
    assert guest.open("a") == 0


def test_descriptors_are_bounded(guest: Guest) -> None:
    make_file(guest, "file")
    while (errno := guest.open_errno("file")) == Errno.SUCCESS:
        pass
    assert errno == Errno.MFILE
    assert len(guest.wasi.state.descriptors) == 1024


# ---------------------------------------------------------------------------- against a model


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["write", "truncate", "unlink", "rename", "move"]),
            st.sampled_from("abc"),
            st.sampled_from("abc"),
            st.binary(max_size=20),
        ),
        max_size=30,
    )
)
def test_files_behave_like_a_dictionary(
    steps: list[tuple[str, str, str, bytes]],
) -> None:
    guest, model = Guest(), dict[str, bytes]()
    for action, name, other, data in steps:
        if action == "write":
            fd = guest.open(name, OFLAG_CREAT, fdflags=FDFLAG_APPEND)
            guest.write(fd, data)
            guest.call("fd_close", fd)
            model[name] = model.get(name, b"") + data
        elif action == "truncate" and name in model:
            guest.call("fd_close", guest.open(name, OFLAG_TRUNC))
            model[name] = b""
        elif action == "unlink":
            errno = guest.errno("path_unlink_file", ROOT_FD, *guest.name(name))
            assert (errno == Errno.SUCCESS) == (model.pop(name, None) is not None)
        elif action == "rename":
            assert (rename(guest, name, other) == Errno.SUCCESS) == (name in model)
            if name in model:
                model[other] = model.pop(name)
        elif action == "move":
            guest.move()
    assert {name: content(guest, name) for name in guest.listing() if name in "abc"} == model
    used = sum(1024 + len(inode.data) for inode in guest.wasi.state.inodes.values())
    assert guest.wasi.tree._used == used
