"""A host of prepared programs, written from docs/reference/migratable-abi.md alone.

Knows the contract, as data: of ``arts.migratable`` it uses only what makes programs and
continuations. Whatever this host cannot do, the document does not say. Knows no WASI: whoever
makes a guest brings the imports.
"""

import json
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import wasmtime
from wasmtime import _ffi as ffi

from arts.migratable import Continuations, ResumePoint
from arts.migratable.binary import custom_content

from .machine import Failed, Instance, Memory, Store, Value, compiled, function_value

OWN_BASE: Final = 64
PAGE: Final = 65536

Imports = Callable[["Guest", str, str], Any]
"""(guest, module, name) -> extern."""


class Batch(NamedTuple):
    """A module of continuations, for points in this order."""

    points: list[ResumePoint]
    module: wasmtime.Module
    imports: list[tuple[str, str]]


class Program:
    """A prepared program; keeps what it compiled."""

    def __init__(self, prepared: bytes, small_loop: int = 256) -> None:
        self.prepared = prepared
        content = custom_content(prepared, "arts.migratable")
        assert content is not None
        self.description: dict[str, Any] = json.loads(content)
        self.module = compiled(prepared)
        self.imports = imports_of(self.module)
        self._continuations = Continuations(prepared, small_loop)
        self._made: dict[ResumePoint, Batch] = {}

    @property
    def twins(self) -> bool:
        """Continues by twins, instead of made continuations."""
        return bool(self.description.get("twins"))

    @property
    def primary(self) -> bool:
        """Frames are in the memory of the program."""
        return bool(self.description.get("frames") == "primary")

    def continuation(self, point: ResumePoint, others: list[ResumePoint]) -> Batch:
        """The compiled continuation of a point; if it must be made, then together with others."""
        if point not in self._made:
            points = sorted({point, *others} - self._made.keys())
            module = compiled(self._continuations.module(points))
            made = Batch(points, module, imports_of(module))
            self._made |= dict.fromkeys(points, made)
        return self._made[point]

    def walk(self, stack: bytes) -> list[ResumePoint]:
        """The points on a stack, outermost first."""
        sizes, points = self.description["frameSizes"], self.description["points"]
        found, end = [], len(stack)
        while end:
            resume, function = struct.unpack_from("<II", stack, end - 8)
            assert 1 <= resume <= points[function], "corrupt"
            found.append(ResumePoint(function, resume))
            end -= sizes[function]
        return found


def imports_of(module: wasmtime.Module) -> list[tuple[str, str]]:
    """The names of what a module imports."""
    return [(entry.module or "", entry.name or "") for entry in module.imports]


@dataclass
class Snapshot:
    """Everything that a guest is, as data."""

    memories: list[bytes]
    stack: bytes
    globals: list[Value]
    tables: list[list[int | None]]


