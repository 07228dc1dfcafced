"""The guest's memory as host calls see it: every access is checked, none raises into wasm.

Knows how to read and write numbers and bytes at addresses. Does not know whose memory it is.
"""

import struct
from collections.abc import Callable, Sequence
from typing import Final

from runtime.wasi.preview1 import IOVEC, Errno, WasiError

_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_MAX_VECTORS: Final = 1024


class GuestMemory:
    """A view of linear memory. Raises ``WasiError(FAULT)`` for addresses outside of it.

    ``look`` returns the memory as it is now: it is asked again when an access lies behind the end
    of what it returned before, because memories only grow and do not move.
    """

    def __init__(self, look: Callable[[], memoryview]) -> None:
        self._look = look
        self._view = memoryview(b"")

    def view(self, address: int, size: int) -> memoryview:
        """The bytes at an address, writable."""
        end = address + size
        if end > len(self._view):
            self._view = self._look()
            if end > len(self._view):
                raise WasiError(Errno.FAULT)
        return self._view[address:end]

    def read(self, address: int, size: int) -> bytes:
        """A copy of the bytes at an address."""
        return bytes(self.view(address, size))

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Put bytes at an address."""
        self.view(address, len(data))[:] = data

    def write_u32(self, address: int, value: int) -> None:
        """Put a number at an address."""
        _U32.pack_into(self.view(address, 4), 0, value)

    def write_u64(self, address: int, value: int) -> None:
        """Put a number at an address."""
        _U64.pack_into(self.view(address, 8), 0, value & 0xFFFFFFFFFFFFFFFF)

    def vectors(self, address: int, count: int) -> list[memoryview]:
        """The buffers that ``count`` iovecs at an address describe."""
        if count > _MAX_VECTORS:
            raise WasiError(Errno.INVAL)
        table = self.view(address, IOVEC.size * count)
        return [self.view(start, size) for start, size in IOVEC.iter_unpack(table)]

    def gather(self, address: int, count: int, limit: int) -> bytes:
        """What ``count`` iovecs at an address hold, joined; at most ``limit`` bytes of it.

        The same bytes may be named a thousand times: without a limit, small memories would fill
        large ones.
        """
        parts = []
        for part in self.vectors(address, count):
            parts.append(part[:limit])
            limit -= len(parts[-1])
        return b"".join(parts)

    def text(self, address: int, size: int) -> str:
        """A path or name. Raises ``WasiError`` when it is not one."""
        if size > 4096:
            raise WasiError(Errno.NAMETOOLONG)
        try:
            text = self.read(address, size).decode()
        except UnicodeDecodeError:
            raise WasiError(Errno.ILSEQ) from None
        if "\0" in text:
            raise WasiError(Errno.INVAL)
        return text

    def strings(self, pointers: int, content: int, strings: Sequence[bytes]) -> None:
        """Strings as C wants them: their addresses at ``pointers``, they at ``content``."""
        for number, string in enumerate(strings):
            self.write_u32(pointers + 4 * number, content)
            self.write(content, string + b"\0")
            content += len(string) + 1
