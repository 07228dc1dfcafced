"""Percentiles and medians of samples. PURE."""

from collections.abc import Sequence
from math import ceil


def percentile(samples: Sequence[float], percent: float) -> float:
    """The sample that ``percent`` of the samples do not exceed (nearest rank)."""
    ordered = sorted(samples)
    return ordered[max(1, ceil(percent / 100 * len(ordered))) - 1]


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)
