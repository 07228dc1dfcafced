"""Items to bytes: the original code, plus the cold paths that write an activation down.

Knows how a frame is written, how a poll looks, and where the machinery of ``abi`` lies in the
index spaces. Does not know which items it is given, nor what the finished module looks like.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from arts.migratable import abi, opcodes
from arts.migratable.assembler import (
    ELSE,
    END,
    I32_ADD,
    I32_ATOMIC_LOAD,
    I32_EQZ,
    I32_SUB,
    IF,
    RETURN,
    STORES,
    ZEROS,
    global_get,
    global_set,
    i32_const,
    i64_const,
    local_get,
    memory_access,
    pop_all,
    push_all,
)
from arts.migratable.binary import signed, sized, unsigned, vector
from arts.migratable.code import (
    Block,
    Branch,
    Close,
    Code,
    Else,
    Indexed,
    Leave,
    Open,
    Point,
    PointKind,
    Raw,
)
from arts.migratable.errors import Refused
from arts.migratable.module import FunctionType, Module
from arts.migratable.opcodes import I64
from arts.migratable.options import Poll

MAX_SAVED: Final = 2_000_000
"""Values that the code of one function may save, at all its points together."""


@dataclass(frozen=True)
class Machinery:
    """Where the additions lie: behind everything the module has itself, in each index space."""

    poll: Poll
    state: int
    sp: int
    countdown: int
    frames: int
    slots: int

    @classmethod
    def behind(cls, module: Module, poll: Poll) -> "Machinery":
        """The places that a module leaves free."""
        count = len(module.globals)
        return cls(poll, count, count + 1, count + 2, len(module.memories), len(module.tables))


class Types:
    """The types of a module, and those that generated code adds."""

    def __init__(self, own: Sequence[FunctionType]) -> None:
        self.all = list(own)
        self._numbers = {kind: number for number, kind in reversed(list(enumerate(own)))}

    def number(self, kind: FunctionType) -> int:
        """Index of a type, new if need be."""
        if kind not in self._numbers:
            self._numbers[kind] = len(self.all)
            self.all.append(kind)
        return self._numbers[kind]


@dataclass(frozen=True)
class Frame:
    """Layout of a function's frame: (local, type, byte offset) of all it ever saves."""

    fields: tuple[tuple[int, int, int], ...]
    size: int
    """Of the fields, without the trailer."""


def frame_of(code: Code) -> Frame:
    """One layout for all points of a function. Raises Refused if a reference is live at one."""
    saved = amount = 0
    for point in code.points:
        saved |= point.live
        amount += point.live.bit_count()
    if amount > MAX_SAVED:
        raise Refused("too many variables needed after safepoints", advice="split the function")
    fields, offset = [], 0
    for local, kind in enumerate(code.locals):
        if saved >> local & 1:
            if kind in opcodes.REFERENCE_TYPES:
                raise Refused(
                    f"a value of type {opcodes.TYPE_NAMES[kind]} is needed after a safepoint",
                    advice="keep references in tables, and only their numbers in variables",
                )
            fields.append((local, kind, offset))
            offset += opcodes.SIZES[kind]
    return Frame(tuple(fields), offset)


