"""From a module to its prepared form: the same program, able to write its activations down.

Knows how the pieces come together and what is appended to which section; nothing that was there
changes its index. Does not know how the pieces are made.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from arts.migratable import abi, body, liveness
from arts.migratable.analysis import Analysis, analyse
from arts.migratable.assembler import END, i32_const, push_all
from arts.migratable.binary import (
    CUSTOM,
    PREAMBLE,
    custom_section,
    longer,
    name,
    section,
    sections,
    sized,
    u32,
    unsigned,
    vector,
)
from arts.migratable.code import Indexed
from arts.migratable.description import PIPELINE_VERSION, Description, MutableGlobal
from arts.migratable.emit import Emitter, Frame, Machinery, frame_of
from arts.migratable.errors import Refused
from arts.migratable.linking import FRAMES_TYPE, STANDING_IN, stand_in
from arts.migratable.lowering import lower
from arts.migratable.module import (
    CODE,
    ELEMENT,
    EXPORT,
    FUNCTION,
    FUNCTION_KIND,
    GLOBAL,
    GLOBAL_KIND,
    MEMORY,
    MEMORY_KIND,
    MUTABLE_I32,
    SECTION_ORDER,
    TABLE,
    TABLE_KIND,
    TAG_KIND,
    TYPE,
    FunctionType,
    Module,
    Types,
    parse,
)
from arts.migratable.opcodes import BULK, CALL_INDIRECT, RETURN_CALL_INDIRECT, TYPE_NAMES
from arts.migratable.options import Frames, Options, Poll
from arts.migratable.twin import Twin

RESERVED: Final = "arts."
MAX_GROWTH: Final = 16
"""Prepared code to original module; real programs grow to two or three times their size."""
MIN_LIMIT: Final = 1 << 20
"""Bytes of prepared code that are fine for any program."""


def prepare(
    wasm: bytes | bytearray,
    options: Options | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> bytes:
    """The migratable form of a core module.

    ``progress`` is told how many functions have been rewritten, and of how many. Raises NotWasm
    for bytes that are no module, Refused for programs that cannot be captured.

    This is no validator. Let an engine validate the original first: a module that refers to a
    global, memory or table it does not have would otherwise find those of the machinery there.
    """
    chosen = Options() if options is None else options
    module = parse(bytes(wasm))
    _check_names(module)
    if not module.memories:  # then one for frames is the only one
        chosen = replace(chosen, frames=Frames.OWN)
    preparation = _Preparation(lower(module, chosen), chosen)
    preparation.rewrite(progress or (lambda done, count: None))
    return preparation.assemble(hashlib.sha256(module.data).hexdigest())


def _check_names(module: Module) -> None:
    taken = [entry.name for entry in module.exports]
    taken += [entry.name for entry in module.imports if entry.module == abi.PROGRAM_IMPORT]
    for title in taken:
        if title.startswith(RESERVED):
            raise Refused(
                f"the name {title!r} is reserved", advice="it may be prepared already: check that"
            )


class _Preparation:
    """Everything that is known about one program while its prepared form is put together."""

    def __init__(self, module: Module, options: Options) -> None:
        self.module = module
        self.options = options
        self.types = Types(module.types)
        self.machinery = Machinery.behind(module, options)
        self.analysis: Analysis = analyse(module, options)
        self.linked_functions: set[int] = set()
        self.stand_ins: dict[str, tuple[FunctionType, bytes]] = {}
        self.frames: list[Frame] = []
        self.points: list[int] = []
        self.bodies: dict[int, bytes] = {}
        self.twins: list[tuple[FunctionType, bytes]] = []
        self.size = 0

    def rewrite(self, progress: Callable[[int, int], None]) -> None:
        """Make all the code."""
        functions = self.analysis.functions
        for function_id, function in enumerate(functions):
            self._rewrite(function_id, function)
            progress(function_id + 1, len(functions))

    def _rewrite(self, function_id: int, function: int) -> None:
        code = body.parse(self.module, function, self.analysis, self.options)
        liveness.solve(code)
        with self.module.blamed_on(function):
            frame = frame_of(code, self.machinery.exception_size)
        shared = code, function_id, frame, self.machinery, self.types, self._indexed
        emitter = Emitter(*shared)
        emitter.emit(0, len(code.items))
        self.bodies[function] = self._counted(emitter.function(code.parameter_count))
        if self.options.twins:
            self.twins.append(
                (FunctionType(b"", code.results), self._counted(Twin(*shared).write()))
            )
        self.frames.append(frame)
        self.points.append(len(code.points))

    def _counted(self, made: bytes) -> bytes:
        self.size += len(made)
        if self.size > MAX_GROWTH * len(self.module.data) + MIN_LIMIT:
            raise Refused("the prepared program would be many times larger than the original")
        return made

    def _indexed(self, item: Indexed) -> bytes:
        """The instruction as it was; notes what continuations will need to be exported."""
        number = unsigned(item.number) if item.opcode == BULK else b""
        instruction = bytes([item.opcode]) + number + unsigned(item.index) + item.trailer
        if item.opcode in STANDING_IN:
            title, kind = stand_in(item, self.module)
            self.stand_ins[title] = kind, instruction
        elif item.opcode not in (CALL_INDIRECT, RETURN_CALL_INDIRECT):
            self.linked_functions.add(item.index)
        return instruction

    # -- sections -----------------------------------------------------------------------------

    def assemble(self, source_digest: str) -> bytes:
        """The prepared module."""
        own_types = len(self.module.types)
        added = [kind for kind, _ in self.stand_ins.values()] + [kind for kind, _ in self.twins]
        slots = b"\x70\0" + unsigned(len(self.twins))
        additions = {
            FUNCTION: [unsigned(self.types.number(kind)) for kind in added],
            TABLE: [slots],
            MEMORY: [] if self.machinery.hidden else [FRAMES_TYPE],
            GLOBAL: self._globals(),
            EXPORT: self._exports(),
            ELEMENT: self._elements(),
            CODE: self._code(),
        }
        additions[TYPE] = [kind.encoded() for kind in self.types.all[own_types:]]
        parts = [PREAMBLE]
        for number in SECTION_ORDER:
            start, end = self.module.raw.get(number, (0, 0))
            own = b"\0" if number == CODE else self.module.data[start:end]
            if additions.get(number):
                own = longer(own or b"\0", additions[number])
            if own:
                parts.append(section(number, own))
        if self.module.names:
            parts.append(custom_section("name", self.module.names))
        parts.append(self._description(source_digest).section())
        parts.append(custom_section(abi.SOURCE_SECTION, self._source()))
        return b"".join(parts)

    def _code(self) -> list[bytes]:
        data = self.module.data
        first = len(self.module.imported_functions)
        bodies = [
            self.bodies.get(function) or sized(data[own.start : own.end])
            for function, own in enumerate(self.module.bodies, first)
        ]
        for kind, instruction in self.stand_ins.values():
            arguments = push_all(range(len(kind.parameters)))
            bodies.append(sized(b"\0" + arguments + instruction + END))
        return bodies + [twin for _, twin in self.twins]

    def _elements(self) -> list[bytes]:
        """The segment that puts every twin into the slot of its function id."""
        if not self.twins:
            return []
        first = len(self.module.functions) + len(self.stand_ins)
        twins = vector(unsigned(first + number) for number in range(len(self.twins)))
        return [b"\2" + unsigned(self.machinery.slots) + i32_const(0) + END + b"\0" + twins]

    def _globals(self) -> list[bytes]:
        base = abi.FRAMES_BASE
        if self.machinery.hidden:
            pages, _ = u32(self.module.memories[0], 1)
            base = (pages - abi.PRIMARY_FRAMES_PAGES) << 16
        values = [0, base] + [0] * (self.options.poll is Poll.COUNTDOWN)
        return [MUTABLE_I32 + i32_const(_signed(value)) + END for value in values]

    def _exports(self) -> list[bytes]:
        module, machinery = self.module, self.machinery
        exports = [
            (abi.STATE, GLOBAL_KIND, machinery.state),
            (abi.SP, GLOBAL_KIND, machinery.sp),
            (abi.FRAMES, MEMORY_KIND, machinery.frames),
            (abi.SLOTS, TABLE_KIND, machinery.slots),
        ]
        if self.options.poll is Poll.COUNTDOWN:
            exports.append((abi.COUNTDOWN, GLOBAL_KIND, machinery.countdown))
        for prefix, kind, numbers in (
            (abi.MEMORY_PREFIX, MEMORY_KIND, range(len(module.memories))),
            (abi.TABLE_PREFIX, TABLE_KIND, range(len(module.tables))),
            (abi.GLOBAL_PREFIX, GLOBAL_KIND, range(len(module.globals))),
            (abi.TAG_PREFIX, TAG_KIND, range(len(module.tags))),
            (abi.FUNCTION_PREFIX, FUNCTION_KIND, self._linked()),
        ):
            exports += [(f"{prefix}{n}", kind, n) for n in numbers]
        helpers = enumerate(self.stand_ins, len(module.functions))
        exports += [(title, FUNCTION_KIND, number) for number, title in helpers]
        return [name(title) + bytes([kind]) + unsigned(number) for title, kind, number in exports]

    def _linked(self) -> list[int]:
        """Functions to export: continuations import host functions from the host, tables do not."""
        imported = len(self.module.imported_functions)
        if self.machinery.exception_size is not None:
            self.linked_functions |= {self.machinery.save, self.machinery.load}
        in_tables = self.analysis.addressed if self.analysis.tables else ()
        return sorted({n for n in self.linked_functions if n >= imported}.union(in_tables))

    # -- what it says about itself --------------------------------------------------------------

    def _description(self, source_digest: str) -> Description:
        module, analysis = self.module, self.analysis
        imports = module.imported_functions
        return Description(
            abi_version=abi.ABI_VERSION,
            pipeline_version=PIPELINE_VERSION,
            source_digest=source_digest,
            options=self.options,
            functions=analysis.functions,
            recursive=tuple(sorted(analysis.recursive)),
            types=tuple(sorted(analysis.types)),
            frame_sizes=tuple(frame.size + abi.TRAILER_SIZE for frame in self.frames),
            points=tuple(self.points),
            memories=len(module.memories),
            tables=len(module.tables),
            mutable_tables=tuple(sorted(analysis.tables)),
            frames_pages=(abi.PRIMARY_FRAMES_PAGES if self.machinery.hidden else abi.FRAMES_PAGES),
            mutable_globals=tuple(
                MutableGlobal(number, TYPE_NAMES[kind.value])
                for number, kind in enumerate(module.globals)
                if kind.mutable
            ),
            blocks_on=tuple(
                (imports[index].module, imports[index].name) for index in sorted(analysis.blocking)
            ),
        )

    def _source(self) -> bytes:
        """The original without custom sections that no continuation needs."""
        data = self.module.data
        parts = [
            section(number, data[reader.at : reader.end])
            for number, reader in sections(data)
            if number != CUSTOM
        ]
        if self.module.names:
            parts.append(custom_section("name", self.module.names))
        return PREAMBLE + b"".join(parts)


def _signed(value: int) -> int:
    """An address as an i32 constant has it."""
    return value - (1 << 32) if value >> 31 else value
