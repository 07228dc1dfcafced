"""Points of a program, as strangers send them."""

from typing import Any

import pytest

from arts.errors import InvalidRequest
from arts.protocol.points import MAX_POINTS, parse_points


def test_pairs() -> None:
    assert parse_points([[0, 1], [7, -2]]) == ((0, 1), (7, -2))


@pytest.mark.parametrize(
    "document",
    [None, 5, "points", {}, [], [0], [[0]], [[0, 1, 2]], [[0, True]], [[0, "1"]], [[0, 1.0]]],
)
def test_what_is_no_list_of_pairs(document: Any) -> None:
    with pytest.raises(InvalidRequest, match="point"):
        parse_points(document)


def test_so_many_and_no_more() -> None:
    assert len(parse_points([[0, 1]] * MAX_POINTS)) == MAX_POINTS
    with pytest.raises(InvalidRequest, match="at most 1000"):
        parse_points([[0, 1]] * (MAX_POINTS + 1))
