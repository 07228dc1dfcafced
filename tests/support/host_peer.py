"""A real ``Host`` with an engine that only counts: one runtime process on a ``Network``.

What an agent does with effects is done here by hand and in virtual time. A module counts and says
each number; a snapshot is the number.
"""

from dataclasses import dataclass
from typing import Any

from arts.protocol.messages import RegisterRuntime
from runtime import effects as do
from runtime import events as ev
from runtime.held import Condition, Held
from runtime.host import Host
from support.peers import Incoming, Outgoing, Registered, SupervisorChanged, World


@dataclass
class Counter:
    """An instance: it counts while it runs."""

    uuid: str
    value: int = 0
    runs: bool = False
    migration: str | None = None
    """Set while it waits for the snapshot of that move."""


class HostPeer:
    """One process of a runtime."""

    def __init__(self, uuid: str, instance: str, world: World) -> None:
        self.uuid, self.instance, self.world = uuid, instance, world
        self.host = Host(uuid, instance)
        self.outgoing: list[Outgoing] = []
        self.counters: dict[int, Counter] = {}
        self.jobs: list[Any] = []
        self.online = False
        self.now = 0.0

    # ------------------------------------------------------------------ events

    def connected(self, now: float) -> None:
        self.online = True
        self._handle(ev.BusConnected(), now)

    def disconnected(self, now: float) -> None:
        self.online = False
        self._handle(ev.BusDisconnected(), now)
        for copy, counter in self.counters.items():
            if self._has_session(copy, counter):
                del self.world.sessions[counter.uuid]
                self.jobs.append(ev.SessionLost(copy))

    def receive(self, message: Incoming, now: float) -> None:
        match message:
            case SupervisorChanged():
                self._handle(ev.SupervisorChanged(), now)
            case Registered(object_id):
                self._handle(ev.RegistrationAccepted(int(object_id.rpartition("/")[2])), now)
            case _:
                self._handle(message, now)

    def tick(self, now: float) -> None:
        self.now = now
        self._perform(self.host.tick(now))

    def end(self, uuid: str, failed: bool, now: float) -> None:
        (copy,) = (c for c, counter in self.counters.items() if counter.uuid == uuid)
        self.world.sessions.pop(uuid, None)
        self.counters[copy].runs = False
        event = (
            ev.ModuleFailed(copy, "engine_error", "trap") if failed else ev.ModuleExited(copy, 0)
        )
        self._handle(event, now)

    def acting(self) -> dict[str, int]:
        return {h.uuid: h.generation for h in self.host.held() if self._runs(h.copy)}

    def holding(self) -> dict[str, int]:
        return {held.uuid: held.generation for held in self.host.held()}

    def count(self) -> None:
        """Every module that runs counts one further and says so."""
        for counter in self.counters.values():
            if counter.runs:
                counter.value += 1
                self.world.said.setdefault(counter.uuid, []).append(counter.value)

    def values(self) -> dict[str, int]:
        return {h.uuid: self.counters[h.copy].value for h in self.host.held() if self._owns(h)}

    def _owns(self, held: Held) -> bool:
        return held.condition in (Condition.RUNNING, Condition.FROZEN)

    def progress(self, now: float) -> bool:
        if self.jobs:
            job = self.jobs.pop(0)
            news = job if isinstance(job, ev.CopyEvent) else self._finished(job)
            if news is not None:
                self._handle(news, now)
            return True
        for copy, counter in self.counters.items():
            if counter.migration in self.world.snapshots:
                counter.migration = None
                self._handle(ev.SnapshotReceived(copy), now)
                return True
        return False

    # ------------------------------------------------------------------ the agent's part

    def _handle(self, event: Any, now: float) -> None:
        self.now = now
        self._perform(self.host.handle(event, now))
        self.host.validate()

    def _perform(self, effects: list[do.Effect]) -> None:
        for effect in effects:
            match effect:
                case do.Publish(report):
                    self.outgoing.append(report)
                case do.Announce():
                    self._announce(effect)
                case do.Discard(copy):
                    self._discard(copy)
                case do.Run(copy=copy):
                    self.counters[copy].runs = True
                case do.Hold(copy):
                    self.counters[copy].runs = False
                case do.Thaw(copy):
                    self.jobs = [job for job in self.jobs if not self._is_freeze(job, copy)]
                case _:
                    self._begin(effect)

    def _begin(self, effect: Any) -> None:
        """What takes a while."""
        if isinstance(effect, do.Load | do.Prepare):
            self.counters[effect.copy] = Counter(effect.module.uuid)
        elif isinstance(effect, do.Freeze | do.Terminate):
            self.counters[effect.copy].runs = False
        self.jobs.append(effect)

    def _finished(self, job: Any) -> ev.CopyEvent | None:
        """How something that takes a while ends."""
        counter = self.counters.get(job.copy)
        if counter is None:
            return None
        failing = self.world.failing.pop(self.uuid, None)
        if failing == "snapshot_error":
            self._spoil(job)
        match job:
            case do.Load() | do.Prepare() if failing:
                return ev.LoadFailed(job.copy, failing, "as it was told")
            case do.Load():
                return ev.ModuleLoaded(job.copy, session=True)
            case do.Prepare():
                counter.migration = job.migration
                return ev.ModuleLoaded(job.copy, session=True)
            case do.Restore() if failing:
                return ev.RestoreFailed(job.copy, failing, "as it was told")
            case do.Freeze() if failing:
                return ev.FreezeFailed(job.copy, failing, "as it was told")
            case do.Freeze():
                return self._freeze(job, counter)
            case do.Restore():
                return self._restore(job, counter)
            case do.Connect():
                return self._connect(job, counter)
            case do.Release() | do.Terminate():
                if self._has_session(job.copy, counter):
                    del self.world.sessions[counter.uuid]
                ended = isinstance(job, do.Terminate)
                return ev.ModuleTerminated(job.copy) if ended else ev.SessionReleased(job.copy)
        raise AssertionError(job)

    def _spoil(self, job: Any) -> None:
        found = (held for held in self.host.held() if held.copy == job.copy)
        held = next(found, None)
        if held is not None and held.migration is not None:
            self.world.unfit.add(held.migration)

    def _freeze(self, job: do.Freeze, counter: Counter) -> ev.ModuleFrozen:
        digest = self.world.snapshots[job.migration] = f"value {counter.value}"
        return ev.ModuleFrozen(job.copy, digest, 8, self.now)

    def _restore(self, job: do.Restore, counter: Counter) -> ev.ModuleRestored:
        (held,) = (held for held in self.host.held() if held.copy == job.copy)
        assert held.migration is not None
        digest = self.world.snapshots[held.migration]
        counter.value = int(digest.split()[1])
        if self.uuid in self.world.garbling:
            self.world.garbling.discard(self.uuid)
            self.world.unfit.add(held.migration)
            digest = "damaged"
        return ev.ModuleRestored(job.copy, digest, 8)

    def _connect(self, job: do.Connect, counter: Counter) -> ev.CopyEvent:
        if not self.online:
            return ev.SessionFailed(job.copy, "no broker")
        owner, copy = self.world.sessions.get(counter.uuid, (None, 0))
        if owner is not None and (owner, copy) != (self, job.copy):
            owner.jobs.append(ev.SessionLost(copy))
        self.world.sessions[counter.uuid] = (self, job.copy)
        return ev.SessionOpened(job.copy)

    def _discard(self, copy: int) -> None:
        counter = self.counters.pop(copy)
        if self._has_session(copy, counter):
            del self.world.sessions[counter.uuid]

    def _has_session(self, copy: int, counter: Counter) -> bool:
        return self.world.sessions.get(counter.uuid) == (self, copy)

    def _runs(self, copy: int) -> bool:
        return copy in self.counters and self.counters[copy].runs

    def _is_freeze(self, job: Any, copy: int) -> bool:
        return isinstance(job, do.Freeze) and job.copy == copy

    def _announce(self, effect: do.Announce) -> None:
        self.outgoing.append(
            RegisterRuntime(
                object_id=f"{self.instance}/{effect.serial}",
                uuid=self.uuid,
                name=self.uuid,
                instance=self.instance,
                modules=effect.modules,
                ended=effect.ended,
            )
        )
