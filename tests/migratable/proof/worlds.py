"""Where scripts of the test suite run: plainly, or on prepared programs paused at every k-th poll.

Knows how modules find each other, and when one may be paused (nothing of another is on its stack)
and moved (it shares nothing). Does not know scripts.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import wasmtime

from arts.migratable import Frames, Options, Poll, Refused, prepare

from .contract import Guest, Program, begin
from .machine import Failed, Instance, Store, Value, compiled
from .saturate import saturated

PRINTS: Final = {
    "print": (),
    "print_i32": ("i32",),
    "print_i64": ("i64",),
    "print_f32": ("f32",),
    "print_f64": ("f64",),
    "print_i32_f32": ("i32", "f32"),
    "print_f64_f64": ("f64", "f64"),
}
BLOCKING: Final = frozenset(("spectest", name) for name in PRINTS)
SPECTEST: Final = """(module
  (global (export "global_i32") i32 (i32.const 666))
  (global (export "global_i64") i64 (i64.const 666))
  (global (export "global_f32") f32 (f32.const 666.6))
  (global (export "global_f64") f64 (f64.const 666.6))
  (table (export "table") 10 20 funcref)
  (table (export "table64") i64 10 20 funcref)
  (memory (export "memory") 1 2))"""
_SPECTEST: Final = wasmtime.wat2wasm(SPECTEST)
PATIENCE: Final = 8
"""After so many pauses of one call the distance between pauses grows fourfold."""


@dataclass(frozen=True)
class Mode:
    """How prepared programs are run: pause at every ``every``-th poll."""

    every: int
    small_loop: int = 256
    nest: bool = False
    frames: Frames = Frames.OWN
    twins: bool = False


@dataclass
class Outcome:
    """What became of a script."""

    passed: int = 0
    pauses: int = 0
    moves: int = 0
    skips: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Count on."""
        self.passed += other.passed
        self.pauses += other.pauses
        self.moves += other.moves
        self.skips += other.skips
        self.failures += other.failures


class Skipped(Exception):
    """A command that is not run, and why."""


class World:
    """Modules under their names, and what they import; how they run is for subclasses."""

    def __init__(self) -> None:
        self.store = Store()
        self.current: Any = Skipped("no module")
        self.named: dict[str, Any] = {}
        self.registered: dict[str, Any] = {}
        self.definitions: dict[str | None, bytes] = {}
        self.shared: dict[Store, Instance] = {}

    def make(self, wasm: bytes) -> Any:
        """Instantiate a module. Raises Failed or Skipped."""
        raise NotImplementedError

    def invoke(self, instance: Any, name: str, arguments: list[Value]) -> list[Value]:
        """Call an export. Raises Failed."""
        raise NotImplementedError

    def instance_of(self, made: Any) -> Instance:
        """The engine's instance."""
        raise NotImplementedError

    def spectest(self, store: Store, name: str) -> Any:
        """What module ``spectest`` of the suite provides, but for functions."""
        if store not in self.shared:
            self.shared[store] = store.instantiate(compiled(_SPECTEST), [])
        return self.shared[store].exports.get(name)

    def imported(self, store: Store, module: str, name: str) -> Any:
        """An import that is no function of spectest. Raises Failed."""
        found = None
        if module in self.registered:
            made = self.registered[module]
            if isinstance(made, Skipped):
                raise Skipped("it imports from a skipped module")
            found = self.instance_of(made).exports.get(name)
        elif module == "spectest":
            found = self.spectest(store, name)
        if found is None:
            raise Failed("unknown import")
        return found

    def target(self, action: dict[str, Any]) -> Any:
        """The instance that an action is for. Raises Skipped."""
        found = self.named[action["module"]] if "module" in action else self.current
        if isinstance(found, Skipped):
            raise found
        if isinstance(found, Prepared) and (doubt := found.doubt):
            raise doubt
        return found


class Plain(World):
    """The control: the engine, and nothing of ours."""

    def make(self, wasm: bytes) -> Instance:
        """As it is."""
        module = compiled(wasm)
        externs = []
        for entry in module.imports:
            where, what = entry.module or "", entry.name or ""
            if where == "spectest" and what in PRINTS:
                externs.append(self.store.function(PRINTS[what], (), lambda *_: []))
            else:
                externs.append(self.imported(self.store, where, what))
        return self.store.instantiate(module, externs)

    def invoke(self, instance: Instance, name: str, arguments: list[Value]) -> list[Value]:
        """One call."""
        return instance.call(name, arguments)

    def instance_of(self, made: Instance) -> Instance:
        """Itself."""
        return made


