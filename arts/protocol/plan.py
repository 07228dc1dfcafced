"""What is asked and said about a move that is only planned. PURE.

The one who asks publishes an ``Ask`` to ``measure/{runtime}`` and hears a ``Measured`` on
``measure/{runtime}/{asker}``, both JSON.
"""

import msgspec

from arts.protocol.topics import is_safe_id


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much would a move of this module have to carry?"""

    module: str
    asker: str
    """Last level of the topic for the answer."""


class Measured(msgspec.Struct, frozen=True):
    """What the module's runtime found while it ran on. With ``unknown`` set, nothing."""

    memory_bytes: int = 0
    used_bytes: int = 0
    """In blocks of 4 KiB that are not all zeros."""
    written_bytes_per_second: float = 0.0
    """In such blocks; what is written to one again and again counts once per half second."""
    line_bytes_per_second: float = 0.0
    """From its runtime to the broker and back."""
    stop_seconds: float = 0.0
    """How long it would stand still, about: if what it writes does not pack, and the target's line
    is no worse."""
    stops_first: str | None = None
    """Why its memory would not go ahead while it runs; None: it would."""
    unknown: str | None = None
    """Why nothing is known."""


def encode(message: Ask | Measured) -> bytes:
    """The bytes of either."""
    return msgspec.json.encode(message)


def asked(payload: bytes) -> Ask:
    """Raises ``msgspec.MsgspecError`` or ``ValueError``."""
    ask = msgspec.json.decode(payload, type=Ask)
    if not is_safe_id(ask.asker):
        raise ValueError(f"{ask.asker!r} cannot be a level of a topic")
    return ask


def measured(payload: bytes) -> Measured:
    """Raises ``msgspec.MsgspecError``."""
    return msgspec.json.decode(payload, type=Measured)
