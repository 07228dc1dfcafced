"""Reads requests as the supervisor does, for those who play it."""

from collections.abc import Callable

from arts.protocol.dialects.registry import Dialects
from arts.protocol.messages import AnyRequest
from arts.protocol.topics import Topics

DIALECTS = Dialects(Topics("realm"))


def request_in(
    topic: str,
    payload: bytes,
    *,
    new_id: Callable[[], str] = lambda: "new",
    wall: float = 0.0,
) -> AnyRequest | None:
    """The one request that a message makes, if it makes any."""
    requests = DIALECTS.decode(topic, payload, new_id=new_id, wall=wall)
    assert len(requests) <= 1
    return requests[0] if requests else None