class Emitter:
    """Writes items of one function; the indices of functions and segments pass through a map."""

    def __init__(
        self,
        code: Code,
        function_id: int,
        frame: Frame,
        machinery: Machinery,
        types: Types,
        indexed: Callable[[Indexed], bytes],
    ) -> None:
        self.code = code
        self.function_id = function_id
        self.frame = frame
        self.machinery = machinery
        self.types = types
        self.indexed = indexed
        self.out = bytearray()
        self.depth = 0
        self.labels = {code.root: 0}
        self.push_sp = global_get(machinery.sp)
        self.pop_sp = global_set(machinery.sp)
        self.stores = [
            (local, self.push_sp + local_get(local) + self.access(STORES[kind], offset))
            for local, kind, offset in frame.fields
        ]
        self.leave = self._leave()

    def function(self, declared: int, *extra: int) -> bytes:
        """The finished body, with its size.

        Locals before number ``declared`` are parameters; ``extra`` are types of additional ones.
        """
        types = self.code.locals[declared:] + bytes(extra)
        runs = [unsigned(len(list(run))) + bytes([kind]) for kind, run in groupby(types)]
        return sized(vector(runs) + self.out + END)

    def emit(self, first: int, last: int) -> None:
        """Write items ``first`` up to but not including ``last``."""
        out = self.out
        for item in self.code.items[first:last]:
            if isinstance(item, Raw | Leave):
                out += item.code
            elif isinstance(item, Branch):
                out += self.branch(item)
            elif isinstance(item, Point):
                self.point(item)
            elif isinstance(item, Open):
                self.open(item.block, item.block.opcode)
                out += self.carried(item.block)
            elif isinstance(item, Else):
                out += ELSE + self.carried(item.block)
            elif isinstance(item, Close):
                self.close()
            else:
                out += self.indexed(item)

    # -- structure ----------------------------------------------------------------------------

    def open(self, block: Block, opcode: int) -> None:
        """Begin a block, possibly as another kind of block."""
        self.out.append(opcode)
        self.out += self.block_type(block)
        if block.opcode == opcodes.TRY_TABLE:
            clauses = [clause.clause + self.label(clause.target) for clause in block.catches]
            self.out += vector(clauses)
        self.depth += 1
        self.labels[block] = self.depth

    def close(self) -> None:
        """End the innermost block."""
        self.out += END
        self.depth -= 1

    def block_type(self, block: Block) -> bytes:
        """The type, without the parameters that locals carry."""
        return self.value_type(b"" if block.arguments else block.parameters, block.results)

    def value_type(self, parameters: bytes, results: bytes) -> bytes:
        """A block type in its shortest form."""
        if parameters or len(results) > 1:
            return signed(self.types.number(FunctionType(parameters, results)))
        return results or bytes([opcodes.EMPTY_BLOCK])

    def carried(self, block: Block) -> bytes:
        """The parameters of a block, from the locals that carry them into it."""
        return push_all(block.arguments)

    def label(self, block: Block) -> bytes:
        """The depth of a block's label, seen from here."""
        return unsigned(self.depth - self.labels[block])

    def branch(self, branch: Branch) -> bytes:
        """A branch as it must read here."""
        count = b""
        if branch.opcode == opcodes.BR_TABLE:
            count = unsigned(len(branch.targets) - 1)
        return bytes([branch.opcode]) + count + b"".join(map(self.label, branch.targets))

    # -- points -------------------------------------------------------------------------------

    def point(self, point: Point) -> None:
        """A point in code that runs forward through it."""
        if point.kind is PointKind.POLL:
            self.poll(point)
        else:
            self.call(point)

    def call(self, point: Point) -> None:
        """A call that may unwind."""
        self.out += push_all(point.arguments) + self.called(point)
        self.returned(point)

    def called(self, point: Point) -> bytes:
        """The bare call; its arguments are on the stack."""
        assert point.call is not None
        return self.indexed(point.call)

    def returned(self, point: Point) -> None:
        """What follows a call: leave if it did not really return, else restore the operands."""
        if point.below:
            self.out += pop_all(point.results)
        self.out += global_get(self.machinery.state) + IF
        self.write_frame(point)
        self.out += END
        if point.below:
            self.out += push_all(point.below) + push_all(point.results)

    def poll(self, point: Point) -> None:
        """Ask whether to pause; if so, begin to unwind."""
        machinery = self.machinery
        if machinery.poll is Poll.FLAG:
            self.out += i32_const(0) + self.access(I32_ATOMIC_LOAD, abi.FLAG_ADDRESS)
        else:
            counter = machinery.countdown
            self.out += global_get(counter) + i32_const(1) + I32_SUB + global_set(counter)
            self.out += global_get(counter) + I32_EQZ
        self.out += IF + i32_const(1) + global_set(machinery.state)
        self.write_frame(point)
        self.out += END

    def access(self, instruction: tuple[bytes, int], offset: int) -> bytes:
        """A load or store in the memory of frames."""
        return memory_access(instruction, self.machinery.frames, offset)

    def _leave(self) -> bytes:
        """Store the trailer, which is on the stack, push the frame, and return."""
        size = self.frame.size
        trailer = self.access(STORES[I64], size)
        push = self.push_sp + i32_const(size + abi.TRAILER_SIZE) + I32_ADD + self.pop_sp
        results = b"".join(ZEROS[kind] for kind in self.code.results)
        return trailer + push + results + RETURN

    def write_frame(self, point: Point) -> None:
        """Save what is live, push the frame, and return whatever: the caller will not look."""
        out, live = self.out, point.live
        for local, store in self.stores:
            if live >> local & 1:
                out += store
        out += self.push_sp + i64_const(self.function_id << 32 | point.resume)
        out += self.leave
