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


class Profile(StrEnum):
    """How soon a computing program stops when asked, against what watching out for that costs."""

    RESPONSIVE = "responsive"
    """A poll in every loop: stops within one iteration of any loop."""
    THROUGHPUT = "throughput"
    """A poll outside loop nests without calls: stops when the nest that runs is through."""
    BLOCKING_ONLY = "blocking-only"
    """No polls: stops at its next blocking host call, which may never come."""


class Frames(StrEnum):
    """Where a program writes its activations down."""

    OWN = "own"
    """In a memory of their own. The engine must have multiple memories."""
    PRIMARY = "primary"
    """In pages of the program's first memory that the program does not see."""


@dataclass(frozen=True, slots=True)
class Options:
    """Choices that shape prepared code; they are part of its identity.

    ``nest`` polls only the outermost loop of nests without calls: faster inner loops, pauses that
    may wait for a whole inner loop. ``blocking`` names the imports, as (module, name), that may
    park their caller instead of returning. ``twins`` puts code that continues every function at
    every point into the program itself, for engines that cannot take new code later: it is about
    twice as large then, and slow until the continued activation returns.
    """

    poll: Poll = Poll.FLAG
    nest: bool = False
    blocking: frozenset[tuple[str, str]] = abi.BLOCKING_IMPORTS
    frames: Frames = Frames.OWN
    twins: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for choices that exclude each other."""
        if self.frames is Frames.PRIMARY and self.poll is Poll.FLAG:
            raise ValueError("a program that shares its memory with frames has no flag to poll")

    @classmethod
    def of(
        cls,
        profile: Profile,
        *,
        frames: Frames = Frames.OWN,
        twins: bool = False,
        flag: bool = True,
    ) -> "Options":
        """The choices that a profile stands for.

        Without ``flag``, or where there is none to poll, polls count down.
        """
        poll = Poll.FLAG if flag and frames is Frames.OWN else Poll.COUNTDOWN
        if profile is Profile.BLOCKING_ONLY:
            poll = Poll.NONE
        return cls(poll, profile is Profile.THROUGHPUT, frames=frames, twins=twins)

    @property
    def profile(self) -> Profile:
        """The profile that these choices come to."""
        if self.poll is Poll.NONE:
            return Profile.BLOCKING_ONLY
        return Profile.THROUGHPUT if self.nest else Profile.RESPONSIVE
