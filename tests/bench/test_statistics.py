"""Percentiles by nearest rank."""

import pytest

from arts.bench.statistics import milliseconds, percentile


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)]
)
def test_a_percentile_is_the_sample_that_so_many_do_not_exceed(
    percent: float, expected: int
) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_one_sample_is_every_percentile() -> None:
    assert [percentile([7.0], percent) for percent in (0, 50, 100)] == [7.0] * 3


def test_milliseconds() -> None:
    assert milliseconds(0.0012345678) == 1.235
