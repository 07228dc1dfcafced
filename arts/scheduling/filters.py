"""Can it run there? Each filter answers with a reason why not, or None.

PURE. ``PROFILE_FILTERS`` ask only what runtimes of one profile have in common, so that one answer
holds for a whole pool; ``STATE_FILTERS`` ask about the one runtime. The reasons are what people
read in ``arts why`` and while a module is pending.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from arts.model import EVERY_ABILITY, Ability, Durability, ModuleSpec, RuntimeState
from arts.scheduling.view import Candidate, Profile, View


@dataclass(frozen=True, slots=True)
class Demand:
    """What is to be placed."""

    spec: ModuleSpec
    exclude: frozenset[str] = frozenset()
    """Runtimes (uuid) that were tried already, or that the module is to leave."""
    moving: bool = False
    """It arrives as a snapshot from where it runs now."""
    restoring: bool = False
    """It arrives as a snapshot from the store."""
    needs: frozenset[Ability] = frozenset()
    """What the engine must be able to do for the form in which the program is, if it is settled."""


ProfileFilter = Callable[[Demand, Profile], str | None]
StateFilter = Callable[[Demand, Candidate], str | None]


def runs_filetype(demand: Demand, profile: Profile) -> str | None:
    """The kind of program."""
    filetype = demand.spec.filetype
    return None if filetype in profile.filetypes else f"does not run {filetype} programs"


def offers_apis(demand: Demand, profile: Profile) -> str | None:
    """The host interfaces the module needs."""
    missing = demand.spec.apis - profile.apis
    return f"lacks {', '.join(sorted(missing))}" if missing else None


def carries_labels(demand: Demand, profile: Profile) -> str | None:
    """The labels the module insists on."""
    missing = [
        f"{key}={value}" for key, value in demand.spec.labels if (key, value) not in profile.labels
    ]
    return f"lacks label {', '.join(missing)}" if missing else None


def takes_snapshots(demand: Demand, profile: Profile) -> str | None:
    """A moving module needs a runtime that can restore it."""
    if (demand.moving or demand.restoring) and "snapshot" not in profile.features:
        return "cannot take a running module"
    return None


def takes_checkpoints(demand: Demand, profile: Profile) -> str | None:
    """A module whose state is to outlive its runtime."""
    durable = demand.spec.durability is not Durability.NONE
    if durable and "checkpoint" not in profile.features:
        return "takes no checkpoints, and the module wants them"
    return None


def runs_form(demand: Demand, profile: Profile) -> str | None:
    """The form in which the program was prepared: a moving module cannot change it."""
    missing = demand.needs - profile.abilities
    return f"its engine lacks {', '.join(sorted(missing))}" if missing else None


def is_asked_for(demand: Demand, candidate: Candidate) -> str | None:
    """A module may insist on one runtime."""
    if demand.spec.parent in (None, candidate.runtime.uuid):
        return None
    return "another runtime was asked for"


def is_not_excluded(demand: Demand, candidate: Candidate) -> str | None:
    """Not where it failed before, nor where it already is."""
    if candidate.runtime.uuid not in demand.exclude:
        return None
    return "the module is there already" if demand.moving else "failed to start it before"


def is_online(demand: Demand, candidate: Candidate) -> str | None:
    """Only runtimes that are certainly there get modules."""
    state = candidate.runtime.state
    return None if state is RuntimeState.ONLINE else f"is {state}"


def has_room(demand: Demand, candidate: Candidate) -> str | None:
    """The number of modules it said it takes."""
    limit = candidate.runtime.max_nmodules
    return None if candidate.occupied < limit else f"is full ({candidate.occupied} of {limit})"


PROFILE_FILTERS: Final[tuple[ProfileFilter, ...]] = (
    runs_filetype,
    takes_snapshots,
    takes_checkpoints,
    offers_apis,
    carries_labels,
    runs_form,
)
# What the asker decided comes before what only the present moment says.
STATE_FILTERS: Final[tuple[StateFilter, ...]] = (is_asked_for, is_not_excluded, is_online, has_room)


def profile_reason(demand: Demand, profile: Profile) -> str | None:
    """Why no runtime of this profile will do."""
    for applies in PROFILE_FILTERS:
        if reason := applies(demand, profile):
            return reason
    return None


def state_reason(demand: Demand, candidate: Candidate) -> str | None:
    """Why this runtime will not do, though others of its profile might."""
    for applies in STATE_FILTERS:
        if reason := applies(demand, candidate):
            return reason
    return None


def reason_against(demand: Demand, candidate: Candidate) -> str | None:
    """Why this runtime will not do, or None if it will."""
    return profile_reason(demand, candidate.profile) or state_reason(demand, candidate)


def common_abilities(demand: Demand, view: View) -> frozenset[Ability]:
    """What the engines of all runtimes can do that may ever get this module.

    What only the present moment says, such as who is full, does not count.
    """
    common = EVERY_ABILITY
    for profile in view.profiles:
        if "programs" in profile.features and not profile_reason(demand, profile):
            common &= profile.abilities
    return common
