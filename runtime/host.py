"""The pure heart of a runtime: which modules it holds, at which generation, in which condition.

PURE: events in, effects out; no I/O, no clock, no randomness. ``now`` is monotonic seconds. The
agent performs the effects and tells how they ended.

Rules it keeps, whatever arrives in whatever order:

* At most one copy of a module here may act, and a command below its generation is a ghost's.
* A command ends in one report; asked again, the same report is repeated.
* Everything that is under way has a deadline. A target that hears nothing forgets; a frozen source
  never goes on by itself, because the module may already live elsewhere.
* A module whose session was cut is held until the realm has answered a new registration and
  thereby had its chance to take the module away.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from arts.protocol import messages as m
from runtime import effects as do
from runtime import events as ev
from runtime.held import SOURCE, TARGET, Condition, Held, answer_key
from runtime.steps import Steps


class Host(Steps):
    """The modules of one runtime.

    ``Host(runtime, instance, timeouts=None, limits=None)``: the runtime's uuid, the random id of
    this process, how long things may take, and what a module gets that does not ask for less.
    """

    # ------------------------------------------------------------------------ entry points

    def handle(self, event: ev.Event, now: float) -> list[do.Effect]:
        """What is to be done because of ``event``."""
        self._now = now
        if isinstance(event, ev.CopyEvent):
            held = self._held.get(self._uuids.get(event.copy, ""))
            if held is not None:
                _NEWS[type(event)](self, held, event)
        else:
            _HANDLERS[type(event)](self, event)
        return self._take_effects()

    def tick(self, now: float) -> list[do.Effect]:
        """What is to be done because time has passed."""
        self._now = now
        for held in [h for h in self._held.values() if h.deadline is not None]:
            if held.deadline is not None and held.deadline <= now:
                self._overdue(replace(held, deadline=None))
        if self._announce_at is not None and self._announce_at <= now:
            self._announce()
        return self._take_effects()

    def next_deadline(self) -> float | None:
        """When ``tick`` has something to do; None when never."""
        deadlines = [h.deadline for h in self._held.values() if h.deadline is not None]
        if self._announce_at is not None:
            deadlines.append(self._announce_at)
        return min(deadlines, default=None)

    # ------------------------------------------------------------------------ commands

    def _start(self, command: m.StartModule) -> None:
        held = self._held.get(command.uuid)
        generation, ended = self._ended.get(command.uuid, (-1, None))
        if held is not None and command.generation <= held.generation:
            if (command.generation, command.object_id) == (held.generation, held.origin):
                self._repeat(held, command)
            else:
                self._report(command, "stopped", newest=held.generation)
        elif ended is not None and command.generation <= generation:
            if command.object_id == ended.object_id:
                self._do(do.Publish(ended))
            else:
                self._report(command, "stopped", newest=generation)
        else:
            if held is not None:
                self._supersede(held)
            held = self._admit(command, command, Condition.LOADING)
            self._do(do.Load(held.copy, held.generation, command, held.limits))

    def _stop(self, command: m.StopModule) -> None:
        held = self._held.get(command.uuid)
        if held is None or held.generation > command.generation:
            self._report(command, "stopped")
        elif held.condition in TARGET:
            self._drop(held)
            self._report(command, "stopped")
        elif not command.forget_session:
            self._supersede(held)
            self._remember(held.uuid, command.generation, self._report(command, "stopped"))
        else:
            self._terminate(held, command)

    def _terminate(self, held: Held, command: m.StopModule) -> None:
        self._refuse_freeze(held, "the module is being stopped")
        if held.condition is not Condition.STOPPING:
            held = held.to(Condition.STOPPING, deadline=self._now + self._timeouts.stop)
            self._do(do.Terminate(held.copy, command.force))
        elif command.force:
            self._do(do.Terminate(held.copy, force=True))
        self._put(replace(held, owed=command))

    def _prepare(self, command: m.PrepareModule) -> None:
        held = self._held.get(command.uuid)
        if held is not None and held.migration == command.migration:
            self._repeat(held, command)
        elif command.migration in self._called_off:
            self._refuse(command, "failed_precondition", "the move was called off")
        elif held is not None and (
            held.condition is not Condition.RELEASED or held.generation >= command.generation
        ):
            self._refuse(command, "failed_precondition", f"the module is here, {held.condition}")
        else:
            if held is not None:
                self._drop(held)
            held = self._admit(command.module, command, Condition.PREPARING)
            self._do(
                do.Prepare(
                    held.copy, held.generation, command.module, held.limits, command.migration
                )
            )

    def _freeze(self, command: m.FreezeModule) -> None:
        held = self._held.get(command.uuid)
        if held is None:
            self._refuse(command, "not_found", "no such module here")
        elif held.migration == command.migration:
            self._repeat(held, command)
        elif command.migration in self._called_off:
            self._refuse(command, "failed_precondition", "the move was called off")
        elif held.condition is not Condition.RUNNING or held.generation >= command.generation:
            self._refuse(
                command,
                "failed_precondition",
                f"the module is {held.condition} at generation {held.generation}",
            )
        else:
            held = held.without_migration().to(
                Condition.FREEZING,
                migration=command.migration,
                owed=command,
                deadline=self._now + self._timeouts.freeze,
            )
            self._put(held)
            self._do(do.Freeze(held.copy, command.migration, command.rehearse))

    def _take_checkpoint(self, command: m.TakeCheckpoint) -> None:
        held = self._held.get(command.uuid)
        if held is None or held.generation != command.generation:
            self._refuse(command, "not_found", "no such module here")
        elif held.condition is not Condition.RUNNING:
            self._refuse(command, "failed_precondition", f"the module is {held.condition}")
        else:
            self._do(do.Checkpoint(held.copy, command))

    def _resume(self, command: m.ResumeModule) -> None:
        held = self._held.get(command.uuid)
        if held is None:
            self._report(command, "failed", code="not_found", detail="no such module here")
        elif answer_key(command) in held.answers or held.owed == command:
            self._repeat(held, command)
        elif held.condition is Condition.RESTORED and held.generation == command.generation:
            self._go_on(replace(held, owed=command))
        elif held.condition in _KEPT and held.generation < command.generation:
            self._do(do.Thaw(held.copy))
            held = replace(held.without_migration(), migration=command.migration)
            self._go_on(replace(held, generation=command.generation, owed=command))
        else:
            detail = f"the module is {held.condition} at generation {held.generation}"
            self._report(command, "failed", code="failed_precondition", detail=detail)

    def _release(self, command: m.ReleaseModule) -> None:
        held = self._held.get(command.uuid)
        if held is None:
            self._report(command, "released")
        elif held.generation < command.generation and held.condition in _OWNING:
            self._drop(held)  # it moved in, but the realm gave it back to where it came from
            self._report(command, "released")
        elif held.migration != command.migration or held.condition not in _KEPT:
            self._refuse(command, "failed_precondition", f"the module is {held.condition}")
        elif held.condition is Condition.RELEASED:
            self._repeat(held, command)
        else:
            self._put(held.to(Condition.RELEASED, owed=command, connected=False))
            self._do(do.Release(held.copy))

    def _abort(self, command: m.AbortMigration) -> None:
        held = self._held.get(command.uuid)
        if held is None or held.migration != command.migration:
            self._call_off(command.migration)
            self._report(command, "aborted")
        elif held.condition in TARGET:
            self._drop(held)
            self._report(command, "aborted")
        elif held.condition in SOURCE - {Condition.RELEASED}:
            self._call_off(command.migration)
            self._unfreeze(held, "failed_precondition", "the move was called off")
            self._report(command, "aborted")
        else:
            self._refuse(command, "failed_precondition", "the module has already moved")

    # ------------------------------------------------------------------------ news of a copy

    def _loaded(self, held: Held, event: ev.ModuleLoaded) -> None:
        held = replace(held, session=event.session)
        if held.condition is Condition.LOADING:
            self._go_on(replace(held, patience=self._now + self._timeouts.open))
        elif held.condition is Condition.PREPARING:
            held = held.to(Condition.READY, deadline=self._hearing_deadline())
            self._put(self._answer(held, "ready"))

    def _load_failed(self, held: Held, event: ev.LoadFailed) -> None:
        if held.condition is Condition.LOADING:
            self._fail(held, event.code, event.detail)
        elif held.condition is Condition.PREPARING:
            self._give_up(held, event.code, event.detail)

    def _opened(self, held: Held, event: ev.SessionOpened) -> None:
        held = replace(held, connected=True)
        if held.condition is Condition.OPENING:
            self._run(held.to(Condition.RUNNING))
        else:
            self._put(held)

    def _not_opened(self, held: Held, event: ev.SessionFailed) -> None:
        if held.condition is not Condition.OPENING:
            return
        if held.patience is not None and held.patience <= self._now:
            self._fail(held, "bus_error", event.detail)
        else:
            self._put(replace(held, deadline=self._now + self._timeouts.reconnect))

    def _lost(self, held: Held, event: ev.SessionLost) -> None:
        held = replace(held, connected=False)
        if held.condition is Condition.RUNNING:
            self._do(do.Hold(held.copy))
            self._detach(held)
        else:
            self._put(held)

    def _ahead(self, held: Held, event: ev.MemoryAhead) -> None:
        """However long memory travels: as long as it does, nobody is late."""
        if held.condition is Condition.FREEZING:
            self._put(replace(held, deadline=self._now + self._timeouts.freeze))
            self._report(held.debt, "ahead", size=event.size)
        elif held.condition is Condition.READY:
            self._put(replace(held, deadline=self._hearing_deadline()))

    def _frozen(self, held: Held, event: ev.ModuleFrozen) -> None:
        if held.condition is Condition.FREEZING:
            held = held.to(Condition.FROZEN)
            self._put(
                self._answer(
                    held,
                    "frozen",
                    digest=event.digest,
                    size=event.size,
                    at=event.paused_at,
                    pause_seconds=event.pause_seconds,
                )
            )

    def _not_frozen(self, held: Held, event: ev.FreezeFailed) -> None:
        if held.condition is Condition.FREEZING:
            self._call_off(held.migration)
            self._unfreeze(held, event.code, event.detail)

    def _not_kept(self, held: Held, event: ev.CheckpointFailed) -> None:
        self._refuse(event.command, event.code, event.detail)

    def _received(self, held: Held, event: ev.SnapshotReceived) -> None:
        if held.condition is Condition.READY:
            self._put(held.to(Condition.RESTORING, deadline=self._hearing_deadline()))
            self._do(do.Restore(held.copy))

    def _restored(self, held: Held, event: ev.ModuleRestored) -> None:
        if held.condition is Condition.RESTORING:
            held = held.to(Condition.RESTORED, deadline=self._hearing_deadline())
            report = self._tell(held, "restored", digest=event.digest, size=event.size)
            self._put(held.saying("prepare", report))  # asked again, it is that far by now

    def _not_restored(self, held: Held, event: ev.RestoreFailed) -> None:
        if held.condition in (Condition.READY, Condition.RESTORING):
            self._give_up(held, event.code, event.detail)

    def _released(self, held: Held, event: ev.SessionReleased) -> None:
        if held.condition is Condition.RELEASED:
            self._put(self._answer(held, "released"))

    def _exited(self, held: Held, event: ev.ModuleExited) -> None:
        if held.condition is Condition.STOPPING:
            self._stopped(held, exit_code=event.exit_code)
        else:
            self._refuse_freeze(held, "the module has exited")
            self._end(held, self._tell(held, "exited", exit_code=event.exit_code))

    def _failed(self, held: Held, event: ev.ModuleFailed) -> None:
        if held.condition is Condition.STOPPING:
            self._stopped(held)
        else:
            self._refuse_freeze(held, "the module has failed")
            self._fail(held, event.code, event.detail)

    def _terminated(self, held: Held, event: ev.ModuleTerminated) -> None:
        if held.condition is Condition.STOPPING:
            self._stopped(held)

    # ------------------------------------------------------------------------ bus and realm

    def _connected(self, event: ev.BusConnected) -> None:
        self._online = True
        for held in [h for h in self._held.values() if h.condition in _HEARING]:
            self._put(replace(held, deadline=self._hearing_deadline()))
        self._serial += 1
        self._announce()

    def _disconnected(self, event: ev.BusDisconnected) -> None:
        self._online = False
        self._announce_at = None
        for held in list(self._held.values()):
            if held.condition in _HEARING:
                self._put(replace(held, deadline=None))
            elif held.condition is Condition.OPENING and not isinstance(held.owed, m.StartModule):
                self._put(held.to(Condition.DETACHED))

    def _asked_to_announce(self, command: m.AnnounceRuntime) -> None:
        if self._online:
            self._serial += 1
            self._announce()

    def _supervisor_changed(self, event: ev.SupervisorChanged) -> None:
        if self._online:
            self._serial += 1
            self._announce()

    def _accepted(self, event: ev.RegistrationAccepted) -> None:
        if event.serial == self._serial:
            self._announce_at = None
            self._told(event.serial)
            for held in [h for h in self._held.values() if h.condition is Condition.DETACHED]:
                self._go_on(held)

    def _rejected(self, event: ev.RegistrationRefused) -> None:
        if event.serial == self._serial:
            self._announce_at = self._now + self._timeouts.refused

    # ------------------------------------------------------------------------ time

    def _overdue(self, held: Held) -> None:
        match held.condition:
            case Condition.LOADING:
                self._fail(held, "program_error", "the program did not load in time")
            case Condition.PREPARING:
                self._give_up(held, "program_error", "the program did not load in time")
            case Condition.OPENING:
                self._put(held)
                self._do(do.Connect(held.copy))
            case Condition.FREEZING:
                self._call_off(held.migration)
                self._unfreeze(held, "snapshot_error", "the module did not freeze in time")
            case Condition.STOPPING:
                self._stopped(held)
            case _:
                self._drop(held)
                self._tell(held, "aborted", detail="no word from the realm")


_KEPT: Final = (Condition.FROZEN, Condition.RELEASED)
_OWNING: Final = (Condition.RESTORED, Condition.OPENING, Condition.RUNNING, Condition.DETACHED)
_HEARING: Final = (Condition.READY, Condition.RESTORING, Condition.RESTORED)

_HANDLERS: Final[dict[type[Any], Callable[[Host, Any], None]]] = {
    m.StartModule: Host._start,
    m.StopModule: Host._stop,
    m.PrepareModule: Host._prepare,
    m.TakeCheckpoint: Host._take_checkpoint,
    m.FreezeModule: Host._freeze,
    m.ResumeModule: Host._resume,
    m.ReleaseModule: Host._release,
    m.AbortMigration: Host._abort,
    m.AnnounceRuntime: Host._asked_to_announce,
    ev.BusConnected: Host._connected,
    ev.BusDisconnected: Host._disconnected,
    ev.SupervisorChanged: Host._supervisor_changed,
    ev.RegistrationAccepted: Host._accepted,
    ev.RegistrationRefused: Host._rejected,
}
_NEWS: Final[dict[type[Any], Callable[[Host, Any, Any], None]]] = {
    ev.ModuleLoaded: Host._loaded,
    ev.LoadFailed: Host._load_failed,
    ev.SessionOpened: Host._opened,
    ev.SessionFailed: Host._not_opened,
    ev.SessionLost: Host._lost,
    ev.ModuleExited: Host._exited,
    ev.ModuleFailed: Host._failed,
    ev.MemoryAhead: Host._ahead,
    ev.ModuleFrozen: Host._frozen,
    ev.FreezeFailed: Host._not_frozen,
    ev.CheckpointFailed: Host._not_kept,
    ev.SnapshotReceived: Host._received,
    ev.ModuleRestored: Host._restored,
    ev.RestoreFailed: Host._not_restored,
    ev.SessionReleased: Host._released,
    ev.ModuleTerminated: Host._terminated,
}
