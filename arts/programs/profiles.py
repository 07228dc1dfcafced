"""Which profile a program is prepared with, when nobody says. PURE.

The rule: what polls least is tried first, and given up for good as soon as it was seen to be too
slow once. A pause is measured in CPU time of the program, so that a busy machine proves nothing.
"""

from typing import Final

from arts.migratable import Profile

AUTO: Final = "auto"
PAUSE_BOUND: Final = 0.002
"""Seconds of CPU time from a request to pause until the program stands."""


def choose(slowest_pause: float, bound: float = PAUSE_BOUND) -> Profile:
    """The profile for a program whose ``throughput`` form has been seen to take that long."""
    return Profile.RESPONSIVE if slowest_pause > bound else Profile.THROUGHPUT
