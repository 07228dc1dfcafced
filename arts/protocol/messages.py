"""Every message of the native dialect, as a frozen model. Knows no JSON and no topic.

The native dialect is a superset of ARTS': the same envelope, more optional fields. The envelope
(``object_id``, ``action``, ``type``, ``data``) belongs to the codec; here a message is its
``object_id`` and the fields of ``data``. Unknown fields are ignored, as all known peers do; what
real clients send instead of the documented form is accepted by the validators of ``lenient``.

Three groups: *requests* come to the supervisor, *commands* go to a runtime, *reports* come back
from it in the past tense. Commands and reports carry (module uuid, generation): same generation
is idempotent, a lower one is a ghost.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, Field

from arts.model import (
    CHECKPOINT_INTERVAL,
    EVERY_ABILITY,
    Durability,
    Filetype,
    Limits,
    Load,
    ModuleSpec,
    OnCrash,
    OnRuntimeLost,
    ProfileChoice,
    Program,
    ReplyTo,
)
from arts.protocol import lenient
from arts.protocol.answers import Response as Response
from arts.protocol.answers import SupervisorNotice as SupervisorNotice
from arts.protocol.commands import AbortMigration as AbortMigration
from arts.protocol.commands import AnnounceRuntime as AnnounceRuntime
from arts.protocol.commands import Command as Command
from arts.protocol.commands import FreezeModule as FreezeModule
from arts.protocol.commands import MigrationCommand as MigrationCommand
from arts.protocol.commands import PrepareModule as PrepareModule
from arts.protocol.commands import ReleaseModule as ReleaseModule
from arts.protocol.commands import ResumeModule as ResumeModule
from arts.protocol.commands import StartModule as StartModule
from arts.protocol.commands import StopModule as StopModule
from arts.protocol.commands import TakeCheckpoint as TakeCheckpoint
from arts.protocol.parts import HeldModule as HeldModule
from arts.protocol.parts import Message as Message
from arts.protocol.parts import ModuleStats as ModuleStats
from arts.protocol.parts import ReportKind as ReportKind

# ---------------------------------------------------------------------------- requests


class Request(Message):
    """Something asked of the supervisor. ``reply`` says where the one answer goes."""

    reply: ReplyTo | None = Field(default=None, exclude=True)


class RegisterRuntime(Request):
    """A runtime announces itself: at start, after every reconnect, and until it hears "ok"."""

    action: ClassVar = "create"
    uuid: lenient.Identifier
    name: str = "aruntime"
    max_nmodules: int = Field(default=3, ge=0)
    apis: lenient.Apis = lenient.DEFAULT_APIS
    labels: dict[str, str] = Field(default_factory=dict)
    filetypes: frozenset[Filetype] = frozenset(Filetype)
    instance: str = ""
    features: frozenset[str] = frozenset()
    engine: str = ""
    abilities: lenient.Abilities = EVERY_ABILITY
    """What its engine can do for prepared programs. Unknown ones are ignored."""
    ka_interval_sec: float = Field(default=0.0, ge=0)
    """How often it promises a keepalive; 0 promises nothing."""
    modules: tuple[HeldModule, ...] = ()
    ended: "tuple[Report, ...]" = ()
    """How modules ended since the last accepted registration: their reports may have met nobody."""
    manager: str | None = None
    """uuid of the manager that takes it along when it goes."""
    traits: dict[str, Any] = Field(default_factory=dict)
    """Anything else about it, kept and shown."""


class RemoveRuntime(Request):
    """A runtime takes leave (``shutdown``), or its broker says so for it (``last_will``).

    Old runtimes give no reason: their farewell and their last will look the same.
    """

    action: ClassVar = "delete"
    uuid: lenient.Identifier
    instance: str = ""
    reason: Literal["shutdown", "last_will"] | None = None


class RegisterManager(Request):
    """Somebody who owns runtimes announces itself. Nothing depends on it but the answer."""

    action: ClassVar = "create"
    uuid: lenient.Identifier
    name: str = "manager"


class RemoveManager(Request):
    """A manager is gone, and with it every runtime that it owns."""

    action: ClassVar = "delete"
    uuid: lenient.Identifier


class Keepalive(Message):
    """A sign of life, with how busy the machine and each module is."""

    action: ClassVar = "update"
    uuid: lenient.Identifier
    instance: str = ""
    load: Load | None = None
    children: tuple[ModuleStats, ...] = ()


class CreateModule(Request):
    """Start a module. Without ``parent`` the realm chooses the runtime."""

    action: ClassVar = "create"
    uuid: lenient.Identifier
    name: str = "amodule"
    parent: lenient.Reference = None
    strict_parent: bool = True
    """An unknown parent is an error; old clients expect to be scheduled elsewhere."""
    patient: bool = True
    """Wait for a runtime if none can take it now; if not, that is an error."""
    heard: bool = Field(default=False, exclude=True)
    """The runtime may have heard the request itself."""
    filename: str = Field(default="afile.wasm", validation_alias=AliasChoices("filename", "file"))
    fileid: str | None = None
    filetype: lenient.FiletypeName = Filetype.WASM
    apis: lenient.Apis = ()
    args: lenient.Words = ()
    env: lenient.Words = ()
    channels: lenient.Channels = ()
    program: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    limits: Limits = Limits()
    on_runtime_lost: OnRuntimeLost = OnRuntimeLost.REPLACE
    on_crash: OnCrash = OnCrash.IGNORE
    durability: Durability = Durability.NONE
    """What of it outlives its runtime: ``none``, ``checkpoint`` or ``always``."""
    checkpoint_interval: float = Field(default=CHECKPOINT_INTERVAL, ge=0.05, le=86400)
    """Seconds between checkpoints, at most."""
    extras: dict[str, Any] = Field(default_factory=dict)
    """Anything else about it, kept, shown and passed on to its runtime."""
    profile: ProfileChoice | None = None
    """How often the program looks whether it shall pause; the realm's settings have the default."""
    at: float = Field(default=0.0, exclude=True)
    """Wall time of arrival."""

    def spec(self, parent: str | None) -> ModuleSpec:
        """The module that is asked for, pinned to the runtime ``parent`` (uuid) if given."""
        return ModuleSpec(
            uuid=self.uuid,
            name=self.name,
            filename=self.filename,
            filetype=self.filetype,
            program=self.program,
            args=self.args,
            env=self.env,
            channels=self.channels,
            apis=frozenset(self.apis),
            labels=tuple(sorted(self.labels.items())),
            parent=parent,
            limits=self.limits,
            on_runtime_lost=self.on_runtime_lost,
            on_crash=self.on_crash,
            durability=self.durability,
            checkpoint_interval=self.checkpoint_interval,
            fileid=self.fileid,
            extras=self.extras,
            profile=self.profile,
        )


