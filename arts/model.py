"""The records everybody shares: what a runtime, a module, a program and a migration *are*.

Frozen dataclasses without behaviour beyond derived properties. This file knows no message, no
clock and no I/O. A record is never edited: it is replaced by a new one.

Times: ``created_at`` is wall time (seconds since the epoch) and only shown to people; everything
that decides is monotonic, lives in the realm's deadlines and is never stored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal


class RuntimeState(StrEnum):
    """Where a runtime is in its life. ``suspect`` still owns its modules; ``lost`` does not."""

    ONLINE = "online"
    SUSPECT = "suspect"
    LOST = "lost"


class ModuleState(StrEnum):
    """Where a module is in its life. See docs/reference/states.md for the diagram."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    MIGRATING = "migrating"
    STOPPING = "stopping"
    LOST = "lost"
    EXITED = "exited"
    FAILED = "failed"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the module by itself."""
        return self in (ModuleState.EXITED, ModuleState.FAILED)

    @property
    def is_placed(self) -> bool:
        """Whether the module takes a place on its runtime."""
        return self in _PLACED


_PLACED = frozenset(
    {ModuleState.STARTING, ModuleState.RUNNING, ModuleState.MIGRATING, ModuleState.STOPPING}
)


class MigrationPhase(StrEnum):
    """The steps of a move, in order. ``switching`` lies behind the commit point."""

    PREPARING = "preparing"
    """The target loads the program and makes room."""
    FREEZING = "freezing"
    """The source pauses the module and sends it away."""
    RESTORING = "restoring"
    """The target has (or is getting) the snapshot and rebuilds the module, paused."""
    SWITCHING = "switching"
    """The new owner is on record: the source lets go, the target goes on."""


class Filetype(StrEnum):
    """What kind of program a module runs (wire values of the ARTS dialect)."""

    WASM = "WA"
    PYTHON = "PY"
    EXTERNAL = "EXT"


class Ability(StrEnum):
    """What an engine can do beyond running programs: some prepared forms need it."""

    MULTI_MEMORY = "multi-memory"
    """Several memories in one program."""
    ATOMICS = "atomics"
    """Atomic instructions on memory that is not shared, and a host that can write it meanwhile."""
    LINKING = "linking"
    """Takes new code while a program is there."""


EVERY_ABILITY = frozenset(Ability)

Profile = Literal["responsive", "throughput", "blocking-only"]
"""How often a program looks whether it shall pause."""
ProfileChoice = Literal[Profile, "auto"]
"""``auto``: as has been seen to be needed."""


class OnRuntimeLost(StrEnum):
    """What a module wants when its runtime is lost."""

    REPLACE = "replace"
    """Start it elsewhere (from its newest checkpoint, if there is one)."""
    WAIT = "wait"
    """Keep it for that runtime."""


class Durability(StrEnum):
    """What of a module outlives its runtime."""

    NONE = "none"
    """Nothing: it begins anew elsewhere."""
    CHECKPOINT = "checkpoint"
    """Its state as of the last checkpoint; its input is acknowledged once that is kept."""
    ALWAYS = "always"
    """As ``checkpoint``, and a checkpoint is taken as soon as it has taken any input."""


class OnCrash(StrEnum):
    """What a module wants when it fails while it runs."""

    IGNORE = "ignore"
    """Stay failed."""
    RESTART = "restart"
    """Begin again, after a pause that grows from crash to crash."""


CHECKPOINT_INTERVAL: Final = 5.0
"""Seconds between checkpoints of a module that says nothing else."""

UNLIMITED: Final = 1_000_000_000
"""As many modules as a runtime that sets no limit is said to take."""


@dataclass(frozen=True, slots=True)
class ChannelSpec:
    """A file of the module that is really an MQTT topic.

    Reading takes one message, writing publishes one.
    """

    path: str
    topic: str
    mode: Literal["r", "w", "rw"] = "rw"
    qos: int = 1
    sequenced: bool = False
    """Numbers travel in front of what is written; what is read comes without them, and not twice
    (``arts.protocol.sequence``)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a module may use. None or 0 means: the runtime's own default."""

    memory_bytes: int | None = None
    """Linear memory; growing beyond it fails inside the module, as wasm allows."""
    wall_seconds: float | None = None
    """Life time; the module fails when it is over."""
    slice_seconds: float | None = None
    """Longest turn on a worker while others wait."""
    output_bytes_per_second: int | None = None
    """stdout and stderr; above it the module is parked, not cut. A line counts 256 bytes more
    than it has: each is a message."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program as the realm knows it: content-addressed, in the form in which it is run."""

    digest: str
    """sha256 (hex) of the bytes that runtimes load."""
    size: int
    source_digest: str
    """sha256 (hex) of the bytes as they came; equal to ``digest`` when run as it is."""
    refusal: str | None = None
    """Why modules of this program cannot be moved; None when they can."""
    profile: Profile | None = None
    """As it was prepared; None when it is run as it is."""
    needs: frozenset[Ability] = frozenset()
    """What an engine must be able to do to run this form."""

    @property
    def migratable(self) -> bool:
        """Whether a running module of it can become data."""
        return self.refusal is None


