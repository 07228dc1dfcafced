"""Continuations: for each captured activation a function that starts where it was left.

A continuation is the rest of the flat code behind a point, with the blocks around it opened anew;
a loop around it finishes its iteration first and then runs as it always did. All of it goes into
a small module that links to the program, so nothing large is compiled again. Knows points and the
shape of that module. Does not know frames on a captured stack, nor how an engine links modules.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Final

from arts.migratable import abi, body, liveness, opcodes
from arts.migratable.analysis import Analysis, blocking_imports
from arts.migratable.binary import (
    PREAMBLE,
    Reader,
    custom_content,
    name,
    section,
    signed,
    unsigned,
    vector,
)
from arts.migratable.code import Block, Code, Indexed, Point, PointKind, pop_all
from arts.migratable.description import PIPELINE_VERSION, Description, ResumePoint, describe
from arts.migratable.emit import LOADS, Emitter, Frame, Machinery, Types, frame_of
from arts.migratable.errors import NotWasm, Refused
from arts.migratable.module import (
    CODE,
    ELEMENT,
    EXPORT,
    FUNCTION,
    FUNCTION_KIND,
    GLOBAL_KIND,
    IMPORT,
    MEMORY_KIND,
    TABLE_KIND,
    TAG_KIND,
    TYPE,
    FunctionType,
    Module,
    parse,
)
from arts.migratable.opcodes import I32
from arts.migratable.options import Poll

MUTABLE_I32: Final = b"\x7f\x01"
EXIT_PEELED, EXIT_ROTATED, AGAIN = b"\x0c\x01", b"\x0c\x02", b"\x0c\x00"


class Continuations:
    """Makes continuations for points of one prepared program, from its prepared bytes alone.

    Raises Refused if the bytes are not a prepared program of this version. What is learnt about
    a function is kept, and nothing is learnt about functions that nobody asks for.
    """

    def __init__(self, prepared: bytes) -> None:
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
        machinery = Machinery.behind(self._source, self.description.options.poll)
        bodies = []
        for function_id, resume in points:
            code, frame = self._code(function_id)
            if not 0 < resume <= len(code.points):
                raise ValueError(f"function {function_id} has no point {resume}")
            emitter = _Continuation(code, function_id, frame, machinery, linker)
            bodies.append((emitter.results, emitter.write(code.points[resume - 1])))
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

    def _code(self, function_id: int) -> tuple[Code, Frame]:
        if function_id not in self._codes:
            if not 0 <= function_id < len(self.description.functions):
                raise ValueError(f"there is no function id {function_id}")
            function = self.description.functions[function_id]
            code = body.parse(self._source, function, self._analysis, self.description.options)
            liveness.solve(code)
            self._codes[function_id] = code, frame_of(code)
        return self._codes[function_id]


class _Continuation(Emitter):
    """Writes the continuation of one point."""

    def __init__(
        self, code: Code, function_id: int, frame: Frame, machinery: Machinery, linker: "_Linker"
    ) -> None:
        super().__init__(code, function_id, frame, machinery, linker.types, linker.indexed)
        self.results = linker.types.number(FunctionType(b"", code.results))

    def write(self, point: Point) -> bytes:
        """The function body."""
        path = point.path()
        self._pop_frame(point)
        for block in reversed(path):
            self._reopen(block, point)
        self._go_on(point)
        behind = point.position + 1
        for block in path:
            self.emit(behind, block.end_of_arm(behind))
            self._finish(block, point)
            behind = block.closed + 1
        self.emit(behind, len(self.code.items))
        return self.function(0)

    def _pop_frame(self, point: Point) -> None:
        out, size = self.out, self.frame.size + abi.TRAILER_SIZE
        out += self.push_sp + b"\x41" + signed(size) + b"\x6b" + self.pop_sp
        for local, kind, offset in self.frame.fields:
            if point.live >> local & 1:
                out += self.push_sp + self.access(LOADS[kind], offset) + pop_all([local])

    def _go_on(self, point: Point) -> None:
        """Repeat the host call, continue the callee, or just pass the poll."""
        if point.kind is PointKind.HOST_CALL:
            self.point(point)
        elif point.kind is PointKind.CALL:
            kind = self.types.number(FunctionType(b"", point.result_types))
            self.out += self.push_sp + b"\x41\x04\x6b" + self.access(LOADS[I32], 0)
            self.out += b"\x11" + unsigned(kind) + unsigned(self.machinery.slots)
            self.returned(point)

    def _reopen(self, block: Block, point: Point) -> None:
        if not block.is_loop:
            self.open(block, opcodes.BLOCK if block.opcode == opcodes.IF else block.opcode)
            return
        self.open(block, opcodes.BLOCK)
        if _is_header(point, block):
            self.open(block, opcodes.LOOP)
        self.out += bytes([opcodes.BLOCK, opcodes.EMPTY_BLOCK])
        self.depth += 1
        self.labels[block] = self.depth

    def _finish(self, block: Block, point: Point) -> None:
        """End a block that was opened anew; of a loop, run what is left.

        A loop paused at its header is turned: its poll now stands where it would jump back, so
        the first iteration is not polled twice and its code is not needed twice. Of any other
        loop this was the rest of one iteration, and the loop itself follows.
        """
        if not block.is_loop:
            self.close()
        elif _is_header(point, block):
            self.out += EXIT_ROTATED
            self.close()
            self.poll(point)
            self.out += AGAIN
            self.close()
            self.close()
        else:
            self.out += EXIT_PEELED
            self.close()
            self.emit(block.opened, block.closed + 1)
            self.close()


def _is_header(point: Point, loop: Block) -> bool:
    return point.kind is PointKind.POLL and point.block is loop


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
        self.addressed: set[int] = set()

    def indexed(self, item: Indexed) -> bytes:
        """The instruction as it must read in the module of continuations."""
        if item.opcode == opcodes.BULK:
            return b"\x10" + unsigned(self._segment_function(item))
        if item.opcode == opcodes.CALL_INDIRECT:
            kind = self.types.number(self.source.types[item.index])
            return bytes([item.opcode]) + unsigned(kind) + item.trailer
        function = self._function(item.index)
        if item.opcode == opcodes.REF_FUNC:
            self.addressed.add(function)
        return bytes([item.opcode]) + unsigned(function)

    def _function(self, function: int) -> int:
        imported = self.source.imported_functions
        title = (abi.PROGRAM_IMPORT, f"{abi.FUNCTION_PREFIX}{function}")
        if function < len(imported):
            title = (imported[function].module, imported[function].name)
        return self._import(title, self.source.type_of(function))

    def _segment_function(self, item: Indexed) -> int:
        title, kind = segment_function(item)
        return self._import((abi.PROGRAM_IMPORT, title), kind)

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
        parts = [
            section(TYPE, vector(kind.encoded() for kind in self.types.all)),
            section(IMPORT, imports),
            section(FUNCTION, vector(unsigned(kind) for kind, _ in bodies)),
            section(EXPORT, vector(exports)),
            section(CODE, vector(code for _, code in bodies)),
        ]
        if self.addressed:
            functions = vector(map(unsigned, sorted(self.addressed)))
            parts.insert(-1, section(ELEMENT, b"\x01\x03\x00" + functions))
        return PREAMBLE + b"".join(parts)

    def _imports(self, machinery: Machinery) -> list[bytes]:
        source = self.source
        imports = [
            name(module) + name(title) + bytes([FUNCTION_KIND]) + unsigned(kind)
            for (module, title), (_, kind) in self.functions.items()
        ]
        imports += _numbered(abi.MEMORY_PREFIX, MEMORY_KIND, source.memories)
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


def segment_function(item: Indexed) -> tuple[str, FunctionType]:
    """Export name and type of the function that stands for an instruction with a data segment."""
    if item.number == opcodes.DATA_DROP:
        return f"{abi.DROP_PREFIX}{item.index}", FunctionType(b"", b"")
    memory = Reader(item.trailer).u32()
    return f"{abi.INIT_PREFIX}{item.index}.{memory}", FunctionType(bytes([I32] * 3), b"")
