"""A program that makes WASI calls from Python: its memory is a bytearray, its state is real."""

import struct
from typing import Any

from arts.model import ChannelSpec, Limits
from runtime.engines.base import Activity, ChannelWrite, Consumed, InstanceSpec, OutputLine
from runtime.wasi.calls import CALLS, make
from runtime.wasi.host import Wasi
from runtime.wasi.preview1 import ALL_RIGHTS, SUBSCRIPTION, Errno

MEMORY = 1 << 20
SCRATCH, RESULT, NAME, OTHER_NAME, BUFFER = 0, 512, 1024, 6144, 16384
ROOT_FD = 3

CHANNELS = (
    ChannelSpec("/ch/in", "topic/in", "r"),
    ChannelSpec("/ch/out", "topic/out", "w"),
    ChannelSpec("/ch/deep/both", "topic/both", "rw"),
)


class Guest:
    """Calls by name; results come back from memory."""

    def __init__(self, *, rate: int | None = None, **fields: Any) -> None:
        fields.setdefault("channels", CHANNELS)
        limits = Limits(output_bytes_per_second=rate)
        self.spec = InstanceSpec("uuid", "guest", limits=limits, **fields)
        self.memory = bytearray(MEMORY)
        self.activities: list[Activity] = []
        self.wasi = Wasi.start(self.spec, self.activities.append, lambda: memoryview(self.memory))

    def move(self, carry: tuple[int, ...] = ()) -> None:
        """Capture the state and go on with what comes out of the bytes."""
        data = self.wasi.capture(carry)
        self.wasi = Wasi.restore(
            data, self.spec, self.activities.append, lambda: memoryview(self.memory)
        )

    def errno(self, name: str, *arguments: int) -> Errno:
        """Make a call; its error number."""
        return Errno(make(CALLS[name].function, self.wasi, arguments))

    def call(self, name: str, *arguments: int) -> None:
        """Make a call that succeeds."""
        assert self.errno(name, *arguments) == Errno.SUCCESS

    # ---------------------------------------------------------------- memory

    def put(self, address: int, data: bytes) -> tuple[int, int]:
        """Put data at an address; address and size, as calls want them."""
        self.memory[address : address + len(data)] = data
        return address, len(data)

    def name(self, path: str) -> tuple[int, int]:
        return self.put(NAME, path.encode())

    def u32(self, address: int = RESULT) -> int:
        value: int = struct.unpack_from("<I", self.memory, address)[0]
        return value

    def u64(self, address: int = RESULT) -> int:
        value: int = struct.unpack_from("<Q", self.memory, address)[0]
        return value

    # ---------------------------------------------------------------- files

    def open(self, path: str, flags: int = 0, rights: int = ALL_RIGHTS, fdflags: int = 0) -> int:
        self.call("path_open", ROOT_FD, 0, *self.name(path), flags, rights, rights, fdflags, RESULT)
        return self.u32()

    def open_errno(self, path: str, flags: int = 0, rights: int = ALL_RIGHTS) -> Errno:
        return self.errno("path_open", ROOT_FD, 0, *self.name(path), flags, rights, 0, 0, RESULT)

    def read(self, fd: int, size: int = 4096) -> bytes:
        self.put(SCRATCH, struct.pack("<II", BUFFER, size))
        self.call("fd_read", fd, SCRATCH, 1, RESULT)
        return bytes(self.memory[BUFFER : BUFFER + self.u32()])

    def write(self, fd: int, *parts: bytes) -> Errno:
        at, vectors = BUFFER, b""
        for part in parts:
            vectors += struct.pack("<II", *self.put(at, part))
            at += len(part)
        self.put(SCRATCH, vectors)
        result = self.errno("fd_write", fd, SCRATCH, len(parts), RESULT)
        assert result or self.u32() == sum(map(len, parts))
        return result

    def filestat(self, path: str) -> tuple[int, ...]:
        """Device, inode, type, links, size, atime, mtime, ctime."""
        self.call("path_filestat_get", ROOT_FD, 0, *self.name(path), BUFFER)
        return struct.unpack_from("<QQBxxxxxxxQQQQQ", self.memory, BUFFER)

    def listing(self, path: str = ".") -> list[str]:
        """Names in a directory, read in small pieces."""
        fd, cookie, names = self.open(path), 0, []
        while True:
            self.call("fd_readdir", fd, BUFFER, 100, cookie, RESULT)
            used, at = self.u32(), BUFFER
            complete = 0
            while at + 24 <= BUFFER + used:
                cookie_at, _, size, _ = struct.unpack_from("<QQIBxxx", self.memory, at)
                if at + 24 + size > BUFFER + used:
                    break
                names.append(self.memory[at + 24 : at + 24 + size].decode())
                cookie, at, complete = cookie_at, at + 24 + size, complete + 1
            if used < 100:
                self.call("fd_close", fd)
                return names
            assert complete, "the buffer is too small for an entry"

    # ---------------------------------------------------------------- waiting

    def poll(self, *subscriptions: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
        """Subscriptions (tag, number, timeout, flags) -> events (index, errno, tag, bytes)."""
        table = b"".join(
            SUBSCRIPTION.pack(index, tag, number, timeout, 0, flags)
            for index, (tag, number, timeout, flags) in enumerate(subscriptions)
        )
        self.put(BUFFER, table)
        self.call("poll_oneoff", BUFFER, BUFFER + 8192, len(subscriptions), RESULT)
        return [
            struct.unpack_from("<QHBxxxxxQ", self.memory, BUFFER + 8192 + 32 * index)
            for index in range(self.u32())
        ]

    # ---------------------------------------------------------------- what it did

    def lines(self, stream: str = "stdout") -> list[bytes]:
        return [a.line for a in self.activities if isinstance(a, OutputLine) and a.stream == stream]

    def written(self) -> list[tuple[str, bytes]]:
        return [(a.path, a.payload) for a in self.activities if isinstance(a, ChannelWrite)]

    def receipts(self) -> list[int]:
        return [a.receipt for a in self.activities if isinstance(a, Consumed)]
