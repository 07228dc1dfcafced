"""The numbers of WASI preview 1: errors, file types, flags, rights, and record layouts.

Knows the specification's constants and nothing that is done with them.
"""

import struct
from enum import IntEnum
from typing import Final

MODULE: Final = "wasi_snapshot_preview1"


class Errno(IntEnum):
    """Error numbers; 0 is success."""

    SUCCESS = 0
    ACCES = 2
    AGAIN = 6
    BADF = 8
    EXIST = 20
    FAULT = 21
    FBIG = 22
    ILSEQ = 25
    INVAL = 28
    IO = 29
    ISDIR = 31
    LOOP = 32
    MFILE = 33
    MSGSIZE = 35
    NAMETOOLONG = 37
    NOENT = 44
    NOSPC = 51
    NOSYS = 52
    NOTDIR = 54
    NOTEMPTY = 55
    NOTSOCK = 57
    NOTSUP = 58
    OVERFLOW = 61
    PERM = 63
    SPIPE = 70
    XDEV = 75
    NOTCAPABLE = 76


class Filetype(IntEnum):
    """What an inode is."""

    CHARACTER_DEVICE = 2
    DIRECTORY = 3
    REGULAR_FILE = 4


CLOCK_REALTIME: Final = 0
CLOCK_MONOTONIC: Final = 1
CLOCK_PROCESS_CPU: Final = 2
CLOCK_THREAD_CPU: Final = 3

EVENT_CLOCK: Final = 0
EVENT_FD_READ: Final = 1
EVENT_FD_WRITE: Final = 2
ABSTIME: Final = 1
"""Subscription flag: the time-out is a point in time."""

FDFLAG_APPEND: Final = 1
FDFLAG_NONBLOCK: Final = 4
OFLAG_CREAT: Final = 1
OFLAG_DIRECTORY: Final = 2
OFLAG_EXCL: Final = 4
OFLAG_TRUNC: Final = 8
FST_ATIM: Final = 1
FST_ATIM_NOW: Final = 2
FST_MTIM: Final = 4
FST_MTIM_NOW: Final = 8
WHENCE_SET: Final = 0
WHENCE_CUR: Final = 1
WHENCE_END: Final = 2

RIGHT_FD_READ: Final = 1 << 1
RIGHT_FD_SEEK: Final = 1 << 2
RIGHT_FD_TELL: Final = 1 << 5
RIGHT_FD_WRITE: Final = 1 << 6
ALL_RIGHTS: Final = (1 << 30) - 1
STREAM_RIGHTS: Final = ALL_RIGHTS & ~(RIGHT_FD_SEEK | RIGHT_FD_TELL)
"""Rights of what has no position; C libraries take it for a terminal and buffer by line."""

IOVEC: Final = struct.Struct("<II")
FDSTAT: Final = struct.Struct("<BxHxxxxQQ")
"""File type, flags, rights, inheriting rights."""
FILESTAT: Final = struct.Struct("<QQBxxxxxxxQQQQQ")
"""Device, inode, file type, links, size, access, modification and change time (ns)."""
DIRENT: Final = struct.Struct("<QQIBxxx")
"""Next cookie, inode, length of the name, file type."""
PRESTAT: Final = struct.Struct("<BxxxI")
"""Tag (0: a directory), length of the name."""
SUBSCRIPTION: Final = struct.Struct("<QBxxxxxxxIxxxxQQHxxxxxx")
"""User data, tag, clock or descriptor, time-out, precision, flags."""
EVENT: Final = struct.Struct("<QHBxxxxxQHxxxxxx")
"""User data, error, type, bytes available, flags."""


class WasiError(Exception):
    """A call ends with this error number."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno.name)
        self.errno = errno
