"""What whoever prepares a program may choose.

Knows the choices and their defaults. Does not know what code they lead to.
"""

from dataclasses import dataclass
from enum import StrEnum

from arts.migratable import abi


class Poll(StrEnum):
    """How a program that computes without host calls learns that it shall pause."""

    FLAG = "flag"
    """An atomic load of the pause request at every safepoint: the host sets it from any thread."""
    COUNTDOWN = "countdown"
    """A counter taken down at every safepoint: reproducible pause points, for tests."""
    NONE = "none"
    """No safepoints: the program can only park in blocking imports."""


@dataclass(frozen=True, slots=True)
class Options:
    """Choices that shape prepared code; they are part of its identity.

    ``nest`` polls only the outermost loop of nests without calls: faster inner loops, pauses that
    may wait for a whole inner loop. ``blocking`` names the imports, as (module, name), that may
    park their caller instead of returning.
    """

    poll: Poll = Poll.FLAG
    nest: bool = False
    blocking: frozenset[tuple[str, str]] = abi.BLOCKING_IMPORTS
