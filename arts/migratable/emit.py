"""Items to bytes: the original code, plus the cold paths that write an activation down.

Knows how a frame is written, how a poll looks, and where the machinery of ``abi`` lies in the
index spaces. Does not know which items it is given, nor what the finished module looks like.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from arts.migratable import abi, exceptions, opcodes
from arts.migratable.assembler import (
    ELSE,
    END,
    I32_ADD,
    I32_ATOMIC_LOAD,
    I32_EQZ,
    I32_SUB,
    IF,
    LOADS,
    RETURN,
    STORES,
    ZEROS,
    call_indirect,
    global_get,
    global_set,
    i32_const,
    i64_const,
    local_get,
    local_set,
    memory_access,
    pop_all,
    push_all,
)
from arts.migratable.binary import sized, unsigned, vector
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
from arts.migratable.module import FunctionType, Module, Types
from arts.migratable.opcodes import CALL, EXNREF, I32, I64
from arts.migratable.options import Frames, Options, Poll

MAX_SAVED: Final = 2_000_000
"""Values that the code of one function may save, at all its points together."""


@dataclass(frozen=True)
class Machinery:
    """Where the additions lie: behind everything the module has itself, in each index space."""

    poll: Poll
    hidden: bool
    """Frames are in hidden pages of the program's first memory."""
    state: int
    sp: int
    countdown: int
    frames: int
    slots: int
    save: int
    load: int
    exception_size: int | None
    """Bytes of an exception in a frame; None if it cannot be there."""

    @classmethod
    def behind(cls, module: Module, options: Options) -> "Machinery":
        """The places that a module leaves free. It has been lowered with the same options."""
        count = len(module.globals)
        named = {entry.name: entry.index for entry in module.exports}
        hidden = options.frames is Frames.PRIMARY
        return cls(
            poll=options.poll,
            hidden=hidden,
            state=count,
            sp=count + 1,
            countdown=count + 2,
            frames=0 if hidden else len(module.memories),
            slots=len(module.tables),
            save=named.get(exceptions.SAVE, 0),
            load=named.get(exceptions.LOAD, 0),
            exception_size=exceptions.frame_size(module) if exceptions.SAVE in named else None,
        )


@dataclass(frozen=True)
class Frame:
    """Layout of a function's frame: (local, type, byte offset) of all it ever saves."""

    fields: tuple[tuple[int, int, int], ...]
    size: int
    """Of the fields, without the trailer."""


def frame_of(code: Code, exception_size: int | None) -> Frame:
    """One layout for all points of a function. Raises Refused if a reference is live at one.

    Exceptions are the references that can be written down, if ``exception_size`` says how large.
    """
    saved = amount = 0
    for point in code.points:
        saved |= point.live
        amount += point.live.bit_count()
    if amount > MAX_SAVED:
        raise Refused("too many variables needed after safepoints", advice="split the function")
    fields, offset = [], 0
    for local, kind in enumerate(code.locals):
        if saved >> local & 1:
            size = exception_size if kind == EXNREF else opcodes.SIZES.get(kind)
            if size is None:
                raise Refused(
                    f"a value of type {opcodes.TYPE_NAMES[kind]} is needed after a safepoint",
                    advice="keep references in tables, and only their numbers in variables",
                )
            fields.append((local, kind, offset))
            offset += size
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
            (local, self._store(local, kind, offset)) for local, kind, offset in frame.fields
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
        return self.types.block(b"" if block.arguments else block.parameters, block.results)

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

    def _store(self, local: int, kind: int, offset: int) -> bytes:
        if kind == EXNREF:
            address = self.push_sp + i32_const(offset) + I32_ADD
            return local_get(local) + address + self.indexed(Indexed(CALL, self.machinery.save))
        return self.push_sp + local_get(local) + self.access(STORES[kind], offset)

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

    # -- continuing ---------------------------------------------------------------------------

    def pop_frame(self) -> None:
        """Take the topmost frame off the stack; its bytes stay where they are, behind the end."""
        size = self.frame.size + abi.TRAILER_SIZE
        self.out += self.push_sp + i32_const(size) + I32_SUB + self.pop_sp

    def load_frame(self, point: Point) -> None:
        """Reload what was saved at a point, from the frame just popped."""
        for local, kind, offset in self.frame.fields:
            if point.live >> local & 1:
                self.out += self._load(kind, offset) + local_set(local)

    def _load(self, kind: int, offset: int) -> bytes:
        if kind == EXNREF:
            address = self.push_sp + i32_const(offset) + I32_ADD
            return address + self.indexed(Indexed(CALL, self.machinery.load))
        return self.push_sp + self.access(LOADS[kind], offset)

    def continue_callee(self, point: Point) -> None:
        """Call what continues the next inner frame: the slot in that frame's trailer."""
        kind = self.types.number(FunctionType(b"", point.result_types))
        self.out += self.push_sp + i32_const(4) + I32_SUB + self.access(LOADS[I32], 0)
        self.out += call_indirect(kind, self.machinery.slots)
