"""An instance that can be moved: it runs in turns, and is data in between.

Knows the contract with prepared programs (``arts.migratable.abi``): how to ask for a pause, how a
stack is read, and how it is linked to continuations. Does not know how those are made.
"""

import struct
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

import wasmtime

from arts.errors import EngineError, SnapshotError
from arts.migratable import CorruptFrames, Poll, ResumePoint, abi, link_frames, walk_frames
from runtime.engines import wasmtime_ffi as ffi
from runtime.engines.base import (
    InstanceSpec,
    Listener,
    Outcome,
    Parked,
    Paused,
    Stats,
    Wait,
)
from runtime.engines.hosted import Hosted
from runtime.engines.wasmtime_plain import TABLE_ELEMENTS
from runtime.engines.wasmtime_stack import FrameStack
from runtime.engines.wasmtime_tables import Table, identity
from runtime.shadow import Change, Shadow
from runtime.snapshot import BLOCK, GlobalValue, MemoryImage, Room, Snapshot, room_for
from runtime.wasi.host import Wasi

if TYPE_CHECKING:
    from runtime.engines.wasmtime import Continued, MovableProgram

_NO_LIMIT: Final = 1 << 32
_SLICE: Final = 0.001
"""Seconds that a program which counts polls runs before somebody looks whether it shall stop."""
_FIRST_SLICE, _FEWEST_POLLS, _MOST_POLLS = 10_000, 100, 1 << 30


