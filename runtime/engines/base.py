"""What a runtime asks of an engine: load a program, run it, stop it anywhere, carry it off.

An instance is always in one of two conditions: *running* inside ``Instance.run`` on a worker
thread, or *parked* as data that anyone may look at. The agent owns the decision when to run; the
engine owns everything about how.

Threads: ``run`` is called on one worker thread at a time. ``deliver``, ``signal``,
``request_pause``, ``kill``, ``ready``, ``points``, ``changes`` and ``stats`` may be called from any
thread at any time. ``snapshot`` and ``close`` only while parked.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from arts.migratable import ResumePoint
from arts.model import Ability, ChannelSpec, Limits
from runtime.shadow import Change, Shadow
from runtime.snapshot import MemoryImage, Snapshot


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """What a module may see of the world: nothing but this."""

    uuid: str
    name: str
    """The program's, as argv[0] says it."""
    args: tuple[str, ...] = ()
    """The rest of argv."""
    env: tuple[str, ...] = ()
    channels: tuple[ChannelSpec, ...] = ()
    limits: Limits = Limits()


# ---- what a module does, reported through the listener, in order, from the worker thread


@dataclass(frozen=True, slots=True)
class OutputLine:
    """One line of stdout or stderr, without its newline (or the rest, when the module ends)."""

    stream: str
    """"stdout" or "stderr"."""
    line: bytes


@dataclass(frozen=True, slots=True)
class ChannelWrite:
    """The module published a message."""

    path: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Consumed:
    """The module has taken the delivered message with this receipt in whole."""

    receipt: int


Activity = OutputLine | ChannelWrite | Consumed
Listener = Callable[[Activity], None]


# ---- how a turn on a worker ends


@dataclass(frozen=True, slots=True)
class Wait:
    """What a parked instance waits for: any of these lets it go on."""

    deadline: float | None = None
    """Host's ``time.monotonic()``; None when only input can wake it."""
    inputs: frozenset[str] = frozenset()
    """``"stdin"``, ``"/sys/signals"`` and channel paths whose next message would do."""
    output: bool = False
    """Waits for room in the outbox (``set_writable``)."""


@dataclass(frozen=True, slots=True)
class Exited:
    """The program ended by itself."""

    code: int


@dataclass(frozen=True, slots=True)
class Parked:
    """Blocked in a host call, written down; run again when ``wait`` is over."""

    wait: Wait


@dataclass(frozen=True, slots=True)
class Paused:
    """Stopped at a safepoint because somebody asked; run again at will."""


@dataclass(frozen=True, slots=True)
class Trapped:
    """The program did something that wasm does not allow, or went over a limit."""

    reason: str


@dataclass(frozen=True, slots=True)
class Killed:
    """``kill`` was called."""


Outcome = Exited | Parked | Paused | Trapped | Killed


@dataclass(frozen=True, slots=True)
class Stats:
    """What an instance has used so far; survives a move."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    messages_in: int = 0
    messages_out: int = 0
    last_active: float = 0.0
    """Host's ``time.monotonic()`` of the end of the last turn."""
    slowest_pause: float = 0.0
    """Longest way from a request to pause until it stood, in seconds of its own CPU time, so that
    a busy machine does not count; of this instance, not of those it was before a move."""


