"""What the pure ``Host`` wants done. Imperative, data only; the agent knows how.

Each effect says with which events it may end. An effect without any is done when it returns.
``copy`` is the host's number for one incarnation of a module on this runtime.
"""

from dataclasses import dataclass

from arts.model import Limits
from arts.protocol.messages import HeldModule, Report, StartModule, TakeCheckpoint


@dataclass(frozen=True, slots=True)
class Load:
    """Fetch and compile the program, make an instance. -> ModuleLoaded | LoadFailed."""

    copy: int
    generation: int
    module: StartModule
    limits: Limits


@dataclass(frozen=True, slots=True)
class Prepare:
    """Fetch and compile the program, listen for the snapshot. -> ModuleLoaded | LoadFailed, then
    SnapshotReceived | RestoreFailed."""

    copy: int
    generation: int
    module: StartModule
    limits: Limits
    migration: str


@dataclass(frozen=True, slots=True)
class Restore:
    """Make an instance of the received snapshot, paused. -> ModuleRestored | RestoreFailed."""

    copy: int


@dataclass(frozen=True, slots=True)
class Connect:
    """Take the module's MQTT session. -> SessionOpened | SessionFailed, later SessionLost."""

    copy: int


@dataclass(frozen=True, slots=True)
class Run:
    """Let it run until further notice. -> ModuleExited | ModuleFailed."""

    copy: int
    generation: int
    """A source that gets its module back goes on at another one than it had."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Stop it where it is, as soon as it can be stopped; nothing of it may act."""

    copy: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """Hold it, get its output confirmed, send its snapshot away. -> ModuleFrozen | FreezeFailed.

    ``rehearse``: let the target prepare first, while it runs.
    """

    copy: int
    migration: str
    rehearse: bool = False


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Capture it, let it go on, send the checkpoint to the store, which says when it is kept.
    -> CheckpointFailed, when it will not."""

    copy: int
    command: TakeCheckpoint


@dataclass(frozen=True, slots=True)
class Thaw:
    """Forget the freeze, done or under way; the module stays held."""

    copy: int


@dataclass(frozen=True, slots=True)
class Release:
    """Close the module's connection, keep the frozen copy. -> SessionReleased."""

    copy: int


@dataclass(frozen=True, slots=True)
class Terminate:
    """End it for good: politely first, unless ``force``; the broker forgets its session.
    -> ModuleTerminated | ModuleExited | ModuleFailed."""

    copy: int
    force: bool


@dataclass(frozen=True, slots=True)
class Discard:
    """Drop the copy at once, whatever it does: from now on nothing of it may act. The broker
    keeps its session, for the module may live on elsewhere."""

    copy: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Send a report."""

    report: Report


@dataclass(frozen=True, slots=True)
class Announce:
    """Register with the realm, naming what is held, and how what is not held any more has ended.
    -> RegistrationAccepted | -Refused, or silence."""

    serial: int
    modules: tuple[HeldModule, ...]
    ended: tuple[Report, ...] = ()


CopyEffect = (
    Restore | Connect | Run | Hold | Checkpoint | Freeze | Thaw | Release | Terminate | Discard
)
"""Effects on a copy that exists."""
Effect = Load | Prepare | CopyEffect | Publish | Announce
