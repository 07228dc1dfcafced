"""The wasmtime engine: programs compiled once, prepared ones movable, all others contained.

Knows compiling, caching and linking. How instances run is in ``wasmtime_instance`` (movable) and
``wasmtime_plain`` (not).
"""

import importlib.metadata
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

import wasmtime

from arts.errors import EngineError, ProgramError, SnapshotError
from arts.migratable import (
    PIPELINE_VERSION,
    Continuations,
    Description,
    Poll,
    Refused,
    ResumePoint,
    abi,
    describe,
)
from arts.model import EVERY_ABILITY
from runtime.engines import wasmtime_ffi as ffi
from runtime.engines.base import Instance, InstanceSpec, Listener, Nest, Program
from runtime.engines.compiled import CompiledCache
from runtime.engines.wasmtime_instance import MovableInstance
from runtime.engines.wasmtime_nest import MovableNest
from runtime.engines.wasmtime_plain import PlainInstance
from runtime.snapshot import MemoryImage, Snapshot
from runtime.wasi.calls import CALLS
from runtime.wasi.preview1 import MODULE as WASI

VERSION: Final = importlib.metadata.version("wasmtime")
_STACK: Final = 1 << 20
"""Bytes of native stack a program may use: less than any thread has."""
_START: Final = "_start"


