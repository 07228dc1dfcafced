"""Checkpoints as bytes: what is sent is what comes, and nothing else is believed."""

import hashlib
import math

import msgspec
import pytest
import zstandard

from arts.errors import InvalidRequest
from arts.protocol.checkpoint import Origin, decode_parcel, encode_parcel
from arts.protocol.transfer import Sender, transfer_of

ORIGIN = Origin("m", "rt", 3, "ab" * 32, "serial")
ONE, TWO = b"one" * 100, b"two" * 100
DIGESTS = [hashlib.sha256(piece).digest() for piece in (ONE, TWO, ONE)]


def test_there_and_back() -> None:
    parcel = decode_parcel(encode_parcel(ORIGIN, DIGESTS, 900, [TWO], 0.25), 10_000)
    assert parcel.origin == ORIGIN
    assert list(parcel.digests) == DIGESTS
    assert parcel.size == 900
    assert parcel.pieces == {DIGESTS[1]: TWO}
    assert parcel.stood == 0.25


def test_a_sender_need_not_say_how_long_the_module_stood() -> None:
    """A runtime of before does not."""
    assert decode_parcel(packed(*ORIGIN, b"", 0, ()), 10_000).stood == 0.0


def packed(*fields: object) -> bytes:
    return zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "malformed"),
        (b"nonsense", "malformed"),
        (encode_parcel(ORIGIN, DIGESTS, 900, [TWO])[:-5], "malformed"),
        (encode_parcel(ORIGIN, DIGESTS, 900, [bytes(20_000)]), "more than 10000 bytes"),
        (encode_parcel(ORIGIN, DIGESTS, 900, [b"three"]), "does not list|do not list"),
        (packed("m", "rt", 3, "p", "s", b"short", 1, ()), "cut off"),
        (packed("m", "rt", -3, "p", "s", b"", 1, ()), "malformed"),
        (packed("m"), "malformed"),
        (packed(*ORIGIN, b"", 0, (), -1.0), "malformed"),
        (packed(*ORIGIN, b"", 0, (), math.nan), "malformed"),
    ],
)
def test_everything_else_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason):
        decode_parcel(data, 10_000)


def test_a_chunk_says_which_transfer_it_is_of() -> None:
    (chunk,) = Sender(b"data", 0.0).start()
    assert transfer_of(chunk) == hashlib.sha256(b"data").digest()
    assert transfer_of(chunk[:-1]) is None
    assert transfer_of(b"") is None
