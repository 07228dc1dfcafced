"""Drives a pure ``Host`` by hand: commands in, effects and reports out, invariants after each."""

from typing import Any

from arts.model import Filetype, Limits
from arts.protocol import messages as m
from runtime import effects as do
from runtime import events as ev
from runtime.held import Condition, Held
from runtime.host import Host
from runtime.ledger import Timeouts

UUID = "module-1"
MOVE = "move-1"


def start(generation: int = 1, uuid: str = UUID, **fields: Any) -> m.StartModule:
    return m.StartModule(
        object_id=f"start-{generation}",
        uuid=uuid,
        generation=generation,
        name="m",
        filename="m.wasm",
        filetype=Filetype.WASM,
        parent="rt",
        **fields,
    )


def stop(generation: int = 1, **fields: Any) -> m.StopModule:
    return m.StopModule(object_id="stop", uuid=UUID, generation=generation, **fields)


def prepare(generation: int = 2, migration: str = MOVE) -> m.PrepareModule:
    return m.PrepareModule(
        object_id="prepare",
        uuid=UUID,
        generation=generation,
        migration=migration,
        module=start(generation),
        source="other",
    )


def freeze(generation: int = 2, migration: str = MOVE) -> m.FreezeModule:
    return m.FreezeModule(
        object_id="freeze", uuid=UUID, generation=generation, migration=migration, target="other"
    )


def resume(generation: int = 2, migration: str = MOVE) -> m.ResumeModule:
    return m.ResumeModule(object_id="resume", uuid=UUID, generation=generation, migration=migration)


def release(generation: int = 2, migration: str = MOVE) -> m.ReleaseModule:
    return m.ReleaseModule(
        object_id="release", uuid=UUID, generation=generation, migration=migration
    )


def abort(generation: int = 2, migration: str = MOVE) -> m.AbortMigration:
    return m.AbortMigration(
        object_id="abort", uuid=UUID, generation=generation, migration=migration
    )


class Driver:
    """A host, its clock, and the effects of the last thing that happened."""

    def __init__(self, **timeouts: float) -> None:
        self.host = Host(
            "rt",
            "process",
            timeouts=Timeouts(**timeouts),
            limits=Limits(memory_bytes=1 << 20, wall_seconds=9.0),
        )
        self.now = 0.0
        self.effects: list[do.Effect] = []
        self.reports: list[m.Report] = []
        self.copies = 0

    # ---- what happens

    def tell(self, event: ev.Event) -> list[str]:
        """Let something happen; the kinds of the reports it causes."""
        return self._account(self.host.handle(event, self.now))

    def wait(self, seconds: float) -> list[str]:
        """Let time pass; the kinds of the reports it causes."""
        self.now += seconds
        return self._account(self.host.tick(self.now))

    def _account(self, effects: list[do.Effect]) -> list[str]:
        self.host.validate()
        self.effects = effects
        reports = [effect.report for effect in effects if isinstance(effect, do.Publish)]
        self.reports += reports
        for effect in effects:
            if isinstance(effect, do.Load | do.Prepare):
                self.copies = effect.copy
        return [report.kind for report in reports]

    # ---- what can be seen

    @property
    def held(self) -> Held:
        (held,) = self.host.held()
        return held

    @property
    def condition(self) -> Condition | None:
        """The condition of the only module, None when there is none."""
        held = self.host.held()
        return held[0].condition if held else None

    @property
    def last(self) -> m.Report:
        return self.reports[-1]

    def did(self, kind: type[Any]) -> bool:
        """Whether the last thing that happened had such an effect."""
        return any(isinstance(effect, kind) for effect in self.effects)

    # ---- common paths; ``copy`` is always the newest

    def connect(self) -> None:
        self.tell(ev.BusConnected())

    def accept(self) -> list[str]:
        (announce,) = [e for e in self.effects if isinstance(e, do.Announce)]
        return self.tell(ev.RegistrationAccepted(announce.serial))

    def running(self, session: bool = False) -> "Driver":
        """Online, with a running module of generation 1."""
        self.connect()
        self.accept()
        self.tell(start())
        self.tell(ev.ModuleLoaded(self.copies, session))
        if session:
            self.tell(ev.SessionOpened(self.copies))
        return self

    def freezing(self, session: bool = False) -> "Driver":
        self.running(session).tell(freeze())
        return self

    def frozen(self, session: bool = False) -> "Driver":
        self.freezing(session).tell(ev.ModuleFrozen(self.copies, "digest", 5, 7.5))
        return self

    def preparing(self) -> "Driver":
        self.connect()
        self.accept()
        self.tell(prepare())
        return self

    def ready(self, session: bool = False) -> "Driver":
        self.preparing().tell(ev.ModuleLoaded(self.copies, session))
        return self

    def restoring(self, session: bool = False) -> "Driver":
        self.ready(session).tell(ev.SnapshotReceived(self.copies))
        return self

    def restored(self, session: bool = False) -> "Driver":
        self.restoring(session).tell(ev.ModuleRestored(self.copies, "digest", 5))
        return self
