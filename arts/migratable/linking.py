"""Continuations of a prepared program, as a small module that links to it.

Nothing large is compiled again, and nothing is looked at that the points asked for do not need.
Knows prepared bytes and the shape of that module. Does not know how a function is continued, nor
how an engine links modules.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from arts.migratable import abi, body, liveness, opcodes
from arts.migratable.analysis import Analysis, blocking_imports
from arts.migratable.assembler import call
from arts.migratable.binary import (
    PREAMBLE,
    Reader,
    custom_content,
    name,
    section,
    unsigned,
    vector,
)
from arts.migratable.code import Code, Indexed
from arts.migratable.continuation import SMALL_LOOP, Continuation
from arts.migratable.description import PIPELINE_VERSION, Description, ResumePoint, describe
from arts.migratable.emit import Frame, Machinery, frame_of
from arts.migratable.errors import NotWasm, Refused
from arts.migratable.module import (
    CODE,
    EXPORT,
    FUNCTION,
    FUNCTION_KIND,
    GLOBAL_KIND,
    IMPORT,
    MEMORY_KIND,
    MUTABLE_I32,
    TABLE_KIND,
    TAG_KIND,
    TYPE,
    FunctionType,
    Module,
    Types,
    parse,
)
from arts.migratable.opcodes import FUNCREF, I32
from arts.migratable.options import Poll


class Continuations:
    """Makes continuations for points of one prepared program, from its prepared bytes alone.

    Raises Refused if the bytes are not a prepared program of this version. What is learnt about
    a function is kept, and nothing is learnt about functions that nobody asks for. Loops of up to
    ``small_loop`` items are optimized for speed after the continuation, larger ones for its size.
    """

    def __init__(self, prepared: bytes, small_loop: int = SMALL_LOOP) -> None:
        self._small_loop = small_loop
        self.description: Description = describe(prepared)
        if self.description.pipeline_version != PIPELINE_VERSION:
            raise Refused("another version prepared the program", advice="prepare it again")
        self._prepared = prepared
        self._codes: dict[int, tuple[Code, Frame]] = {}

    def module(self, points: Sequence[ResumePoint]) -> bytes:
        """A module that exports ``c0``, ``c1``, ... of type () -> results, one for each point.

        Raises ValueError for a point that the program does not have.
        """
        linker = _Linker(self._source)
        machinery = self._machinery
        bodies = []
        for function_id, resume in points:
            code, frame = self._code(function_id)
            if not 0 < resume <= len(code.points):
                raise ValueError(f"function {function_id} has no point {resume}")
            continuation = Continuation(
                code, function_id, frame, machinery, linker.types, linker.indexed, self._small_loop
            )
            point = code.points[resume - 1]
            bodies.append((continuation.result_type, continuation.write(point)))
        return linker.link(machinery, bodies)

    def function_name(self, function_id: int) -> str:
        """The name of the function behind a function id, for people."""
        return self._source.function_name(self.description.functions[function_id])

    @cached_property
    def _source(self) -> Module:
        source = custom_content(self._prepared, abi.SOURCE_SECTION)
        if source is None:
            raise NotWasm("a prepared program without its source")
        return parse(source)

    @cached_property
    def _analysis(self) -> Analysis:
        described = self.description
        return Analysis(
            functions=described.functions,
            recursive=frozenset(described.recursive),
            types=frozenset(described.types),
            blocking=blocking_imports(self._source, described.options),
        )

    @cached_property
    def _machinery(self) -> Machinery:
        return Machinery.behind(self._source, self.description.options)

    def _code(self, function_id: int) -> tuple[Code, Frame]:
        if function_id not in self._codes:
            if not 0 <= function_id < len(self.description.functions):
                raise ValueError(f"there is no function id {function_id}")
            function = self.description.functions[function_id]
            code = body.parse(self._source, function, self._analysis, self.description.options)
            liveness.solve(code)
            frame = frame_of(code, self._machinery.exception_size)
            found = frame.size + abi.TRAILER_SIZE, len(code.points)
            described = self.description
            if found != (described.frame_sizes[function_id], described.points[function_id]):
                raise NotWasm("the program's description contradicts its source")
            self._codes[function_id] = code, frame
        return self._codes[function_id]


class _Linker:
    """Imports what continuations use, and assembles the module.

    Memories, tables, globals and tags are imported all, in order, so that instructions can be
    copied as they are. Functions, types and segments, of which there may be many, only as needed:
    every type costs an engine tens of microseconds.
    """

    def __init__(self, source: Module) -> None:
        self.source = source
        self.types = Types([])
        self.functions: dict[tuple[str, str], tuple[int, int]] = {}

    def indexed(self, item: Indexed) -> bytes:
        """The instruction as it must read in the module of continuations."""
        if item.opcode in STANDING_IN:
            title, kind = stand_in(item, self.source)
            return call(self._import((abi.PROGRAM_IMPORT, title), kind))
        if item.opcode in (opcodes.CALL_INDIRECT, opcodes.RETURN_CALL_INDIRECT):
            kind_number = self.types.number(self.source.types[item.index])
            return bytes([item.opcode]) + unsigned(kind_number) + item.trailer
        return bytes([item.opcode]) + unsigned(self._function(item.index))

    def _function(self, function: int) -> int:
        imported = self.source.imported_functions
        title = (abi.PROGRAM_IMPORT, f"{abi.FUNCTION_PREFIX}{function}")
        if function < len(imported):
            title = (imported[function].module, imported[function].name)
        return self._import(title, self.source.type_of(function))

    def _import(self, title: tuple[str, str], kind: FunctionType) -> int:
        new = len(self.functions), self.types.number(kind)
        number, _ = self.functions.setdefault(title, new)
        return number

    def link(self, machinery: Machinery, bodies: Sequence[tuple[int, bytes]]) -> bytes:
        """The module, from (type index, body) of every continuation."""
        first = len(self.functions)
        exports = [
            name(f"{abi.CONTINUATION_PREFIX}{number}") + b"\0" + unsigned(first + number)
            for number in range(len(bodies))
        ]
        imports = vector(self._imports(machinery))
        return PREAMBLE + b"".join(
            [
                section(TYPE, vector(kind.encoded() for kind in self.types.all)),
                section(IMPORT, imports),
                section(FUNCTION, vector(unsigned(kind) for kind, _ in bodies)),
                section(EXPORT, vector(exports)),
                section(CODE, vector(code for _, code in bodies)),
            ]
        )

    def _imports(self, machinery: Machinery) -> list[bytes]:
        source = self.source
        imports = [
            name(module) + name(title) + bytes([FUNCTION_KIND]) + unsigned(kind)
            for (module, title), (_, kind) in self.functions.items()
        ]
        imports += _numbered(abi.MEMORY_PREFIX, MEMORY_KIND, source.memories)
        if not machinery.hidden:
            imports.append(_from_program(abi.FRAMES, MEMORY_KIND, FRAMES_TYPE))
        imports += _numbered(abi.TABLE_PREFIX, TABLE_KIND, source.tables)
        imports.append(_from_program(abi.SLOTS, TABLE_KIND, SLOTS_TYPE))
        types = [bytes([kind.value, kind.mutable]) for kind in source.globals]
        imports += _numbered(abi.GLOBAL_PREFIX, GLOBAL_KIND, types)
        imports.append(_from_program(abi.STATE, GLOBAL_KIND, MUTABLE_I32))
        imports.append(_from_program(abi.SP, GLOBAL_KIND, MUTABLE_I32))
        if machinery.poll is Poll.COUNTDOWN:
            imports.append(_from_program(abi.COUNTDOWN, GLOBAL_KIND, MUTABLE_I32))
        tags = [b"\0" + unsigned(self.types.number(kind)) for kind in source.tags]
        return imports + _numbered(abi.TAG_PREFIX, TAG_KIND, tags)


FRAMES_TYPE: Final = b"\x01" + unsigned(abi.FRAMES_PAGES) * 2
SLOTS_TYPE: Final = b"\x70\x00\x00"


def _from_program(title: str, kind: int, encoded: bytes) -> bytes:
    return name(abi.PROGRAM_IMPORT) + name(title) + bytes([kind]) + encoded


def _numbered(prefix: str, kind: int, types: Sequence[bytes]) -> list[bytes]:
    return [
        _from_program(f"{prefix}{number}", kind, encoded) for number, encoded in enumerate(types)
    ]


STANDING_IN: Final = frozenset({opcodes.BULK, opcodes.REF_FUNC})
"""Instructions for which the program has a function."""


def stand_in(item: Indexed, source: Module) -> tuple[str, FunctionType]:
    """Export name and type of the function that stands for an instruction in continuations.

    Modules cannot share segments. And a reference to an imported function need not be the same
    to an engine as the program's own, by which hosts know what is in a table.
    """
    if item.opcode == opcodes.REF_FUNC:
        return f"{abi.REFERENCE_PREFIX}{item.index}", FunctionType(b"", bytes([FUNCREF]))
    target = Reader(item.trailer).u32()
    if item.number == opcodes.MEMORY_INIT:
        prefix, address = abi.INIT_PREFIX, source.address_of_memory(target)
    else:
        prefix, address = abi.TABLE_INIT_PREFIX, source.address_of_table(target)
    return f"{prefix}{item.index}.{target}", FunctionType(bytes([address, I32, I32]), b"")
