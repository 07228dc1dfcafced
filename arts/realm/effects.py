"""Everything a realm can ask its shell to do, and everything the shell tells it besides messages.

Effects are imperative and performed in order; an effect that takes time ends as an event. Events
are past tense. The messages of ``arts.protocol`` are events too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from arts.model import FormWish, Module, Program, ReplyTo, Runtime
from arts.protocol.messages import (
    AnyCommand,
    CheckpointModule,
    CloneModule,
    CreateModule,
    DeleteModule,
    ExportModule,
    ImportModule,
    Keepalive,
    ModuleExited,
    MoveModule,
    Query,
    RegisterManager,
    RegisterRuntime,
    RemoveManager,
    RemoveRuntime,
    Report,
    Response,
    RestoreModule,
)


@dataclass(frozen=True, slots=True)
class Record:
    """Make this the durable state of one thing (None: it is gone), and show it to the world."""

    kind: Literal["runtime", "module"]
    key: str
    value: Runtime | Module | None


@dataclass(frozen=True, slots=True)
class Command:
    """Send a command to a runtime."""

    runtime: str
    message: AnyCommand


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a request. Exactly one for each."""

    to: ReplyTo
    response: Response


@dataclass(frozen=True, slots=True)
class FetchProgram:
    """Find a module's program. Ends as ``ProgramFetched`` or ``ProgramUnavailable``."""

    module: str
    generation: int
    filename: str
    digest: str | None
    form: FormWish


@dataclass(frozen=True, slots=True)
class LearnPause:
    """A module of this program (sha256 of the form it runs) let a pause wait for so long."""

    program: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Note:
    """Something happened that people may want to know: for the journal, not for decisions."""

    event: str
    fields: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FindSnapshot:
    """Find the newest good checkpoint of ``source``. -> SnapshotFound | NoSnapshot."""

    module: str
    """Who is to go on from it..."""
    generation: int
    """...at its present generation."""
    source: str
    at: int | None = None
    """This one or none."""
    before: int | None = None
    """Only older ones."""
    since: int = 0
    """Only those of this generation or later."""


@dataclass(frozen=True, slots=True)
class SendSnapshot:
    """Send a checkpoint to the runtime that waits for ``migration``. -> SnapshotUnfit, if not."""

    module: str
    generation: int
    migration: str
    source: str
    number: int


@dataclass(frozen=True, slots=True)
class ForgetSnapshots:
    """The checkpoints of a module are of no use any more."""

    module: str


@dataclass(frozen=True, slots=True)
class ListSnapshots:
    """Answer with the checkpoints of a module."""

    to: ReplyTo
    module: str
    name: str


@dataclass(frozen=True, slots=True)
class ExportSnapshot:
    """Send a checkpoint to who listens to ``transfer``, and answer with it and ``document``."""

    to: ReplyTo
    module: str
    number: int | None
    transfer: str
    document: Mapping[str, object]


Effect = (
    Record
    | Command
    | Reply
    | FetchProgram
    | LearnPause
    | Note
    | FindSnapshot
    | SendSnapshot
    | ForgetSnapshots
    | ListSnapshots
    | ExportSnapshot
)
KeeperEffect = FindSnapshot | SendSnapshot | ForgetSnapshots
"""What whoever keeps the checkpoints does."""


@dataclass(frozen=True, slots=True)
class ProgramFetched:
    """The program of a starting module is in the store."""

    module: str
    generation: int
    program: Program


@dataclass(frozen=True, slots=True)
class ProgramUnavailable:
    """The program of a starting module cannot be had; ``detail`` is for the one who asked."""

    module: str
    generation: int
    detail: str


@dataclass(frozen=True, slots=True)
class CheckpointKept:
    """The store has a checkpoint of a module, and its runtime is told so."""

    module: str
    generation: int
    number: int
    size: int
    taken_at: float
    sent: int
    """Bytes that came for it, packed: what is new since the one before."""
    stood: float
    """Seconds for which the module could not run because of it."""


@dataclass(frozen=True, slots=True)
class SnapshotFound:
    """The checkpoint from which a module may go on; it has been read and is good."""

    module: str
    generation: int
    source: str
    number: int
    digest: str
    size: int
    taken_at: float
    damaged: tuple[int, ...] = ()
    """Newer ones that are damaged."""


@dataclass(frozen=True, slots=True)
class NoSnapshot:
    """There is no checkpoint from which a module could go on."""

    module: str
    generation: int
    detail: str
    damaged: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class SnapshotUnfit:
    """A checkpoint that was found cannot be sent."""

    module: str
    generation: int
    number: int
    detail: str


@dataclass(frozen=True, slots=True)
class Discarded:
    """A message meant nothing: ``malformed``, or ``retained`` from who knows when."""

    why: Literal["malformed", "retained"]


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The supervisor lost its broker: silence proves nothing from now on."""


@dataclass(frozen=True, slots=True)
class LinkRestored:
    """The supervisor is back on the broker: runtimes get time to be heard."""


Event = (
    RegisterRuntime
    | RemoveRuntime
    | RegisterManager
    | RemoveManager
    | Keepalive
    | CreateModule
    | DeleteModule
    | ModuleExited
    | MoveModule
    | CheckpointModule
    | RestoreModule
    | CloneModule
    | ExportModule
    | ImportModule
    | Query
    | Report
    | ProgramFetched
    | ProgramUnavailable
    | CheckpointKept
    | SnapshotFound
    | NoSnapshot
    | SnapshotUnfit
    | Discarded
    | LinkLost
    | LinkRestored
)
