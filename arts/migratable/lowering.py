"""A module made simpler before anything else is done to it: the same program in fewer constructs.

What needs no thought about activations is done here, bytes to bytes, so that nothing behind knows:

* legacy exceptions become ``try_table`` (``legacy``);
* the start function is called by ``_start``, or exported;
* blocking imports whose address is taken are wrapped in functions;
* segments that the program drops are remembered in globals, and dropped again by ``arts.restore``;
* programs with exceptions get the functions that write them down (``exceptions``);
* with frames in the first memory, its last pages are hidden from the program.

Most programs have none of these, and are left as they are. Knows sections and the instructions
named; does not know activations or points.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from arts.migratable import abi, exceptions, legacy, opcodes
from arts.migratable.analysis import blocking_imports
from arts.migratable.assembler import (
    END,
    I32_ADD,
    I32_EQ,
    I32_GT_U,
    I32_SHL,
    I32_SUB,
    IF,
    MEMORY_FILL,
    MEMORY_GROW,
    MEMORY_SIZE,
    RETURN,
    call,
    global_get,
    global_set,
    i32_const,
    local_get,
    local_set,
    push_all,
)
from arts.migratable.binary import (
    PREAMBLE,
    custom_section,
    longer,
    name,
    section,
    sized,
    u32,
    unsigned,
    vector,
)
from arts.migratable.errors import Refused
from arts.migratable.module import (
    CODE,
    EXPORT,
    FUNCTION,
    FUNCTION_KIND,
    GLOBAL,
    IS_64_BIT,
    MEMORY_KIND,
    MUTABLE_I32,
    SECTION_ORDER,
    START,
    TYPE,
    FunctionType,
    Module,
    Types,
    parse,
)
from arts.migratable.opcodes import I32
from arts.migratable.options import Frames, Options

MAX_PAGES: Final = (1 << 16) - 1
"""Of a memory with frames: a full stack ends at an address that is not 0 again."""
NOTHING: Final = FunctionType(b"", b"")
GROW_TYPE: Final = FunctionType(bytes([I32]), bytes([I32]))

_MEMORY: Final = frozenset({opcodes.MEMORY_SIZE, opcodes.MEMORY_GROW})
_BETWEEN: Final = {
    (hidden, wrapped): opcodes.runs_without(
        legacy.INSTRUCTIONS
        | (_MEMORY if hidden else frozenset())
        | (frozenset({opcodes.REF_FUNC}) if wrapped else frozenset()),
        opcodes.DROPS,
    )
    for hidden in (False, True)
    for wrapped in (False, True)
}
"""Matches what need not be looked at: whether pages are hidden, and functions wrapped."""
_CATCHING: Final = legacy.INSTRUCTIONS | {opcodes.TRY_TABLE}
_CHANGED: Final = _CATCHING | _MEMORY | {opcodes.REF_FUNC, opcodes.BULK}


def lower(module: Module, options: Options) -> Module:
    """The module without what is named above. Raises Refused for what cannot be replaced."""
    return _Lowering(module, options).lowered()


class Patch(NamedTuple):
    """Bytes [start, end) of the module, and what shall stand there instead."""

    start: int
    end: int
    code: bytes


class Segment(NamedTuple):
    """A segment that the program drops: ``number`` is that of its instruction behind BULK."""

    number: int
    segment: int

    @property
    def instruction(self) -> bytes:
        """What drops it."""
        return bytes([opcodes.BULK, self.number]) + unsigned(self.segment)


class _Lowering:
    """What is to change in one module."""

    def __init__(self, module: Module, options: Options) -> None:
        self.module = module
        self.patches: list[Patch] = []
        self.types = Types(module.types)
        self.functions: list[tuple[FunctionType, bytes]] = []
        self.bodies: dict[int, bytes] = {}
        self.exports: list[tuple[str, int]] = []
        self.wrappers: dict[int, int] = {}
        self.droppers: dict[Segment, int] = {}
        """Segment -> the function that drops it."""
        self.hidden = options.frames is Frames.PRIMARY
        self.catches = False
        self.grow = 0
        blocking = blocking_imports(module, options)
        self._wrap(blocking)
        if module.start is not None:
            self._take_over_start(module.start, module.start in blocking)
        if self.hidden:
            self._hide_pages()
        self._scan_code()

    def lowered(self) -> Module:
        """The module with all changes."""
        if self.droppers:
            self._restore_drops()
        if self.catches:
            self._write_down_exceptions()
        if self.hidden:
            self.functions[self.grow - len(self.module.functions)] = GROW_TYPE, self._grow_body()
        if not (self.patches or self.functions or self.bodies or self.exports):
            return self.module
        return parse(self._assemble())

    def _function(self, kind: FunctionType, code: bytes) -> int:
        """Add a function without locals; its index."""
        return self._body(kind, b"\0" + code + END)

    def _body(self, kind: FunctionType, body: bytes) -> int:
        """Add a function; its index."""
        self.functions.append((kind, body))
        return len(self.module.functions) + len(self.functions) - 1

    # -- what changes -------------------------------------------------------------------------

    def _wrap(self, blocking: frozenset[int]) -> None:
        """Let whoever takes the address of a blocking import get that of a function around it."""
        exports = [entry for entry in self.module.exports if entry.kind == FUNCTION_KIND]
        visible = self.module.referenced.union(entry.index for entry in exports)
        for function in sorted(blocking & visible):
            kind = self.module.type_of(function)
            code = push_all(range(len(kind.parameters))) + call(function)
            self.wrappers[function] = self._function(kind, code)
        for start, end, function in self.module.references:
            if function in self.wrappers:
                self.patches.append(Patch(start, end, unsigned(self.wrappers[function])))
        for entry in exports:
            if entry.index in self.wrappers:
                self._redirect(entry.at, self.wrappers[entry.index])

    def _redirect(self, at: int, function: int) -> None:
        _, end = u32(self.module.data, at)
        self.patches.append(Patch(at, end, unsigned(function)))

    def _take_over_start(self, start: int, blocking: bool) -> None:
        for entry in self.module.exports:
            named = entry.kind == FUNCTION_KIND and entry.name == "_start"
            if named and self.module.type_of(entry.index) == NOTHING:
                both = self._function(NOTHING, call(start) + call(entry.index))
                self._redirect(entry.at, both)
                return
        # Only a function of the program has a frame when it parks.
        exported = self._function(NOTHING, call(start)) if blocking else start
        self.exports.append((abi.START, exported))

    def _hide_pages(self) -> None:
        module = self.module
        if any(entry.kind == MEMORY_KIND for entry in module.imports):
            raise Refused("an imported memory cannot hold frames too")
        if module.memories[0][0] & IS_64_BIT:
            raise Refused("a 64-bit memory cannot hold frames too", advice="build it for wasm32")
        limits = module.memories[0]
        pages, at = u32(limits, 1)
        if pages + abi.PRIMARY_FRAMES_PAGES > MAX_PAGES:
            raise Refused("so large a memory cannot hold frames too", advice="begin with less")
        encoded = limits[:1] + unsigned(pages + abi.PRIMARY_FRAMES_PAGES)
        if limits[0]:
            most = u32(limits, at)[0] + abi.PRIMARY_FRAMES_PAGES
            encoded += unsigned(min(most, MAX_PAGES))
        start = module.memory_at[0]
        self.patches.append(Patch(start, start + len(limits), encoded))
        self.grow = self._function(GROW_TYPE, b"")

    def _scan_code(self) -> None:
        module, data = self.module, self.module.data
        between = _BETWEEN[self.hidden, bool(self.wrappers)]
        for function, body in enumerate(module.bodies, len(module.imported_functions)):
            with module.blamed_on(function):
                _, start, end = module.locals_of(function)
                found = [
                    (at, data[at])
                    for at in opcodes.stops(between, data, start, end)
                    if data[at] in _CHANGED
                ]
                self.catches |= any(opcode in _CATCHING for _, opcode in found)
                patches = [patch for at, _ in found if (patch := self._patch(at))]
                has_legacy = any(opcode in legacy.INSTRUCTIONS for _, opcode in found)
                if patches or has_legacy:
                    code = patched(data, body.start, body.end, patches)
                    if has_legacy:
                        code = legacy.replace(code, module, function, self.types)
                    self.bodies[function] = code

    def _patch(self, at: int) -> Patch | None:
        """What replaces the instruction there, but for legacy exceptions."""
        data, opcode = self.module.data, self.module.data[at]
        if opcode in _CATCHING:
            return None
        operand, end = u32(data, at + 1)
        if opcode == opcodes.BULK:
            segment = Segment(operand, u32(data, end)[0])
            if operand in opcodes.DROPS:
                return Patch(at, u32(data, end)[1], call(self._dropper(segment)))
        elif opcode == opcodes.REF_FUNC and operand in self.wrappers:
            return Patch(at + 1, end, unsigned(self.wrappers[operand]))
        elif self.hidden and opcode in _MEMORY and operand == 0:
            if opcode == opcodes.MEMORY_GROW:
                return Patch(at, end, call(self.grow))
            return Patch(at, end, MEMORY_SIZE + i32_const(abi.PRIMARY_FRAMES_PAGES) + I32_SUB)
        return None

    def _dropper(self, segment: Segment) -> int:
        if segment not in self.droppers:
            number = len(self.module.globals) + len(self.droppers)
            code = segment.instruction + i32_const(1) + global_set(number)
            self.droppers[segment] = self._function(NOTHING, code)
        return self.droppers[segment]

    def _restore_drops(self) -> None:
        code = b"".join(
            global_get(number) + IF + segment.instruction + END
            for number, segment in enumerate(self.droppers, len(self.module.globals))
        )
        self.exports.append((abi.RESTORE, self._function(NOTHING, code)))

    def _write_down_exceptions(self) -> None:
        module = self.module
        if exceptions.frame_size(module) is not None:
            memory = 0 if self.hidden else len(module.memories)
            save = exceptions.save(module, self.types, memory)
            load = exceptions.load(module, memory)
            self.exports += [
                (exceptions.SAVE, self._body(exceptions.SAVE_TYPE, save)),
                (exceptions.LOAD, self._body(exceptions.LOAD_TYPE, load)),
            ]

    def _grow_body(self) -> bytes:
        """memory.grow as the program means it: the pages of frames move behind the new ones."""
        sp = len(self.module.globals) + len(self.droppers) + 1
        grown, frames = local_get(1), i32_const(abi.PRIMARY_FRAMES_PAGES)
        sixteen = i32_const(16)
        return b"".join(
            [
                b"\x01\x01\x7f",  # one more local: the size before
                local_get(0) + i32_const(MAX_PAGES) + MEMORY_SIZE + I32_SUB + I32_GT_U,
                IF + i32_const(-1) + RETURN + END,
                local_get(0) + MEMORY_GROW + local_set(1),
                grown + i32_const(-1) + I32_EQ + IF + grown + RETURN + END,
                global_get(sp) + i32_const(0) + frames + sixteen + I32_SHL + MEMORY_FILL,
                global_get(sp) + local_get(0) + sixteen + I32_SHL + I32_ADD + global_set(sp),
                grown + frames + I32_SUB + END,
            ]
        )

    # -- the module ---------------------------------------------------------------------------

    def _assemble(self) -> bytes:
        module, content = self.module, self._patched_sections()
        additions: dict[int, list[bytes]] = {
            FUNCTION: [unsigned(self.types.number(kind)) for kind, _ in self.functions],
            GLOBAL: [MUTABLE_I32 + i32_const(0) + END for _ in self.droppers],
            EXPORT: [
                name(title) + bytes([FUNCTION_KIND]) + unsigned(function)
                for title, function in self.exports
            ],
            CODE: [sized(body) for _, body in self.functions],
        }
        additions[TYPE] = [kind.encoded() for kind in self.types.all[len(module.types) :]]
        for number, items in additions.items():
            if items:
                content[number] = longer(content.get(number, b"\0"), items)
        parts = [section(number, content[number]) for number in SECTION_ORDER if number in content]
        if module.names:
            parts.append(custom_section("name", module.names))
        return PREAMBLE + b"".join(parts)

    def _patched_sections(self) -> dict[int, bytes]:
        module = self.module
        content = {
            number: patched(module.data, start, end, self.patches)
            for number, (start, end) in module.raw.items()
            if number not in (START, CODE)
        }
        if CODE in module.raw:
            first = len(module.imported_functions)
            content[CODE] = vector(
                sized(self.bodies.get(function) or module.data[own.start : own.end])
                for function, own in enumerate(module.bodies, first)
            )
        return content


def patched(data: bytes, start: int, end: int, patches: Iterable[Patch]) -> bytes:
    """Bytes [start, end) of the data, with those patches that lie in them."""
    parts = []
    for patch in sorted(patches):
        if start <= patch.start and patch.end <= end:
            parts += [data[start : patch.start], patch.code]
            start = patch.end
    return b"".join([*parts, data[start:end]])
