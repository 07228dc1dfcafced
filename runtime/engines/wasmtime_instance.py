"""An instance that can be moved: it runs in turns, and is data in between.

Knows the contract with prepared programs (``arts.migratable.abi``): how to ask for a pause, how a
stack is read, and how it is linked to continuations. Does not know how those are made.
"""

import struct
import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any, Final

import wasmtime

from arts.errors import EngineError, SnapshotError
from arts.migratable import CorruptFrames, ResumePoint, abi, link_frames, walk_frames
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
from runtime.snapshot import GlobalValue, MemoryImage, Snapshot
from runtime.wasi.host import Wasi

if TYPE_CHECKING:
    from runtime.engines.wasmtime import Continued, MovableProgram

_NO_LIMIT: Final = 1 << 32


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
        self._limit_memory(spec.limits.memory_bytes or _NO_LIMIT)
        guest = ffi.export(self._context, self._instance, "memory", ffi.MEMORY)
        self._guest = ffi.Memory(self._context, guest) if guest is not None else None
        self._state = ffi.I32Global(self._context, self._export(abi.STATE, ffi.GLOBAL))
        self._sp = ffi.I32Global(self._context, self._export(abi.SP, ffi.GLOBAL))
        self._stack = ffi.Memory(self._context, self._export(abi.FRAMES, ffi.MEMORY)).view()
        if len(self._stack) != abi.FRAMES_PAGES << 16:
            raise EngineError("the program's stack memory has a wrong size")
        self._flag_lock = threading.Lock()
        self._flag: memoryview | None = self._stack[abi.FLAG_ADDRESS : abi.FLAG_ADDRESS + 4]
        self._frames = b""
        self._dirty = abi.FRAMES_BASE
        """End of what frames may have left in the stack memory."""
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
            instance._fill(snapshot)
        except BaseException:
            instance.close()
            raise
        return instance

    # ------------------------------------------------------------------------ turns

    def run(self) -> Outcome:
        """Run until the program ends, blocks, or is asked to stop."""
        self._raise_flag(0)
        return self._take_turn(self._run)

    def _run(self) -> Outcome:
        try:
            function = self._enter()
        except (CorruptFrames, EngineError) as error:
            return self._end(f"its stack cannot be continued: {error}")
        ffi.running.caller = self
        self._begin_to_count()
        failure = ffi.call(self._context, function)
        self._measure()
        if failure is not None or not self._state.get():
            return self._end(failure)
        self._leave()
        if self._killed or not self._frames:
            return self._end("it unwound without leaving a stack")
        return Paused() if self._wait is None else Parked(self._wait)

    def _enter(self) -> Any:
        """Put the stack back; the function that goes on from it."""
        if not self._frames:
            return self._export("_start", ffi.FUNCTION).of.func
        points = self._link()
        slots = {point: self._linked[point][0] for point in points}
        frames = link_frames(self._frames, self._program.description, slots)
        end = abi.FRAMES_BASE + len(frames)
        self._stack[abi.FRAMES_BASE : end] = frames
        self._dirty = max(self._dirty, end)
        self._sp.set(end)
        self._state.set(0)
        return self._linked[points[0]][1]

    def _leave(self) -> None:
        """Take the stack out, and leave nothing of it behind."""
        end = min(max(self._sp.get(), abi.FRAMES_BASE), len(self._stack))
        self._frames = bytes(self._stack[abi.FRAMES_BASE : end])
        self._dirty = max(self._dirty, end)
        size = self._dirty - abi.FRAMES_BASE
        self._stack[abi.FRAMES_BASE : self._dirty] = bytes(size)
        self._dirty = abi.FRAMES_BASE

    def _park(self, wait: Wait) -> bool:
        self._wait = wait
        self._state.set(1)
        return True

    def _link(self) -> list[ResumePoint]:
        """See to it that every point on the stack has a continuation here; the points."""
        points = walk_frames(self._frames, self._program.description)
        missing = [point for point in points if point not in self._linked]
        if missing:
            for continued in self._program.continue_at(missing):
                self._link_module(continued)
        return points

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
        first = ffi.append_functions(self._context, self._export(abi.SLOTS, ffi.TABLE), functions)
        for number, (point, function) in enumerate(zip(continued.points, functions, strict=True)):
            self._linked[point] = first + number, function.of.func

    # ------------------------------------------------------------------------ from any thread

    def request_pause(self) -> None:
        """Ask it to stop at its next safepoint."""
        if self._asked is None:
            self._asked = self.wasi.clocks.running_since()
        self._raise_flag(1)

    def kill(self) -> None:
        """End it for good."""
        self._killed = True
        self._raise_flag(1)

    def _raise_flag(self, value: int) -> None:
        with self._flag_lock:
            if self._flag is not None:
                struct.pack_into("<I", self._flag, 0, value)

    # ------------------------------------------------------------------------ as data

    def snapshot(self, carry: Collection[int]) -> Snapshot:
        """The whole state. Raises ``SnapshotError`` when the program has ended, or runs."""
        with self._standing():
            return self._capture(carry)

    def _capture(self, carry: Collection[int]) -> Snapshot:
        program, stats = self._program, self.stats()
        return Snapshot(
            program=program.digest,
            abi=abi.ABI_VERSION,
            engine=program.engine_name,
            memories=tuple(MemoryImage.of(memory.view()) for memory in self._memories),
            globals=tuple(
                GlobalValue(number, kind, self._read_global(number, kind))
                for number, kind in program.description.mutable_globals
            ),
            frames=self._frames,
            wasi=self.wasi.capture(carry),
            cpu_seconds=stats.cpu_seconds,
            messages_in=stats.messages_in,
            messages_out=stats.messages_out,
        )

    def _fill(self, snapshot: Snapshot) -> None:
        """Become what the snapshot says; this instance has not run yet."""
        description = self._program.description
        kinds = [(value.number, value.type) for value in snapshot.globals]
        if len(snapshot.memories) != len(self._memories) or kinds != [
            tuple(known) for known in description.mutable_globals
        ]:
            raise SnapshotError("the snapshot's memories or globals are not the program's")
        initial = self._program.initial(self._memories)
        for memory, image, before in zip(self._memories, snapshot.memories, initial, strict=True):
            memory.grow(image.size)
            if image.size != memory.size:
                raise SnapshotError(f"the program's memory cannot have {image.size} bytes")
            image.write(memory.view(), before)
        for value in snapshot.globals:
            found = self._export(f"{abi.GLOBAL_PREFIX}{value.number}", ffi.GLOBAL)
            ffi.write_global(self._context, found, value.type, value.bits)
        self._frames = snapshot.frames
        try:
            self._link()
        except CorruptFrames as error:
            raise SnapshotError(f"the stack is corrupt: {error}") from None
        self._measure()

    def _read_global(self, number: int, kind: str) -> bytes:
        found = self._export(f"{abi.GLOBAL_PREFIX}{number}", ffi.GLOBAL)
        return ffi.read_global(self._context, found, kind)

    # ------------------------------------------------------------------------ memory

    def _limit_memory(self, limit: int) -> None:
        """From now on memories grow to ``limit`` bytes at most. The stack's own is larger, so
        this comes after it has been made."""
        largest = max((memory.size for memory in self._memories), default=0)
        if largest > limit:
            self._store.close()
            raise EngineError(f"it starts with {largest} bytes of memory; its limit is {limit}")
        self._store.set_limits(memory_size=limit, table_elements=TABLE_ELEMENTS)

    def _look(self) -> memoryview:
        return self._guest.view() if self._guest is not None else memoryview(b"")

    def _measure(self) -> None:
        self._memory_bytes = sum(memory.size for memory in self._memories)

    def _export(self, name: str, kind: int | None = None) -> Any:
        found = ffi.export(self._context, self._instance, name, kind)
        if found is None:
            raise EngineError(f"the program has no {name}: it was not prepared as it says")
        return found

    def _release(self) -> None:
        with self._flag_lock:
            self._flag = None
        self._memories, self._guest = [], None
        self._linked.clear()
        self._frames = b""
        self._stack = memoryview(b"")
        self._store.close()
