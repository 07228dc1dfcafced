"""What the supervisor tells a runtime to do: the *commands* among the messages.

Each names a module and a generation; how it ended comes back as a report. Knows no JSON, no topic.
"""

from typing import Any, ClassVar

from pydantic import Field

from arts.model import CHECKPOINT_INTERVAL, ChannelSpec, Durability, Filetype, Limits, Program
from arts.protocol.parts import Message


class Command(Message):
    """Something a runtime must do. It answers with a report, or repeats it if already done."""

    uuid: str
    generation: int


class StartModule(Command):
    """Load the program and run the module.

    Reports: ``started``, ``failed``; ``stopped`` with ``newest`` when the runtime has seen a later
    generation of a module of this uuid: the realm then starts it at a later one still.
    """

    action: ClassVar = "create"
    name: str
    filename: str
    filetype: Filetype
    fileid: str | None = None
    program: Program | None = None
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    channels: tuple[ChannelSpec, ...] = ()
    apis: tuple[str, ...] = ()
    limits: Limits = Limits()
    extras: dict[str, Any] = Field(default_factory=dict)
    durability: Durability = Durability.NONE
    checkpoint_interval: float = CHECKPOINT_INTERVAL
    origin: int = 0
    """A generation: what numbers on sequenced channels began before it is not gone on with."""
    parent: str


class StopModule(Command):
    """End the module, or forget a stale copy: anything at ``generation`` or below goes.

    Reports: ``stopped``, also when there was nothing to stop.
    """

    action: ClassVar = "delete"
    force: bool = False
    forget_session: bool = True
    """Purge the module's MQTT session: false when the module lives on elsewhere."""
    module: StartModule | None = Field(default=None, exclude=True)
    """What the module is: old runtimes are told again."""
    send_to: str | None = Field(default=None, exclude=True)
    """The runtime to which an old one is to hand it over itself."""


class TakeCheckpoint(Command):
    """Take a checkpoint now and send it to the store, which says when it is kept.

    Reports: ``refused`` when there will be none.
    """

    action: ClassVar = "checkpoint"
    hold: float = 0.0
    """Seconds for which the module then stands still, unless it is told again, or to stop."""


class MigrationCommand(Command):
    """One step of a move; ``generation`` is the one *after* the move."""

    migration: str


class PrepareModule(MigrationCommand):
    """To the target: load the program, make room, listen for the snapshot.

    Reports: ``ready``, ``refused``; unasked ``restored`` (with the digest) when the module is
    rebuilt, and that again when asked again.
    """

    action: ClassVar = "prepare"
    module: StartModule
    """What the module is, as its own start command would say it."""
    source: str


class FreezeModule(MigrationCommand):
    """To the source: pause, drain the channels, send the snapshot. With ``rehearse`` it first
    tells the target, while the module still runs, where it last stood.

    Reports: ``ahead`` (now and then, of memory), then ``frozen`` (digest, size) or ``refused``.
    """

    action: ClassVar = "freeze"
    target: str
    rehearse: bool = False


class ResumeModule(MigrationCommand):
    """To the new owner: take the channels over and run. Reports: ``resumed``."""

    action: ClassVar = "resume"


class ReleaseModule(MigrationCommand):
    """To the source, after the commit: let go of the channels, keep the frozen copy until told to
    forget it. Reports: ``released``."""

    action: ClassVar = "release"


class AbortMigration(MigrationCommand):
    """Call the move off: the source runs on, the target forgets. Reports: ``aborted``."""

    action: ClassVar = "abort"


class AnnounceRuntime(Command):
    """Register again, with everything held: the realm gave this runtime up, never knew it, or was
    deaf for a while. ``uuid`` is the runtime's own. The registration is the answer."""

    action: ClassVar = "announce"
    generation: int = 0
