"""The numbers in front of what is written to a *sequenced* channel, and who has had which.

PURE. A header says which module wrote a message, since when (*origin*: the generation at which it
last began from nothing), at which generation, and as its how manieth. The number is part of the
module's state, so one that goes on from a checkpoint gives the same numbers again, and a reader
that remembers the last one leaves out what it has had. Does not know where that is remembered.
"""

import struct
from collections.abc import Iterable
from typing import Final, NamedTuple

_MAGIC: Final = b"\xffARTSsq"
"""No text begins like this."""
_VERSION: Final = 1
_HEADER: Final = struct.Struct(f">{len(_MAGIC)}sBIIQH")
_MAX_WRITERS: Final = 4096


class Stamp(NamedTuple):
    """Which message of which module."""

    module: str
    origin: int
    generation: int
    number: int


class Heard(NamedTuple):
    """The last that was heard of a module on a topic."""

    topic: str
    stamp: Stamp


def stamped(stamp: Stamp, payload: bytes) -> bytes:
    """The payload with its header."""
    module = stamp.module.encode()
    numbers = (stamp.origin, stamp.generation, stamp.number)
    return _HEADER.pack(_MAGIC, _VERSION, *numbers, len(module)) + module + payload


def read(data: bytes) -> tuple[Stamp | None, bytes]:
    """The header and the payload; no header of ours: None, and all of it."""
    if len(data) < _HEADER.size or not data.startswith(_MAGIC):
        return None, data
    _, version, origin, generation, number, length = _HEADER.unpack_from(data)
    end = _HEADER.size + length
    try:
        module = data[_HEADER.size : end].decode()
    except UnicodeDecodeError:
        return None, data
    if version != _VERSION or end > len(data):
        return None, data
    return Stamp(module, origin, generation, number), data[end:]


class Hearing:
    """What one reader has had, of a bounded number of writers."""

    def __init__(self, heard: Iterable[Heard] = ()) -> None:
        self._last = {(topic, stamp.module): stamp for topic, stamp in heard}

    def is_new(self, topic: str, stamp: Stamp) -> bool:
        """Whether this has not been heard before; from now on it has.

        Of a module that began from nothing again, what its former life still says is not new.
        """
        key = (topic, stamp.module)
        last = self._last.get(key)
        if last is not None:
            if stamp.origin == last.origin and stamp.number <= last.number:
                return False
            if stamp.origin != last.origin and stamp.generation <= last.generation:
                return False
        self._remember(key, stamp)
        return True

    def _remember(self, key: tuple[str, str], stamp: Stamp) -> None:
        self._last.pop(key, None)
        self._last[key] = stamp
        if len(self._last) > _MAX_WRITERS:
            del self._last[next(iter(self._last))]

    def without(self, left: Iterable[Heard]) -> tuple[Heard, ...]:
        """All that was heard, but for what is ``left`` to be heard again, in its order."""
        last = dict(self._last)
        for topic, stamp in reversed(list(left)):
            last[topic, stamp.module] = stamp._replace(number=stamp.number - 1)
        return tuple(Heard(topic, stamp) for (topic, _), stamp in last.items())
