"""The twin of a function: it starts where any activation of it was left, at whatever point.

Made ahead of time, for engines that cannot take new code when a program arrives. It is all of the
function, with a way to each point laid through it: whatever holds points is a *station*; at the
beginning of every sequence of code a jump goes to the station on whose far side the point lies::

    block                       ;; ends where station 2 is
      block                     ;; ends where station 1 is
        jump to one of them, or fall through
        code in front of station 1
      end
      station 1: a block, which begins with a jump of its own; or a point
      code in front of station 2
    end
    station 2

Once the point is reached, all jumps fall through, so the rest runs as it should, only slower than
the continuation that a host could have asked for.

Knows points, blocks and items. Does not know modules, nor who calls a twin.
"""

from dataclasses import dataclass
from typing import Final

from arts.migratable import abi, opcodes
from arts.migratable.assembler import (
    ELSE,
    END,
    I32_LE_U,
    I32_SUB,
    IF,
    LOADS,
    br,
    i32_const,
    local_get,
    local_set,
)
from arts.migratable.binary import unsigned, vector
from arts.migratable.code import Block, Close, Else, Open, Point, PointKind
from arts.migratable.emit import Emitter
from arts.migratable.opcodes import I32

ENTRY: Final = -1


@dataclass(slots=True)
class Station:
    """A point, or a block that holds some.

    ``first`` to ``last`` are their resume ids; those up to ``first_arm`` are in the first arm of a
    block. ``depth`` is that of the label where the station is.
    """

    at: Point | Block
    first: int
    first_arm: int = 0
    last: int = 0
    depth: int = 0


class Twin(Emitter):
    """Writes the twin of one function."""

    def write(self) -> bytes:
        """The function body, of type () -> results."""
        self.underway = len(self.code.locals)
        """A local behind all others: the resume id until its point is reached, then 0."""
        self.condition = self.underway + 1
        self.stations: dict[int, Station] = {}
        """By their positions in the items."""
        self.sequences: dict[int, list[Station]] = {ENTRY: []}
        """By the positions behind which they begin."""
        self._survey()
        resume = self.access(LOADS[I32], 0)
        self.out += self.push_sp + i32_const(abi.TRAILER_SIZE) + I32_SUB + resume
        self.out += local_set(self.underway)
        self.pop_frame()
        self._begin(ENTRY)
        done = 0
        for position in sorted(self.stations.keys() | self.sequences.keys() - {ENTRY}):
            self.emit(done, position)
            self._change(position)
            done = position + 1
        self.emit(done, len(self.code.items))
        return self.function(0, I32, I32)

    def _survey(self) -> None:
        around: list[tuple[Station, list[Station]]] = []
        sequence, passed = self.sequences[ENTRY], 0
        for position, item in enumerate(self.code.items):
            if isinstance(item, Point):
                passed = item.resume
                sequence.append(Station(item, passed, passed, passed))
                self.stations[position] = sequence[-1]
            elif isinstance(item, Open) and item.block.holds_point:
                station = self.stations[position] = Station(item.block, passed + 1)
                sequence.append(station)
                around.append((station, sequence))
                sequence = self.sequences[position] = []
            elif isinstance(item, Else) and item.block.holds_point:
                around[-1][0].first_arm = passed
                sequence = self.sequences[position] = []
            elif isinstance(item, Close) and item.block.holds_point:
                station, sequence = around.pop()
                station.last = passed
                if item.block.otherwise is None:
                    station.first_arm = passed

    def _change(self, position: int) -> None:
        """Write the item there: a station, or the beginning of another arm of one."""
        item = self.code.items[position]
        if isinstance(item, Point):
            self._at_point(item)
            return
        if isinstance(item, Open):
            self._at_block(self.stations[position], item.block)
            self.open(item.block, item.block.opcode)
        else:
            assert isinstance(item, Else)
            self.out += ELSE
        self._begin(position)
        self.out += self.carried(item.block)

    # -- the way to a point -------------------------------------------------------------------

    def _begin(self, position: int) -> None:
        """Begin a sequence: open what ends at its stations, and jump to the right one."""
        stations = self.sequences[position]
        if not stations:
            return
        for station in reversed(stations):
            if isinstance(station.at, Point):
                self._block(self.types.block(b"", self._given(station.at)))
            self._block()
            station.depth = self.depth
        self._block()
        first = stations[0].first
        self.out += local_get(self.underway) + i32_const(first) + I32_SUB
        targets = [
            unsigned(self.depth - station.depth)
            for station in stations
            for _ in range(station.first, station.last + 1)
        ]
        self.out += bytes([opcodes.BR_TABLE]) + vector(targets) + unsigned(0)
        self.close()

    def _block(self, kind: bytes = bytes([opcodes.EMPTY_BLOCK])) -> None:
        self.out += bytes([opcodes.BLOCK]) + kind
        self.depth += 1

    def _given(self, point: Point) -> bytes:
        """What the code at a point leaves on the stack, whichever way it was reached."""
        return point.result_types if point.kind is PointKind.CALL else b""

    def _at_point(self, point: Point) -> None:
        """What runs forward through the point, what has arrived at it, and what both go on with."""
        if point.kind is PointKind.CALL:
            self.out += self.called(point)
        elif point.kind is PointKind.POLL:
            self.poll(point)
        self.out += br(1)
        self.close()
        self.load_frame(point)
        self.out += i32_const(0) + local_set(self.underway)
        if point.kind is PointKind.CALL:
            self.continue_callee(point)
        self.close()
        if point.kind is PointKind.CALL:
            self.returned(point)
        elif point.kind is PointKind.HOST_CALL:
            self.call(point)

    def _at_block(self, station: Station, block: Block) -> None:
        """Both come to a block without operands, but to an ``if`` with its condition."""
        if block.opcode != opcodes.IF:
            self.close()
            return
        self.out += local_set(self.condition)
        self.close()
        in_first_arm = local_get(self.underway) + i32_const(station.first_arm) + I32_LE_U
        self.out += local_get(self.underway) + IF
        self.out += in_first_arm + local_set(self.condition) + END
        self.out += local_get(self.condition)