@dataclass(frozen=True, slots=True)
class FormWish:
    """In which form a program is wanted, by those who are to run it."""

    profile: ProfileChoice | None = None
    """None: as the realm is configured."""
    abilities: frozenset[Ability] = EVERY_ABILITY
    """What every engine can do that may get it."""


@dataclass(frozen=True, slots=True)
class ModuleSpec:
    """What was asked for. Never changes during a module's life."""

    uuid: str
    name: str
    filename: str
    filetype: Filetype = Filetype.WASM
    program: str | None = None
    """sha256 (hex) that the file must have, if the asker insists."""
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """``NAME=value`` each."""
    channels: tuple[ChannelSpec, ...] = ()
    apis: frozenset[str] = frozenset()
    """A runtime must offer all of these."""
    labels: tuple[tuple[str, str], ...] = ()
    """A runtime must carry all of these."""
    parent: str | None = None
    """Only this runtime (uuid) will do."""
    limits: Limits = Limits()
    on_runtime_lost: OnRuntimeLost = OnRuntimeLost.REPLACE
    on_crash: OnCrash = OnCrash.IGNORE
    durability: Durability = Durability.NONE
    checkpoint_interval: float = CHECKPOINT_INTERVAL
    fileid: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)
    """What was said besides: kept, shown and passed on to a runtime that may know what it is."""
    profile: ProfileChoice | None = None
    """How often its program is to look whether it shall pause; None: as the realm is configured."""


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """Where an answer is owed, and in which dialect."""

    topic: str
    object_id: str
    dialect: str = "native"
    action: str = field(default="", compare=False)
    """What was asked for, about what kind of thing, and which: some dialects repeat it."""
    kind: str = field(default="", compare=False)
    about: str = field(default="", compare=False)
    said: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    """The request itself, for dialects that quote it in a refusal; never kept for later."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A move under way. It belongs to its module's record and ends with it."""

    id: str
    source: str
    target: str
    phase: MigrationPhase
    digest: str | None = None
    """sha256 of the snapshot as the source announced it..."""
    restored: str | None = None
    """...and as the target rebuilt it: the move is committed only when both are the same."""
    size: int = 0
    """Bytes of the encoded snapshot."""
    frozen_at: float = 0.0
    """Wall time at which the source stopped the module."""
    fell_back: bool = False
    """The target failed behind the commit point; the source's frozen copy goes on instead.
    ``source`` and ``target`` have changed places."""
    request: str | None = None
    """object_id of the request that asked for it."""
    reply: ReplyTo | None = None


@dataclass(frozen=True, slots=True)
class Recovery:
    """A start from a checkpoint instead of from the beginning: a move from the store."""

    source: str
    """The module (uuid) whose checkpoint it is."""
    at: int | None = None
    """This one and no other; None: the newest that is good."""
    before: int | None = None
    """Only older ones: this one did not do."""
    since: int = 0
    """Only those of this generation or later."""
    required: bool = False
    """Without it the module fails: its beginning was in another realm."""
    number: int | None = None
    """The checkpoint that was found, None until then..."""
    id: str = ""
    """...the name of the move from the store..."""
    digest: str = ""
    size: int = 0
    taken_at: float = 0.0
    damaged: tuple[int, ...] = ()
    """Newer ones that could not be used."""


