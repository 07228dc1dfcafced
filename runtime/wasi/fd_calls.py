"""Calls on open descriptors: reading, writing, positions, attributes.

Each takes the module's ``Wasi`` and the numbers that the module passed; it returns when it has
succeeded, or raises ``WasiError`` or ``WouldBlock``.
"""

from runtime.engines.base import Wait
from runtime.wasi.files import FILETYPES, MAX_BYTES
from runtime.wasi.host import Wasi, WouldBlock
from runtime.wasi.preview1 import (
    DIRENT,
    FDFLAG_APPEND,
    FDFLAG_NONBLOCK,
    FDSTAT,
    FILESTAT,
    FST_ATIM,
    FST_ATIM_NOW,
    FST_MTIM,
    FST_MTIM_NOW,
    PRESTAT,
    RIGHT_FD_READ,
    RIGHT_FD_SEEK,
    RIGHT_FD_WRITE,
    WHENCE_CUR,
    WHENCE_END,
    WHENCE_SET,
    Errno,
    WasiError,
)
from runtime.wasi.process_calls import input_path, output_wait
from runtime.wasi.state import STDIN, Descriptor, Inode, Kind

MAX_MESSAGE = 1 << 20
"""Bytes of one channel message."""
MAX_OUTPUT = 64 * 1024
"""Bytes of output that one call takes: callers make another for the rest."""
_FLAGS = 0x1F
_MAX_OFFSET = 1 << 40


# ---------------------------------------------------------------------------- reading


def fd_read(wasi: Wasi, fd: int, vectors: int, count: int, result: int) -> None:
    """Read at the position, or (part of) one message."""
    descriptor = wasi.descriptor(fd, RIGHT_FD_READ)
    buffers = wasi.memory.vectors(vectors, count)
    path = input_path(descriptor)
    if path is None:
        _, inode = wasi.file(fd)
        taken = _read_at(inode, descriptor.offset, buffers)
        descriptor.offset += taken
    elif wasi.inputs.waiting(path) is None and any(map(len, buffers)):
        raise _blocked(descriptor, _wait_for(path))
    else:
        taken = wasi.inputs.take(path, buffers)
    wasi.memory.write_u32(result, taken)


def fd_pread(wasi: Wasi, fd: int, vectors: int, count: int, offset: int, result: int) -> None:
    """Read a file at a position."""
    _, inode = wasi.file(fd, RIGHT_FD_READ)
    taken = _read_at(inode, offset, wasi.memory.vectors(vectors, count))
    wasi.memory.write_u32(result, taken)


def _read_at(inode: Inode, offset: int, buffers: list[memoryview]) -> int:
    taken = 0
    for buffer in buffers:
        part = inode.data[offset + taken : offset + taken + len(buffer)]
        buffer[: len(part)] = part
        taken += len(part)
    return taken


# ---------------------------------------------------------------------------- writing


def fd_write(wasi: Wasi, fd: int, vectors: int, count: int, result: int) -> None:
    """Write at the position, a message, or output."""
    descriptor = wasi.descriptor(fd, RIGHT_FD_WRITE)
    data = wasi.memory.gather(vectors, count, _write_limit(descriptor))
    wasi.memory.view(result, 4)
    wait = output_wait(wasi, descriptor)
    if wait is not None:
        raise _blocked(descriptor, wait)
    if descriptor.kind is Kind.CHANNEL:
        if len(data) > MAX_MESSAGE:
            raise WasiError(Errno.MSGSIZE)
        wasi.publish(descriptor.path, data)
    elif descriptor.kind is Kind.STREAM and descriptor.path != STDIN:
        wasi.outputs.write(descriptor.path, data)
    else:
        _, inode = wasi.file(fd)
        if descriptor.flags & FDFLAG_APPEND:
            descriptor.offset = len(inode.data)
        wasi.tree.write(inode, descriptor.offset, data, wasi.clocks.realtime())
        descriptor.offset += len(data)
    wasi.memory.write_u32(result, len(data))


