"""Function bodies, bytes to items: finds the points, and frees the operand stack around them.

Knows the stack discipline of WebAssembly code, which it follows with types. Operands that lie
below a point, or below a block around one, are moved into fresh locals and back: free once
compiled, and then a frame is nothing but locals. Does not know liveness or generated code, and
does not validate: an engine will.
"""

from collections.abc import Callable
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
    Item,
    Leave,
    Open,
    Point,
    PointKind,
    Raw,
    mask,
)
from arts.migratable.errors import NotWasm, Refused
from arts.migratable.module import MAX_LOCALS, Module
from arts.migratable.opcodes import I32, Immediate
from arts.migratable.options import Options, Poll
from arts.migratable.temporaries import Temporaries

_PLAIN: Final = [opcodes.PLAIN.get(opcode) for opcode in range(256)]
"""As a list, because this is the hottest look-up there is."""


def parse(module: Module, function: int, analysis: Analysis, options: Options) -> Code:
    """Items of a function that may unwind. Raises Refused, with its name, for what cannot be."""
    with module.blamed_on(function):
        return _Body(module, function, analysis, options).parse()


class _Around:
    """What an open block must know to be closed: the operands below it, and where to keep them."""

    __slots__ = ("block", "condition", "mark", "operands", "saved", "spill")

    def __init__(self, block: Block, operands: bytearray, mark: dict[int, int]) -> None:
        self.block = block
        self.operands = operands
        self.mark = mark
        self.saved: list[int] = []
        self.condition: list[int] = []
        self.spill = Raw(b"")


