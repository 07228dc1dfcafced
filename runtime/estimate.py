"""How long a module would stand still for a move, from what was measured beforehand. PURE."""

from typing import Final

from runtime.shadow import another_round

_TRIPS: Final = 4
"""Through the broker while the module stands: snapshot, word of it, word to go on, session."""
_HANDLED: Final = 200e6
"""Bytes of memory a second that two runtimes read, pack, unpack and write."""
_ALWAYS: Final = 0.004
"""Seconds for the rest."""


def left_when_it_stands(used: float, written: float, line: float, budget: float) -> float:
    """Bytes of a memory that would not have gone ahead when its module is stopped.

    ``used``: bytes in it; ``written``: bytes a second that change; ``line``: bytes a second that
    travel; ``budget``: seconds for all rounds but the first.
    """
    rounds, spent = [round(used)], 0.0
    while another_round(rounds) and spent < budget:
        seconds = _seconds_for(rounds[-1], line)
        spent += seconds if len(rounds) > 1 else 0.0
        rounds.append(round(min(used, written * seconds)))
    return min(used, written * _seconds_for(rounds[-1], line))


def stop_seconds(left: float, line: float, trip: float) -> float:
    """How long the module stands while ``left`` bytes of it travel. ``trip``: seconds that a small
    message takes from one runtime through the broker to another."""
    return _ALWAYS + _TRIPS * trip + _seconds_for(left, line)


def _seconds_for(size: float, line: float) -> float:
    return size / line + size / _HANDLED