def fd_pwrite(wasi: Wasi, fd: int, vectors: int, count: int, offset: int, result: int) -> None:
    """Write a file at a position."""
    _, inode = wasi.file(fd, RIGHT_FD_WRITE)
    data = wasi.memory.gather(vectors, count, MAX_BYTES + 1)
    wasi.memory.view(result, 4)
    wasi.tree.write(inode, _offset(offset), data, wasi.clocks.realtime())
    wasi.memory.write_u32(result, len(data))


def _write_limit(descriptor: Descriptor) -> int:
    """Bytes to look at: one more than fits where writing is all or nothing."""
    if descriptor.kind is Kind.STREAM:
        return MAX_OUTPUT
    return (MAX_MESSAGE if descriptor.kind is Kind.CHANNEL else MAX_BYTES) + 1


def _blocked(descriptor: Descriptor, wait: Wait) -> WasiError | WouldBlock:
    if descriptor.flags & FDFLAG_NONBLOCK:
        return WasiError(Errno.AGAIN)
    return WouldBlock(wait)


def _wait_for(path: str) -> Wait:
    return Wait(inputs=frozenset((path,)))


# ---------------------------------------------------------------------------- positions


def fd_seek(wasi: Wasi, fd: int, delta: int, whence: int, result: int) -> None:
    """Move the position."""
    descriptor, inode = wasi.file(fd, RIGHT_FD_SEEK)
    bases = {WHENCE_SET: 0, WHENCE_CUR: descriptor.offset, WHENCE_END: len(inode.data)}
    if whence not in bases:
        raise WasiError(Errno.INVAL)
    signed = delta - (1 << 64) if delta >> 63 else delta
    descriptor.offset = _offset(bases[whence] + signed)
    wasi.memory.write_u64(result, descriptor.offset)


def fd_tell(wasi: Wasi, fd: int, result: int) -> None:
    """The position."""
    descriptor, _ = wasi.file(fd)
    wasi.memory.write_u64(result, descriptor.offset)


def _offset(offset: int) -> int:
    if offset < 0:
        raise WasiError(Errno.INVAL)
    if offset > _MAX_OFFSET:
        raise WasiError(Errno.FBIG)
    return offset


def fd_advise(wasi: Wasi, fd: int, offset: int, size: int, advice: int) -> None:
    """Thanks."""
    wasi.file(fd)


def fd_allocate(wasi: Wasi, fd: int, offset: int, size: int) -> None:
    """Make a file at least so long."""
    _, inode = wasi.file(fd, RIGHT_FD_WRITE)
    end = _offset(offset + size)
    if end > len(inode.data):
        wasi.tree.resize(inode, end, wasi.clocks.realtime())


def fd_sync(wasi: Wasi, fd: int) -> None:
    """Everything is where it will ever be."""
    wasi.descriptor(fd)


# ---------------------------------------------------------------------------- descriptors


def fd_close(wasi: Wasi, fd: int) -> None:
    """Close a descriptor."""
    wasi.close(fd)


def fd_renumber(wasi: Wasi, fd: int, to: int) -> None:
    """Give a descriptor the number of another, which is closed."""
    moved = wasi.descriptor(fd)
    wasi.descriptor(to)
    if fd != to:
        wasi.close(to)
        del wasi.state.descriptors[fd]
        wasi.state.descriptors[to] = moved


def fd_fdstat_get(wasi: Wasi, fd: int, result: int) -> None:
    """Type, flags and rights of a descriptor."""
    found = wasi.descriptor(fd)
    filetype = FILETYPES[found.kind]
    wasi.memory.write(result, FDSTAT.pack(filetype, found.flags, found.rights, found.inheriting))


def fd_fdstat_set_flags(wasi: Wasi, fd: int, flags: int) -> None:
    """Set the flags of a descriptor."""
    if flags & ~_FLAGS:
        raise WasiError(Errno.INVAL)
    wasi.descriptor(fd).flags = flags


