"""Straight-line code: what it does to the operand stack and to locals, gathered into runs.

Knows all instructions that neither branch nor may unwind. Does not know blocks, calls or points:
``body`` adds their handlers.
"""

from collections.abc import Callable
from typing import Final

from arts.migratable import opcodes
from arts.migratable.binary import u32
from arts.migratable.code import Indexed, Item, Raw
from arts.migratable.errors import NotWasm
from arts.migratable.module import Module
from arts.migratable.opcodes import Immediate

_PLAIN: Final = [opcodes.PLAIN.get(opcode) for opcode in range(256)]
"""As a list, because this is the hottest look-up there is."""


class StraightLine:
    """Follows one function's code with the types of its operands, and lists items.

    ``at`` is the instruction at hand, ``run_start`` where the run began that is not yet an item,
    ``uses`` and ``defines`` what that run does to locals.
    """

    def __init__(self, module: Module, function: int) -> None:
        self.module = module
        self.types, self.at, self.end = module.locals_of(function)
        self.declared = len(self.types)
        self.items: list[Item] = []
        self.stack = bytearray()
        self.run_start = self.at
        self.uses = self.defines = 0
        self.handlers: dict[int, Callable[[], None]] = {
            **dict.fromkeys((opcodes.BULK, opcodes.VECTOR, opcodes.ATOMIC), self._prefixed),
            opcodes.GLOBAL_GET: self._global_get,
            opcodes.GLOBAL_SET: self._global_set,
            opcodes.SELECT: self._select,
            opcodes.SELECT_TYPED: self._select_typed,
            opcodes.TABLE_GET: self._table_get,
            opcodes.TABLE_SET: self._table_set,
            opcodes.MEMORY_SIZE: self._memory_size,
            opcodes.MEMORY_GROW: self._memory_grow,
            opcodes.REF_NULL: self._ref_null,
            opcodes.REF_FUNC: self._ref_func,
        }

    def follow(self) -> None:
        """Go through the code: locals and table-driven instructions here, the rest by handler.

        This is the hottest loop of the package, therefore its local names.
        """
        data, types, at = self.module.data, self.types, self.at
        stack, uses, defines, end = self.stack, self.uses, self.defines, self.end
        first_local, last_local = opcodes.LOCAL_GET, opcodes.LOCAL_TEE
        plain, skip_immediate = _PLAIN, opcodes.skip_immediate
        while at < end:
            opcode = data[at]
            shape = plain[opcode]
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
                handler = self.handlers.get(opcode)
                if handler is None:
                    raise opcodes.unsupported(opcode)
                handler()
                at, stack, uses, defines = self.at, self.stack, self.uses, self.defines
        self.at = at

    def pop(self, count: int) -> None:
        """Take operands off the stack."""
        if count:
            del self.stack[-count:]

    def flush(self, behind: int) -> None:
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

    def indexed(self, start: int, item: Indexed) -> None:
        """An instruction that ends the run before it, and begins the next behind it."""
        self.flush(start)
        self.items.append(item)
        self.run_start = self.at

    def _ref_func(self) -> None:
        start = self.at
        function, self.at = u32(self.module.data, start + 1)
        self.indexed(start, Indexed(opcodes.REF_FUNC, function))
        self.stack.append(opcodes.FUNCREF)

    def _global_get(self) -> None:
        number, self.at = u32(self.module.data, self.at + 1)
        self.stack.append(self.module.globals[number].value)

    def _global_set(self) -> None:
        self._take_immediate(Immediate.LEB)
        self.pop(1)

    def _select(self) -> None:
        self.at += 1
        self.pop(2)

    def _select_typed(self) -> None:
        self._take_immediate(Immediate.TYPES)
        self.pop(2)

    def _table_get(self) -> None:
        number, self.at = u32(self.module.data, self.at + 1)
        self.pop(1)
        self.stack.append(self.module.tables[number][0])

    def _table_set(self) -> None:
        self._take_immediate(Immediate.LEB)
        self.pop(2)

    def _memory_size(self) -> None:
        memory, self.at = u32(self.module.data, self.at + 1)
        self.stack.append(self.module.address_of_memory(memory))

    def _memory_grow(self) -> None:
        self.pop(1)
        self._memory_size()

    def _ref_null(self) -> None:
        self.stack.append(opcodes.check_value_type(self.module.data[self.at + 1]))
        self._take_immediate(Immediate.HEAP_TYPE)

    def _prefixed(self) -> None:
        start = self.at
        opcode = self.module.data[start]
        number, shape, at = opcodes.prefixed(self.module.data, start)
        self.at = opcodes.skip_immediate(shape.immediate, self.module.data, at)
        pushes = shape.pushes
        if opcode == opcodes.BULK:
            index, behind = u32(self.module.data, at)
            if number in opcodes.SEGMENT_USERS:
                trailer = self.module.data[behind : self.at]
                self.indexed(start, Indexed(opcode, index, number, trailer))
            elif number in (opcodes.TABLE_GROW, opcodes.TABLE_SIZE):
                pushes = self.module.address_of_table(index)
        self.pop(shape.pops)
        if pushes:
            self.stack.append(pushes)
