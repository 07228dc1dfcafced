"""Points of a program as messages carry them: [function id, resume] pairs, from strangers.

Knows their form. Does not know programs, and so not which points they have.
"""

from typing import Any, Final

from arts.errors import InvalidRequest

MAX_POINTS: Final = 1000
"""Of one request. A stack is as deep as it likes; its distinct points are few."""


def parse_points(document: Any) -> tuple[tuple[int, int], ...]:
    """The pairs of a document. Raises ``InvalidRequest``."""
    if not isinstance(document, list) or not document:
        raise InvalidRequest("the points must be a list of [function id, resume]")
    if len(document) > MAX_POINTS:
        raise InvalidRequest(f"{len(document)} points; at most {MAX_POINTS} are made at once")
    for pair in document:
        if not isinstance(pair, list) or [type(number) for number in pair] != [int, int]:
            raise InvalidRequest("each point must be [function id, resume]")
    return tuple((function, resume) for function, resume in document)