@dataclass(frozen=True, slots=True)
class Restored:
    """From which checkpoint a module went on last."""

    number: int
    source: str
    taken_at: float
    """Wall time of the checkpoint."""
    damaged: tuple[int, ...] = ()
    """Newer ones that could not be used."""


@dataclass(frozen=True, slots=True)
class Module:
    """A module and its condition."""

    spec: ModuleSpec
    state: ModuleState
    generation: int = 0
    """+1 at each placement or move: who acts at a lower one is a ghost."""
    parent: str | None = None
    """uuid of the runtime that owns it."""
    program: Program | None = None
    reasons: tuple[tuple[str, str], ...] = ()
    """While pending: each runtime's name with why it will not do."""
    detail: str | None = None
    """How it ended, or what it waits for, in words."""
    exit_code: int | None = None
    migration: Migration | None = None
    request: str | None = None
    """object_id of the create: asking again with the same one is a repetition."""
    moved_by: str | None = None
    """object_id of the last request that moved it, for the same reason."""
    reply: ReplyTo | None = None
    """An answer still owed to whoever asked for the present transition."""
    created_at: float = 0.0
    attempts: tuple[str, ...] = ()
    """Runtimes that failed to start this generation."""
    life: int = 0
    """Its generation when it last began from nothing or, because somebody wanted it, from a
    checkpoint: newer checkpoints of before that are of a former life."""
    begun: tuple[str, int] | None = None
    """Module (uuid) and number of that checkpoint."""
    crashes: int = 0
    """How often it was started again because it had failed."""
    recovery: Recovery | None = None
    """While it is to start from a checkpoint."""
    restored: Restored | None = None
    """How its present life began, if not from the beginning."""
    heard: bool = False
    """The runtime it was asked to be on may have heard the request itself: if it speaks the
    asker's dialect, it needs no start command."""

    @property
    def uuid(self) -> str:
        """The module's identity."""
        return self.spec.uuid

    @property
    def name(self) -> str:
        """The module's name for people; not necessarily unique."""
        return self.spec.name

    @property
    def needs(self) -> frozenset[Ability]:
        """What an engine must be able to do to run it: settled when its program is there."""
        return self.program.needs if self.program is not None else frozenset()


@dataclass(frozen=True, slots=True)
class Load:
    """How busy a runtime's machine is, from its last keepalive."""

    cpu_percent: float = 0.0
    memory_percent: float = 0.0
    memory_available_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Runtime:
    """A place where modules run."""

    uuid: str
    name: str
    state: RuntimeState = RuntimeState.ONLINE
    max_nmodules: int = 3
    apis: frozenset[str] = frozenset()
    labels: tuple[tuple[str, str], ...] = ()
    filetypes: frozenset[Filetype] = frozenset(Filetype)
    instance: str = ""
    """Random id of the process: tells a reconnect from a restart. Empty in old dialects."""
    features: frozenset[str] = frozenset()
    """Native abilities: ``events`` (reports what becomes of a command), ``programs`` (fetches by
    digest), ``snapshot`` (can send and take modules), ``foresee`` (prepares for where a module
    stands before it comes), ``checkpoint`` (takes checkpoints), ``hold`` (lets a module stand still
    after one)."""
    engine: str = ""
    abilities: frozenset[Ability] = EVERY_ABILITY
    """What its engine can do for prepared programs."""
    lease_seconds: float = 0.0
    """Silence longer than this is suspicious; 0 for runtimes that never promised keepalives."""
    load: Load | None = field(default=None, compare=False)
    created_at: float = 0.0
    dialect: str = "native"
    """In which it registered, and so must be spoken to."""
    manager: str | None = None
    """uuid of the manager that owns it and takes it along when it goes."""
    traits: Mapping[str, Any] = field(default_factory=dict)
    """What it said besides of itself: kept and shown."""

    @property
    def reports(self) -> bool:
        """Whether it tells what becomes of its modules; older runtimes never do."""
        return "events" in self.features
