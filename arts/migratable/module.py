"""A WebAssembly module taken apart as far as rewriting needs: types, index spaces, code framing.

Knows sections and index spaces. Does not look into function bodies, and does not validate what an
engine validates anyway; it refuses what no prepared program may contain.
"""

from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

from arts.migratable import opcodes
from arts.migratable.binary import CUSTOM, Reader, sections, sized, u32
from arts.migratable.errors import NotWasm, Refused

TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT = 1, 2, 3, 4, 5, 6, 7
START, ELEMENT, CODE, DATA, DATA_COUNT, TAG = 8, 9, 10, 11, 12, 13
SECTION_ORDER: Final = (
    TYPE, IMPORT, FUNCTION, TABLE, MEMORY, TAG, GLOBAL, EXPORT, START, ELEMENT, DATA_COUNT, CODE,
    DATA,
)  # fmt: skip

MAX_LOCALS: Final = 50_000
"""What engines accept (the JavaScript API names this limit)."""


class FunctionType(NamedTuple):
    """Parameter and result types, one byte each."""

    parameters: bytes
    results: bytes

    def encoded(self) -> bytes:
        """As it stands in a type section."""
        return b"\x60" + sized(self.parameters) + sized(self.results)


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
    """An export of the entity ``index`` of a kind."""

    name: str
    kind: int
    index: int


FUNCTION_KIND, TABLE_KIND, MEMORY_KIND, GLOBAL_KIND, TAG_KIND = range(5)


class Body(NamedTuple):
    """Where a function's code lies: its local declarations start at ``start``."""

    start: int
    end: int


@dataclass
class Module:
    """Index spaces of a module, imports first, as the format counts them.

    ``functions`` holds type indices; ``tables`` and ``memories`` encoded types, as an import would
    state them; ``referenced`` the functions that element segments, globals and
    tables take the address of. ``raw`` maps section numbers to (start, end) in ``data``.
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
    referenced: set[int] = field(default_factory=set)
    names: bytes = b""

    @cached_property
    def imported_functions(self) -> list[Import]:
        """The imports that are functions: they come first in the index space of functions."""
        return [entry for entry in self.imports if entry.kind == FUNCTION_KIND]

    def type_of(self, function: int) -> FunctionType:
        """Type of a function by its index. IndexError when there is no such function."""
        return self.types[self.functions[function]]

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
            raise Refused(
                "a start section", advice="export the function instead and let the host call it"
            )
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
        self.module.memories.append(self.reader.data[start : self.reader.at])

    def _limits(self) -> None:
        flags = self.reader.byte()
        if flags & 2:
            raise Refused("shared memory", advice="build it without threads")
        if flags & 4:
            raise Refused("64-bit memory or table", advice="build it for wasm32")
        if flags > 1:
            raise Refused("custom page sizes")
        for _ in range(1 + flags):
            self.reader.u32()

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
                if opcode == opcodes.REF_FUNC:
                    self.module.referenced.add(u32(reader.data, reader.at + 1)[0])
                behind = opcodes.skip_instruction(reader.data, reader.at)
            except IndexError:
                behind = reader.end + 1
            reader.take(behind - reader.at)
        reader.byte()

    def _export(self) -> None:
        name, kind, index = self.reader.name(), self.reader.byte(), self.reader.u32()
        self.module.exports.append(Export(name, kind, index))

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
            self.module.referenced.update(self.reader.vector(self.reader.u32))
