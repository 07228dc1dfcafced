"""A minimal host of prepared programs: enough WASI to run, pause, capture, restore, continue.

Knows the contract in ``arts.migratable.abi`` and wasmtime. It is the smallest thing that keeps
the contract, so that a failing test points at the transformer and not at a runtime.
"""

import ctypes
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import wasmtime
from wasmtime import Instance, Linker, Memory, Module, Store, Table, Val
from wasmtime import _ffi as ffi

from arts.migratable import (
    Continuations,
    Frames,
    ResumePoint,
    abi,
    describe,
    link_frames,
    walk_frames,
)

WASI = "wasi_snapshot_preview1"


def engine() -> wasmtime.Engine:
    """An engine with what prepared programs need."""
    config = wasmtime.Config()
    config.wasm_threads = True
    config.wasm_exceptions = True
    config.wasm_multi_memory = True
    config.wasm_tail_call = True
    config.wasm_memory64 = True
    return wasmtime.Engine(config)


ENGINE = engine()


def raw(store: Store, function: Any) -> int:
    """What is the same for the same function of an instance."""
    pointer = ffi.wasmtime_func_to_raw(store._context(), ctypes.byref(function._func))
    return int(pointer or 0)


class Exit(Exception):
    """proc_exit was called."""


class Program:
    """A prepared program, compiled once; remembers the continuations it made.

    ``compiled``: the compiled module, as bytes, where there is one already.
    """

    def __init__(
        self, prepared: bytes, small_loop: int = 256, compiled: bytes | None = None
    ) -> None:
        self.prepared = prepared
        self.description = describe(prepared)
        self.continuations = Continuations(prepared, small_loop)
        self.module = (
            Module(ENGINE, prepared) if compiled is None else Module.deserialize(ENGINE, compiled)
        )
        self._linked: dict[tuple[ResumePoint, ...], Module] = {}

    def continue_at(self, points: list[ResumePoint]) -> Module:
        """The compiled continuations of the points."""
        key = tuple(points)
        if key not in self._linked:
            self._linked[key] = Module(ENGINE, self.continuations.module(points))
        return self._linked[key]


@dataclass
class World:
    """What the guest sees of the outside: captured and restored with it."""

    args: list[bytes] = field(default_factory=lambda: [b"program"])
    stdin: bytes = b""
    at_end: bool = True
    out: bytes = b""
    clock: int = 0
    random: int = 1

    def copy(self) -> "World":
        """An independent world in the same condition."""
        return replace(self, args=list(self.args))


@dataclass
class Snapshot:
    """A captured guest as plain data."""

    memories: list[bytes]
    globals: dict[int, Any]
    tables: list[list[int | None]]
    frames: bytes
    world: World
    entry: str


