"""What the benchmark of checkpoints makes of what it sees."""

from typing import Any

import pytest

from arts.bench import tables
from arts.bench.checkpoint import longest_gaps, pauses


def test_a_gap_belongs_to_the_period_in_which_it_ends() -> None:
    arrivals = [10.0, 10.1, 10.4, 11.2, 11.3]
    assert longest_gaps(arrivals, 0.5) == pytest.approx([300, 800])
    assert longest_gaps(arrivals, 5.0) == pytest.approx([800])
    assert longest_gaps(arrivals[:1], 0.5) == []


def kept(number: int, taken_at: float, stood_ms: float, sent_bytes: int) -> dict[str, Any]:
    return {
        "number": number,
        "taken_at": taken_at,
        "stood_ms": stood_ms,
        "sent_bytes": sent_bytes,
    }


def test_a_checkpoint_that_was_not_seen_does_not_double_the_time_between_them() -> None:
    costs = [kept(1, 5.0, 1.0, 10), kept(2, 5.5, 2.0, 30), kept(4, 6.5, 9.0, 20)]
    assert pauses(costs) == {
        "stood_p50_ms": 2.0,
        "stood_p99_ms": 9.0,
        "sent_bytes": 20,
        "every_s": 0.5,
    }


def test_the_tables_have_each_module_and_each_way() -> None:
    modules, gaps, messages = tables.checkpoint(
        {
            "stood_p50_ms_of": {"1 MiB, 0 MB/s": 0.9, "lua": 0.4},
            "stood_p99_ms_of": {"1 MiB, 0 MB/s": 1.26, "lua": 12},
            "sent_bytes_of": {"1 MiB, 0 MB/s": 2_900, "lua": 27_000},
            "every_s_of": {"1 MiB, 0 MB/s": 0.508, "lua": 0.512},
            "gap_p50_ms_of": {"lua": 13.2},
            "gap_p99_ms_of": {"lua": 186},
            "undisturbed_gap_p50_ms_of": {"lua": 4.5},
            "undisturbed_gap_p99_ms_of": {"lua": 25},
            "messages_per_s_of": {"none": 11327, "always": 816},
        }
    )
    assert modules.rows == [
        ("1 MiB, 0 MB/s", "0.90 / 1.3", "3 kB", "0.51"),
        ("lua", "0.40 / 12", "27 kB", "0.51"),
    ]
    assert gaps.rows == [("lua", "13 / 186", "4.5 / 25")]
    assert messages.rows == [("none", "11,327"), ("always", "816")]
