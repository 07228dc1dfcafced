"""A checkpoint on its way from a runtime to the store. PURE: the parcel, no transport and no disk.

A captured module is a row of *pieces*: bytes that, one after the other, are its snapshot. Where to
cut is the runtime's business; it cuts where pieces stay equal from checkpoint to checkpoint, so
that most of them are in the store already. A parcel lists the sha256 of all pieces and contains
those that its sender does not know to be there.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, NamedTuple

import msgspec
import zstandard

from arts.errors import InvalidRequest

DIGEST: Final = 32
"""Bytes of a sha256."""


class Origin(NamedTuple):
    """Whose checkpoint it is."""

    module: str
    runtime: str
    generation: int
    program: str
    """sha256 (hex) of the form whose state it is."""
    serial: str
    """The runtime's name for this attempt: verdicts repeat it."""


class Parcel(NamedTuple):
    """A checkpoint, without the pieces that the store should have."""

    origin: Origin
    digests: tuple[bytes, ...]
    """sha256 of every piece, in order."""
    size: int
    """Bytes of all pieces."""
    pieces: Mapping[bytes, bytes]
    """sha256 -> piece."""
    stood: float
    """Seconds for which the module could not run because of it."""


class _Content(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    module: str
    runtime: str
    generation: Annotated[int, msgspec.Meta(ge=0)]
    program: str
    serial: str
    digests: bytes
    size: Annotated[int, msgspec.Meta(ge=0)]
    pieces: tuple[bytes, ...]
    stood: Annotated[float, msgspec.Meta(ge=0)] = 0.0


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Content)


def encode_parcel(
    origin: Origin,
    digests: Sequence[bytes],
    size: int,
    pieces: Sequence[bytes | memoryview],
    stood: float = 0.0,
) -> bytes:
    """The bytes of a parcel."""
    content = _Content(*origin, b"".join(digests), size, tuple(map(bytes, pieces)), stood)
    return zstandard.ZstdCompressor(level=1).compress(_encoder.encode(content))


def decode_parcel(data: bytes, max_bytes: int) -> Parcel:
    """The parcel of these bytes, which unfolds to at most ``max_bytes``.

    Raises ``InvalidRequest``, whatever is wrong with them.
    """
    try:
        if not 0 <= zstandard.frame_content_size(data) <= max_bytes:
            raise InvalidRequest(f"a checkpoint says no size, or more than {max_bytes} bytes")
        content = _decoder.decode(zstandard.ZstdDecompressor().decompress(data))
    except (zstandard.ZstdError, msgspec.MsgspecError, ValueError) as error:
        raise InvalidRequest(f"a checkpoint is malformed: {error}") from None
    if len(content.digests) % DIGEST:
        raise InvalidRequest("a checkpoint's list of pieces is cut off")
    digests = tuple(
        content.digests[begin : begin + DIGEST] for begin in range(0, len(content.digests), DIGEST)
    )
    pieces = {hashlib.sha256(piece).digest(): piece for piece in content.pieces}
    if not pieces.keys() <= set(digests):
        raise InvalidRequest("a checkpoint contains pieces that it does not list")
    origin = Origin(
        content.module, content.runtime, content.generation, content.program, content.serial
    )
    return Parcel(origin, digests, content.size, pieces, content.stood)