class Guest:
    """One instance of a program."""

    def __init__(
        self,
        program: Program,
        world: World | None = None,
        imports: dict[tuple[str, str], Callable[..., Any]] | None = None,
    ) -> None:
        self.program = program
        self.world = world or World()
        self.store = Store(ENGINE)
        self.linker = Linker(ENGINE)
        self.linker.allow_shadowing = True  # a program may import a function twice
        self.custom = imports or {}
        for entry in program.module.imports:
            self._define(entry)
        self.instance: Instance = self.linker.instantiate(self.store, program.module)
        self.exports = self.instance.exports(self.store)
        self.entry = "_start"
        self.slots: dict[ResumePoint, int] = {}
        self.functions: dict[int, int] = {}
        self.resume_slot: int | None = None
        self.result: Any = None

    def _define(self, entry: Any) -> None:
        module, title = entry.module, entry.name
        if (module, title) in self.custom:
            call = self.custom[module, title]
            wrapped: Callable[..., Any] = lambda *args: call(self, *args)  # noqa: E731
        elif hasattr(self, title):
            wrapped = getattr(self, title)
        else:
            wrapped = lambda *_: 52  # noqa: E731
        self.linker.define_func(module, title, entry.type, wrapped)

    # -- the contract -------------------------------------------------------------------------

    def own(self, title: str) -> Any:
        """An export of the machinery."""
        return self.exports[title]

    def set_global(self, title: str, value: int) -> None:
        """Set an i32 global of the machinery."""
        self.own(title).set_value(self.store, Val.i32(value - (value >> 31 << 32)))

    @property
    def unwinding(self) -> bool:
        """The guest has just written itself down."""
        return bool(self.own(abi.STATE).value(self.store))

    @property
    def safepoints(self) -> int:
        """Polls passed since the countdown was last set to 0."""
        return -self.own(abi.COUNTDOWN).value(self.store) % (1 << 32)

    def pause_at(self, count: int) -> None:
        """Pause at the count-th safepoint from now; 0 is never."""
        self.set_global(abi.COUNTDOWN, count)

    def request_pause(self, value: int = 1) -> None:
        """Raise (or withdraw) the flag that polls read; from any thread."""
        frames = self.own(abi.FRAMES)
        base = ctypes.cast(frames.data_ptr(self.store), ctypes.c_void_p).value or 0
        ctypes.c_uint32.from_address(base + abi.FLAG_ADDRESS).value = value

    def park(self) -> int:
        """What a blocking host call does: begin to unwind, return whatever."""
        self.set_global(abi.STATE, 1)
        return 0

    def run(self, *arguments: Any) -> str:
        """Run or go on until it ends or parks: ``done``, ``exit`` or ``parked``."""
        try:
            if self.resume_slot is not None:
                function = self.own(abi.SLOTS).get(self.store, self.resume_slot)
                self.resume_slot = None
                self.result = function(self.store)
            else:
                self.result = self.exports[self.entry](self.store, *arguments)
        except Exit:
            return "exit"
        except wasmtime.WasmtimeError as error:
            if isinstance(error.__cause__, Exit) or "Exit" in str(error):
                return "exit"
            raise
        return "parked" if self.unwinding else "done"

    @property
    def base(self) -> int:
        """Where frames begin."""
        described = self.program.description
        if described.options.frames is Frames.OWN:
            return abi.FRAMES_BASE
        return int(self.own(abi.FRAMES).size(self.store) - described.frames_pages) << 16

    def frames(self) -> bytes:
        """The captured stack."""
        end = self.own(abi.SP).value(self.store) % (1 << 32)
        return bytes(self.own(abi.FRAMES).read(self.store, self.base, end))

    def take_frames(self) -> bytes:
        """The captured stack, of which nothing stays here."""
        frames, base = self.frames(), self.base
        self.own(abi.FRAMES).write(self.store, bytes(len(frames)), base)
        self.set_global(abi.SP, base)
        self.set_global(abi.STATE, 0)
        return frames

    def capture(self) -> Snapshot:
        """Everything, as data."""
        described = self.program.description
        frames = self.take_frames()
        memories = [
            bytes(memory.read(self.store, 0, memory.data_len(self.store)))
            for memory in (self.own(f"{abi.MEMORY_PREFIX}{n}") for n in range(described.memories))
        ]
        values = {
            number: self.own(f"{abi.GLOBAL_PREFIX}{number}").value(self.store)
            for number, kind in described.mutable_globals
            if kind != "v128"
        }
        tables = [self._table(number) for number in described.mutable_tables]
        return Snapshot(memories, values, tables, frames, self.world.copy(), self.entry)

    def _table(self, number: int) -> list[int | None]:
        """The functions in a table, by their numbers."""
        table: Table = self.own(f"{abi.TABLE_PREFIX}{number}")
        known = {raw(self.store, function): at for at, function in self._addressed()}
        found = [table.get(self.store, at) for at in range(table.size(self.store))]
        return [
            known[raw(self.store, item)] if isinstance(item, wasmtime.Func) else None
            for item in found
        ]

    def _addressed(self) -> list[tuple[int, Any]]:
        prefix = abi.FUNCTION_PREFIX
        names = [name for name in self.exports if name.startswith(prefix)]
        return [(int(name.removeprefix(prefix)), self.exports[name]) for name in names]

    @classmethod
    def restore(
        cls,
        program: Program,
        snapshot: Snapshot,
        imports: dict[tuple[str, str], Callable[..., Any]] | None = None,
    ) -> "Guest":
        """A new guest in a new store that goes on where the snapshot was taken."""
        guest = cls(program, snapshot.world.copy(), imports)
        guest.entry = snapshot.entry
        for number, content in enumerate(snapshot.memories):
            memory: Memory = guest.own(f"{abi.MEMORY_PREFIX}{number}")
            missing = len(content) - memory.data_len(guest.store)
            if missing > 0:
                memory.grow(guest.store, missing >> 16)
            memory.write(guest.store, content)
        for number, kind in program.description.mutable_globals:
            if kind != "v128":
                value = getattr(Val, kind)(snapshot.globals[number])
                guest.own(f"{abi.GLOBAL_PREFIX}{number}").set_value(guest.store, value)
        for number, content in zip(
            program.description.mutable_tables, snapshot.tables, strict=True
        ):
            guest._fill_table(guest.own(f"{abi.TABLE_PREFIX}{number}"), content)
        guest.set_global(abi.SP, guest.base)
        if abi.RESTORE in guest.exports:
            guest.own(abi.RESTORE)(guest.store)
        guest.link(snapshot.frames)
        return guest

    def _fill_table(self, table: Table, content: list[int | None]) -> None:
        missing = len(content) - table.size(self.store)
        if missing:
            table.grow(self.store, missing, None)
        functions = dict(self._addressed())
        for at, function in enumerate(content):
            table.set(self.store, at, None if function is None else functions[function])

    def link(self, frames: bytes) -> None:
        """Put frames in place, with their continuations, so that ``run`` goes on from them."""
        described = self.program.description
        points = walk_frames(frames, described)
        new = sorted(set(points) - self.slots.keys())
        if described.options.twins:
            self.slots.update({point: point.function for point in new})
        elif new:
            self._link_continuations(new)
        linked = link_frames(frames, described, self.slots)
        self.own(abi.FRAMES).write(self.store, linked, self.base)
        self.set_global(abi.SP, self.base + len(linked))
        self.set_global(abi.STATE, 0)
        self.resume_slot = self.slots[points[0]]

    def _link_continuations(self, points: list[ResumePoint]) -> None:
        module = self.program.continue_at(points)
        for entry in module.imports:
            if entry.module == abi.PROGRAM_IMPORT and entry.name.startswith("arts."):
                self.linker.define(self.store, abi.PROGRAM_IMPORT, entry.name, self.own(entry.name))
        self.linker.allow_shadowing = True
        exports = self.linker.instantiate(self.store, module).exports(self.store)
        slots: Table = self.own(abi.SLOTS)
        first = slots.grow(self.store, len(points), None)
        for number, point in enumerate(points):
            slots.set(self.store, first + number, exports[f"{abi.CONTINUATION_PREFIX}{number}"])
            self.slots[point] = first + number

    # -- just enough WASI ---------------------------------------------------------------------

    @property
    def memory(self) -> Memory:
        """The first memory."""
        found: Memory = self.own(f"{abi.MEMORY_PREFIX}0")
        return found

    def _read(self, at: int, size: int) -> bytes:
        return bytes(self.memory.read(self.store, at, at + size))

    def _write(self, at: int, content: bytes) -> None:
        self.memory.write(self.store, content, at)

    def fd_write(self, _fd: int, vectors: int, count: int, written: int) -> int:
        """Append to the output."""
        total = 0
        for number in range(count):
            at, size = struct.unpack("<II", self._read(vectors + 8 * number, 8))
            self.world.out += self._read(at, size)
            total += size
        self._write(written, struct.pack("<I", total))
        return 0

    def fd_read(self, _fd: int, vectors: int, _count: int, read: int) -> int:
        """One line of input; park while there is none and it may still come."""
        if not self.world.stdin and not self.world.at_end:
            return self.park()
        at, size = struct.unpack("<II", self._read(vectors, 8))
        line = self.world.stdin.partition(b"\n")
        taken = (line[0] + line[1])[:size]
        self.world.stdin = self.world.stdin[len(taken) :]
        self._write(at, taken)
        self._write(read, struct.pack("<I", len(taken)))
        return 0

    def fd_fdstat_get(self, fd: int, result: int) -> int:
        """A terminal for the standard streams."""
        if fd > 2:
            return 8
        self._write(result, struct.pack("<BxHxxxxQQ", 2, 0, (1 << 29) - 1, 0))
        return 0

    def args_sizes_get(self, count: int, size: int) -> int:
        """Number and size of the arguments."""
        self._write(count, struct.pack("<I", len(self.world.args)))
        self._write(size, struct.pack("<I", sum(len(arg) + 1 for arg in self.world.args)))
        return 0

    def args_get(self, pointers: int, content: int) -> int:
        """The arguments."""
        for number, argument in enumerate(self.world.args):
            self._write(pointers + 4 * number, struct.pack("<I", content))
            self._write(content, argument + b"\0")
            content += len(argument) + 1
        return 0

    def environ_sizes_get(self, count: int, size: int) -> int:
        """No environment."""
        self._write(count, bytes(4))
        self._write(size, bytes(4))
        return 0

    def environ_get(self, _pointers: int, _content: int) -> int:
        """No environment."""
        return 0

    def fd_close(self, _fd: int) -> int:
        """Closing is fine."""
        return 0

    def fd_seek(self, _fd: int, _offset: int, _whence: int, _result: int) -> int:
        """Streams do not seek."""
        return 70

    def fd_prestat_get(self, _fd: int, _result: int) -> int:
        """There are no directories."""
        return 8

    def clock_time_get(self, _clock: int, _precision: int, result: int) -> int:
        """A clock that ticks a millisecond at every look."""
        self.world.clock += 1_000_000
        self._write(result, struct.pack("<Q", self.world.clock))
        return 0

    def random_get(self, at: int, size: int) -> int:
        """Numbers that only look like chance."""
        content = bytearray()
        for _ in range(size):
            self.world.random = (self.world.random * 1103515245 + 12345) & 0x7FFFFFFF
            content.append(self.world.random >> 16 & 255)
        self._write(at, bytes(content))
        return 0

    def sched_yield(self) -> int:
        """There is nobody else."""
        return 0

    def poll_oneoff(self, wanted: int, events: int, count: int, number: int) -> int:
        """Everything has happened already."""
        for index in range(count):
            subscription = self._read(wanted + 48 * index, 9)
            event = subscription[:8] + bytes(2) + subscription[8:] + bytes(21)
            self._write(events + 32 * index, event)
        self._write(number, struct.pack("<I", count))
        return 0

    def proc_exit(self, _code: int) -> None:
        """Leave."""
        raise Exit
