"""How long a module would stand still is told from what was measured."""

import pytest

from runtime.estimate import left_when_it_stands, stop_seconds
from runtime.shadow import ENOUGH

MB = 1e6


def left(used: float, written: float, line: float = 50 * MB, budget: float = 4.0) -> float:
    return left_when_it_stands(used, written, line, budget)


def test_what_is_not_written_to_is_gone_when_it_stands() -> None:
    assert left(256 * MB, 0) == 0


def test_what_is_written_slowly_shrinks_to_little() -> None:
    assert left(256 * MB, 10 * MB) <= ENOUGH


@pytest.mark.parametrize("written", [50 * MB, 1e12])
def test_what_is_written_faster_than_it_travels_stays(written: float) -> None:
    assert left(256 * MB, written) == pytest.approx(256 * MB)


def test_a_slow_line_takes_its_time_for_the_first_round_only() -> None:
    some = left(10 * MB, 10_000, line=100_000)
    assert 10_000 <= some <= 1 * MB
    assert left(10 * MB, 10_000, line=100_000, budget=60) < some


def test_it_stands_for_as_long_as_the_rest_travels() -> None:
    assert stop_seconds(0, MB, 0.001) == pytest.approx(0.008)
    assert stop_seconds(MB, MB, 0.001) == pytest.approx(1.013)
    assert stop_seconds(200 * MB, 1e15, 0.001) == pytest.approx(1.008)
