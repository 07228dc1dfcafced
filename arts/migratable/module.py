"""A WebAssembly module taken apart as far as rewriting needs: types, index spaces, code framing.

Knows sections and index spaces. Does not look into function bodies, and does not validate what an
engine validates anyway; it refuses what no prepared program may contain.
"""

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from arts.migratable import opcodes
from arts.migratable.binary import CUSTOM, Reader, sections, signed, sized, u32
from arts.migratable.errors import NotWasm, Refused

TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT = 1, 2, 3, 4, 5, 6, 7
START, ELEMENT, CODE, DATA, DATA_COUNT, TAG = 8, 9, 10, 11, 12, 13
SECTION_ORDER: Final = (
    TYPE, IMPORT, FUNCTION, TABLE, MEMORY, TAG, GLOBAL, EXPORT, START, ELEMENT, DATA_COUNT, CODE,
    DATA,
)  # fmt: skip

IS_SHARED, IS_64_BIT = 2, 4
"""Flags of the limits of memories and tables."""

MAX_LOCALS: Final = 50_000
"""What engines accept (the JavaScript API names this limit)."""


class FunctionType(NamedTuple):
    """Parameter and result types, one byte each."""

    parameters: bytes
    results: bytes

    def encoded(self) -> bytes:
        """As it stands in a type section."""
        return b"\x60" + sized(self.parameters) + sized(self.results)


class Types:
    """The types of a module, and those that generated code adds behind them."""

    def __init__(self, own: Sequence[FunctionType]) -> None:
        self.all = list(own)
        self._numbers = {kind: number for number, kind in reversed(list(enumerate(own)))}

    def number(self, kind: FunctionType) -> int:
        """Index of a type, new if need be."""
        if kind not in self._numbers:
            self._numbers[kind] = len(self.all)
            self.all.append(kind)
        return self._numbers[kind]

    def block(self, parameters: bytes, results: bytes) -> bytes:
        """The type of a block, encoded in its shortest form."""
        if parameters or len(results) > 1:
            return signed(self.number(FunctionType(parameters, results)))
        return results or bytes([opcodes.EMPTY_BLOCK])


class GlobalType(NamedTuple):
    """Type of a global."""

    value: int
    mutable: bool


@dataclass(frozen=True, slots=True)
class Import:
    """An import; ``index`` counts in the index space of its kind, ``type`` is as encoded."""

    module: str
    name: str
    kind: int
    index: int
    type: bytes


@dataclass(frozen=True, slots=True)
class Export:
    """An export of the entity ``index`` of a kind; the index is encoded at ``at``."""

    name: str
    kind: int
    index: int
    at: int


FUNCTION_KIND, TABLE_KIND, MEMORY_KIND, GLOBAL_KIND, TAG_KIND = range(5)
MUTABLE_I32: Final = b"\x7f\x01"
"""The type of a global."""


class Body(NamedTuple):
    """Where a function's code lies: its local declarations start at ``start``."""

    start: int
    end: int


class Reference(NamedTuple):
    """Where the index of a function stands whose address is taken."""

    start: int
    end: int
    function: int


