"""The continuation of a point: a function that starts where an activation was left.

It is the rest of the flat code behind the point, with the blocks around the point opened anew.
Only loops need thought, because their beginning lies behind us but may come again:

* A small loop finishes its iteration first and then follows as it always was: its code is there
  twice, but runs as clean as before. One left at the poll in its header is *turned* instead: its
  poll moves to where it would jump back, and nothing is there twice.
* A large loop (an interpreter's) is *entered in the middle*: a local says "on the way to the
  point", and guards skip what lies before it. Once on the way, never again.

Knows points, paths and branches. Does not know modules, nor who calls a continuation.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from arts.migratable import opcodes
from arts.migratable.assembler import (
    DROP,
    ELSE,
    END,
    I32_EQZ,
    br,
    br_if,
    i32_const,
    local_get,
    local_set,
)
from arts.migratable.code import Block, Code, Indexed, Point, PointKind
from arts.migratable.emit import Emitter, Frame, Machinery
from arts.migratable.module import FunctionType, Types
from arts.migratable.opcodes import I32

SMALL_LOOP: Final = 256
"""Items of a loop up to which its code is rather repeated than entered in the middle."""


class Arm(NamedTuple):
    """Part of a block that is entered in the middle: the block, and where its part begins."""

    block: Block
    start: int


class Continuation(Emitter):
    """Writes the continuation of one point."""

    def __init__(
        self,
        code: Code,
        function_id: int,
        frame: Frame,
        machinery: Machinery,
        types: Types,
        indexed: Callable[[Indexed], bytes],
        small_loop: int = SMALL_LOOP,
    ) -> None:
        super().__init__(code, function_id, frame, machinery, types, indexed)
        self.result_type = types.number(FunctionType(b"", code.results))
        self.small_loop = small_loop
        self.underway = len(code.locals)
        """A local behind all others: 1 until the point is reached."""

    def write(self, point: Point) -> bytes:
        """The function body: the way to the point, the point, and all that follows."""
        path = point.path()
        self.pop_frame()
        self.load_frame(point)
        entered = self._entered(path)
        if entered:
            self.out += i32_const(1) + local_set(self.underway)
        arm = None
        for block in reversed(path):
            arm = self._way_into(block, point, arm, block in entered)
        self._at(point, arm)
        behind = point.position + 1
        for block in path:
            self.emit(behind, block.end_of_arm(behind))
            self._end(block, point, behind, block in entered)
            behind = block.closed + 1
        self.emit(behind, len(self.code.items))
        return self.function(0, I32)

    def _entered(self, path: list[Block]) -> set[Block]:
        """Blocks that are entered in the middle: large loops, and all on the way between them."""
        large = [
            number
            for number, block in enumerate(path)
            if block.is_loop and block.closed - block.opened > self.small_loop
        ]
        if not large:
            return set()
        small = [number for number, block in enumerate(path[: large[0]]) if block.is_loop]
        return set(path[small[-1] + 1 if small else 0 : large[-1] + 1])

    # -- to the point -------------------------------------------------------------------------

    def _way_into(self, block: Block, point: Point, arm: Arm | None, entered: bool) -> Arm | None:
        """Open the next block on the way to the point.

        ``arm`` is around it if that has been entered in the middle, else None; so is what this
        returns, for what is in this block.
        """
        if arm is not None:
            self._skip_until(block, arm, point)
        if entered:
            return self._enter(block, point)
        if not block.is_loop:
            self.open(block, opcodes.BLOCK if block.opcode == opcodes.IF else block.opcode)
            return None
        self.open(block, opcodes.BLOCK)
        if _is_header(point, block):
            if arm is not None:
                self._unless_underway(lambda: self.poll(point))
                self._arrived()
            self.open(block, opcodes.LOOP)
            self._block(block)
        else:
            self._block(block)
            if arm is not None:
                self.out += local_get(self.underway) + I32_EQZ + br_if(0)
                self._arrived()
        return None

    def _block(self, target: Block | None = None, kind: bytes = b"\x40") -> None:
        """Open a plain block; branches to ``target`` shall go to its end."""
        self.out += bytes([opcodes.BLOCK]) + kind
        self.depth += 1
        if target:
            self.labels[target] = self.depth

    def _enter(self, block: Block, point: Point) -> Arm:
        """Open a block as it is, to go into one of its arms; that arm."""
        self.open(block, block.opcode)
        if block.otherwise is None or point.position < block.otherwise:
            return Arm(block, block.opened + 1)
        self.out += self.carried(block)
        self.emit(block.opened + 1, block.otherwise)
        self.out += ELSE
        return Arm(block, block.otherwise + 1)

    def _skip_until(self, block: Block, arm: Arm, point: Point) -> None:
        """The code between the beginning of an arm and a block, skipped on the way."""
        if block.opcode != opcodes.IF:
            self._unless_underway(lambda: self._beginning(arm, block.opened))
            return
        first_arm = block.otherwise is None or point.position < block.otherwise
        self._block(kind=bytes([I32]))
        self.out += i32_const(first_arm) + local_get(self.underway) + br_if(0) + DROP
        self._beginning(arm, block.opened)
        self.close()

    def _unless_underway(self, write: Callable[[], None]) -> None:
        before = len(self.out)
        self._block()
        self.out += local_get(self.underway) + br_if(0)
        guarded = len(self.out)
        write()
        self.close()
        if len(self.out) == guarded + len(END):  # between the blocks of a large switch is nothing
            del self.out[before:]

    def _beginning(self, arm: Arm, end: int) -> None:
        """The code from the beginning of an arm to a position."""
        self.out += self.carried(arm.block)
        self.emit(arm.start, end)

    def _arrived(self) -> None:
        self.out += i32_const(0) + local_set(self.underway)

    # -- at the point -------------------------------------------------------------------------

    def _at(self, point: Point, arm: Arm | None) -> None:
        """Repeat the host call, continue the callee, or just pass the poll."""
        if arm is None:
            if point.kind is PointKind.HOST_CALL:
                self.call(point)
            elif point.kind is PointKind.CALL:
                self.continue_callee(point)
                self.returned(point)
        elif point.kind is PointKind.CALL:
            self._either_call(point, arm)
        else:
            is_poll = point.kind is PointKind.POLL
            self._unless_underway(lambda: self._beginning(arm, point.position + is_poll))
            self._arrived()
            if not is_poll:
                self.call(point)

    def _either_call(self, point: Point, arm: Arm) -> None:
        """Underway continue the callee, later call it."""
        self._block(kind=self.types.block(b"", point.result_types))
        self._block()
        self.out += local_get(self.underway) + br_if(0)
        self._beginning(arm, point.position)
        self.out += self.called(point) + br(1)
        self.close()
        self._arrived()
        self.continue_callee(point)
        self.close()
        self.returned(point)

    # -- from the point on --------------------------------------------------------------------

    def _end(self, block: Block, point: Point, behind: int, entered: bool) -> None:
        """End a block on the path; of a small loop, run what is left."""
        if entered and block.otherwise is not None and behind <= block.otherwise:
            self.emit(block.otherwise, block.closed)
        elif block.is_loop and not entered:
            if _is_header(point, block):
                self._jump_back_polled(point)
            else:
                self.out += br(1)
                self.close()
                self.emit(block.opened, block.closed + 1)
        self.close()

    def _jump_back_polled(self, point: Point) -> None:
        """End a turned loop: leave it, or come here to poll and go again."""
        self.out += br(2)
        self.close()
        self.poll(point)
        self.out += br(0)
        self.close()


def _is_header(point: Point, loop: Block) -> bool:
    return point.kind is PointKind.POLL and point.block is loop
