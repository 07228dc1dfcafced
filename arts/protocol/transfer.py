"""Large data over a message bus: chunks, credits, re-requests. PURE: frames in, frames out.

Knows no topic, no clock and no transport: the caller publishes the frames it is given, hands over
those that arrive, and calls ``tick`` when ``next_deadline`` has passed (``now``: monotonic
seconds). The bus may drop, repeat, reorder or damage frames; a transfer ends complete and equal to
what was sent, or with a ``failure`` after a bounded silence.

A chunk names the whole transfer by the sha256 of its data, so data that fits one chunk needs no
extra round trip. The receiver answers with its *state*: the bitmap of the chunks it has. A state
is credit (so many more may be under way), acknowledgement and re-request in one.
"""

import hashlib
import struct
import zlib
from typing import Final, NamedTuple

CHUNK_SIZE: Final = 256 * 1024
"""Bytes of data in one chunk."""
WINDOW: Final = 1024 * 1024
"""Bytes that may be under way unconfirmed."""
SILENCE: Final = 0.5
"""Seconds without news after which either side speaks up."""
PATIENCE: Final = 10.0
"""Seconds without news after which either side gives up."""

_CHUNK: Final = struct.Struct(
    "!4sI32sQII"
)  # magic, crc32 of the rest, sha256, size, chunk size, number
_STATE: Final = struct.Struct("!4sI32s?")  # magic, crc32 of the rest, sha256, resend; bitmap
_CHUNK_MAGIC: Final = b"ATC1"
_STATE_MAGIC: Final = b"ATS1"
_CHECKED_FROM: Final = 8


class _Chunk(NamedTuple):
    digest: bytes
    size: int
    chunk_size: int
    number: int
    body: bytes

    @property
    def total(self) -> int:
        return _count(self.size, self.chunk_size)

    @property
    def fits(self) -> bool:
        """Whether number and length are what the header's own sizes ask for."""
        begin = self.number * self.chunk_size
        return self.number < self.total and len(self.body) == min(
            self.chunk_size, self.size - begin
        )


class _State(NamedTuple):
    digest: bytes
    resend: bool
    bitmap: bytes

    def has(self, index: int) -> bool:
        byte = index >> 3
        return byte < len(self.bitmap) and bool(self.bitmap[byte] >> (index & 7) & 1)


