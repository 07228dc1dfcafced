"""What has happened on this runtime, as the pure ``Host`` hears it. Past tense, data only.

Besides these the host takes the commands of ``arts.protocol.messages``. An event about a module
names its *copy*: a number the host gave out, never reused, so that news of a copy that is gone
cannot touch its successor.
"""

from dataclasses import dataclass

from arts.protocol.messages import AnyCommand, TakeCheckpoint


@dataclass(frozen=True, slots=True)
class BusConnected:
    """The broker is reachable (again) and all subscriptions are in force."""


@dataclass(frozen=True, slots=True)
class BusDisconnected:
    """The broker is gone: nobody can tell us what we still own."""


@dataclass(frozen=True, slots=True)
class SupervisorChanged:
    """Another supervisor process is in charge."""


@dataclass(frozen=True, slots=True)
class RegistrationAccepted:
    """The realm has answered announcement ``serial`` with "ok"."""

    serial: int


@dataclass(frozen=True, slots=True)
class RegistrationRefused:
    """The realm has answered announcement ``serial`` with an error."""

    serial: int


@dataclass(frozen=True, slots=True)
class ModuleLoaded:
    """The program is here; for a start also the instance, parked before its first instruction.

    ``session``: whether the module needs an MQTT session (channels, or it reads stdin).
    """

    copy: int
    session: bool


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """There will be no program or no instance. ``code``: of ``arts.errors``."""

    copy: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The module's MQTT session is ours."""

    copy: int


@dataclass(frozen=True, slots=True)
class SessionFailed:
    """The module's MQTT session could not be had."""

    copy: int
    detail: str


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The module's MQTT session was cut, not by us: perhaps somebody else owns the module."""

    copy: int


@dataclass(frozen=True, slots=True)
class ModuleExited:
    """The program ended by itself; its output is on its way and its session purged."""

    copy: int
    exit_code: int


@dataclass(frozen=True, slots=True)
class ModuleFailed:
    """The program trapped or went over a limit, or the engine failed under it; session purged."""

    copy: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class MemoryAhead:
    """Memory has gone ahead of a snapshot, ``size`` bytes so far (0: here)."""

    copy: int
    size: int


@dataclass(frozen=True, slots=True)
class ModuleFrozen:
    """Paused, its output confirmed by the broker, its snapshot under way.

    ``digest``: sha256 (hex) and ``size``: bytes of the snapshot; ``paused_at``: wall time.
    """

    copy: int
    digest: str
    size: int
    paused_at: float
    pause_seconds: float = 0.0
    """CPU time that it took to pause."""


@dataclass(frozen=True, slots=True)
class FreezeFailed:
    """It cannot be moved now; it is paused, complete, and fit to go on."""

    copy: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class CheckpointFailed:
    """The checkpoint that ``command`` wants will not be kept; the module goes on."""

    copy: int
    command: TakeCheckpoint
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class SnapshotReceived:
    """The snapshot is here and has the digest its sender announced."""

    copy: int


@dataclass(frozen=True, slots=True)
class ModuleRestored:
    """The instance stands where the snapshot was taken, paused."""

    copy: int
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class RestoreFailed:
    """The snapshot never came, or does not fit."""

    copy: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class SessionReleased:
    """The module's connection is closed; the broker keeps its session for the next owner."""

    copy: int


@dataclass(frozen=True, slots=True)
class ModuleTerminated:
    """It has ended because we asked it to; its session is purged."""

    copy: int


CopyEvent = (
    ModuleLoaded
    | LoadFailed
    | SessionOpened
    | SessionFailed
    | SessionLost
    | ModuleExited
    | ModuleFailed
    | MemoryAhead
    | ModuleFrozen
    | FreezeFailed
    | CheckpointFailed
    | SnapshotReceived
    | ModuleRestored
    | RestoreFailed
    | SessionReleased
    | ModuleTerminated
)
BusEvent = (
    BusConnected | BusDisconnected | SupervisorChanged | RegistrationAccepted | RegistrationRefused
)
Event = AnyCommand | CopyEvent | BusEvent
