"""Calls on paths: opening, making, removing and renaming files and directories.

Each takes the module's ``Wasi`` and the numbers that the module passed; it returns when it has
succeeded, or raises ``WasiError``. There are no symbolic links.
"""

from typing import NoReturn

from runtime.wasi.fd_calls import filestat, set_times
from runtime.wasi.host import Wasi
from runtime.wasi.preview1 import (
    ALL_RIGHTS,
    OFLAG_CREAT,
    OFLAG_DIRECTORY,
    OFLAG_EXCL,
    OFLAG_TRUNC,
    RIGHT_FD_READ,
    RIGHT_FD_WRITE,
    STREAM_RIGHTS,
    Errno,
    WasiError,
)
from runtime.wasi.state import SIGNALS, Descriptor, Inode, Kind


def path_open(
    wasi: Wasi,
    fd: int,
    lookup_flags: int,
    path: int,
    size: int,
    open_flags: int,
    rights: int,
    inheriting: int,
    flags: int,
    result: int,
) -> None:
    """Open what is at a path, or create a file there."""
    base, name = wasi.directory(fd), wasi.memory.text(path, size)
    wasi.memory.view(result, 4)
    number = _find_or_create(wasi, base, name, open_flags)
    inode = wasi.tree.inode(number)
    if open_flags & OFLAG_DIRECTORY and inode.kind is not Kind.DIRECTORY:
        raise WasiError(Errno.NOTDIR)
    allowed = wasi.descriptor(fd).inheriting & _rights(wasi, inode, rights)
    if open_flags & OFLAG_TRUNC and inode.kind is Kind.FILE:
        wasi.tree.resize(inode, 0, wasi.clocks.realtime())
    source = SIGNALS if inode.kind is Kind.SIGNALS else inode.path
    inherited = inheriting & wasi.descriptor(fd).inheriting
    opened = wasi.open(Descriptor(inode.kind, number, source, 0, flags, allowed, inherited))
    wasi.memory.write_u32(result, opened)


def _find_or_create(wasi: Wasi, base: int, name: str, open_flags: int) -> int:
    try:
        number = wasi.tree.lookup(base, name)
    except WasiError as error:
        if error.errno is not Errno.NOENT or not open_flags & OFLAG_CREAT:
            raise
        if open_flags & OFLAG_DIRECTORY or name.endswith("/"):
            raise WasiError(Errno.INVAL) from None
        return wasi.tree.create(base, name, Kind.FILE, wasi.clocks.realtime())
    if open_flags & OFLAG_CREAT and open_flags & OFLAG_EXCL:
        raise WasiError(Errno.EXIST)
    return number


def _rights(wasi: Wasi, inode: Inode, wanted: int) -> int:
    """The rights to open an inode with. A channel is opened as its mode allows, or not at all."""
    if inode.kind is Kind.FILE:
        return wanted & ALL_RIGHTS
    if inode.kind is Kind.DIRECTORY:
        if wanted & RIGHT_FD_WRITE and not wanted & RIGHT_FD_READ:
            raise WasiError(Errno.ISDIR)
        return wanted & ALL_RIGHTS & ~RIGHT_FD_WRITE
    mode = wasi.modes[inode.path] if inode.kind is Kind.CHANNEL else "r"
    for right, letter in ((RIGHT_FD_READ, "r"), (RIGHT_FD_WRITE, "w")):
        if wanted & right and letter not in mode:
            raise WasiError(Errno.ACCES)
    return wanted & STREAM_RIGHTS


def path_create_directory(wasi: Wasi, fd: int, path: int, size: int) -> None:
    """Make a directory."""
    name = wasi.memory.text(path, size).rstrip("/") or "."
    wasi.tree.create(wasi.directory(fd), name, Kind.DIRECTORY, wasi.clocks.realtime())


def path_filestat_get(
    wasi: Wasi, fd: int, lookup_flags: int, path: int, size: int, result: int
) -> None:
    """Attributes of what is at a path."""
    number = wasi.tree.lookup(wasi.directory(fd), wasi.memory.text(path, size))
    wasi.memory.write(result, filestat(number, wasi.tree.inode(number)))


def path_filestat_set_times(
    wasi: Wasi,
    fd: int,
    lookup_flags: int,
    path: int,
    size: int,
    atime: int,
    mtime: int,
    flags: int,
) -> None:
    """Set the times of what is at a path."""
    number = wasi.tree.lookup(wasi.directory(fd), wasi.memory.text(path, size))
    set_times(wasi, wasi.tree.inode(number), atime, mtime, flags)


def path_link(
    wasi: Wasi,
    fd: int,
    lookup_flags: int,
    path: int,
    size: int,
    new_fd: int,
    new_path: int,
    new_size: int,
) -> None:
    """Give a file another name."""
    number = wasi.tree.lookup(wasi.directory(fd), wasi.memory.text(path, size))
    name = wasi.memory.text(new_path, new_size)
    wasi.tree.link(number, wasi.directory(new_fd), name, wasi.clocks.realtime())


def path_rename(
    wasi: Wasi, fd: int, path: int, size: int, new_fd: int, new_path: int, new_size: int
) -> None:
    """Move a file or directory."""
    wasi.tree.rename(
        wasi.directory(fd),
        wasi.memory.text(path, size),
        wasi.directory(new_fd),
        wasi.memory.text(new_path, new_size),
        wasi.clocks.realtime(),
    )


def path_unlink_file(wasi: Wasi, fd: int, path: int, size: int) -> None:
    """Take a file's name away."""
    name = wasi.memory.text(path, size)
    wasi.tree.unlink(wasi.directory(fd), name, wasi.clocks.realtime())


def path_remove_directory(wasi: Wasi, fd: int, path: int, size: int) -> None:
    """Remove an empty directory."""
    name = wasi.memory.text(path, size)
    wasi.tree.remove_directory(wasi.directory(fd), name, wasi.clocks.realtime())


def path_readlink(
    wasi: Wasi, fd: int, path: int, size: int, buffer: int, room: int, result: int
) -> NoReturn:
    """Nothing is a symbolic link."""
    wasi.tree.lookup(wasi.directory(fd), wasi.memory.text(path, size))
    raise WasiError(Errno.INVAL)


def path_symlink(
    wasi: Wasi, target: int, target_size: int, fd: int, path: int, size: int
) -> NoReturn:
    """There are no symbolic links."""
    raise WasiError(Errno.NOTSUP)