class DeleteModule(Request):
    """Stop a module and forget it. ``uuid`` may be its name where that is unique."""

    action: ClassVar = "delete"
    uuid: str
    force: bool = False
    """Do not wait for the module to react to its TERM signal."""
    heard: bool = Field(default=False, exclude=True)
    """The runtime may have heard the request itself."""
    sender: str = Field(default="", exclude=True)
    """Who says so: a runtime may mean that the module is gone already."""


class ModuleExited(Request):
    """A runtime that sends no reports says that a module has ended by itself."""

    action: ClassVar = "exited"
    uuid: str
    runtime: str = ""
    """Who says so, if it is said on a topic of that runtime."""
    failed: bool = False
    detail: str | None = None


class MoveModule(Request):
    """Move a running module; without ``target`` the realm chooses (``update`` of ``parent``)."""

    action: ClassVar = "update"
    uuid: str
    target: lenient.Reference = None


class CheckpointModule(Request):
    """Take a checkpoint of a running module now; the answer comes when it is kept."""

    action: ClassVar = "checkpoint"
    uuid: str
    hold: float = Field(default=0.0, ge=0, le=600)
    """Seconds for which the module then stands still, unless the next such request comes first."""


class RestoreModule(Request):
    """Let a module go on from one of its checkpoints: what it has done since never happened."""

    action: ClassVar = "restore"
    uuid: str
    number: int | None = None
    """Of the checkpoint; None: the newest that is good."""


class CloneModule(Request):
    """Another module that goes on from a checkpoint of this one."""

    action: ClassVar = "clone"
    uuid: str
    clone: lenient.Identifier
    name: str | None = None


class ExportModule(Request):
    """Send a checkpoint of a module to whoever listens to ``transfer``, as to the target of a
    move. The answer says which it is, and what the module is."""

    action: ClassVar = "export"
    uuid: str
    transfer: lenient.Identifier
    number: int | None = None
    """Of the checkpoint; None: the newest that is good."""


class ImportModule(CreateModule):
    """Start a module that was exported. The answer means: now send its checkpoint to the store, as
    ``importer``, as if a runtime. When it is kept, the module goes on from it."""

    action: ClassVar = "import"
    importer: lenient.Identifier
    form: Program
    """What it runs; the realm has it already."""
    size: int = Field(ge=0)
    """Bytes of the checkpoint."""
    generation: int = Field(default=0, ge=0)
    """The last that it had: it goes on counting."""


class Query(Request):
    """A question about the realm; changes nothing."""

    action: ClassVar = "get"
    what: Literal["realm", "runtime", "module", "why", "snapshots", "plan"]
    key: str = ""
    """uuid, unique prefix of one, or name."""
    target: lenient.Reference = None  # of a plan


# ---------------------------------------------------------------------------- reports


class Report(Message):
    """What became of a module or a command, told by its runtime on ``events/{runtime}``."""

    kind: ReportKind
    runtime: lenient.Identifier
    instance: str = ""
    uuid: lenient.Identifier
    generation: int
    migration: str | None = None
    code: str | None = None
    """Error code (``arts.errors``) of a failure or refusal."""
    detail: str | None = None
    exit_code: int | None = None
    digest: str | None = None
    size: int | None = None
    """Bytes of the encoded snapshot (``frozen``), or of what has gone ahead so far (``ahead``)."""
    newest: int | None = None
    """The latest generation this runtime has seen, when the command's is not later than that."""
    pause_seconds: float = 0.0
    """As in keepalives (``frozen``)."""
    at: float = 0.0
    """Wall time of the event on the runtime: when it paused, when it resumed."""


AnyRequest = (
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
)
AnyCommand = (
    StartModule
    | StopModule
    | TakeCheckpoint
    | PrepareModule
    | FreezeModule
    | ResumeModule
    | ReleaseModule
    | AbortMigration
    | AnnounceRuntime
)
