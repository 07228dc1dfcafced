"""Function bodies, bytes to items: finds the points, and frees the operand stack around them.

Knows the stack discipline of WebAssembly code, which it follows with types. Operands that lie
below a point, or below a block around one, are moved into fresh locals and back: free once
compiled, and then a frame is nothing but locals. Does not know liveness or generated code, and
does not validate: an engine will.
"""

from collections.abc import Sequence
from typing import Final

from arts.migratable import opcodes
from arts.migratable.analysis import Analysis, polled_loops
from arts.migratable.assembler import pop_all, push_all
from arts.migratable.binary import skip_leb, u32
from arts.migratable.code import (
    Block,
    Branch,
    Catch,
    Close,
    Code,
    Else,
    Indexed,
    Leave,
    Open,
    Point,
    PointKind,
    Raw,
    mask,
)
from arts.migratable.errors import NotWasm, Refused
from arts.migratable.module import MAX_LOCALS, FunctionType, Module
from arts.migratable.opcodes import I32, Immediate
from arts.migratable.options import Options, Poll
from arts.migratable.straight import StraightLine
from arts.migratable.temporaries import Temporaries

_BLOCKS: Final = frozenset({opcodes.BLOCK, opcodes.LOOP, opcodes.IF, opcodes.TRY_TABLE})
_ENDS: Final = (opcodes.UNREACHABLE, opcodes.RETURN, opcodes.THROW, opcodes.THROW_REF)
MAX_MOVED: Final = 1_000_000
"""Operands that one function may move into locals, at all its points and blocks together."""


def parse(module: Module, function: int, analysis: Analysis, options: Options) -> Code:
    """Items of a function that may unwind. Raises Refused, with its name, for what cannot be."""
    with module.blamed_on(function):
        return _Body(module, function, analysis, options).parse()


class _Around:
    """What an open block must know to be closed: the types of the operands below it, and more.

    ``outer`` is of ``Temporaries.enter``, ``spill`` where to put the code that moves the operands.
    ``label`` is where branches to it go: ``block`` itself, or the innermost of the three blocks
    that stand for a loop with parameters; these are in the locals ``carried`` then.
    """

    __slots__ = ("block", "carried", "label", "operands", "outer", "spill")

    def __init__(self, block: Block, operands: bytearray, outer: dict[int, int]) -> None:
        self.block = self.label = block
        self.carried: list[int] = []
        self.operands = operands
        self.outer = outer
        self.spill = Raw(b"")