class _Body:
    """One pass over one function body."""

    def __init__(self, module: Module, function: int, analysis: Analysis, options: Options) -> None:
        self.module = module
        self.analysis = analysis
        self.unwinding = analysis.members
        self.types, self.at, self.end = module.locals_of(function)
        self.declared = len(self.types)
        self.temporaries = Temporaries(self.types)
        kind = module.type_of(function)
        root = Block(opcodes.BLOCK, b"", kind.results, None)
        self.code = Code(function, self.types, len(kind.parameters), kind.results, root, [], [])
        self.items: list[Item] = self.code.items
        self.stack = bytearray()
        self.around = [_Around(root, bytearray(), {})]
        self.run_start = self.at
        self.uses = self.defines = 0
        self.polled: frozenset[int] | None = None
        if options.poll is Poll.NONE:
            self.polled = frozenset()
        elif options.nest:
            self.polled = polled_loops(module, function, analysis)
        self.entry_poll = function in analysis.recursive

    def parse(self) -> Code:
        """Items of the whole body."""
        if self.entry_poll:
            self._point(PointKind.POLL)
        self._plain_instructions()
        if self.at != self.end or self.around:
            raise NotWasm("malformed code")
        if len(self.types) > MAX_LOCALS:
            raise Refused("more operands below calls than engines allow locals")
        return self.code

    def _plain_instructions(self) -> None:
        """The hot loop: locals and table-driven instructions here, everything else by handler."""
        data, types, at = self.module.data, self.types, self.at
        stack, uses, defines, end = self.stack, self.uses, self.defines, self.end
        first_local, last_local = opcodes.LOCAL_GET, opcodes.LOCAL_TEE
        skip_immediate = opcodes.skip_immediate
        while at < end:
            opcode = data[at]
            shape = _PLAIN[opcode]
            if shape is not None:
                kind, pops, pushes = shape
                at += 1
                if kind:
                    at = skip_immediate(kind, data, at)
                if pops:
                    del stack[-pops:]
                if pushes:
                    stack.append(pushes)
            elif first_local <= opcode <= last_local:
                local, at = u32(data, at + 1)
                if opcode == first_local:
                    stack.append(types[local])
                    if not defines >> local & 1:
                        uses |= 1 << local
                else:
                    defines |= 1 << local
                    if opcode != last_local:
                        del stack[-1:]
            else:
                self.at, self.uses, self.defines = at, uses, defines
                handler = _HANDLERS.get(opcode)
                if handler is None:
                    raise opcodes.unsupported(opcode)
                handler(self)
                at, stack, uses, defines = self.at, self.stack, self.uses, self.defines
        self.at = at

    # -- pieces ------------------------------------------------------------------------------

    def _pop(self, count: int) -> None:
        if count:
            del self.stack[-count:]

    def _flush(self, behind: int) -> None:
        """End the run of plain instructions at a position; the next one starts there."""
        if (self.uses | self.defines) >> self.declared:
            raise NotWasm("a local that does not exist")
        if behind > self.run_start:
            code = self.module.data[self.run_start : behind]
            self.items.append(Raw(code, self.uses, self.defines))
        self.run_start = behind
        self.uses = self.defines = 0

    def _take_immediate(self, kind: Immediate) -> None:
        self.at = opcodes.skip_immediate(kind, self.module.data, self.at + 1)

    def _target(self, depth: int) -> Block:
        """The block a branch of that depth goes to."""
        if depth >= len(self.around):
            raise NotWasm("a branch to a label that does not exist")
        return self.around[-1 - depth].block

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
        mark = self.temporaries.mark()
        below = self.temporaries.take(self.stack[:split])
        arguments = self.temporaries.take(parameters) if below or repeated else []
        saved = below + arguments
        if saved:
            code_before = pop_all(saved) + (b"" if repeated else push_all(arguments))
            self.items.append(Raw(code_before, 0, mask(saved)))
        point = Point(
            kind=kind,
            resume=len(self.code.points) + 1,
            block=self.around[-1].block,
            position=len(self.items),
            call=call,
            result_types=results,
            arguments=arguments if repeated else [],
            below=below,
            results=self.temporaries.take(results) if below else [],
        )
        self.temporaries.release(mark)
        self.items.append(point)
        self.code.points.append(point)
        point.block.holds_point = True
        self.stack[split:] = results

    # -- control ------------------------------------------------------------------------------

    def _open(self) -> None:
        data, start = self.module.data, self.at
        opcode = data[start]
        self._flush(start)
        parameters, results = self._block_type(start + 1)
        parent = self.around[-1].block
        block = Block(opcode, parameters, results, parent)
        self.at = opcodes.skip_immediate(Immediate.BLOCK_TYPE, data, start + 1)
        if opcode == opcodes.TRY_TABLE:
            self._catches(block)
        if opcode == opcodes.IF:
            self._pop(1)
        self._pop(len(parameters))
        self._enter(block)
        if opcode == opcodes.LOOP and (self.polled is None or start in self.polled):
            self._point(PointKind.POLL)

    def _enter(self, block: Block) -> None:
        around = _Around(block, self.stack, self.temporaries.mark())
        around.saved = self.temporaries.take(self.stack)
        block.arguments = self.temporaries.take(block.parameters)
        if around.saved or block.arguments:
            if block.opcode == opcodes.IF:
                around.condition = self.temporaries.take([I32])
            self.items.append(around.spill)
        self.around.append(around)
        block.opened = len(self.items)
        self.items.append(Open(block))
        self.stack = bytearray(block.parameters)
        self.run_start = self.at

    def _block_type(self, at: int) -> tuple[bytes, bytes]:
        byte = self.module.data[at]
        if byte == opcodes.EMPTY_BLOCK:
            return b"", b""
        if opcodes.EMPTY_BLOCK < byte < 0x80:
            return b"", bytes([byte])
        return self.module.types[u32(self.module.data, at)[0]]

    def _catches(self, block: Block) -> None:
        data = self.module.data
        count, self.at = u32(data, self.at)
        for _ in range(count):
            start = self.at
            self.at = skip_leb(data, start + 1) if data[start] < 2 else start + 1
            clause = data[start : self.at]
            block.catches.append(Catch(clause, self._depth()))

    def _else(self) -> None:
        self._flush(self.at)
        self.at = self.run_start = self.at + 1
        block = self.around[-1].block
        block.otherwise = len(self.items)
        self.items.append(Else(block))
        self.stack = bytearray(block.parameters)

    def _end(self) -> None:
        self._flush(self.at)
        self.at = self.run_start = self.at + 1
        around = self.around.pop()
        block = around.block
        if block.parent is None:
            return
        self.stack = around.operands
        if block.holds_point:
            block.parent.holds_point = True
            self._free_operands(around)
        else:
            block.arguments = []
            self._close(block)
        self.temporaries.release(around.mark)
        self.stack += block.results

    def _close(self, block: Block) -> None:
        block.closed = len(self.items)
        self.items.append(Close(block))

    def _free_operands(self, around: _Around) -> None:
        """Carry the operands below a block around points past it in locals."""
        block, saved = around.block, around.saved
        if block.parameters and block.opcode in (opcodes.LOOP, opcodes.TRY_TABLE):
            raise Refused(
                "a loop or try_table with parameters around a safepoint",
                advice="compile without multi-value (-mno-multivalue)",
            )
        if block.arguments and block.opcode == opcodes.IF and block.otherwise is None:
            block.otherwise = len(self.items)
            self.items.append(Else(block))
        spilled = saved + block.arguments + around.condition
        around.spill.code = pop_all(spilled) + push_all(around.condition)
        around.spill.defines = mask(spilled)
        self._close(block)
        if saved:
            results = self.temporaries.take(block.results)
            code = pop_all(results) + push_all(saved) + push_all(results)
            self.items.append(Raw(code, mask(saved), mask(results)))

    def _branch(self) -> None:
        opcode = self.module.data[self.at]
        self._flush(self.at)
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
            self._pop(1)
            if opcode == opcodes.BR_TABLE:
                self._skip_unreachable()

    def _leave(self) -> None:
        start = self.at
        self._flush(start)
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
        parameters, results = self.module.type_of(function)
        if function in self.unwinding:
            self._flush(start)
            blocking = function in self.analysis.blocking
            kind = PointKind.HOST_CALL if blocking else PointKind.CALL
            self._point(kind, Indexed(opcodes.CALL, function), parameters, results)
            self.run_start = self.at
        else:
            self._indexed(start, Indexed(opcodes.CALL, function))
            self._pop(len(parameters))
            self.stack += results

    def _call_indirect(self) -> None:
        start = self.at
        number, at = u32(self.module.data, start + 1)
        self.at = skip_leb(self.module.data, at)
        call = Indexed(opcodes.CALL_INDIRECT, number, trailer=self.module.data[at : self.at])
        parameters, results = self.module.types[number]
        if number in self.analysis.types:
            self._flush(start)
            self._point(PointKind.CALL, call, parameters + bytes([I32]), results)
            self.run_start = self.at
        else:
            self._indexed(start, call)
            self._pop(len(parameters) + 1)
            self.stack += results

    def _indexed(self, start: int, item: Indexed) -> None:
        self._flush(start)
        self.items.append(item)
        self.run_start = self.at

    def _ref_func(self) -> None:
        start = self.at
        function, self.at = u32(self.module.data, start + 1)
        self._indexed(start, Indexed(opcodes.REF_FUNC, function))
        self.stack.append(opcodes.FUNCREF)

    # -- the rest -----------------------------------------------------------------------------

    def _global_get(self) -> None:
        number, self.at = u32(self.module.data, self.at + 1)
        self.stack.append(self.module.globals[number].value)

    def _global_set(self) -> None:
        self._take_immediate(Immediate.LEB)
        self._pop(1)

    def _select(self) -> None:
        self.at += 1
        self._pop(2)

    def _select_typed(self) -> None:
        self._take_immediate(Immediate.TYPES)
        self._pop(2)

    def _table_get(self) -> None:
        number, self.at = u32(self.module.data, self.at + 1)
        self._pop(1)
        self.stack.append(self.module.tables[number][0])

    def _ref_null(self) -> None:
        self.stack.append(opcodes.check_value_type(self.module.data[self.at + 1]))
        self._take_immediate(Immediate.HEAP_TYPE)

    def _prefixed(self) -> None:
        start = self.at
        opcode = self.module.data[start]
        number, shape, at = opcodes.prefixed(self.module.data, start)
        self.at = opcodes.skip_immediate(shape.immediate, self.module.data, at)
        if opcode == opcodes.BULK and number in (opcodes.MEMORY_INIT, opcodes.DATA_DROP):
            segment, at = u32(self.module.data, at)
            trailer = self.module.data[at : self.at]
            self._indexed(start, Indexed(opcode, segment, number, trailer))
        self._pop(shape.pops)
        if shape.pushes:
            self.stack.append(shape.pushes)