class MovableInstance(Hosted):
    """Make it with ``start`` or ``restore``. Between turns ``_frames`` is its stack."""

    migratable = True

    def __init__(
        self,
        program: "MovableProgram",
        spec: InstanceSpec,
        make_wasi: Callable[[Callable[[], memoryview]], Wasi],
        used: Stats,
    ) -> None:
        super().__init__(make_wasi(self._look), used)
        self._program = program
        self._store = wasmtime.Store(program.toolchain.engine)
        if program.description.options.poll is Poll.NONE:
            self._on_epoch = ffi.interruptible(self._store, lambda: self._killed)
        ffi.running.caller = self
        try:
            self._instance = program.pre.instantiate(self._store)._instance
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise EngineError(f"cannot be instantiated: {error}") from None
        self._context = self._store._context()
        count = program.description.memories
        self._memories = [
            ffi.Memory(self._context, self._export(f"{abi.MEMORY_PREFIX}{number}", ffi.MEMORY))
            for number in range(count)
        ]
        self._pointer = ffi.I32Global(self._context, self._export(abi.SP, ffi.GLOBAL))
        frames = ffi.Memory(self._context, self._export(abi.FRAMES, ffi.MEMORY))
        self._stack = FrameStack(program.description, frames, self._pointer)
        self._limit_memory(spec.limits.memory_bytes or _NO_LIMIT)
        guest = ffi.export(self._context, self._instance, "memory", ffi.MEMORY)
        self._guest = ffi.Memory(self._context, guest) if guest is not None else None
        self._state = ffi.I32Global(self._context, self._export(abi.STATE, ffi.GLOBAL))
        self._reading, self._closed = threading.Lock(), False
        self._rooms: Sequence[Room] = ()
        """Held by whoever looks at the memories of a module that may run."""
        self._flag_lock = threading.Lock()
        self._flag = self._stack.flag()
        self._countdown: ffi.I32Global | None = None
        if program.description.has_countdown:
            found = self._export(abi.COUNTDOWN, ffi.GLOBAL)
            self._countdown = ffi.I32Global(self._context, found)
        self._polls = _FIRST_SLICE
        self._frames = b""
        self._linked: dict[ResumePoint, tuple[int, Any]] = {}
        """Point -> slot and function of its continuation."""
        self._measure()

    @classmethod
    def start(
        cls, program: "MovableProgram", spec: InstanceSpec, listener: Listener
    ) -> "MovableInstance":
        """Parked before its first instruction. Raises ``EngineError``."""
        return cls(program, spec, lambda look: Wasi.start(spec, listener, look), Stats())

    @classmethod
    def restore(
        cls,
        program: "MovableProgram",
        spec: InstanceSpec,
        snapshot: Snapshot,
        listener: Listener,
    ) -> "MovableInstance":
        """Parked where the snapshot was taken. Raises ``SnapshotError`` or ``EngineError``."""
        used = Stats(messages_in=snapshot.messages_in, messages_out=snapshot.messages_out)
        instance = cls(
            program, spec, lambda look: Wasi.restore(snapshot.wasi, spec, listener, look), used
        )
        try:
            instance._fill(snapshot, program.initial(instance._memories))
        except BaseException:
            instance.close()
            raise
        return instance

    # ------------------------------------------------------------------------ turns

    def run(self) -> Outcome:
        """Run until the program ends, blocks, or is asked to stop."""
        self._asked = None
        self._raise_flag(0)
        return self._take_turn(self._run)

    def _run(self) -> Outcome:
        while True:
            try:
                function = self._enter()
            except (CorruptFrames, EngineError) as error:
                return self._end(f"its stack cannot be continued: {error}")
            failure = self._call(function)
            self._measure()
            if failure is not None or not self._state.get():
                return self._end(failure)
            self._frames = self._stack.take()
            if self._killed or not self._frames:
                return self._end("it unwound without leaving a stack")
            if self._wait is not None:
                return Parked(self._wait)
            if self._asked is not None or self._countdown is None:
                return Paused()

    def _call(self, function: Any) -> str | None:
        """Run until it comes back; if it counts polls, for about a slice of time."""
        ffi.running.caller = self
        self._begin_to_count()
        if self._countdown is None:
            return ffi.call(self._context, function)
        self._countdown.set(self._polls)
        begin = time.perf_counter()
        failure = ffi.call(self._context, function)
        missed = _SLICE / max(time.perf_counter() - begin, _SLICE / 4)
        self._polls = min(max(int(self._polls * missed), _FEWEST_POLLS), _MOST_POLLS)
        return failure

    def _enter(self) -> Any:
        """Put the stack back; the function that goes on from it."""
        if not self._frames:
            return self._export("_start", ffi.FUNCTION).of.func
        points = self._link()
        slots = {point: self._linked[point][0] for point in points}
        self._stack.put(link_frames(self._frames, self._program.description, slots))
        self._state.set(0)
        return self._linked[points[0]][1]

    def _park(self, wait: Wait) -> bool:
        self._wait = wait
        self._state.set(1)
        return True

    def _link(self) -> list[ResumePoint]:
        """See to it that every point on the stack has a continuation here; the points."""
        points = walk_frames(self._frames, self._program.description)
        missing = [point for point in points if point not in self._linked]
        if missing and self._program.description.options.twins:
            self._link_twins(missing)
        elif missing:
            for continued in self._program.continue_at(missing):
                self._link_module(continued)
        return points

    def _link_twins(self, points: list[ResumePoint]) -> None:
        twins = self._table(abi.SLOTS)
        for point in points:
            self._linked[point] = point.function, twins.function(point.function)

    def _link_module(self, continued: "Continued") -> None:
        imports = [
            self._export(name)
            if module == abi.PROGRAM_IMPORT
            else ffi.linked(self._program.toolchain.linker, self._context, module, name)
            for module, name in continued.imports
        ]
        instance = ffi.instantiate(self._context, continued.module, imports)
        functions = [
            ffi.export(self._context, instance, f"{abi.CONTINUATION_PREFIX}{number}")
            for number in range(len(continued.points))
        ]
        slots = self._table(abi.SLOTS)
        first = slots.grow(len(functions))
        slots.put([function.of.func for function in functions], first)
        for number, (point, function) in enumerate(zip(continued.points, functions, strict=True)):
            self._linked[point] = first + number, function.of.func

    # ------------------------------------------------------------------------ from any thread

    def request_pause(self) -> None:
        """Ask it to stop at its next safepoint."""
        if self._asked is None:
            self._asked = self.wasi.clocks.running_since() or 0
        self._raise_flag(1)

    def kill(self) -> None:
        """End it for good."""
        self._killed = True
        self._raise_flag(1)
        if self._program.description.options.poll is Poll.NONE:
            self._program.toolchain.engine.increment_epoch()

    def _raise_flag(self, value: int) -> None:
        with self._flag_lock:
            if self._flag is not None:
                struct.pack_into("<I", self._flag, 0, value)

    # ------------------------------------------------------------------------ as data

    def changes(self, shadow: Shadow) -> Change | None:
        """The next of what has changed. Memories never move, so it may write to them meanwhile."""
        with self._reading:
            if self._closed or self._exit is not None:
                raise SnapshotError("the module has ended")
            return shadow.next_change([memory.view() for memory in self._memories])

    def make_room(self) -> None:
        """See ``Instance.make_room``."""
        with self._reading:
            if not self._closed:
                self._rooms = [room_for(memory.view()) for memory in self._memories]

    def snapshot(self, carry: Collection[int], shadow: Shadow | None = None) -> Snapshot:
        """The whole state. Raises ``SnapshotError`` when the program has ended, or runs."""
        with self._standing():
            return self._capture(carry, shadow)

    def stats(self) -> Stats:
        """What it has used. Its memory as it is now: a first turn may last long, and fill much."""
        if self._reading.acquire(blocking=False):
            try:
                if not self._closed:
                    self._measure()
            finally:
                self._reading.release()
        return super().stats()

    def points(self) -> Collection[ResumePoint]:
        """Where it last stood: here or, if it has come from elsewhere, there."""
        try:
            return set(walk_frames(self._frames, self._program.description))
        except CorruptFrames:  # it will be said when it goes on
            return ()

    def _capture(self, carry: Collection[int], shadow: Shadow | None) -> Snapshot:
        program, stats = self._program, self.stats()
        views = [memory.view() for memory in self._memories]
        return Snapshot(
            program=program.digest,
            abi=abi.ABI_VERSION,
            engine=program.engine_name,
            memories=shadow.rest(views) if shadow else self._images(views),
            globals=tuple(
                GlobalValue(number, kind, self._read_global(number, kind))
                for number, kind in program.description.mutable_globals
            ),
            tables=self._capture_tables(),
            frames=self._frames,
            wasi=self.wasi.capture(carry),
            cpu_seconds=stats.cpu_seconds,
            messages_in=stats.messages_in,
            messages_out=stats.messages_out,
            base=shadow.identity if shadow else b"",
        )

    def _images(self, views: Sequence[memoryview]) -> tuple[MemoryImage, ...]:
        rooms, self._rooms = self._rooms, ()
        return tuple(map(MemoryImage.of, views, rooms or (None,) * len(views)))

    def blank(self) -> Sequence[MemoryImage]:
        """Empty the memories of an instance that has not run: another's come ahead. What they had
        in them."""
        images = self._program.initial(self._memories)
        for memory, image in zip(self._memories, images, strict=True):
            nothing = MemoryImage(memory.size, bytes(memory.size // BLOCK // 8), b"")
            nothing.write(memory.view(), image)
        return images

    def overwrite(self, change: Change) -> None:
        """Take such memory. Raises ``SnapshotError`` and ``EngineError`` when it does not fit."""
        with self._standing():
            if change.memory >= len(self._memories):
                raise SnapshotError(f"the program has no memory {change.memory}")
            self._sized(self._memories[change.memory], change.size)
            change.write(self._memories[change.memory].view())

    def become(self, snapshot: Snapshot, spec: InstanceSpec, listener: Listener) -> None:
        """What the snapshot adds to the memory that came ahead. Raises as ``overwrite`` does."""
        with self._standing():
            self.wasi = Wasi.restore(snapshot.wasi, spec, listener, self._look)
            self._used = Stats(messages_in=snapshot.messages_in, messages_out=snapshot.messages_out)
            self._fill(snapshot, [MemoryImage(0, b"", b"")] * len(self._memories))

    def _sized(self, memory: ffi.Memory, size: int) -> ffi.Memory:
        memory.grow(size)
        if size != memory.size:
            raise SnapshotError(f"the program's memory cannot have {size} bytes")
        return memory

    def _fill(self, snapshot: Snapshot, initial: Sequence[MemoryImage]) -> None:
        """Become what the snapshot says; this instance has not run yet.

        ``initial``: what its memories hold that is to become zero.
        """
        description = self._program.description
        kinds = [(value.number, value.type) for value in snapshot.globals]
        if len(snapshot.memories) != len(self._memories) or kinds != [
            tuple(known) for known in description.mutable_globals
        ]:
            raise SnapshotError("the snapshot's memories or globals are not the program's")
        for memory, image, before in zip(self._memories, snapshot.memories, initial, strict=True):
            image.write(self._sized(memory, image.size).view(), before)
        for value in snapshot.globals:
            found = self._export(f"{abi.GLOBAL_PREFIX}{value.number}", ffi.GLOBAL)
            ffi.write_global(self._context, found, value.type, value.bits)
        self._fill_tables(snapshot.tables)
        self._pointer.set(self._stack.base)
        restore = ffi.export(self._context, self._instance, abi.RESTORE, ffi.FUNCTION)
        if restore is not None:
            ffi.call(self._context, restore.of.func)
        self._frames = snapshot.frames
        try:
            self._link()
        except CorruptFrames as error:
            raise SnapshotError(f"the stack is corrupt: {error}") from None
        self._measure()

    # ------------------------------------------------------------------------ tables

    def _table(self, name: str) -> Table:
        return Table(self._context, self._export(name, ffi.TABLE))

    def _mutable_tables(self) -> list[Table]:
        numbers = self._program.description.mutable_tables
        return [self._table(f"{abi.TABLE_PREFIX}{number}") for number in numbers]

    def _functions(self) -> dict[int, Any]:
        """Functions that can be in tables, by their numbers."""
        return {
            number: self._export(f"{abi.FUNCTION_PREFIX}{number}", ffi.FUNCTION).of.func
            for number in self._program.numbered_functions
        }

    def _capture_tables(self) -> tuple[tuple[int | None, ...], ...]:
        tables = self._mutable_tables()
        if not tables:
            return ()
        numbers: dict[int | None, int | None] = {
            identity(self._context, function): number
            for number, function in self._functions().items()
        }
        numbers[None] = None
        try:
            return tuple(tuple(numbers[found] for found in table.functions()) for table in tables)
        except KeyError:
            raise SnapshotError("a table holds a function that is not the program's") from None

    def _fill_tables(self, contents: tuple[tuple[int | None, ...], ...]) -> None:
        tables = self._mutable_tables()
        if len(contents) != len(tables):
            raise SnapshotError("the snapshot's tables are not the program's")
        functions: dict[int | None, Any] = {None: None} | dict(self._functions().items())
        for table, content in zip(tables, contents, strict=True):
            if len(content) < table.size:
                raise SnapshotError("a table of the program cannot be that small")
            table.grow(len(content) - table.size)
            try:
                table.put([functions[number] for number in content])
            except KeyError:
                raise SnapshotError("a table holds a function the program does not have") from None

    def _read_global(self, number: int, kind: str) -> bytes:
        found = self._export(f"{abi.GLOBAL_PREFIX}{number}", ffi.GLOBAL)
        return ffi.read_global(self._context, found, kind)

    # ------------------------------------------------------------------------ memory

    def _limit_memory(self, limit: int) -> None:
        """From now on memories grow to ``limit`` bytes at most. The stack's own is larger, so
        this comes after it has been made."""
        limit += self._stack.hidden
        largest = max((memory.size for memory in self._memories), default=0)
        if largest > limit:
            self._store.close()
            raise EngineError(f"it starts with {largest} bytes of memory; its limit is {limit}")
        self._store.set_limits(memory_size=limit, table_elements=TABLE_ELEMENTS)

    def _look(self) -> memoryview:
        return self._guest.view() if self._guest is not None else memoryview(b"")

    def _measure(self) -> None:
        self._memory_bytes = sum(memory.size for memory in self._memories) - self._stack.hidden

    def _export(self, name: str, kind: int | None = None) -> Any:
        found = ffi.export(self._context, self._instance, name, kind)
        if found is None:
            raise EngineError(f"the program has no {name}: it was not prepared as it says")
        return found

    def _release(self) -> None:
        with self._flag_lock:
            self._flag = None
        with self._reading:
            self._closed = True
        self._memories, self._guest = [], None
        self._linked.clear()
        self._frames = b""
        self._store.close()
