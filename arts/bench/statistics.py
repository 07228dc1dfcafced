"""Percentiles and medians of samples. PURE."""

from collections.abc import Sequence


def percentile(samples: Sequence[float], percent: float) -> float:
    """The sample that ``percent`` of the samples do not exceed (nearest rank)."""
    ordered = sorted(samples)
    rank = max(0, min(len(ordered) - 1, round(percent / 100 * len(ordered) + 0.5) - 1))
    return ordered[rank]


def milliseconds(seconds: float) -> float:
    """Seconds as milliseconds, to the microsecond."""
    return round(seconds * 1000, 3)
