"""From a module to its prepared form: the same program, able to write its activations down.

Knows how the pieces come together and what is appended to which section; nothing that was there
changes its index. Does not know how the pieces are made.
"""

import hashlib
from typing import Final

from arts.migratable import abi, body, liveness
from arts.migratable.analysis import Analysis, analyse
from arts.migratable.assembler import END, i32_const, push_all
from arts.migratable.binary import (
    CUSTOM,
    PREAMBLE,
    Reader,
    custom_section,
    name,
    section,
    sections,
    sized,
    unsigned,
    vector,
)
from arts.migratable.code import Indexed
from arts.migratable.description import PIPELINE_VERSION, Description, MutableGlobal
from arts.migratable.emit import Emitter, Frame, Machinery, Types, frame_of
from arts.migratable.errors import Refused
from arts.migratable.linking import FRAMES_TYPE, MUTABLE_I32, SLOTS_TYPE, segment_function
from arts.migratable.module import (
    CODE,
    EXPORT,
    FUNCTION,
    FUNCTION_KIND,
    GLOBAL,
    GLOBAL_KIND,
    MEMORY,
    MEMORY_KIND,
    SECTION_ORDER,
    TABLE,
    TABLE_KIND,
    TAG_KIND,
    TYPE,
    FunctionType,
    Module,
    parse,
)
from arts.migratable.opcodes import BULK, CALL_INDIRECT, TYPE_NAMES
from arts.migratable.options import Options, Poll

RESERVED: Final = "arts."
MAX_GROWTH: Final = 16
"""Prepared code to original module; real programs grow to two or three times their size."""
MIN_LIMIT: Final = 1 << 20
"""Bytes of prepared code that are fine for any program."""


def prepare(wasm: bytes | bytearray, options: Options | None = None) -> bytes:
    """The migratable form of a core module.

    Raises NotWasm for bytes that are no module, Refused for programs that cannot be captured.

    This is no validator. Let an engine validate the original first: a module that refers to a
    global, memory or table it does not have would otherwise find those of the machinery there.
    """
    chosen = Options() if options is None else options
    module = parse(bytes(wasm))
    _check_names(module)
    return _Preparation(module, chosen).assemble()


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
        self.machinery = Machinery.behind(module, options.poll)
        self.analysis: Analysis = analyse(module, options)
        self.linked_functions: set[int] = set()
        self.segments: dict[str, tuple[FunctionType, bytes]] = {}
        self.frames: list[Frame] = []
        self.points: list[int] = []
        self.bodies: dict[int, bytes] = {}
        self.size = 0
        for function_id, function in enumerate(self.analysis.functions):
            self._rewrite(function_id, function)

    def _rewrite(self, function_id: int, function: int) -> None:
        code = body.parse(self.module, function, self.analysis, self.options)
        liveness.solve(code)
        with self.module.blamed_on(function):
            frame = frame_of(code)
        emitter = Emitter(code, function_id, frame, self.machinery, self.types, self._indexed)
        emitter.emit(0, len(code.items))
        self.bodies[function] = emitter.function(code.parameter_count)
        self.size += len(self.bodies[function])
        if self.size > MAX_GROWTH * len(self.module.data) + MIN_LIMIT:
            raise Refused("the prepared program would be many times larger than the original")
        self.frames.append(frame)
        self.points.append(len(code.points))

    def _indexed(self, item: Indexed) -> bytes:
        """The instruction as it was; notes what continuations will need to be exported."""
        if item.opcode != BULK:
            if item.opcode != CALL_INDIRECT:
                self.linked_functions.add(item.index)
            return bytes([item.opcode]) + unsigned(item.index) + item.trailer
        instruction = (
            bytes([item.opcode]) + unsigned(item.number or 0) + unsigned(item.index) + item.trailer
        )
        title, kind = segment_function(item)
        self.segments[title] = kind, instruction
        return instruction

    # -- sections -----------------------------------------------------------------------------

    def assemble(self) -> bytes:
        """The prepared module."""
        code = self._code()
        own_types = len(self.module.types)
        additions = {
            FUNCTION: [unsigned(self.types.number(kind)) for kind, _ in self.segments.values()],
            TABLE: [SLOTS_TYPE],
            MEMORY: [FRAMES_TYPE],
            GLOBAL: self._globals(),
            EXPORT: self._exports(),
        }
        additions[TYPE] = [kind.encoded() for kind in self.types.all[own_types:]]
        parts = [PREAMBLE]
        for number in SECTION_ORDER:
            if number == CODE:
                parts.append(section(CODE, code))
            elif additions.get(number):
                parts.append(section(number, self._extended(number, additions[number])))
            elif number in self.module.raw:
                start, end = self.module.raw[number]
                parts.append(section(number, self.module.data[start:end]))
        if self.module.names:
            parts.append(custom_section("name", self.module.names))
        parts.append(self._description().section())
        parts.append(custom_section(abi.SOURCE_SECTION, self._source()))
        return b"".join(parts)

    def _extended(self, number: int, items: list[bytes]) -> bytes:
        """A section's vector with items added behind its own."""
        count, own = 0, b""
        if number in self.module.raw:
            reader = Reader(self.module.data, *self.module.raw[number])
            count = reader.u32()
            own = reader.take(reader.end - reader.at)
        return unsigned(count + len(items)) + own + b"".join(items)

    def _code(self) -> bytes:
        data = self.module.data
        first = len(self.module.imported_functions)
        bodies = [
            self.bodies.get(function) or sized(data[own.start : own.end])
            for function, own in enumerate(self.module.bodies, first)
        ]
        for kind, instruction in self.segments.values():
            arguments = push_all(range(len(kind.parameters)))
            bodies.append(sized(b"\0" + arguments + instruction + END))
        return vector(bodies)

    def _globals(self) -> list[bytes]:
        values = [0, abi.FRAMES_BASE] + [0] * (self.options.poll is Poll.COUNTDOWN)
        return [MUTABLE_I32 + i32_const(value) + END for value in values]

    def _exports(self) -> list[bytes]:
        module, machinery = self.module, self.machinery
        imported = len(module.imported_functions)
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
            (abi.FUNCTION_PREFIX, FUNCTION_KIND, sorted(self.linked_functions)),
        ):
            skipped = imported if kind == FUNCTION_KIND else 0
            exports += [(f"{prefix}{n}", kind, n) for n in numbers if n >= skipped]
        helpers = enumerate(self.segments, len(module.functions))
        exports += [(title, FUNCTION_KIND, number) for number, title in helpers]
        return [name(title) + bytes([kind]) + unsigned(number) for title, kind, number in exports]

    # -- what it says about itself --------------------------------------------------------------

    def _description(self) -> Description:
        module, analysis = self.module, self.analysis
        imports = module.imported_functions
        return Description(
            abi_version=abi.ABI_VERSION,
            pipeline_version=PIPELINE_VERSION,
            source_digest=hashlib.sha256(module.data).hexdigest(),
            options=self.options,
            functions=analysis.functions,
            recursive=tuple(sorted(analysis.recursive)),
            types=tuple(sorted(analysis.types)),
            frame_sizes=tuple(frame.size + abi.TRAILER_SIZE for frame in self.frames),
            points=tuple(self.points),
            memories=len(module.memories),
            tables=len(module.tables),
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