class _Body(StraightLine):
    """One pass over one function body."""

    def __init__(self, module: Module, function: int, analysis: Analysis, options: Options) -> None:
        super().__init__(module, function)
        self.analysis = analysis
        self.unwinding = analysis.members
        self.temporaries = Temporaries(self.types)
        self.moved = 0
        kind = module.type_of(function)
        root = Block(opcodes.BLOCK, b"", kind.results, None)
        self.code = Code(
            function, self.types, len(kind.parameters), kind.results, root, self.items, []
        )
        self.around = [_Around(root, bytearray(), {})]
        self.polled: frozenset[int] | None = None
        if options.poll is Poll.NONE:
            self.polled = frozenset()
        elif options.nest:
            self.polled = polled_loops(module, function, analysis)
        self.entry_poll = function in analysis.recursive
        self.handlers |= {
            **dict.fromkeys(_BLOCKS, self._open),
            **dict.fromkeys((opcodes.BR, opcodes.BR_IF, opcodes.BR_TABLE), self._branch),
            **dict.fromkeys(_ENDS, self._leave),
            opcodes.ELSE: self._else,
            opcodes.END: self._end,
            opcodes.CALL: self._call,
            opcodes.CALL_INDIRECT: self._call_indirect,
            opcodes.RETURN_CALL: self._return_call,
            opcodes.RETURN_CALL_INDIRECT: self._return_call_indirect,
        }

    def parse(self) -> Code:
        """Items of the whole body."""
        if self.entry_poll:
            self._point(PointKind.POLL)
        self.follow()
        if self.at != self.end or self.around:
            raise NotWasm("malformed code")
        if len(self.types) > MAX_LOCALS:
            raise Refused("too many operands below calls")
        return self.code

    # -- pieces ------------------------------------------------------------------------------

    def _target(self, depth: int) -> Block:
        """The block a branch of that depth goes to."""
        if depth >= len(self.around):
            raise NotWasm("a branch to a label that does not exist")
        return self.around[-1 - depth].label

    def _depth(self) -> Block:
        depth, self.at = u32(self.module.data, self.at)
        return self._target(depth)

    def _point(
        self,
        kind: PointKind,
        call: Indexed | None = None,
        parameters: bytes = b"",
        results: bytes = b"",
    ) -> None:
        """Add a point; what it takes and gives has the given types."""
        split = max(len(self.stack) - len(parameters), 0)
        repeated = kind is PointKind.HOST_CALL
        below = self._take(self.stack[:split])
        arguments = self._take(parameters) if below or repeated else []
        saved = below + arguments
        if saved:
            code_before = pop_all(saved) + (b"" if repeated else push_all(arguments))
            self.items.append(Raw(code_before, 0, mask(saved)))
        point = Point(
            kind=kind,
            resume=len(self.code.points) + 1,
            block=self.around[-1].label,
            position=len(self.items),
            call=call,
            result_types=results,
            arguments=arguments if repeated else [],
            below=below,
            results=self._take(results) if below else [],
        )
        self.temporaries.release()
        self.items.append(point)
        self.code.points.append(point)
        point.block.holds_point = True
        self.stack[split:] = results

    # -- control ------------------------------------------------------------------------------

    def _open(self) -> None:
        data, start = self.module.data, self.at
        opcode = data[start]
        self.flush(start)
        parameters, results = self.module.block_type(self.module.data, start + 1)
        repeated = opcode == opcodes.LOOP and parameters
        block = Block(
            opcodes.BLOCK if repeated else opcode,
            b"" if repeated else parameters,
            results,
            self.around[-1].label,
        )
        self.at = opcodes.skip_immediate(Immediate.BLOCK_TYPE, data, start + 1)
        if opcode == opcodes.TRY_TABLE:
            self._catches(block)
        if opcode == opcodes.IF:
            self.pop(1)
        self.pop(len(parameters))
        polled = opcode == opcodes.LOOP and (self.polled is None or start in self.polled)
        if repeated:
            self._enter_repeated(block, parameters, polled)
            return
        self._enter(block)
        if polled:
            self._point(PointKind.POLL)

    def _enter_repeated(self, block: Block, parameters: bytes, polled: bool) -> None:
        """Enter a loop with parameters, so that they are in locals wherever it is polled.

        A block around it, which it leaves with its results; the loop; and a block in it, to which
        branches bring new parameters.
        """
        carried = list(range(len(self.types), len(self.types) + len(parameters)))
        self._count_moved(len(parameters))
        self.types += parameters
        self.items.append(Raw(pop_all(carried), 0, mask(carried)))
        self._enter(block)
        around = self.around[-1]
        around.carried = carried
        for opcode, results in ((opcodes.LOOP, b""), (opcodes.BLOCK, parameters)):
            inner = Block(opcode, b"", results, around.label, opened=len(self.items))
            around.label = inner
            self.items.append(Open(inner))
            if polled and inner.is_loop:
                self._point(PointKind.POLL)
        self.items.append(Raw(push_all(carried), mask(carried)))
        self.stack = bytearray(parameters)

    def _repeat(self, around: _Around) -> None:
        """End the inner two blocks of a loop with parameters."""
        inner = around.label
        loop = inner.parent
        assert loop is not None
        self.items.append(Branch(opcodes.BR, [around.block]))
        self._close(inner)
        self.items.append(Raw(pop_all(around.carried), 0, mask(around.carried)))
        self.items.append(Branch(opcodes.BR, [loop]))
        self._close(loop)
        self.items.append(Leave(bytes([opcodes.UNREACHABLE])))
        loop.holds_point |= inner.holds_point
        around.block.holds_point |= loop.holds_point

    def _enter(self, block: Block) -> None:
        around = _Around(block, self.stack, self.temporaries.enter())
        if self.stack or block.parameters:
            self.items.append(around.spill)
        self.around.append(around)
        block.opened = len(self.items)
        self.items.append(Open(block))
        self.stack = bytearray(block.parameters)
        self.run_start = self.at

    def _catches(self, block: Block) -> None:
        data = self.module.data
        count, self.at = u32(data, self.at)
        for _ in range(count):
            start = self.at
            self.at = skip_leb(data, start + 1) if data[start] < 2 else start + 1
            clause = data[start : self.at]
            block.catches.append(Catch(clause, self._depth()))

    def _else(self) -> None:
        self.flush(self.at)
        self.at = self.run_start = self.at + 1
        block = self.around[-1].block
        block.otherwise = len(self.items)
        self.items.append(Else(block))
        self.stack = bytearray(block.parameters)

    def _end(self) -> None:
        self.flush(self.at)
        self.at = self.run_start = self.at + 1
        around = self.around.pop()
        block = around.block
        if block.parent is None:
            return
        if around.carried:
            self._repeat(around)
        self.stack = around.operands
        if block.holds_point:
            block.parent.holds_point = True
            self._free_operands(around)
        else:
            self._close(block)
        self.temporaries.leave(around.outer)
        self.stack += block.results

    def _close(self, block: Block) -> None:
        block.closed = len(self.items)
        self.items.append(Close(block))

    def _free_operands(self, around: _Around) -> None:
        """Carry the operands below a block around points past it in locals."""
        block = around.block
        if block.parameters and block.opcode == opcodes.IF and block.otherwise is None:
            block.otherwise = len(self.items)
            self.items.append(Else(block))
        self.temporaries.rise()
        saved = self._take(around.operands)
        block.arguments = self._take(block.parameters)
        if saved or block.arguments:
            condition = self._take([I32] if block.opcode == opcodes.IF else [])
            spilled = saved + block.arguments + condition
            around.spill.code = pop_all(spilled) + push_all(condition)
            around.spill.defines = mask(spilled)
        self._close(block)
        if saved:
            results = self._take(block.results)
            code = pop_all(results) + push_all(saved) + push_all(results)
            self.items.append(Raw(code, mask(saved), mask(results)))
        self.temporaries.release()

    def _take(self, types: Sequence[int]) -> list[int]:
        """Temporaries, within reason: what is moved at every point costs its square."""
        self._count_moved(len(types))
        return self.temporaries.take(types)

    def _count_moved(self, count: int) -> None:
        self.moved += count
        if self.moved > MAX_MOVED:
            raise Refused("too many operands below calls")

    def _branch(self) -> None:
        opcode = self.module.data[self.at]
        self.flush(self.at)
        self.at += 1
        count = 1
        if opcode == opcodes.BR_TABLE:
            count, self.at = u32(self.module.data, self.at)
            count += 1
        self.items.append(Branch(opcode, [self._depth() for _ in range(count)]))
        self.run_start = self.at
        if opcode == opcodes.BR:
            self._skip_unreachable()
        else:
            self.pop(1)
            if opcode == opcodes.BR_TABLE:
                self._skip_unreachable()

    def _leave(self) -> None:
        start = self.at
        self.flush(start)
        self.at = opcodes.skip_instruction(self.module.data, start)
        self.items.append(Leave(self.module.data[start : self.at]))
        self._skip_unreachable()

    def _skip_unreachable(self) -> None:
        """Go on at the else or end of the innermost block: nothing before it can run."""
        data, depth = self.module.data, 0
        for at in opcodes.stops(opcodes.BETWEEN_BLOCKS, data, self.at, self.end):
            opcode = data[at]
            if depth == 0 and opcode in (opcodes.ELSE, opcodes.END):
                self.at = self.run_start = at
                return
            if opcode == opcodes.END:
                depth -= 1
            elif opcode in _BLOCKS:
                depth += 1
        raise IndexError

    # -- calls --------------------------------------------------------------------------------

    def _call(self) -> None:
        start = self.at
        function, self.at = u32(self.module.data, start + 1)
        self._called(start, function)

    def _called(self, start: int, function: int) -> None:
        parameters, results = self.module.type_of(function)
        if function in self.unwinding:
            self.flush(start)
            blocking = function in self.analysis.blocking
            kind = PointKind.HOST_CALL if blocking else PointKind.CALL
            self._point(kind, Indexed(opcodes.CALL, function), parameters, results)
            self.run_start = self.at
        else:
            self.indexed(start, Indexed(opcodes.CALL, function))
            self.pop(len(parameters))
            self.stack += results

    def _call_indirect(self) -> None:
        start = self.at
        call, (parameters, results) = self._callee(opcodes.CALL_INDIRECT)
        if call.index in self.analysis.types:
            self.flush(start)
            index = bytes([self.module.address_of_table(u32(call.trailer, 0)[0])])
            self._point(PointKind.CALL, call, parameters + index, results)
            self.run_start = self.at
        else:
            self.indexed(start, call)
            self.pop(len(parameters) + 1)
            self.stack += results

    def _callee(self, opcode: int) -> tuple[Indexed, FunctionType]:
        """The indirect call at hand, and the type of what it calls."""
        number, at = u32(self.module.data, self.at + 1)
        self.at = skip_leb(self.module.data, at)
        call = Indexed(opcode, number, trailer=self.module.data[at : self.at])
        return call, self.module.types[number]

    def _return_call(self) -> None:
        """A tail call needs no point: its caller has gone when the callee unwinds.

        Only a blocking import, which leaves no frame of its own, is called the ordinary way.
        """
        start = self.at
        function, self.at = u32(self.module.data, start + 1)
        if function in self.analysis.blocking:
            self._called(start, function)
            self.items.append(Leave(bytes([opcodes.RETURN])))
            self._skip_unreachable()
        else:
            self._leave_by(start, Indexed(opcodes.RETURN_CALL, function))

    def _return_call_indirect(self) -> None:
        start = self.at
        self._leave_by(start, self._callee(opcodes.RETURN_CALL_INDIRECT)[0])

    def _leave_by(self, start: int, call: Indexed) -> None:
        self.indexed(start, call)
        self.items.append(Leave(b""))
        self._skip_unreachable()