@dataclass(eq=False)
class Prepared:
    """A guest, and what may be done with it. ``given``: others import from it."""

    guest: Guest
    takes_memory: bool
    takes_code: bool
    stays: bool = False
    """Others will import from it."""
    given: bool = False
    doubted: Skipped | None = None
    """A module that was skipped might have changed it."""
    sources: "list[Prepared]" = field(default_factory=list)
    """What it imports from."""

    @property
    def doubt(self) -> Skipped | None:
        """Why it, or what it imports from, may not be as it should."""
        return self.doubted or next(filter(None, (it.doubt for it in self.sources)), None)

    @property
    def may_pause(self) -> bool:
        """No other instance can be on its stack."""
        return not self.takes_code and not self.given

    @property
    def may_move(self) -> bool:
        """All its state is its own."""
        return self.may_pause and not self.takes_memory and not self.stays


class Paused(World):
    """All modules prepared, and paused as a mode says."""

    def __init__(self, mode: Mode, outcome: Outcome) -> None:
        super().__init__()
        self.mode = mode
        self.outcome = outcome
        self.stays = False
        """Others will import from what is made next."""
        self.running: Guest | None = None
        """Who may be paused now."""
        self.asked = False

    def make(self, wasm: bytes) -> Prepared:
        """Prepared, with as many polls as it takes, and started."""
        try:
            program = self._program(wasm)
        except Skipped:
            self.doubt_sources(wasm)
            raise
        sources = [self.registered[name] for name, _ in program.imports if name in self.registered]
        for source in sources:
            if isinstance(source, Prepared):
                source.given = True
        shares = {name for module, name in program.imports if module == "spectest"} - PRINTS.keys()
        made = Prepared(
            Guest(program, self._import, self.store),
            takes_memory=any(not name.startswith("global") for name in shares),
            takes_code=bool(sources) or "table" in shares or "table64" in shares,
            stays=self.stays,
            sources=[source for source in sources if isinstance(source, Prepared)],
        )
        self._run(made, lambda: begin(made.guest))
        return made

    def doubt_sources(self, wasm: bytes) -> None:
        """A module that does not run might have changed what it imports."""
        try:
            names = {entry.module for entry in compiled(wasm).imports}
        except Failed:
            return
        for name in names & self.registered.keys():
            if isinstance(self.registered[name], Prepared):
                self.registered[name].doubted = Skipped("a skipped module shares something with it")

    def _program(self, wasm: bytes) -> Program:
        """With the densest polls that are not refused. Raises Skipped."""
        reason = ""
        for density in (1.0, 0.3, 0.0, None):
            for blocking in (BLOCKING, frozenset()):
                mode = self.mode
                options = Options(
                    Poll.COUNTDOWN, mode.nest, frozenset(blocking), mode.frames, mode.twins
                )
                try:
                    dense = wasm if density is None else saturated(wasm, density)
                    return Program(prepare(dense, options), self.mode.small_loop)
                except Refused as refused:
                    reason = refused.reason
        raise Skipped(f"refused: {reason}")

    def _import(self, guest: Guest, module: str, name: str) -> Any:
        if module != "spectest" or name not in PRINTS:
            return self.imported(guest.store, module, name)

        def prints(*_: int) -> list[int]:
            if self.running is guest and ("spectest", name) in self._blocking(guest):
                self.asked = not self.asked
                if self.asked:
                    guest.park()
            return []

        return guest.store.function(PRINTS[name], (), prints)

    def _blocking(self, guest: Guest) -> set[tuple[str, str]]:
        return {(where, what) for where, what in guest.program.description["blocksOn"]}

    def invoke(self, instance: Prepared, name: str, arguments: list[Value]) -> list[Value]:
        """One call, in as many turns as it takes."""
        return self._run(instance, lambda: instance.guest.call(name, arguments))

    def _run(self, made: Prepared, call: Callable[[], list[Value] | None]) -> list[Value]:
        distance, pauses, self.asked = self.mode.every, 0, False
        guest = made.guest
        if not made.may_pause:
            guest.pause_at(0)
            results = call()
            assert results is not None
            return results
        try:
            self.running = guest
            guest.pause_at(distance)
            results = call()
            while results is None:
                pauses += 1
                distance *= 1 if pauses % PATIENCE else 4
                if made.may_move:
                    guest = made.guest = Guest.restore(guest.program, guest.capture(), self._import)
                    self.outcome.moves += 1
                self.running = guest
                guest.pause_at(distance)
                results = guest.go_on()
        finally:
            self.running = None
            self.outcome.pauses += pauses
            made.guest.pause_at(0)
        return results

    def instance_of(self, made: Prepared) -> Instance:
        """Where it is now."""
        return made.guest.instance
