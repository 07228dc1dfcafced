"""An engine without WebAssembly: programs are Python functions whose whole state is a number.

For tests of everything around an engine: same promises, same snapshots, deterministic, and it
fails exactly where it is told to. Knows the example programs' behaviour. Compiles nothing.

    engine = SimulatedEngine(Failures(snapshot="no"))
    program = engine.load(simulated("counter"), digest)
"""

import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, NoReturn

from arts.errors import EngineError, ProgramError, SnapshotError
from arts.migratable import ResumePoint
from arts.model import EVERY_ABILITY
from runtime.engines.base import (
    Instance,
    InstanceSpec,
    Listener,
    Outcome,
    Parked,
    Paused,
    Program,
    Stats,
    Wait,
)
from runtime.engines.hosted import Hosted
from runtime.shadow import Change, Shadow
from runtime.snapshot import Snapshot
from runtime.wasi.host import Exit, Wasi, WouldBlock
from runtime.wasi.state import SIGNALS, STDERR, STDIN, STDOUT

ABI: Final = 0
"""Of no prepared program: snapshots of simulated modules fit nowhere else."""
MEMORY_BYTES: Final = 64 * 1024
"""What a module claims to use."""

_PREFIX: Final = b"simulated "
_STEP: Final = struct.Struct("<Q")


class Trap(Exception):
    """The program does what wasm does not allow."""


Step = Callable[[Wasi, int], None]
"""A program: called with 0, 1, 2, ... until it raises ``Exit`` or ``Trap``. What raises
``WouldBlock`` is called again with the same number."""


@dataclass(frozen=True, slots=True)
class Failures:
    """What goes wrong, with the reason it gives; None: nothing."""

    load: str | None = None
    start: str | None = None
    snapshot: str | None = None
    restore: str | None = None
    trap: str | None = None
    """The program traps at step ``trap_at``."""
    trap_at: int = 0
    never_pauses: bool = False
    """It has no safepoint: only blocking and killing stop it."""
    refusal: str | None = None
    """Why its programs cannot be moved."""


def simulated(name: str) -> bytes:
    """The bytes of a program: one of ``BEHAVIOURS``."""
    return _PREFIX + name.encode()


# ---------------------------------------------------------------------------- programs


def _print(wasi: Wasi, line: str) -> None:
    free_at = wasi.outputs.free_at(wasi.clocks.monotonic())
    if free_at is not None:
        raise WouldBlock(Wait(deadline=wasi.clocks.host_time(free_at)))
    wasi.outputs.write(STDOUT, line.encode() + b"\n")


def _sleep(wasi: Wasi, nanoseconds: int) -> None:
    now, state = wasi.clocks.monotonic(), wasi.state
    if state.blocked_since is None:
        state.blocked_since = now
    due = state.blocked_since + nanoseconds
    if now < due:
        raise WouldBlock(Wait(deadline=wasi.clocks.host_time(due)))
    state.blocked_since = None


def _read(wasi: Wasi, path: str) -> bytes:
    """One message; empty at the end of the input."""
    size = wasi.inputs.waiting(path)
    if size is None:
        raise WouldBlock(Wait(inputs=frozenset((path,))))
    buffer = bytearray(size)
    wasi.inputs.take(path, [memoryview(buffer)])
    return bytes(buffer)


def _args(wasi: Wasi) -> list[str]:
    return [argument.decode() for argument in wasi.state.args]


def _hello(wasi: Wasi, step: int) -> None:
    args = _args(wasi)
    lines = ["hello", *(f"arg {number}: {text}" for number, text in enumerate(args))]
    lines += [f"env {variable.decode()}" for variable in wasi.state.env]
    if step < len(lines):
        _print(wasi, lines[step])
    else:
        raise Exit(int(args[args.index("--exit") + 1]) if "--exit" in args else 0)


def _counter(wasi: Wasi, step: int) -> None:
    milliseconds, count = (*map(int, _args(wasi)[1:]), *(100, 0)[len(wasi.state.args) - 1 :])[:2]
    if step % 2:
        _sleep(wasi, milliseconds * 1_000_000)
    elif count and step // 2 >= count:
        raise Exit(0)
    else:
        _print(wasi, f"count {step // 2 + 1}")


def _stdinread(wasi: Wasi, step: int) -> None:
    line = _read(wasi, STDIN).decode().rstrip("\n")
    if line == "quit" or (not line and not wasi.inputs.depth(STDIN)):
        raise Exit(0)
    _print(wasi, f"got: {line}")


def _signals(wasi: Wasi, step: int) -> None:
    line = _read(wasi, SIGNALS).decode().rstrip("\n")
    if line == "TERM":
        _print(wasi, "bye")
        raise Exit(0)
    _print(wasi, f"signal: {line}")


def _echo(wasi: Wasi, step: int) -> None:
    if "r" not in wasi.modes["/ch/in"] or "w" not in wasi.modes["/ch/out"]:
        wasi.outputs.write(STDERR, b"/ch/in: Permission denied\n")
        raise Exit(1)
    if not wasi.writable:
        raise WouldBlock(Wait(output=True))
    message = _read(wasi, "/ch/in")
    if not message:
        raise Exit(0)
    wasi.publish("/ch/out", message)


def _spin(wasi: Wasi, step: int) -> None:
    pass


def _trap(wasi: Wasi, step: int) -> None:
    if step:
        raise Trap("unreachable executed")
    _print(wasi, "about to trap")


def _flood(wasi: Wasi, step: int) -> None:
    _print(wasi, f"flood {step + 1}")