class WasmtimeEngine:
    """Runs WebAssembly. ``cache``: where compiled code is kept; None keeps none."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = CompiledCache(cache) if cache is not None else None

    @property
    def name(self) -> str:
        """Name and version."""
        return f"wasmtime {VERSION}"

    abilities = EVERY_ABILITY

    def load(self, program: bytes, digest: str) -> Program:
        """Compile, or take from the cache. Raises ``ProgramError``."""
        try:
            description = describe(program)
        except Refused as refused:
            module = self._plain.compile(digest, lambda: program)
            return PlainProgram(self._plain, module, str(refused))
        if not description.options.blocking >= abi.BLOCKING_IMPORTS:
            raise ProgramError("it was prepared for a host whose calls never wait")
        # Without polls only an epoch can end it.
        toolchain = self._plain if description.options.poll is Poll.NONE else self._movable
        module = toolchain.compile(digest, lambda: program)
        return MovableProgram(toolchain, module, program, digest, description, self.name)

    @cached_property
    def _movable(self) -> "Toolchain":
        return Toolchain(self._cache, epochs=False)

    @cached_property
    def _plain(self) -> "Toolchain":
        return Toolchain(self._cache, epochs=True)


class Toolchain:
    """A configured wasmtime: compiles modules, and links them to the host functions.

    ``epochs``: whether code looks out for interruption, which costs time.
    """

    def __init__(self, cache: CompiledCache | None, epochs: bool) -> None:
        config = wasmtime.Config()
        config.wasm_threads = True
        config.wasm_exceptions = True
        config.wasm_multi_memory = True
        config.wasm_tail_call = True
        config.wasm_relaxed_simd_deterministic = True
        config.memory_may_move = False
        config.max_wasm_stack = _STACK
        config.epoch_interruption = epochs
        self.engine = wasmtime.Engine(config)
        self.linker = wasmtime.Linker(self.engine)
        self._callbacks = [
            ffi.define_host_function(
                self.linker, WASI, name, call.parameters, call.returns, call.function
            )
            for name, call in CALLS.items()
        ]
        self._cache = cache
        kind = "plain" if epochs else "movable"
        self._version = f"{kind}/{PIPELINE_VERSION}/{VERSION}"

    def compile(self, name: str, make: Callable[[], bytes]) -> wasmtime.Module:
        """The module that ``make`` returns, compiled. Raises ``ProgramError``.

        ``name``: what identifies it; ``make`` is not called when it has been compiled before.
        """
        key = f"{self._version}/{name}"
        code = self._cache.get(key) if self._cache is not None else None
        if code is not None:
            try:
                return wasmtime.Module.deserialize(self.engine, code)
            except wasmtime.WasmtimeError:
                pass  # made by another build or for another machine: made again
        wasm = make()
        if not wasm.startswith(b"\0asm"):  # wasmtime would take it for text
            raise ProgramError("this is not a WebAssembly module")
        try:
            module = wasmtime.Module(self.engine, wasm)
        except wasmtime.WasmtimeError as error:
            raise ProgramError(f"it does not compile: {ffi.last_line(str(error))}") from None
        if self._cache is not None:
            self._cache.put(key, module.serialize())
        return module

    def link(self, module: wasmtime.Module) -> wasmtime.InstancePre:
        """The module with its imports found. Raises ``ProgramError``."""
        names = [(found.module, found.name) for found in module.imports]
        unknown = sorted(
            {f"{where}.{what}" for where, what in names if where != WASI or what not in CALLS}
        )
        if unknown:
            raise ProgramError(f"it imports what no runtime here has: {', '.join(unknown)}")
        if not ffi.is_plain_function(module, _START):
            raise ProgramError(
                "it exports no function _start () -> (): build it as a command, not as a reactor"
                " or library"
            )
        try:
            return self.linker.instantiate_pre(module)
        except wasmtime.WasmtimeError as error:
            raise ProgramError(f"it cannot be linked: {ffi.last_line(str(error))}") from None


def _reads(module: wasmtime.Module) -> bool:
    return any((found.module, found.name) == (WASI, "fd_read") for found in module.imports)


def _numbered_functions(module: wasmtime.Module) -> tuple[int, ...]:
    """Numbers of the functions that it exports as its own."""
    prefix = abi.FUNCTION_PREFIX
    names = [found.name for found in module.exports if found.name.startswith(prefix)]
    return tuple(int(name.removeprefix(prefix)) for name in names)


class Continued(NamedTuple):
    """A compiled module of continuations, for ``points`` in order."""

    module: wasmtime.Module
    imports: tuple[tuple[str, str], ...]
    points: tuple[ResumePoint, ...]


class MovableProgram:
    """A prepared program."""

    refusal: str | None = None

    def __init__(
        self,
        toolchain: Toolchain,
        module: wasmtime.Module,
        prepared: bytes,
        digest: str,
        description: Description,
        engine_name: str,
    ) -> None:
        self.toolchain = toolchain
        self.digest, self.description, self.engine_name = digest, description, engine_name
        self.pre = toolchain.link(module)
        self.reads_stdin = _reads(module)
        self.numbered_functions = _numbered_functions(module) if description.mutable_tables else ()
        self._continuations = Continuations(prepared)
        self._continued: dict[ResumePoint, Continued] = {}
        self._initial: tuple[MemoryImage, ...] | None = None
        self._lock = threading.Lock()

    def start(self, spec: InstanceSpec, listener: Listener) -> Instance:
        """A new instance, parked before its first instruction. Raises ``EngineError``."""
        return MovableInstance.start(self, spec, listener)

    def restore(self, spec: InstanceSpec, snapshot: Snapshot, listener: Listener) -> Instance:
        """An instance that goes on where ``snapshot`` was taken. Raises ``SnapshotError``."""
        self.check(snapshot)
        try:
            return MovableInstance.restore(self, spec, snapshot, listener)
        except EngineError as error:
            raise SnapshotError(str(error)) from None

    def foresee(self, points: Collection[ResumePoint]) -> None:
        """Make the continuations of these points; those of twins are there already."""
        if not self.description.options.twins:
            with suppress(EngineError):  # it will be said when it matters
                self.continue_at(list(points))

    def nest(self, spec: InstanceSpec, listener: Listener) -> Nest:
        """For an instance whose memory comes ahead. Raises ``SnapshotError``."""
        try:
            return MovableNest(self, spec, listener)
        except EngineError as error:
            raise SnapshotError(str(error)) from None

    def check(self, snapshot: Snapshot) -> None:
        """Raises ``SnapshotError`` unless it is of this program in this form."""
        if snapshot.program != self.digest:
            raise SnapshotError(f"the snapshot is of program {snapshot.program}")
        if snapshot.abi != abi.ABI_VERSION:
            raise SnapshotError(f"the snapshot has ABI {snapshot.abi}, here is {abi.ABI_VERSION}")

    def continue_at(self, points: Sequence[ResumePoint]) -> list[Continued]:
        """Modules that together have the continuations of all these points.

        Raises ``EngineError`` when one cannot be made.
        """
        with self._lock:
            missing = tuple(sorted(set(points) - self._continued.keys()))
            if missing:
                made = self._make(missing)
                self._continued.update(dict.fromkeys(missing, made))
            found = [self._continued[point] for point in points]
        return list({id(module): module for module in found}.values())

    def _make(self, points: tuple[ResumePoint, ...]) -> Continued:
        name = ",".join(f"{point.function}.{point.resume}" for point in points)
        try:
            module = self.toolchain.compile(
                f"{self.digest}/{name}", lambda: self._continuations.module(points)
            )
        except (Refused, ValueError, ProgramError) as error:
            raise EngineError(f"the stack cannot be continued: {error}") from None
        imports = tuple((found.module, found.name or "") for found in module.imports)
        return Continued(module, imports, points)

    def initial(self, fresh: Sequence[ffi.Memory]) -> tuple[MemoryImage, ...]:
        """What memories hold at the start; ``fresh``: those of an instance that has not run."""
        if self._initial is None:
            self._initial = tuple(MemoryImage.of(memory.view()) for memory in fresh)
        return self._initial


class PlainProgram:
    """A program that cannot be moved, because of ``refusal``."""

    def __init__(self, toolchain: Toolchain, module: wasmtime.Module, refusal: str) -> None:
        self._toolchain = toolchain
        self._pre = toolchain.link(module)
        self.refusal: str | None = refusal
        self.reads_stdin = _reads(module)

    def foresee(self, points: Collection[ResumePoint]) -> None:
        """Nothing needs to be made."""

    def start(self, spec: InstanceSpec, listener: Listener) -> Instance:
        """A new instance. Raises ``EngineError``."""
        return PlainInstance(self._toolchain.engine, self._pre, spec, listener)

    def restore(self, spec: InstanceSpec, snapshot: Snapshot, listener: Listener) -> Instance:
        """Raises ``SnapshotError``."""
        raise SnapshotError(f"the program cannot be moved: {self.refusal}")

    def nest(self, spec: InstanceSpec, listener: Listener) -> NoReturn:
        """Raises ``SnapshotError``."""
        raise SnapshotError(f"the program cannot be moved: {self.refusal}")
