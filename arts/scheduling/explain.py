"""Why there and not elsewhere: every runtime with its reason or its rank. PURE.

Looks at each runtime, so it is for people and for refusals, not for the hot path.
"""

from dataclasses import dataclass

from arts.scheduling.filters import Demand, profile_reason, reason_against, state_reason
from arts.scheduling.policies import Policy, place
from arts.scheduling.view import Profile, View


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the scheduler thinks of one runtime for one demand."""

    runtime: str
    name: str
    reason: str | None
    """Why not; None if it would do."""
    rank: float | None
    """Lower is better; None if it would not do."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with its grounds: place it again over the same view and it comes out the same."""

    chosen: str | None
    opinions: tuple[Opinion, ...]


def explain(demand: Demand, view: View, policy: Policy) -> Explanation:
    """What ``place`` would decide now, with the reason or rank of every runtime."""
    ranks = {uuid: rank for pool in view.pools.values() for rank, _, uuid in policy(view, pool)}
    static: dict[Profile, str | None] = {}
    opinions = []
    for uuid, candidate in view.candidates.items():
        if candidate.profile not in static:
            static[candidate.profile] = profile_reason(demand, candidate.profile)
        reason = static[candidate.profile] or state_reason(demand, candidate)
        rank = None if reason else ranks[uuid]
        opinions.append(Opinion(uuid, candidate.runtime.name, reason, rank))
    placement = place(demand, view, policy)
    return Explanation(placement.runtime if placement else None, tuple(opinions))


def reasons_against(demand: Demand, view: View, limit: int = 50) -> tuple[tuple[str, str], ...]:
    """(name, reason) of runtimes that will not do, at most ``limit`` of them; of the one that was
    asked for only, if one was."""
    asked = view.candidates.get(demand.spec.parent or "")
    found: list[tuple[str, str]] = []
    for candidate in view.candidates.values() if asked is None else (asked,):
        if len(found) == limit:
            break
        if reason := reason_against(demand, candidate):
            found.append((candidate.runtime.name, reason))
    return tuple(found)