class Guest:
    """One instance. ``stack`` is not empty while it is parked."""

    def __init__(self, program: Program, imports: Imports, store: Store | None = None) -> None:
        self.program = program
        self.imports = imports
        self.store = Store() if store is None else store
        self.stack = b""
        self._slots: dict[ResumePoint, int] = {}
        self._written = 0
        externs = [imports(self, module, name) for module, name in program.imports]
        self.instance: Instance = self.store.instantiate(program.module, externs)

    # -- turns --------------------------------------------------------------------------------

    def pause_at(self, count: int) -> None:
        """Pause at the count-th poll from now; 0 is practically never."""
        self.instance.set("arts.countdown", Value("i32", count))

    @property
    def passed(self) -> int:
        """Polls passed since the countdown was set to 0."""
        return -(self.instance.get("arts.countdown").bits or 0) % (1 << 32)

    def park(self) -> None:
        """What a host function does that would block."""
        self.instance.set("arts.state", Value("i32", 1))

    def call(self, name: str, arguments: Sequence[Value] = ()) -> list[Value] | None:
        """Call an export: its results, or None when it has parked. Raises Failed."""
        return self._turn(self.instance.exports[name].of.func, arguments)

    def go_on(self) -> list[Value] | None:
        """Continue a parked guest: as ``call``."""
        points = self.program.walk(self.stack)
        slot_of = {point: self._slot(point) for point in set(points)}
        slots = [slot_of[point] for point in points]
        linked, end = bytearray(self.stack), len(self.stack)
        for point, slot in zip(points, slots, strict=True):
            struct.pack_into("<I", linked, end - 4, slot)
            end -= self.program.description["frameSizes"][point.function]
        base = self._base()
        self._frames.view()[base : base + len(linked)] = bytes(linked)
        self._written = len(linked)
        self.instance.set("arts.sp", Value("i32", base + len(linked)))
        self.instance.set("arts.state", Value("i32", 0))
        self.stack = b""
        raw = self.instance.table("arts.slots").get(slots[0])
        return self._turn(self._function(raw), ())

    def _turn(self, function: Any, arguments: Sequence[Value]) -> list[Value] | None:
        results = self.store.call(function, arguments)
        if not self.instance.get("arts.state").bits:
            return results
        base, end = self._base(), self.instance.get("arts.sp").bits or 0
        view = self._frames.view()
        self.stack = bytes(view[base:end])
        behind = max(end, base + self._written)
        view[base:behind] = bytes(behind - base)
        self._written = 0
        self.instance.set("arts.sp", Value("i32", base))
        self.instance.set("arts.state", Value("i32", 0))
        assert self.stack, "unwound without a stack"
        return None

    @property
    def _frames(self) -> Memory:
        return self.instance.memory("arts.frames")

    def _base(self) -> int:
        if not self.program.primary:
            return OWN_BASE
        pages: int = self.program.description["framesPages"]
        return self._frames.size - pages * PAGE

    def _function(self, reference: Value) -> Any:
        value = self.store.encode(reference, ffi.wasmtime_val_t())
        return value.of.funcref

    def _slot(self, point: ResumePoint) -> int:
        if self.program.twins:
            return point.function
        if point not in self._slots:
            self._link(self.program.continuation(point, self.program.walk(self.stack)))
        return self._slots[point]

    def _link(self, batch: Batch) -> None:
        exports = self.instance.exports
        externs = [
            exports[name]
            if module == "arts" and name in exports
            else self.imports(self, module, name)
            for module, name in batch.imports
        ]
        made = self.store.instantiate(batch.module, externs)
        table = self.instance.table("arts.slots")
        first = table.grow(len(batch.points), table.null())
        for number, point in enumerate(batch.points):
            table.set(first + number, function_value(self.store, made.exports[f"c{number}"]))
            self._slots[point] = first + number

    # -- as data ------------------------------------------------------------------------------

    def capture(self) -> Snapshot:
        """The state of a parked guest, or of one that does not run."""
        described, instance = self.program.description, self.instance
        return Snapshot(
            [bytes(memory.view()) for memory in self._memories()],
            self.stack,
            [instance.get(f"arts.global.{number}") for number, _ in described["globals"]],
            [self._numbers(f"arts.table.{n}") for n in described.get("mutableTables", ())],
        )

    def _memories(self) -> list[Memory]:
        count = self.program.description["memories"]
        return [self.instance.memory(f"arts.memory.{number}") for number in range(count)]

    def _numbers(self, name: str) -> list[int | None]:
        known: dict[int | None, int | None] = {
            function_value(self.store, extern).bits: int(title.removeprefix("arts.function."))
            for title, extern in self.instance.exports.items()
            if title.startswith("arts.function.")
        }
        known[None] = None
        table = self.instance.table(name)
        return [known[table.get(at).bits] for at in range(table.size)]

    @classmethod
    def restore(cls, program: Program, snapshot: Snapshot, imports: Imports) -> "Guest":
        """A new guest in a store of its own, parked where the snapshot was taken."""
        guest = cls(program, imports)
        instance, described = guest.instance, program.description
        for memory, content in zip(guest._memories(), snapshot.memories, strict=True):
            memory.grow(len(content))
            if content:
                memory.view()[:] = content
        for (number, _), value in zip(described["globals"], snapshot.globals, strict=True):
            instance.set(f"arts.global.{number}", value)
        for number, functions in zip(
            described.get("mutableTables", ()), snapshot.tables, strict=True
        ):
            table = instance.table(f"arts.table.{number}")
            nothing = table.null()
            if len(functions) > table.size:
                table.grow(len(functions) - table.size, nothing)
            for at, function in enumerate(functions):
                extern = instance.exports.get(f"arts.function.{function}")
                value = nothing if function is None else function_value(guest.store, extern)
                table.set(at, value)
        guest.stack = snapshot.stack
        instance.set("arts.sp", Value("i32", guest._base()))
        if "arts.restore" in instance.exports:
            guest.store.call(instance.exports["arts.restore"].of.func)
        return guest


def begin(guest: Guest) -> list[Value] | None:
    """Run the start function of a fresh guest, if it has one."""
    if "arts.start" not in guest.instance.exports:
        return []
    return guest.call("arts.start")


__all__ = ["Failed", "Guest", "Imports", "Program", "Snapshot", "begin"]