def fd_fdstat_set_rights(wasi: Wasi, fd: int, rights: int, inheriting: int) -> None:
    """Give up rights."""
    found = wasi.descriptor(fd)
    if rights & ~found.rights or inheriting & ~found.inheriting:
        raise WasiError(Errno.NOTCAPABLE)
    found.rights, found.inheriting = rights, inheriting


def fd_prestat_get(wasi: Wasi, fd: int, result: int) -> None:
    """What has been opened for the module: its root."""
    if not wasi.descriptor(fd).preopened:
        raise WasiError(Errno.BADF)
    wasi.memory.write(result, PRESTAT.pack(0, 1))


def fd_prestat_dir_name(wasi: Wasi, fd: int, path: int, size: int) -> None:
    """Its name."""
    if not wasi.descriptor(fd).preopened:
        raise WasiError(Errno.BADF)
    if size < 1:
        raise WasiError(Errno.NAMETOOLONG)
    wasi.memory.write(path, b"/")


# ---------------------------------------------------------------------------- attributes


def fd_filestat_get(wasi: Wasi, fd: int, result: int) -> None:
    """Attributes of what a descriptor is open on."""
    found = wasi.descriptor(fd)
    inode = Inode(Kind.STREAM) if found.kind is Kind.STREAM else wasi.tree.inode(found.inode)
    wasi.memory.write(result, filestat(found.inode, inode))


def fd_filestat_set_size(wasi: Wasi, fd: int, size: int) -> None:
    """Cut a file off, or let it grow."""
    _, inode = wasi.file(fd, RIGHT_FD_WRITE)
    wasi.tree.resize(inode, _offset(size), wasi.clocks.realtime())


def fd_filestat_set_times(wasi: Wasi, fd: int, atime: int, mtime: int, flags: int) -> None:
    """Set the times of what a descriptor is open on."""
    found = wasi.descriptor(fd)
    if found.kind is not Kind.STREAM:
        set_times(wasi, wasi.tree.inode(found.inode), atime, mtime, flags)


def filestat(number: int, inode: Inode) -> bytes:
    """The attributes of an inode, as the module gets them."""
    kind, size = FILETYPES[inode.kind], len(inode.data)
    return FILESTAT.pack(
        0, number, kind, max(inode.links, 0), size, inode.atime, inode.mtime, inode.ctime
    )


def set_times(wasi: Wasi, inode: Inode, atime: int, mtime: int, flags: int) -> None:
    """Set access and modification time (ns) as the flags say."""
    now = wasi.clocks.realtime()
    both = ((FST_ATIM, FST_ATIM_NOW), (FST_MTIM, FST_MTIM_NOW))
    if any(flags & given and flags & present for given, present in both):
        raise WasiError(Errno.INVAL)
    if flags & (FST_ATIM | FST_ATIM_NOW):
        inode.atime = atime if flags & FST_ATIM else now
    if flags & (FST_MTIM | FST_MTIM_NOW):
        inode.mtime = mtime if flags & FST_MTIM else now
    inode.ctime = now


def fd_readdir(wasi: Wasi, fd: int, buffer: int, size: int, cookie: int, result: int) -> None:
    """List a directory, from ``cookie`` on; the last entry may be cut off: then ask again."""
    number = wasi.directory(fd)
    inode = wasi.tree.inode(number)
    entries = [(".", number), ("..", inode.parent), *sorted(inode.entries.items())]
    listing = bytearray()
    for position, (name, entry) in enumerate(entries[cookie:], cookie + 1):
        if len(listing) >= size:
            break
        title = name.encode()
        kind = FILETYPES[wasi.tree.inode(entry).kind]
        listing += DIRENT.pack(position, entry, len(title), kind) + title
    wasi.memory.write(buffer, listing[:size])
    wasi.memory.write_u32(result, min(len(listing), size))