class Instance(Protocol):
    """One module on this engine."""

    @property
    def migratable(self) -> bool:
        """Whether ``snapshot`` works. If not, ``run`` needs a thread of its own: it blocks."""
        ...

    @property
    def listens(self) -> bool:
        """Whether it has ``/sys/signals`` open: whether a ``signal`` would be heard."""
        ...

    def run(self) -> Outcome:
        """Run until the program ends, blocks, or is asked to stop. Never raises for the program."""
        ...

    def request_pause(self) -> None:
        """Ask a running instance to stop at its next safepoint. Harmless when parked."""
        ...

    def kill(self) -> None:
        """End it for good: a running turn returns ``Killed`` soon, later ones at once."""
        ...

    def deliver(self, path: str, payload: bytes, receipt: int | None) -> None:
        """Queue a message for ``"stdin"`` or a channel path. ``receipt`` comes back consumed."""
        ...

    def end_input(self, path: str) -> None:
        """No more input on ``path``: once the queue is empty, reads return end-of-file."""
        ...

    def signal(self, name: str) -> None:
        """Queue a line for readers of ``/sys/signals``."""
        ...

    def set_writable(self, writable: bool) -> None:
        """Back-pressure: while False, channel writes park."""
        ...

    def ready(self, now: float) -> bool:
        """Whether what the parked instance waits for has come. ``now``: ``time.monotonic()``."""
        ...

    def points(self) -> Collection[ResumePoint]:
        """Where it last stood: while parked, what whoever restores a snapshot of now must make.

        Nothing where that needs no making, and for an instance that has never stood.
        """
        ...

    def changes(self, shadow: Shadow) -> Change | None:
        """The next of what its memories are and ``shadow`` is not; see ``Shadow.next_change``.

        What the running module writes meanwhile is seen now, torn, or the next time; when it
        stands at the latest. Raises ``SnapshotError`` when it has ended.
        """
        ...

    def make_room(self) -> None:
        """Get ready, while it runs, for a ``snapshot`` that will be asked for soon: the module
        stands for as long as that takes. From any thread."""
        ...

    def snapshot(self, carry: Collection[int], shadow: Shadow | None = None) -> Snapshot:
        """The whole state as data, less what ``shadow`` has of the memories. Undelivered input
        goes along when it has no receipt (nobody will send it again) or its receipt is in
        ``carry``; the rest is left to the broker.

        Raises ``SnapshotError`` with the reason when the module cannot be captured now.
        """
        ...

    def stats(self) -> Stats:
        """What it has used."""
        ...

    def close(self) -> None:
        """Give everything back. Idempotent."""
        ...


class Nest(Protocol):
    """What becomes an instance once the rest of its state has come. From any thread."""

    @property
    def initial(self) -> Sequence[MemoryImage]:
        """With which memories the program begins."""
        ...

    def receive(self, change: Change) -> None:
        """Take memory ahead of the snapshot. Raises ``SnapshotError`` when it does not fit."""
        ...

    def hatch(self, snapshot: Snapshot) -> Instance:
        """The instance, as by ``Program.restore``. ``snapshot``: the changes to what has been
        received. Raises ``SnapshotError``; it is closed then."""
        ...

    def close(self) -> None:
        """Give everything back, unless it has become an instance. Idempotent."""
        ...


class Program(Protocol):
    """A program, compiled."""

    @property
    def refusal(self) -> str | None:
        """Why its instances cannot be moved; None when they can."""
        ...

    @property
    def reads_stdin(self) -> bool:
        """Whether it can read at all: if not, nobody needs to listen for it."""
        ...

    def foresee(self, points: Collection[ResumePoint]) -> None:
        """Make what ``restore`` will need of a snapshot of an instance that stands at these
        points, as far as that can be; from any thread."""
        ...

    def start(self, spec: InstanceSpec, listener: Listener) -> Instance:
        """A new instance, parked before its first instruction. Raises ``EngineError``."""
        ...

    def restore(self, spec: InstanceSpec, snapshot: Snapshot, listener: Listener) -> Instance:
        """An instance that goes on where ``snapshot`` was taken, parked. Raises ``SnapshotError``
        when the snapshot is of another program or ABI."""
        ...

    def nest(self, spec: InstanceSpec, listener: Listener) -> Nest:
        """For an instance whose memory comes ahead. Raises ``SnapshotError``."""
        ...


class Engine(Protocol):
    """Something that can run programs."""

    @property
    def name(self) -> str:
        """Name and version, as shown to people."""
        ...

    @property
    def abilities(self) -> frozenset[Ability]:
        """What it can do for prepared programs: the realm prepares no form that needs more."""
        ...

    def load(self, program: bytes, digest: str) -> Program:
        """Compile (or take from the cache). Raises ``ProgramError`` with what is wrong with it."""
        ...
