"""The WebAssembly binary format below the meaning of its sections: LEB128, names, section framing.

Knows bytes. Does not know what any section or instruction is for.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from arts.migratable.errors import NotWasm

T = TypeVar("T")

PREAMBLE: Final = b"\0asm\x01\0\0\0"
CUSTOM: Final = 0
MAX_U32_BYTES: Final = 5


def unsigned(value: int) -> bytes:
    """Unsigned LEB128 of a non-negative integer."""
    if value < 0x80:
        return SINGLE_BYTES[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


SINGLE_BYTES: Final = tuple(bytes([value]) for value in range(0x80))


def signed(value: int) -> bytes:
    """Signed LEB128 of an integer."""
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


def name(text: str) -> bytes:
    """A length-prefixed UTF-8 name."""
    return sized(text.encode())


def sized(data: bytes | bytearray) -> bytes:
    """Bytes behind their length."""
    return unsigned(len(data)) + data


def vector(items: Iterable[bytes]) -> bytes:
    """Encoded items behind their number."""
    encoded = list(items)
    return unsigned(len(encoded)) + b"".join(encoded)


def longer(encoded: bytes, items: Sequence[bytes]) -> bytes:
    """An encoded vector with items added behind its own."""
    count, at = u32(encoded, 0)
    return unsigned(count + len(items)) + encoded[at:] + b"".join(items)


def section(number: int, content: bytes) -> bytes:
    """A section with its header."""
    return bytes([number]) + sized(content)


def custom_section(title: str, content: bytes) -> bytes:
    """A custom section with its name and header."""
    return section(CUSTOM, name(title) + content)


def u32(data: bytes, at: int) -> tuple[int, int]:
    """Decode an unsigned LEB128 of at most 32 bits: (value, position behind it).

    The fast way for code already framed by a section: raises IndexError behind the last byte and
    NotWasm when the number is too long.
    """
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value = byte & 0x7F
    for count in range(1, MAX_U32_BYTES):
        byte = data[at + count]
        value |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            if value >> 32:
                break
            return value, at + count + 1
    raise NotWasm("an integer has more than 32 bits")


def skip_leb(data: bytes, at: int) -> int:
    """Position behind the LEB128 at ``at``. Raises IndexError behind the last byte."""
    while data[at] >= 0x80:
        at += 1
    return at + 1


class Reader:
    """Reads ``data[at:end]`` front to back; everything that runs over the end is NotWasm."""

    __slots__ = ("at", "data", "end")

    def __init__(self, data: bytes, at: int = 0, end: int | None = None) -> None:
        self.data = data
        self.at = at
        self.end = len(data) if end is None else end

    @property
    def exhausted(self) -> bool:
        """Nothing is left to read."""
        return self.at >= self.end

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        start = self.at
        self.at += size
        if self.at > self.end:
            raise NotWasm("the module ends in the middle of something")
        return self.data[start : self.at]

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0]

    def peek(self) -> int:
        """The next byte, which stays there."""
        byte = self.byte()
        self.at -= 1
        return byte

    def u32(self) -> int:
        """The next unsigned LEB128 of at most 32 bits."""
        try:
            value, self.at = u32(self.data, self.at)
        except IndexError:
            self.at = self.end + 1
        if self.at > self.end:
            raise NotWasm("the module ends in the middle of an integer")
        return value

    def leb(self) -> bytes:
        """The next LEB128 as encoded: for numbers that may have more than 32 bits."""
        start = self.at
        while self.byte() >= 0x80:
            pass
        return self.data[start : self.at]

    def name(self) -> str:
        """The next length-prefixed name; bytes that are not UTF-8 are kept readable."""
        return self.take(self.u32()).decode("utf-8", "backslashreplace")

    def vector(self, read: Callable[[], T]) -> list[T]:
        """As many items as the next integer says, each by ``read``."""
        return [read() for _ in range(self.u32())]

    def frame(self) -> "Reader":
        """A reader of the next length-prefixed run of bytes, which this one passes over."""
        size = self.u32()
        start = self.at
        self.take(size)
        return Reader(self.data, start, self.at)


def sections(data: bytes) -> list[tuple[int, Reader]]:
    """Split a core module into (section number, reader of its content). Raises NotWasm."""
    if data[:8] != PREAMBLE:
        raise NotWasm(_wrong_preamble(data))
    reader = Reader(data, 8)
    found = []
    while not reader.exhausted:
        number = reader.byte()
        found.append((number, reader.frame()))
    return found


def custom_content(data: bytes, title: str) -> bytes | None:
    """Content of the last custom section of that name, None if there is none. Raises NotWasm."""
    content = None
    for number, reader in sections(data):
        if number == CUSTOM and reader.name() == title:
            content = data[reader.at : reader.end]
    return content


def _wrong_preamble(data: bytes) -> str:
    if data[:4] != PREAMBLE[:4]:
        return "these bytes are not WebAssembly"
    if len(data) < 8:
        return "the module ends in its header"
    if data[6:8] == b"\x01\0":
        return "this is a WebAssembly component, not a core module"
    return f"WebAssembly version {int.from_bytes(data[4:8], 'little')} is not known"
