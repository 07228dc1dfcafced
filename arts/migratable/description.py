"""What a prepared program says about itself: the custom section, written and read.

Knows the fields and their encoding (JSON: hosts in other languages read it too). Does not know
how the facts are found.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from arts.migratable import abi
from arts.migratable.binary import custom_content, custom_section
from arts.migratable.errors import NotWasm, Refused
from arts.migratable.options import Frames, Options, Poll

PIPELINE_VERSION: Final = 3
"""Changes when the same program and options give other bytes, other frames or other points."""


class ResumePoint(NamedTuple):
    """Where an activation stands: a function id, and a point of that function (from 1)."""

    function: int
    resume: int


class MutableGlobal(NamedTuple):
    """A global that a snapshot keeps: its number and its type, ``i32`` ... ``v128``."""

    number: int
    type: str


@dataclass(frozen=True, slots=True)
class Description:
    """Everything a host needs to know of a prepared program.

    Function ids count the functions that may unwind; ``functions`` maps them to function indices,
    ``frame_sizes`` to bytes of their frames (with the trailer), ``points`` to their number of
    points. ``frames_pages`` is the size of the memory of frames, or of its share of the program's.
    ``recursive`` (function indices) and ``types`` (type indices) say what else may unwind.
    ``memories`` and ``tables`` count those of the original, ``mutable_tables`` and
    ``mutable_globals`` name those that change. ``source_digest`` is the SHA-256 of the original, in
    hex.
    """

    abi_version: int
    pipeline_version: int
    source_digest: str
    options: Options
    functions: tuple[int, ...]
    recursive: tuple[int, ...]
    types: tuple[int, ...]
    frame_sizes: tuple[int, ...]
    points: tuple[int, ...]
    memories: int
    tables: int
    mutable_tables: tuple[int, ...]
    frames_pages: int
    mutable_globals: tuple[MutableGlobal, ...]
    blocks_on: tuple[tuple[str, str], ...]
    """The blocking imports that the program really has, as (module, name)."""

    @property
    def has_countdown(self) -> bool:
        """Whether there is a global ``arts.countdown``."""
        return self.options.poll is Poll.COUNTDOWN

    @property
    def point_count(self) -> int:
        """Points of all functions together."""
        return sum(self.points)

    def section(self) -> bytes:
        """The custom section that says all this."""
        content = {
            "abi": self.abi_version,
            "pipeline": self.pipeline_version,
            "source": self.source_digest,
            "poll": self.options.poll,
            "nest": self.options.nest,
            "frames": self.options.frames,
            "framesPages": self.frames_pages,
            "twins": self.options.twins,
            "blocking": sorted(self.options.blocking),
            "functions": self.functions,
            "recursive": self.recursive,
            "types": self.types,
            "frameSizes": self.frame_sizes,
            "points": self.points,
            "memories": self.memories,
            "tables": self.tables,
            "mutableTables": self.mutable_tables,
            "globals": self.mutable_globals,
            "blocksOn": self.blocks_on,
        }
        return custom_section(abi.SECTION, json.dumps(content, separators=(",", ":")).encode())


def describe(prepared: bytes) -> Description:
    """Read a prepared program's description. Raises Refused if it is not one of this ABI."""
    content = custom_content(prepared, abi.SECTION)
    if content is None:
        raise Refused("the program is not prepared", advice="prepare it first")
    try:
        fields = json.loads(content)
        if fields["abi"] != abi.ABI_VERSION:
            raise Refused(
                f"the program was prepared for ABI version {fields['abi']}, not {abi.ABI_VERSION}",
                advice="prepare it again",
            )
        return _description(fields)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise NotWasm("the program's description is malformed") from None


def _description(fields: dict[str, Any]) -> Description:
    description = Description(
        abi_version=fields["abi"],
        pipeline_version=_whole(fields["pipeline"]),
        source_digest=str(fields["source"]),
        options=Options(
            Poll(fields["poll"]),
            bool(fields["nest"]),
            frozenset(_pairs(fields["blocking"])),
            Frames(fields["frames"]),
            bool(fields["twins"]),
        ),
        functions=_wholes(fields["functions"]),
        recursive=_wholes(fields["recursive"]),
        types=_wholes(fields["types"]),
        frame_sizes=_wholes(fields["frameSizes"]),
        points=_wholes(fields["points"]),
        memories=_whole(fields["memories"]),
        tables=_whole(fields["tables"]),
        mutable_tables=_wholes(fields["mutableTables"]),
        frames_pages=_whole(fields["framesPages"]),
        mutable_globals=tuple(
            MutableGlobal(_whole(number), str(kind)) for number, kind in fields["globals"]
        ),
        blocks_on=_pairs(fields["blocksOn"]),
    )
    if not len(description.functions) == len(description.frame_sizes) == len(description.points):
        raise ValueError
    if min(description.frame_sizes, default=abi.TRAILER_SIZE) < abi.TRAILER_SIZE:
        raise ValueError
    return description


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _wholes(values: Any) -> tuple[int, ...]:
    return tuple(map(_whole, values))


def _pairs(values: Any) -> tuple[tuple[str, str], ...]:
    return tuple((str(module), str(title)) for module, title in values)