BEHAVIOURS: Final[dict[str, Step]] = {
    "hello": _hello,
    "counter": _counter,
    "stdinread": _stdinread,
    "signals": _signals,
    "echo": _echo,
    "spin": _spin,
    "trap": _trap,
    "flood": _flood,
}


# ---------------------------------------------------------------------------- the engine


class SimulatedEngine:
    """Runs ``BEHAVIOURS``, and fails as told; ``failures`` may be changed at any time."""

    name = "simulated 1"
    abilities = EVERY_ABILITY

    def __init__(self, failures: Failures | None = None) -> None:
        self.failures = failures or Failures()

    def load(self, program: bytes, digest: str) -> Program:
        """Raises ``ProgramError`` for what is not a simulated program."""
        if self.failures.load is not None:
            raise ProgramError(self.failures.load)
        behaviour = BEHAVIOURS.get(program.removeprefix(_PREFIX).decode(errors="replace"))
        if behaviour is None or not program.startswith(_PREFIX):
            raise ProgramError("this is not a simulated program")
        return SimulatedProgram(self, behaviour, digest)


class SimulatedProgram:
    """A behaviour with a digest."""

    reads_stdin = True

    def __init__(self, engine: SimulatedEngine, behaviour: Step, digest: str) -> None:
        self.engine, self.behaviour, self.digest = engine, behaviour, digest

    @property
    def refusal(self) -> str | None:
        """Why it cannot be moved."""
        return self.engine.failures.refusal

    def foresee(self, points: Collection[ResumePoint]) -> None:
        """Nothing needs to be made."""

    def start(self, spec: InstanceSpec, listener: Listener) -> Instance:
        """A new instance. Raises ``EngineError``."""
        if self.engine.failures.start is not None:
            raise EngineError(self.engine.failures.start)
        return SimulatedInstance(self, Wasi.start(spec, listener, _no_memory))

    def restore(self, spec: InstanceSpec, snapshot: Snapshot, listener: Listener) -> Instance:
        """An instance that goes on where ``snapshot`` was taken. Raises ``SnapshotError``."""
        if self.engine.failures.restore is not None:
            raise SnapshotError(self.engine.failures.restore)
        if (snapshot.program, snapshot.abi) != (self.digest, ABI):
            raise SnapshotError("the snapshot is of another program")
        if len(snapshot.frames) != _STEP.size:
            raise SnapshotError("the snapshot has no step")
        used = Stats(messages_in=snapshot.messages_in, messages_out=snapshot.messages_out)
        wasi = Wasi.restore(snapshot.wasi, spec, listener, _no_memory)
        return SimulatedInstance(self, wasi, used, _STEP.unpack(snapshot.frames)[0])

    def nest(self, spec: InstanceSpec, listener: Listener) -> NoReturn:
        """Raises ``SnapshotError``: its instances have no memory to send ahead."""
        raise SnapshotError("simulated programs have no memory")


class SimulatedInstance(Hosted):
    """A step number and a host side."""

    def __init__(
        self, program: SimulatedProgram, wasi: Wasi, used: Stats | None = None, step: int = 0
    ) -> None:
        super().__init__(wasi, used or Stats())
        self._program, self._step = program, step
        self._memory_bytes = MEMORY_BYTES
        self._pause = False

    @property
    def migratable(self) -> bool:
        """Whether it can be moved."""
        return self._program.refusal is None

    def run(self) -> Outcome:
        """Take steps until something stops it."""
        self._pause = False
        return self._take_turn(self._run)

    def _run(self) -> Outcome:
        failures = self._program.engine.failures
        while not self._killed:
            if self._pause and not failures.never_pauses:
                return Paused()
            try:
                if failures.trap is not None and self._step >= failures.trap_at:
                    raise Trap(failures.trap)
                self._program.behaviour(self.wasi, self._step)
            except WouldBlock as blocked:
                if self.migratable:
                    self._wait = blocked.wait
                    return Parked(blocked.wait)
                self.wasi.block(blocked.wait, lambda: self._killed)
                continue
            except Exit as exited:
                return self._ended_with(exited.code)
            except Trap as trap:
                return self._end(str(trap))
            self._step += 1
        return self._end(None)

    @property
    def listens(self) -> bool:
        """Whether it reads signals: those have no descriptors here."""
        return self._program.behaviour is _signals

    def request_pause(self) -> None:
        """Ask it to stop after this step."""
        self._pause = True

    def kill(self) -> None:
        """End it for good."""
        with self.wasi.changed:
            self._killed = True
            self.wasi.changed.notify_all()

    def changes(self, shadow: Shadow) -> Change | None:
        """It has no memories."""
        return shadow.next_change(())

    def make_room(self) -> None:
        """There is nothing to get ready."""

    def snapshot(self, carry: Collection[int], shadow: Shadow | None = None) -> Snapshot:
        """Its step and its host side. Raises ``SnapshotError``."""
        failures = self._program.engine.failures
        reason = failures.snapshot or failures.refusal
        if reason is not None:
            raise SnapshotError(reason)
        with self._standing():
            return self._capture(carry)

    def _capture(self, carry: Collection[int]) -> Snapshot:
        stats = self.stats()
        return Snapshot(
            program=self._program.digest,
            abi=ABI,
            engine=SimulatedEngine.name,
            memories=(),
            globals=(),
            tables=(),
            frames=_STEP.pack(self._step),
            wasi=self.wasi.capture(carry),
            cpu_seconds=stats.cpu_seconds,
            messages_in=stats.messages_in,
            messages_out=stats.messages_out,
        )

    def _release(self) -> None:
        pass


def _no_memory() -> memoryview:
    return memoryview(b"")
