"""A function body as this package sees it: a flat list of items with resolved branches.

Knows the structure of code: runs of plain instructions, blocks, branches, and *points*, where an
activation can be left and continued. Does not know how the list comes about, nor what code is
made of it. The list stays flat, so every pass over it is a loop, however deep blocks nest.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TypeAlias

from arts.migratable import opcodes


@dataclass(slots=True)
class Raw:
    """Instructions copied as they are; bit N of a mask stands for local N.

    ``uses``: locals read before they are written here. ``defines``: locals written.
    """

    code: bytes
    uses: int = 0
    defines: int = 0


@dataclass(slots=True)
class Indexed:
    """An instruction with an index that differs between modules: of a function, type or segment.

    ``number`` is that of an instruction with a prefix, else 0; ``trailer`` its other immediates.
    """

    opcode: int
    index: int
    number: int = 0
    trailer: bytes = b""


@dataclass(slots=True, eq=False)
class Block:
    """A structured instruction. ``opened``, ``otherwise`` and ``closed`` are item positions.

    ``arguments``: locals that carry the parameters in, so that the block can be entered without
    operands (only in blocks around points). ``live``: mask of locals live at its label.
    """

    opcode: int
    parameters: bytes
    results: bytes
    parent: "Block | None"
    opened: int = 0
    otherwise: int | None = None
    closed: int = 0
    holds_point: bool = False
    arguments: list[int] = field(default_factory=list)
    catches: "list[Catch]" = field(default_factory=list)
    live: int = 0

    @property
    def is_loop(self) -> bool:
        """Its label stands at its beginning."""
        return self.opcode == opcodes.LOOP

    def end_of_arm(self, position: int) -> int:
        """Where the arm of the block that contains an item position ends."""
        if self.otherwise is not None and position <= self.otherwise:
            return self.otherwise
        return self.closed


@dataclass(frozen=True, slots=True)
class Catch:
    """A clause of try_table: its kind and tag as encoded, and where it goes."""

    clause: bytes
    target: Block


@dataclass(slots=True)
class Branch:
    """br, br_if or br_table. Falls through only if it is a br_if."""

    opcode: int
    targets: list[Block]


@dataclass(slots=True)
class Leave:
    """An instruction after which nothing in sequence runs: return, unreachable, throw.

    Without code, it says that of the instruction before it (a tail call).
    """

    code: bytes


@dataclass(slots=True)
class Open:
    """Beginning of a block."""

    block: Block


@dataclass(slots=True)
class Else:
    """Beginning of the other arm of an if."""

    block: Block


@dataclass(slots=True)
class Close:
    """End of a block."""

    block: Block


class PointKind(Enum):
    """Why an activation may be left at a point."""

    POLL = auto()
    CALL = auto()
    """A call that may unwind: continued by continuing the callee."""
    HOST_CALL = auto()
    """A call of a blocking import: continued by repeating it."""


@dataclass(slots=True, eq=False)
class Point:
    """A place where an activation can be left and continued. ``resume`` counts from 1.

    ``call`` is what to execute (None for polls); ``arguments``, ``below`` and ``results`` are the
    locals that carry the arguments of a repeatable call, the operands below it, and its results
    while those operands come back. ``position`` is where it stands in the items, ``block`` the
    innermost block around it, ``live`` the mask of locals to save.
    """

    kind: PointKind
    resume: int
    block: Block
    position: int
    call: Indexed | None
    result_types: bytes
    arguments: list[int]
    below: list[int]
    results: list[int]
    live: int = 0

    def path(self) -> list[Block]:
        """Blocks around the point, innermost first, without the function itself."""
        blocks = []
        block = self.block
        while block.parent is not None:
            blocks.append(block)
            block = block.parent
        return blocks


Item: TypeAlias = Raw | Indexed | Branch | Leave | Open | Else | Close | Point


@dataclass(slots=True)
class Code:
    """A function that may unwind. ``locals`` are types: parameters, locals, then temporaries."""

    function: int
    locals: bytearray
    parameter_count: int
    results: bytes
    root: Block
    items: list[Item]
    points: list[Point]


def mask(variables: Iterable[int]) -> int:
    """The set of locals as a mask."""
    bits = 0
    for variable in variables:
        bits |= 1 << variable
    return bits
