"""Which functions may have to write themselves down: the call graph of a module and its closure.

Knows calls, loops and recursion. Does not know operand stacks, locals or generated code.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from arts.migratable import opcodes
from arts.migratable.binary import u32
from arts.migratable.errors import NotWasm
from arts.migratable.module import FUNCTION_KIND, TABLE_KIND, Export, Import, Module
from arts.migratable.options import Options, Poll

_CALLS: Final = frozenset({opcodes.CALL, opcodes.RETURN_CALL})
_INDIRECT_CALLS: Final = frozenset({opcodes.CALL_INDIRECT, opcodes.RETURN_CALL_INDIRECT})


@dataclass(frozen=True)
class Analysis:
    """What may unwind. Function and type numbers count in the original module's index spaces.

    ``functions``: defined functions that may unwind, in order; a position here is the *function
    id* of frames. ``recursive``: those among them that are polled at entry, so that every recursion
    meets a poll. ``types``: types whose
    indirect calls may unwind. ``blocking``: imports that may park their caller. ``tables``: those
    that change while the program runs; ``addressed``: functions that can be in a table.
    """

    functions: tuple[int, ...]
    recursive: frozenset[int]
    types: frozenset[int]
    blocking: frozenset[int]
    tables: frozenset[int] = frozenset()
    addressed: frozenset[int] = frozenset()

    @cached_property
    def members(self) -> frozenset[int]:
        """All functions whose direct calls may unwind."""
        return self.blocking.union(self.functions)


def blocking_imports(module: Module, options: Options) -> frozenset[int]:
    """The imported functions that may park their caller."""
    return frozenset(
        entry.index
        for entry in module.imported_functions
        if (entry.module, entry.name) in options.blocking
    )


def analyse(module: Module, options: Options) -> Analysis:
    """Find what may unwind, and what changes."""
    return _CallGraph(module, options).closure()


class _CallGraph:
    """Nodes are functions by index, then one for every distinct type: "called through a table"."""

    def __init__(self, module: Module, options: Options) -> None:
        self.module = module
        self.polled = options.poll is not Poll.NONE
        self.blocking = blocking_imports(module, options)
        distinct = {kind: number for number, kind in reversed(list(enumerate(module.types)))}
        size = len(module.functions)
        self.type_nodes = [size + distinct[kind] for kind in module.types]
        self.calls: list[set[int]] = [set() for _ in range(size + len(module.types))]
        self.looping: set[int] = set()
        self.addressed = module.referenced
        self.tables: set[int] = set()

    def closure(self) -> Analysis:
        """Scan all code and propagate."""
        first = len(self.module.imported_functions)
        for function, body in enumerate(self.module.bodies, first):
            with self.module.blamed_on(function):
                _, start, _ = self.module.locals_of(function)
                self._scan(function, start, body.end)
        self._connect_tables()
        count = len(self.module.functions)
        recursive = cycle_breakers(self.calls, count) if self.polled else frozenset()
        unwinding = callers_of(self.calls, {*self.looping, *recursive, *self.blocking})
        functions = range(first, len(self.module.functions))
        return Analysis(
            functions=tuple(function for function in functions if function in unwinding),
            recursive=recursive,
            types=frozenset(
                number for number, node in enumerate(self.type_nodes) if node in unwinding
            ),
            blocking=self.blocking,
            tables=frozenset(self.tables),
            addressed=frozenset(self.addressed),
        )

    def _scan(self, function: int, start: int, end: int) -> None:
        data = self.module.data
        calls = self.calls[function]
        for at in opcodes.stops(opcodes.BETWEEN_CALLS, data, start, end):
            opcode = data[at]
            if opcode in _CALLS:
                calls.add(self._existing(u32(data, at + 1)[0]))
            elif opcode in _INDIRECT_CALLS:
                calls.add(self.type_nodes[u32(data, at + 1)[0]])
            elif opcode == opcodes.LOOP:
                if self.polled:
                    self.looping.add(function)
            elif opcode == opcodes.REF_FUNC:
                self.addressed.add(u32(data, at + 1)[0])
            elif opcode == opcodes.TABLE_SET:
                self.tables.add(u32(data, at + 1)[0])
            elif opcode == opcodes.BULK:
                self._bulk(at + 1)

    def _bulk(self, at: int) -> None:
        number, at = u32(self.module.data, at)
        if number in opcodes.TABLE_MUTATIONS:
            table, at = u32(self.module.data, at)
            if number == opcodes.TABLE_INIT:  # its segment comes first
                table, _ = u32(self.module.data, at)
            self.tables.add(table)

    def _existing(self, function: int) -> int:
        """The function; the space of nodes is longer than that of functions."""
        if function >= len(self.module.functions):
            raise NotWasm(f"function {function} does not exist")
        return function

    def _connect_tables(self) -> None:
        """An indirect call may reach whatever of its type has its address taken.

        A table that others see may also be given whatever the program exports.
        """
        entities: list[Import | Export] = [*self.module.imports, *self.module.exports]
        if any(entity.kind == TABLE_KIND for entity in entities):
            self.addressed.update(
                entry.index for entry in self.module.exports if entry.kind == FUNCTION_KIND
            )
        for function in self.addressed:
            self.calls[self.type_nodes[self.module.functions[self._existing(function)]]].add(
                function
            )


def polled_loops(module: Module, function: int, analysis: Analysis) -> frozenset[int]:
    """Positions of the loops to poll when nests without calls are polled only outermost."""
    data = module.data
    _, start, end = module.locals_of(function)
    unwinding = {opcodes.CALL: analysis.members, opcodes.CALL_INDIRECT: analysis.types}
    around: dict[int, int | None] = {}
    calling: set[int | None] = {None}
    innermost: list[int | None] = [None, None]
    """The innermost loop at hand, outside the function and then inside each open block."""
    for at in opcodes.stops(opcodes.BETWEEN_BLOCKS, data, start, end):
        opcode = data[at]
        if opcode == opcodes.LOOP:
            around[at] = innermost[-1]
            innermost.append(at)
        elif opcode in (opcodes.BLOCK, opcodes.IF, opcodes.TRY_TABLE):
            innermost.append(innermost[-1])
        elif opcode == opcodes.END:
            if innermost.pop() in calling:
                calling.add(innermost[-1])
        elif opcode in unwinding and u32(data, at + 1)[0] in unwinding[opcode]:
            calling.add(innermost[-1])
    return frozenset(loop for loop, outer in around.items() if loop in calling or outer in calling)


def callers_of(calls: Sequence[Iterable[int]], seeds: Iterable[int]) -> frozenset[int]:
    """The seeds and everything that calls them, directly or not."""
    callers: list[list[int]] = [[] for _ in calls]
    for caller, callees in enumerate(calls):
        for callee in callees:
            callers[callee].append(caller)
    found = set(seeds)
    pending = list(found)
    while pending:
        new = [caller for caller in callers[pending.pop()] if caller not in found]
        found.update(new)
        pending += new
    return frozenset(found)


def cycle_breakers(edges: Sequence[set[int]], breakable: int) -> frozenset[int]:
    """Nodes below ``breakable`` of which every cycle contains one: few, though not the fewest.

    Every cycle has an edge that leads back onto the path of a depth-first search. Its target breaks
    the cycle, or its source where the target cannot: no edge may join two nodes that cannot.
    The path is ours, not Python's stack: how deep call graphs are is the program's choice.
    """
    found: set[int] = set()
    done = bytearray(len(edges))
    for root in range(len(edges)):
        path = [] if done[root] else [(root, iter(edges[root]))]
        done[root] = done[root] or _ON_PATH
        while path:
            node, remaining = path[-1]
            for callee in remaining:
                if not done[callee]:
                    done[callee] = _ON_PATH
                    path.append((callee, iter(edges[callee])))
                    break
                if done[callee] == _ON_PATH and not found.intersection((callee, node)):
                    found.add(callee if callee < breakable else node)
            else:
                path.pop()
                done[node] = _LEFT
    return frozenset(found)


_ON_PATH, _LEFT = 1, 2
