"""Which one is best? Named policies, and ``place``: a demand and a view in, a placement out.

PURE. A policy walks a pool from its best runtime to its worst and gives each a rank (lower is
better, comparable between pools); ties end with the order of registration, so the same view always
gives the same answer. ``least-modules`` and ``round-robin`` are ARTS' own policies; ``spread`` and
``binpack`` are the usual scores of cluster schedulers, over the share of places taken.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from arts.errors import SettingsError
from arts.scheduling.filters import Demand, profile_reason, reason_against
from arts.scheduling.view import Candidate, Pool, View

Rank = float
Policy = Callable[[View, Pool], Iterator[tuple[Rank, int, str]]]
"""(rank, sequence, uuid of the runtime), best first."""


def least_modules(view: View, pool: Pool) -> Iterator[tuple[Rank, int, str]]:
    """The runtime with the fewest modules."""
    return pool.by_fewest()


def round_robin(view: View, pool: Pool) -> Iterator[tuple[Rank, int, str]]:
    """The next one after the last one chosen."""
    return pool.after(view.cursor)


def spread(view: View, pool: Pool) -> Iterator[tuple[Rank, int, str]]:
    """The runtime with the smallest share of its places taken. Looks at every open runtime."""
    return _by_share(view, pool, 1)


def binpack(view: View, pool: Pool) -> Iterator[tuple[Rank, int, str]]:
    """The fullest runtime that still has room. Looks at every open runtime."""
    return _by_share(view, pool, -1)


def _by_share(view: View, pool: Pool, sign: int) -> Iterator[tuple[Rank, int, str]]:
    found = (view.candidates[uuid] for _, _, uuid in pool.by_fewest())
    return iter(
        sorted(
            (sign * c.occupied / c.runtime.max_nmodules, c.sequence, c.runtime.uuid) for c in found
        )
    )


POLICIES: Final[dict[str, Policy]] = {
    "least-modules": least_modules,
    "round-robin": round_robin,
    "spread": spread,
    "binpack": binpack,
}


def policy_named(name: str) -> Policy:
    """The policy of that name. Raises ``SettingsError`` with the names there are."""
    try:
        return POLICIES[name]
    except KeyError:
        raise SettingsError(f"no policy {name!r}; there are {', '.join(POLICIES)}") from None


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a module goes, and on what grounds."""

    runtime: str
    rank: Rank
    sequence: int


def place(demand: Demand, view: View, policy: Policy) -> Placement | None:
    """The best runtime for a demand, or None; ``explain`` says why not."""
    if demand.spec.parent is not None:
        return _pinned(demand, view.candidates.get(demand.spec.parent))
    best: tuple[Rank, int, str] | None = None
    for profile, pool in view.pools.items():
        if profile_reason(demand, profile):
            continue
        for found in policy(view, pool):
            if found[2] in demand.exclude:
                continue
            if best is None or found < best:
                best = found
            break
    return Placement(best[2], best[0], best[1]) if best else None


def _pinned(demand: Demand, candidate: Candidate | None) -> Placement | None:
    if candidate is None or reason_against(demand, candidate):
        return None
    return Placement(candidate.runtime.uuid, candidate.occupied, candidate.sequence)
