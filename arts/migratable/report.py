"""What a prepared program is like, for people: what can be suspended, why, and what it costs.

Knows prepared bytes and the source in them. Does not know how long anything takes.
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from arts.migratable import abi, body
from arts.migratable.analysis import Analysis, blocking_imports
from arts.migratable.binary import custom_content
from arts.migratable.code import PointKind
from arts.migratable.description import Description, describe
from arts.migratable.errors import NotWasm
from arts.migratable.module import Module, parse
from arts.migratable.options import Options


class FrameFact(NamedTuple):
    """A function and how much one activation of it takes in a snapshot."""

    function: str
    size: int


@dataclass(frozen=True, slots=True)
class Report:
    """Counts are of functions unless they say otherwise; sizes are bytes.

    ``polled``, ``blocking`` and ``callers`` say why a function can be suspended: it polls, it calls
    a host function that may wait, or it only calls others that can. ``recursive`` are polled at
    entry. ``indirect_types``: signatures whose calls through tables may have to be suspended.
    """

    options: Options
    source_size: int
    prepared_size: int
    functions: int
    suspendable: int
    polled: int
    recursive: int
    blocking: int
    callers: int
    indirect_types: int
    polls: int
    """Points: polls, in loops and at entries."""
    calls: int
    """Points: calls of functions that can be suspended."""
    host_calls: int
    """Points: calls of host functions that may wait."""
    frames: tuple[FrameFact, ...]
    """All functions that can be suspended, the largest frames first."""
    blocks_on: tuple[tuple[str, str], ...]

    @property
    def growth(self) -> float:
        """How many times larger it became; the source that it carries along does not count."""
        return (self.prepared_size - self.source_size) / self.source_size

    @property
    def points(self) -> int:
        """Places where an activation can be left."""
        return self.polls + self.calls + self.host_calls


def report(prepared: bytes) -> Report:
    """Look through a prepared program. Raises Refused if it is none, of this version."""
    described = describe(prepared)
    source = custom_content(prepared, abi.SOURCE_SECTION)
    if source is None:
        raise NotWasm("a prepared program without its source")
    module = parse(source)
    kinds = _kinds(module, described)
    polled = sum(PointKind.POLL in found for found in kinds)
    blocking = sum(PointKind.HOST_CALL in found for found in kinds if PointKind.POLL not in found)
    points = sum(kinds, Counter())
    return Report(
        options=described.options,
        source_size=len(source),
        prepared_size=len(prepared),
        functions=len(module.bodies),
        suspendable=len(described.functions),
        polled=polled,
        recursive=len(described.recursive),
        blocking=blocking,
        callers=len(kinds) - polled - blocking,
        indirect_types=len(described.types),
        polls=points[PointKind.POLL],
        calls=points[PointKind.CALL],
        host_calls=points[PointKind.HOST_CALL],
        frames=_frames(module, described),
        blocks_on=described.blocks_on,
    )


def _kinds(module: Module, described: Description) -> list[Counter[PointKind]]:
    """For each function that can be suspended, how many points of which kind it has."""
    analysis = Analysis(
        functions=described.functions,
        recursive=frozenset(described.recursive),
        types=frozenset(described.types),
        blocking=blocking_imports(module, described.options),
    )
    return [
        Counter(
            point.kind for point in body.parse(module, function, analysis, described.options).points
        )
        for function in described.functions
    ]


def _frames(module: Module, described: Description) -> tuple[FrameFact, ...]:
    frames = [
        FrameFact(module.function_name(function), size)
        for function, size in zip(described.functions, described.frame_sizes, strict=True)
    ]
    return tuple(sorted(frames, key=lambda frame: (-frame.size, frame.function)))
