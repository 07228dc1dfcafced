"""A small honest runtime: obeys every command as ``arts.protocol.messages`` describes it.

Written from the contract alone, so that the realm is tested against the contract and not against
one implementation of it. Its engine works when ``progress`` is called.
"""

from dataclasses import dataclass
from typing import Any

from arts.protocol.messages import (
    AbortMigration,
    AnnounceRuntime,
    AnyCommand,
    FreezeModule,
    HeldModule,
    PrepareModule,
    RegisterRuntime,
    ReleaseModule,
    Report,
    ResumeModule,
    StartModule,
    StopModule,
)
from support.peers import Incoming, Outgoing, Registered, SupervisorChanged, World

HEAR = 60.0
"""What a target waits for news, in seconds."""


@dataclass
class Copy:
    """One copy of a module: loading, running, frozen, preparing, ready, restored or stopping."""

    uuid: str
    generation: int
    condition: str
    command: Any
    migration: str | None = None
    digest: str | None = None
    since: float = 0.0
    value: int = 0
    """How many inputs it has taken."""

    @property
    def is_target(self) -> bool:
        return self.condition in ("preparing", "ready", "restored")


class FakeHost:
    """One process of a runtime."""

    def __init__(self, uuid: str, instance: str, world: World) -> None:
        self.uuid, self.instance, self.world = uuid, instance, world
        self.outgoing: list[Outgoing] = []
        self.copies: dict[str, Copy] = {}
        self.ended: dict[str, tuple[int, str]] = {}
        self.untold: list[Report] = []
        self.over: set[str] = set()
        self.online = False
        self.registrations = 0

    # ------------------------------------------------------------------ events

    def connected(self, now: float) -> None:
        self.online = True
        self._announce()

    def disconnected(self, now: float) -> None:
        self.online = False

    def receive(self, message: Incoming, now: float) -> None:
        match message:
            case SupervisorChanged() | AnnounceRuntime():
                self._announce()
            case Registered():
                pass
            case _:
                getattr(self, f"_{type(message).__name__}")(message, now)

    def tick(self, now: float) -> None:
        for copy in list(self.copies.values()):
            if copy.is_target and self.online and now > copy.since + HEAR:
                self._drop(copy)
                self._tell(copy, "aborted")

    def end(self, uuid: str, failed: bool, now: float) -> None:
        copy = self.copies[uuid]
        self._drop(copy)
        self.ended[uuid] = (copy.generation, copy.command.object_id)
        self._tell(copy, "failed" if failed else "exited")
        self.untold.append(self.outgoing[-1])  # to be told again when it registers

    def acting(self) -> dict[str, int]:
        return {u: c.generation for u, c in self.copies.items() if c.condition == "running"}

    def holding(self) -> dict[str, int]:
        return {u: c.generation for u, c in self.copies.items()}

    def count(self) -> None:
        for copy in self.copies.values():
            copy.value += copy.condition == "running"

    def values(self) -> dict[str, int]:
        owned = ("running", "frozen")
        return {u: c.value for u, c in self.copies.items() if c.condition in owned}

    def progress(self, now: float) -> bool:
        for copy in list(self.copies.values()):
            failing = self.world.failing.pop(self.uuid, None) if self._is_busy(copy) else None
            if copy.condition in ("loading", "preparing"):
                self._loaded(copy, failing)
            elif copy.condition == "stopping":
                self._stopped(copy, copy.command)
            elif copy.condition == "ready" and copy.migration in self.world.snapshots:
                self._restored(copy, failing)
            else:
                continue
            return True
        return False

    def _is_busy(self, copy: Copy) -> bool:
        received = copy.condition == "ready" and copy.migration in self.world.snapshots
        return received or copy.condition in ("loading", "preparing")

    # ------------------------------------------------------------------ the engine

    def _loaded(self, copy: Copy, failing: str | None) -> None:
        target = copy.condition == "preparing"
        if failing:
            self._spoil(copy, failing)
            self._drop(copy)
            self._report(copy.command, "refused" if target else "failed", code=failing)
        elif target:
            copy.condition = "ready"
            self._report(copy.command, "ready")
        else:
            copy.condition = "running"
            self._report(copy.command, "started")

    def _restored(self, copy: Copy, failing: str | None) -> None:
        assert copy.migration is not None
        copy.condition, copy.digest = "restored", self.world.snapshots[copy.migration]
        copy.value = int(copy.digest.split()[1])
        if failing == "snapshot_error" or self.uuid in self.world.garbling:
            self.world.garbling.discard(self.uuid)
            self.world.unfit.add(copy.migration)
            copy.digest = "damaged"
        self._tell(copy, "restored", digest=copy.digest)

    def _spoil(self, copy: Copy, failing: str) -> None:
        if failing == "snapshot_error" and copy.migration is not None:
            self.world.unfit.add(copy.migration)

    def _stopped(self, copy: Copy, command: AnyCommand) -> None:
        self._drop(copy)
        self.ended[copy.uuid] = (command.generation, command.object_id)
        self._report(command, "stopped")

    def _drop(self, copy: Copy) -> None:
        del self.copies[copy.uuid]
        if copy.migration:
            self.over.add(copy.migration)

    # ------------------------------------------------------------------ commands

    def _StartModule(self, command: StartModule, now: float) -> None:
        copy = self.copies.get(command.uuid)
        ended, by = self.ended.get(command.uuid, (0, ""))
        if copy and copy.generation >= command.generation:
            if copy.command.object_id != command.object_id:
                self._report(command, "stopped", newest=copy.generation)
            elif copy.condition == "running":
                self._report(command, "started")
        elif ended >= command.generation:
            same = by == command.object_id
            self._report(command, "exited" if same else "stopped", newest=None if same else ended)
        else:
            self.copies[command.uuid] = Copy(
                command.uuid, command.generation, "loading", command, since=now
            )

    def _StopModule(self, command: StopModule, now: float) -> None:
        copy = self.copies.get(command.uuid)
        if copy is None or copy.generation > command.generation:
            self._report(command, "stopped")
        elif copy.is_target or command.force or not command.forget_session:
            self._stopped(copy, command)
        else:
            copy.condition, copy.command = "stopping", command

    def _PrepareModule(self, command: PrepareModule, now: float) -> None:
        copy = self.copies.get(command.uuid)
        if command.migration in self.over or (copy and copy.migration != command.migration):
            self._report(command, "refused")
        elif copy is None:
            self.copies[command.uuid] = Copy(
                command.uuid, command.generation, "preparing", command, command.migration, since=now
            )
        elif copy.condition == "ready":
            self._report(command, "ready")
        elif copy.condition == "restored":
            self._tell(copy, "restored", digest=copy.digest)

    def _FreezeModule(self, command: FreezeModule, now: float) -> None:
        copy = self.copies.get(command.uuid)
        if copy and copy.condition == "frozen" and copy.migration == command.migration:
            self._frozen(copy, command, now)
        elif (
            copy is None
            or copy.condition != "running"
            or command.migration in self.over
            or self.world.failing.pop(self.uuid, None)
        ):
            self._report(command, "refused")
        else:
            copy.condition, copy.migration = "frozen", command.migration
            self._frozen(copy, command, now)

    def _frozen(self, copy: Copy, command: FreezeModule, now: float) -> None:
        digest = f"value {copy.value} of {command.migration}"
        copy.digest = self.world.snapshots[command.migration] = digest
        self._report(command, "frozen", digest=copy.digest, size=100, at=now)

    def _ResumeModule(self, command: ResumeModule, now: float) -> None:
        copy = self.copies.get(command.uuid)
        if copy and copy.condition == "running" and copy.generation == command.generation:
            self._report(command, "resumed", at=now)
        elif copy and copy.migration == command.migration and self._may_resume(copy, command):
            assert copy.digest != "damaged", "a damaged copy was told to go on"
            copy.condition, copy.generation = "running", command.generation
            self._report(command, "resumed", at=now)
        else:
            self._report(command, "failed")

    def _may_resume(self, copy: Copy, command: ResumeModule) -> bool:
        if copy.condition == "restored":
            return copy.generation == command.generation
        return copy.condition == "frozen" and copy.generation < command.generation

    def _ReleaseModule(self, command: ReleaseModule, now: float) -> None:
        self._report(command, "released")

    def _AbortMigration(self, command: AbortMigration, now: float) -> None:
        copy = self.copies.get(command.uuid)
        self.over.add(command.migration)
        if copy is None or copy.migration != command.migration:
            pass
        elif copy.is_target:
            self._drop(copy)
        elif copy.condition == "frozen":
            copy.condition, copy.migration = "running", None
        self._report(command, "aborted")

    # ------------------------------------------------------------------ reports

    def _report(self, command: AnyCommand, kind: str, **fields: Any) -> None:
        self.outgoing.append(
            Report(
                object_id=command.object_id,
                kind=kind,
                runtime=self.uuid,
                instance=self.instance,
                uuid=command.uuid,
                generation=command.generation,
                migration=getattr(command, "migration", None),
                **fields,
            )
        )

    def _tell(self, copy: Copy, kind: str, **fields: Any) -> None:
        self.outgoing.append(
            Report(
                kind=kind,
                runtime=self.uuid,
                instance=self.instance,
                uuid=copy.uuid,
                generation=copy.generation,
                migration=copy.migration if copy.is_target else None,
                **fields,
            )
        )

    def _announce(self) -> None:
        if not self.online:
            return
        states = {"frozen": "frozen", "restored": "restored"}
        held = tuple(
            HeldModule(
                uuid=copy.uuid,
                generation=copy.generation,
                state=states.get(copy.condition, "running"),
                migration=copy.migration if copy.condition in states else None,
            )
            for copy in self.copies.values()
            if copy.condition not in ("preparing", "ready")
        )
        self.registrations += 1
        self.outgoing.append(
            RegisterRuntime(
                object_id=f"{self.instance}/{self.registrations}",
                uuid=self.uuid,
                name=self.uuid,
                instance=self.instance,
                modules=held,
                ended=tuple(self.untold),
            )
        )
