"""Asking the kernel which pages of a memory were written to (Linux 6.7 and later).

The pages are write-protected so that the kernel itself lifts the protection at the first write and
remembers that (userfaultfd, ``WP_ASYNC``); ``PAGEMAP_SCAN`` lists those pages and protects them
again in one step. A first write costs 1.5 us, asking about 256 MiB 0.3 ms. Needs no privilege: the
descriptor is for faults from user mode only, and no fault ever reaches it.

Layouts and numbers are those of ``linux/userfaultfd.h`` and ``linux/fs.h``; see also
Documentation/admin-guide/mm/{userfaultfd,pagemap}.rst.
"""

import ctypes
import fcntl
import os
import platform
import struct
from typing import Final

import numpy as np

from runtime.compared import Compared, Filled
from runtime.shadow import Bytes, Differences
from runtime.snapshot import BLOCK

_SYSCALL: Final = {"x86_64": 323, "aarch64": 282, "riscv64": 282}
"""Machine -> number of ``userfaultfd``."""
_USER_MODE_ONLY: Final = 1
_API: Final = 0xAA
_FEATURES: Final = (1 << 12) | (1 << 13) | (1 << 15)
"""WP_HUGETLBFS_SHMEM (memories that begin as a file's content), WP_UNPOPULATED, WP_ASYNC."""
_MODE_WP: Final = 2
_PROTECT: Final = 1
_IS_WRITTEN: Final = 2
_PROTECT_AGAIN: Final = 1

_HANDSHAKE: Final = struct.Struct("=3Q")
_REGISTER: Final = struct.Struct("=4Q")
_WRITEPROTECT: Final = struct.Struct("=3Q")
_SCAN: Final = struct.Struct("=12Q")
_REGIONS: Final = 512
"""Regions of pages that one scan returns at most."""


def _request(kind: int, number: int, layout: struct.Struct) -> int:
    return 3 << 30 | layout.size << 16 | kind << 8 | number


_UFFDIO_API: Final = _request(_API, 0x3F, _HANDSHAKE)
_UFFDIO_REGISTER: Final = _request(_API, 0x00, _REGISTER)
_UFFDIO_WRITEPROTECT: Final = _request(_API, 0x06, _WRITEPROTECT)
_PAGEMAP_SCAN: Final = _request(ord("f"), 16, _SCAN)


def watched(memory: Bytes) -> Differences:
    """The best way that this machine has to find what changes in a memory."""
    try:
        return Written(memory)
    except OSError:
        return Compared(memory)


class Written(Filled):
    """``shadow.Differences`` by the kernel's word. Raises ``OSError`` where it gives none.

    A page counts as changed when it was written to, even if with what it held.
    """

    def __init__(self, memory: Bytes) -> None:
        self._registered = self._looked = 0
        """Bytes from the beginning that can be watched, and that are."""
        self._regions = np.zeros((_REGIONS, 3), dtype=np.uint64)
        self._faults = _userfaultfd()
        self._pages = -1
        try:
            self._pages = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            shake = bytearray(_HANDSHAKE.pack(_API, _FEATURES, 0))
            fcntl.ioctl(self._faults, _UFFDIO_API, shake)
            self._register(memory)
            self._scan(memory, 0, min(BLOCK, len(memory)), 0)
        except OSError:
            self.close()
            raise

    def find(self, memory: Bytes, begin: int, end: int, *, claim: bool) -> list[int]:
        """See ``shadow.Differences``."""
        new = min(max(begin, self._looked), end)
        found = self._scan(memory, begin, new, _PROTECT_AGAIN if claim else 0)
        if new < end:
            if claim:
                self._protect(memory, new, end)
            found += super().find(memory, new, end, claim=claim)
        return found

    def close(self) -> None:
        """Lift the protection."""
        for descriptor in (self._faults, self._pages):
            if descriptor >= 0:
                os.close(descriptor)
        self._faults = self._pages = -1

    def _register(self, memory: Bytes) -> None:
        if self._registered < len(memory):
            start, size = memory.ctypes.data + self._registered, len(memory) - self._registered
            fcntl.ioctl(
                self._faults, _UFFDIO_REGISTER, bytearray(_REGISTER.pack(start, size, _MODE_WP, 0))
            )
            self._registered = len(memory)

    def _protect(self, memory: Bytes, begin: int, end: int) -> None:
        self._register(memory)
        what = _WRITEPROTECT.pack(memory.ctypes.data + begin, end - begin, _PROTECT)
        fcntl.ioctl(self._faults, _UFFDIO_WRITEPROTECT, bytearray(what))
        self._looked = end

    def _scan(self, memory: Bytes, begin: int, end: int, flags: int) -> list[int]:
        """Blocks of the pages that were written to since they were protected."""
        base, found = memory.ctypes.data, list[int]()
        at, stop, where = base + begin, base + end, self._regions.ctypes.data
        while at < stop:
            scan = bytearray(
                _SCAN.pack(
                    *(_SCAN.size, flags, at, stop, 0, where, _REGIONS, 0),
                    *(0, _IS_WRITTEN, 0, _IS_WRITTEN),
                )
            )
            count = fcntl.ioctl(self._pages, _PAGEMAP_SCAN, scan)
            at = _SCAN.unpack(scan)[4]
            for first, last, _ in self._regions[:count].tolist():
                found += range((first - base) // BLOCK, (last - base) // BLOCK)
        return found


def _userfaultfd() -> int:
    number = _SYSCALL.get(platform.machine()) if os.name == "posix" else None
    if platform.system() != "Linux" or number is None:
        raise OSError("this machine cannot say which pages were written to")
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    descriptor: int = syscall(number, os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY)
    if descriptor < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return descriptor