@dataclass
class Module:
    """Index spaces of a module, imports first, as the format counts them.

    ``functions`` holds type indices; ``tables`` and ``memories`` encoded types, as an import would
    state them; ``references`` where element segments, globals and tables take the address of
    which function. ``raw`` maps section numbers to (start, end) in ``data``, ``memory_at`` says
    where the types of memories stand there. ``start`` is the start function.
    """

    data: bytes
    raw: dict[int, tuple[int, int]] = field(default_factory=dict)
    types: list[FunctionType] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    functions: list[int] = field(default_factory=list)
    tables: list[bytes] = field(default_factory=list)
    memories: list[bytes] = field(default_factory=list)
    globals: list[GlobalType] = field(default_factory=list)
    tags: list[FunctionType] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)
    memory_at: list[int] = field(default_factory=list)
    start: int | None = None
    names: bytes = b""

    @cached_property
    def imported_functions(self) -> list[Import]:
        """The imports that are functions: they come first in the index space of functions."""
        return [entry for entry in self.imports if entry.kind == FUNCTION_KIND]

    def type_of(self, function: int) -> FunctionType:
        """Type of a function by its index. IndexError when there is no such function."""
        return self.types[self.functions[function]]

    @property
    def referenced(self) -> set[int]:
        """The functions that element segments, globals and tables take the address of."""
        return {reference.function for reference in self.references}

    def block_type(self, code: bytes, at: int) -> FunctionType:
        """The type of a block, whose encoding in some code is at a position."""
        byte = code[at]
        if byte == opcodes.EMPTY_BLOCK:
            return FunctionType(b"", b"")
        if opcodes.EMPTY_BLOCK < byte < 0x80:
            return FunctionType(b"", bytes([byte]))
        return self.types[u32(code, at)[0]]

    def address_of_memory(self, memory: int) -> int:
        """Type of the addresses of a memory. IndexError when there is no such memory."""
        return opcodes.I64 if self.memories[memory][0] & IS_64_BIT else opcodes.I32

    def address_of_table(self, table: int) -> int:
        """Type of the indices of a table. IndexError when there is no such table."""
        return opcodes.I64 if self.tables[table][1] & IS_64_BIT else opcodes.I32

    @cached_property
    def bodies(self) -> list[Body]:
        """Code of the functions that are not imported, in order."""
        at, end = self.raw.get(CODE, (0, 0))
        found: list[Body] = []
        count = 0
        try:
            if CODE in self.raw:
                count, at = u32(self.data, at)
            for _ in range(count):
                size, at = u32(self.data, at)
                found.append(Body(at, at := at + size))
        except IndexError:
            at = end + 1
        if at != end or count != len(self.functions) - len(self.imported_functions):
            raise NotWasm("the code section does not fit the declared functions")
        return found

    def locals_of(self, function: int) -> tuple[bytearray, int, int]:
        """A defined function's (types of parameters and locals, start of its code, its end)."""
        body = self.bodies[function - len(self.imported_functions)]
        reader = Reader(self.data, body.start, body.end)
        types = bytearray(self.type_of(function).parameters)
        for _ in range(reader.u32()):
            count = reader.u32()
            if len(types) + count > MAX_LOCALS:
                raise Refused("more locals than engines allow")
            types += bytes([opcodes.check_value_type(reader.byte())]) * count
        return types, reader.at, body.end

    @contextmanager
    def blamed_on(self, function: int) -> Iterator[None]:
        """Give refusals raised inside the name of the function, and malformed code its error.

        Code is decoded without checking every access: running over an end is an IndexError.
        """
        try:
            yield
        except Refused as refused:
            refused.function = self.function_name(function)
            raise
        except IndexError:
            name = self.function_name(function)
            raise NotWasm("malformed code", function=name) from None

    def function_name(self, function: int) -> str:
        """The name from the name section, else ``function N``."""
        return self._names.get(function, f"function {function}")

    @cached_property
    def _names(self) -> dict[int, str]:
        """Function names; a malformed name section, legal in a module, gives what it can."""
        names: dict[int, str] = {}
        reader = Reader(self.names)
        try:
            while not reader.exhausted:
                kind, frame = reader.byte(), reader.frame()
                if kind == 1:
                    for _ in range(frame.u32()):
                        function = frame.u32()
                        names[function] = frame.name()
        except NotWasm:
            pass
        return names


def parse(data: bytes) -> Module:
    """Take a module apart. Raises NotWasm for malformed ones, Refused for what is unsupported."""
    module = Module(data)
    parser = _Parser(module)
    for number, reader in sections(data):
        if number == CUSTOM:
            if reader.name() == "name":
                module.names = data[reader.at : reader.end]
            continue
        if number not in SECTION_ORDER or number in module.raw:
            raise NotWasm(f"section {number} is unknown or stands twice")
        module.raw[number] = (reader.at, reader.end)
        parser.section(number, reader)
    return module


