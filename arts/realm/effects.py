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
    CreateModule,
    DeleteModule,
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


Effect = Record | Command | Reply | FetchProgram | LearnPause | Note


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
    | Query
    | Report
    | ProgramFetched
    | ProgramUnavailable
    | Discarded
    | LinkLost
    | LinkRestored
)