def _count(size: int, chunk_size: int) -> int:
    return max(1, -(-size // chunk_size))


def _sealed(layout: struct.Struct, magic: bytes, fields: tuple[object, ...], body: bytes) -> bytes:
    frame = bytearray(layout.pack(magic, 0, *fields))
    frame += body
    struct.pack_into("!I", frame, 4, zlib.crc32(memoryview(frame)[_CHECKED_FROM:]))
    return bytes(frame)


def _is_sound(frame: bytes, layout: struct.Struct, magic: bytes) -> bool:
    return (
        len(frame) >= layout.size
        and frame[:4] == magic
        and zlib.crc32(memoryview(frame)[_CHECKED_FROM:]) == int.from_bytes(frame[4:8], "big")
    )


def _parse_chunk(frame: bytes) -> _Chunk | None:
    if not _is_sound(frame, _CHUNK, _CHUNK_MAGIC):
        return None
    _, _, digest, size, chunk_size, index = _CHUNK.unpack_from(frame)
    if not chunk_size:
        return None
    chunk = _Chunk(digest, size, chunk_size, index, frame[_CHUNK.size :])
    return chunk if chunk.fits else None


def _parse_state(frame: bytes) -> _State | None:
    if not _is_sound(frame, _STATE, _STATE_MAGIC):
        return None
    _, _, digest, resend = _STATE.unpack_from(frame)
    return _State(digest, resend, frame[_STATE.size :])


def transfer_of(frame: bytes) -> bytes | None:
    """Which transfer (sha256 of its data) a chunk belongs to; None if it is no sound chunk."""
    chunk = _parse_chunk(frame)
    return chunk.digest if chunk is not None else None


class Sender:
    """The side that has the data (bytes, any length)."""

    def __init__(
        self,
        data: bytes,
        now: float,
        *,
        chunk_size: int = CHUNK_SIZE,
        window: int = WINDOW,
        silence: float = SILENCE,
        patience: float = PATIENCE,
    ) -> None:
        self._data = data
        self._digest = hashlib.sha256(data).digest()
        self._chunk_size = chunk_size
        self._room = max(1, window // chunk_size)
        self._missing = set(range(_count(len(data), chunk_size)))
        self._unsent = sorted(self._missing, reverse=True)
        self._silence, self._patience = silence, patience
        self._heard = self._spoke = now
        self.failure: str | None = None
        """Why the transfer will not happen any more; None while it may."""

    @property
    def digest(self) -> str:
        """sha256 (hex) of the data."""
        return self._digest.hex()

    @property
    def done(self) -> bool:
        """Whether the receiver has confirmed everything."""
        return not self._missing

    def start(self) -> list[bytes]:
        """The first chunks to publish: a window full."""
        return self._fill()

    def handle(self, frame: bytes, now: float) -> list[bytes]:
        """Chunks to publish in answer to a frame of the receiver; anything else is ignored."""
        state = _parse_state(frame)
        if state is None or state.digest != self._digest or self.failure:
            return []
        self._heard = self._spoke = now
        self._missing = {index for index in self._missing if not state.has(index)}
        unsent = self._missing if state.resend else self._missing.intersection(self._unsent)
        self._unsent = sorted(unsent, reverse=True)
        return self._fill()

    def tick(self, now: float) -> list[bytes]:
        """What to publish because time has passed: after a silence, one chunk as a question."""
        if self.done or self.failure:
            return []
        if now >= self._heard + self._patience:
            self.failure = f"no word from the receiver for {self._patience:g} s"
            return []
        if now < self._spoke + self._silence:
            return []
        self._spoke = now
        return [self._chunk(min(self._missing))]

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to do; None when never."""
        if self.done or self.failure:
            return None
        return min(self._heard + self._patience, self._spoke + self._silence)

    def _fill(self) -> list[bytes]:
        under_way = len(self._missing) - len(self._unsent)
        room = min(max(0, self._room - under_way), len(self._unsent))
        return [self._chunk(self._unsent.pop()) for _ in range(room)]

    def _chunk(self, index: int) -> bytes:
        begin = index * self._chunk_size
        body = self._data[begin : begin + self._chunk_size]
        fields = (self._digest, len(self._data), self._chunk_size, index)
        return _sealed(_CHUNK, _CHUNK_MAGIC, fields, body)


class Receiver:
    """The side that wants the data.

    ``expected``: the sha256 (hex) it must have, if known; otherwise the first sound chunk decides.
    ``max_bytes``: larger transfers fail. ``but``: a sha256 (hex) that it is not, of a transfer
    before on the same topic whose chunks may come again. It waits for the first chunk as long as
    the caller does.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        expected: str | None = None,
        but: str | None = None,
        window: int = WINDOW,
        silence: float = SILENCE,
        patience: float = PATIENCE,
    ) -> None:
        self._max_bytes = max_bytes
        self._digest = bytes.fromhex(expected) if expected else None
        self._not = bytes.fromhex(but) if but else None
        self._window = window
        self._silence, self._patience = silence, patience
        self._chunks: dict[int, bytes] = {}
        self._count = 0
        self._uncredited = 0
        self._progress = self._spoke = 0.0
        self.data: bytes | None = None
        """The data, once it is complete and its digest right."""
        self.failure: str | None = None
        """Why there will be no data; None while there may."""

    @property
    def digest(self) -> str | None:
        """sha256 (hex) of the transfer; None before the first chunk of an unknown one."""
        return self._digest.hex() if self._digest else None

    def handle(self, frame: bytes, now: float) -> list[bytes]:
        """Frames to publish in answer to a frame of the sender; damaged ones are ignored."""
        chunk = _parse_chunk(frame)
        if chunk is None or self.failure or not self._belongs(chunk):
            return []
        if self.data is not None:
            return [self._state(resend=False)]
        if chunk.size > self._max_bytes:
            self.failure = f"{chunk.size} bytes, the limit is {self._max_bytes}"
            return []
        self._digest, self._count = chunk.digest, chunk.total
        if chunk.number not in self._chunks:
            self._chunks[chunk.number] = chunk.body
            self._uncredited += chunk.chunk_size
            self._progress = self._spoke = now
        return self._credit()

    def tick(self, now: float) -> list[bytes]:
        """What to publish because time has passed: after a silence, a re-request."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return []
        if now >= self._progress + self._patience:
            self.failure = (
                f"{len(self._chunks)} of {self._count} chunks, "
                f"then nothing for {self._patience:g} s"
            )
            self._chunks.clear()
            return []
        self._spoke = now
        return [self._state(resend=True)]

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to do; None when never."""
        if not self._chunks or self.failure or self.data is not None:
            return None
        return min(self._progress + self._patience, self._spoke + self._silence)

    def _belongs(self, chunk: _Chunk) -> bool:
        if self._count and chunk.total != self._count:
            return False
        return self._digest in (None, chunk.digest) and chunk.digest != self._not

    def _credit(self) -> list[bytes]:
        if len(self._chunks) == self._count:
            return self._finish()
        if self._uncredited < self._window // 2:
            return []
        self._uncredited = 0
        return [self._state(resend=False)]

    def _finish(self) -> list[bytes]:
        data = b"".join(self._chunks[index] for index in range(self._count))
        self._chunks.clear()
        if hashlib.sha256(data).digest() != self._digest:
            self.failure = "the data does not have the digest that was announced"
            return []
        self.data = data
        return [self._state(resend=False)]

    def _state(self, *, resend: bool) -> bytes:
        assert self._digest is not None
        bitmap = bytearray(-(-self._count // 8))
        for index in range(self._count) if self.data is not None else self._chunks:
            bitmap[index >> 3] |= 1 << (index & 7)
        return _sealed(_STATE, _STATE_MAGIC, (self._digest, resend), bytes(bitmap))