_BLOCKS: Final = frozenset({opcodes.BLOCK, opcodes.LOOP, opcodes.IF, opcodes.TRY_TABLE})
_HANDLERS: Final[dict[int, Callable[[_Body], None]]] = {
    **dict.fromkeys(_BLOCKS, _Body._open),
    **dict.fromkeys((opcodes.BR, opcodes.BR_IF, opcodes.BR_TABLE), _Body._branch),
    **dict.fromkeys(
        (opcodes.UNREACHABLE, opcodes.RETURN, opcodes.THROW, opcodes.THROW_REF), _Body._leave
    ),
    **dict.fromkeys((opcodes.BULK, opcodes.VECTOR, opcodes.ATOMIC), _Body._prefixed),
    opcodes.ELSE: _Body._else,
    opcodes.END: _Body._end,
    opcodes.CALL: _Body._call,
    opcodes.CALL_INDIRECT: _Body._call_indirect,
    opcodes.REF_FUNC: _Body._ref_func,
    opcodes.GLOBAL_GET: _Body._global_get,
    opcodes.GLOBAL_SET: _Body._global_set,
    opcodes.SELECT: _Body._select,
    opcodes.SELECT_TYPED: _Body._select_typed,
    opcodes.TABLE_GET: _Body._table_get,
    opcodes.REF_NULL: _Body._ref_null,
}