class _Parser:
    """Fills a Module section by section."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.reader = Reader(b"")

    def section(self, number: int, reader: Reader) -> None:
        """Read one section, if it is of interest here."""
        self.reader = reader
        if number == START:
            self.module.start = reader.u32()
        items: dict[int, Callable[[], None]] = {
            TYPE: self._type,
            IMPORT: self._import,
            FUNCTION: self._function,
            TABLE: self._table,
            MEMORY: self._memory,
            TAG: self._tag,
            GLOBAL: self._global,
            EXPORT: self._export,
            ELEMENT: self._element,
        }
        if number in items:
            reader.vector(items[number])
            if not reader.exhausted:
                raise NotWasm(f"section {number} is longer than its content")

    def _type(self) -> None:
        if self.reader.byte() != 0x60:
            raise Refused("typed references or garbage collected types")
        parameters, results = self._value_types(), self._value_types()
        self.module.types.append(FunctionType(parameters, results))

    def _value_types(self) -> bytes:
        types = self.reader.take(self.reader.u32())
        for code in types:
            opcodes.check_value_type(code)
        return types

    def _import(self) -> None:
        module, name, kind = self.reader.name(), self.reader.name(), self.reader.byte()
        spaces: tuple[tuple[Callable[[], None], Sized], ...] = (
            (self._function, self.module.functions),
            (self._table_type, self.module.tables),
            (self._memory, self.module.memories),
            (self._global_type, self.module.globals),
            (self._tag, self.module.tags),
        )
        if kind >= len(spaces):
            raise Refused(f"an import of unknown kind {kind}")
        read, space = spaces[kind]
        start = self.reader.at
        read()
        encoded = self.reader.data[start : self.reader.at]
        self.module.imports.append(Import(module, name, kind, len(space) - 1, encoded))

    def _function(self) -> None:
        index = self.reader.u32()
        self._check_type(index)
        self.module.functions.append(index)

    def _check_type(self, index: int) -> None:
        if index >= len(self.module.types):
            raise NotWasm(f"type {index} does not exist")

    def _table(self) -> None:
        if self.reader.peek() == 0x40:
            self.reader.take(2)
            self._table_type()
            self._constant()
        else:
            self._table_type()

    def _table_type(self) -> None:
        start = self.reader.at
        opcodes.check_value_type(self.reader.byte())
        self._limits()
        self.module.tables.append(self.reader.data[start : self.reader.at])

    def _memory(self) -> None:
        start = self.reader.at
        self._limits()
        self.module.memory_at.append(start)
        self.module.memories.append(self.reader.data[start : self.reader.at])

    def _limits(self) -> None:
        flags = self.reader.byte()
        if flags & IS_SHARED:
            raise Refused("shared memory", advice="build it without threads")
        if flags & ~(1 | IS_64_BIT):
            raise Refused("custom page sizes")
        for _ in range(1 + flags % 2):
            self.reader.leb()

    def _tag(self) -> None:
        self.reader.byte()
        index = self.reader.u32()
        self._check_type(index)
        self.module.tags.append(self.module.types[index])

    def _global(self) -> None:
        self._global_type()
        self._constant()

    def _global_type(self) -> None:
        value, mutable = opcodes.check_value_type(self.reader.byte()), self.reader.byte()
        if mutable and value in opcodes.REFERENCE_TYPES:
            raise Refused("a global that holds a changing reference")
        self.module.globals.append(GlobalType(value, bool(mutable)))

    def _constant(self) -> None:
        """Pass over a constant expression; note the functions it refers to."""
        reader = self.reader
        while (opcode := reader.peek()) != opcodes.END:
            try:
                behind = opcodes.skip_instruction(reader.data, reader.at)
                if opcode == opcodes.REF_FUNC:
                    self._refer(reader.at + 1)
            except IndexError:
                behind = reader.end + 1
            reader.take(behind - reader.at)
        reader.byte()

    def _export(self) -> None:
        name, kind, at = self.reader.name(), self.reader.byte(), self.reader.at
        self.module.exports.append(Export(name, kind, self.reader.u32(), at))

    def _element(self) -> None:
        flags = self.reader.u32()
        if flags > 7:
            raise NotWasm("an element segment of an unknown kind")
        if not flags & 1:
            if flags & 2:
                self.reader.u32()
            self._constant()
        if flags & 3:
            kind = self.reader.byte()
            if flags & 4:
                opcodes.check_value_type(kind)
        if flags & 4:
            self.reader.vector(self._constant)
        else:
            self.reader.vector(self._referenced)

    def _referenced(self) -> None:
        start = self.reader.at
        self.reader.u32()
        self._refer(start)

    def _refer(self, at: int) -> None:
        function, end = u32(self.reader.data, at)
        self.module.references.append(Reference(at, end, function))
