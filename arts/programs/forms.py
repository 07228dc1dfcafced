"""In which form a program is prepared, when more than one would do. PURE.

Two questions. *How often does it poll?* What polls least is tried first, and given up for good as
soon as it was seen to be too slow once; a pause is measured in CPU time of the program, so that a
busy machine proves nothing. *What must an engine be able to do?* As much as all can that may get
it, and no more.
"""

from typing import Final

from arts.migratable import Description, Frames, Options, Poll, Profile
from arts.model import Ability, ProfileChoice

PAUSE_BOUND: Final = 0.002
"""Seconds of CPU time from a request to pause until the program stands."""


def choose(slowest_pause: float, bound: float = PAUSE_BOUND) -> Profile:
    """The profile for a program whose ``throughput`` form has been seen to take that long."""
    return Profile.RESPONSIVE if slowest_pause > bound else Profile.THROUGHPUT


def decide(choice: ProfileChoice, slowest_pause: float, bound: float) -> Profile:
    """The profile that is meant, given what is known of the program."""
    return choose(slowest_pause, bound) if choice == "auto" else Profile(choice)


def options_for(profile: Profile, abilities: frozenset[Ability]) -> Options:
    """How to prepare it for engines that all can do this."""
    return Options.of(
        profile,
        frames=Frames.OWN if Ability.MULTI_MEMORY in abilities else Frames.PRIMARY,
        twins=Ability.LINKING not in abilities,
        flag=Ability.ATOMICS in abilities,
    )


def needs(prepared: Description) -> frozenset[Ability]:
    """What an engine must be able to do to run a prepared program."""
    options = prepared.options
    needed = {
        Ability.MULTI_MEMORY: options.frames is Frames.OWN and prepared.memories > 0,
        Ability.ATOMICS: options.poll is Poll.FLAG,
        Ability.LINKING: not options.twins,
    }
    return frozenset(ability for ability, is_needed in needed.items() if is_needed)


def name_of(options: Options) -> str:
    """What tells the forms of one program apart."""
    twins = "/twins" if options.twins else ""
    return f"{options.profile}/{options.poll}/{options.frames}{twins}"
