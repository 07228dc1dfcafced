"""The realm: one object, one entrance, no I/O.

    effects = realm.handle(event, now)       # something happened
    effects = realm.tick(now)                # time passed
    when = realm.next_deadline()             # wake me then

``handle`` and ``tick`` are the only methods that change anything. Time is an argument (monotonic
seconds), ids are derived from the requests' ids, so the same events always give the same effects:
any run can be replayed.
"""

from collections.abc import Callable, Iterable
from typing import Any

from arts.model import Module, ModuleState, Runtime
from arts.protocol.messages import (
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
    RestoreModule,
)
from arts.realm import (
    checkpoints,
    documents,
    exports,
    invariants,
    migration,
    modules,
    placement,
    restart,
    runtimes,
)
from arts.realm.abort import abort_stray
from arts.realm.deadlines import DeadlineKey
from arts.realm.effects import (
    CheckpointKept,
    Discarded,
    Effect,
    Event,
    LinkLost,
    LinkRestored,
    NoSnapshot,
    ProgramFetched,
    ProgramUnavailable,
    SnapshotFound,
    SnapshotUnfit,
)
from arts.realm.queries import on_query
from arts.realm.reconcile import discard_stale
from arts.realm.state import RealmSettings, RealmState
from arts.scheduling.view import View

WORKING = frozenset({"started", "ready", "frozen", "restored", "resumed"})
"""Reports of somebody who holds a live copy."""


class Realm:
    """All runtimes and modules of one realm, and what becomes of them."""

    def __init__(self, settings: RealmSettings, *, wall_offset: float = 0.0) -> None:
        """``wall_offset``: wall time minus the clock of ``now``, for dates shown to people."""
        self._state = RealmState(settings, wall_offset=wall_offset)

    # ------------------------------------------------------------------ change

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Take one event in; returns what to do about it, in order."""
        state = self._state
        state.now = now
        _HANDLERS[type(event)](state, event)
        return self._collect()

    def tick(self, now: float) -> list[Effect]:
        """Let every deadline up to ``now`` run out; none does while the broker is out of reach."""
        state = self._state
        state.now = now
        while state.linked and (key := state.deadlines.pop_due(now)):
            _on_deadline(state, key)
        return self._collect()

    def restore(self, records: Iterable[Runtime | Module], now: float) -> list[Effect]:
        """Begin with what the store remembers: re-arm every deadline, repeat every command."""
        self._state.now = now
        restart.restore(self._state, records)
        return self._collect()

    def _collect(self) -> list[Effect]:
        effects, self._state.effects = self._state.effects, []
        return effects

    # ------------------------------------------------------------------ look

    def next_deadline(self) -> float | None:
        """When ``tick`` is wanted next; None for not at all."""
        return self._state.deadlines.next() if self._state.linked else None

    def view(self) -> View:
        """The scheduler's picture. Read it, do not change it."""
        return self._state.view

    def module(self, uuid: str) -> Module | None:
        """One module's record."""
        return self._state.modules.get(uuid)

    def runtime(self, uuid: str) -> Runtime | None:
        """One runtime's record."""
        return self._state.runtimes.get(uuid)

    def document(self, kind: str, uuid: str) -> dict[str, Any] | None:
        """One ``runtime`` or ``module`` as plain data; None when there is none."""
        state = self._state
        if kind == "runtime":
            runtime = state.runtimes.get(uuid)
            return documents.runtime_document(state, runtime) if runtime else None
        module = state.modules.get(uuid)
        return documents.module_document(state, module) if module else None

    def documents(self) -> dict[str, Any]:
        """The whole realm as plain data."""
        return documents.realm_document(self._state)

    def story(self, uuid: str) -> list[tuple[float, str]]:
        """What happened to a runtime or module lately: (wall time, what)."""
        return self._state.story(uuid)

    def refuses_checkpoint(self, uuid: str, runtime: str, generation: int) -> str | None:
        """Why a checkpoint of this origin must not be kept; None if it may."""
        return checkpoints.refusal_of(self._state, uuid, runtime, generation)

    def validate(self) -> None:
        """Raise ``InvariantError`` unless everything fits together. For tests and post-mortems."""
        invariants.validate(self._state)


# ---------------------------------------------------------------------------- dispatch


def _on_report(state: RealmState, report: Report) -> None:
    """A runtime says what became of a module."""
    state.count("reports")
    sender = runtimes.heard(state, report.runtime, report.instance)
    if sender is None:
        return
    module = state.modules.get(report.uuid)
    if module is not None and report.migration is not None:
        _on_move_report(state, module, report)
    elif module is None or not _is_owners(module, report):
        if report.kind in WORKING:
            discard_stale(state, report.runtime, report.uuid, report.generation)
    elif report.kind == "started":
        placement.on_started(state, module)
    elif report.kind in ("exited", "failed"):
        modules.on_ended(state, module, report)
    elif report.kind == "stopped":
        modules.on_stopped(state, module, report)
    elif report.kind == "refused":
        checkpoints.on_refused(state, module, report)


def _is_owners(module: Module, report: Report) -> bool:
    return (module.parent, module.generation) == (report.runtime, report.generation)


def _on_move_report(state: RealmState, module: Module, report: Report) -> None:
    if module.migration is not None and module.migration.id == report.migration:
        migration.on_report(state, module, report)
    elif _is_recovering(module, report):
        checkpoints.on_report(state, module, report)
    elif report.kind in WORKING and not _is_owners(module, report):
        abort_stray(state, report)  # else it is a duplicate from the end that is the owner by now


def _is_recovering(module: Module, report: Report) -> bool:
    move = module.recovery
    ours = move is not None and move.id == report.migration and _is_owners(module, report)
    return ours and module.state is ModuleState.STARTING


def _on_deadline(state: RealmState, key: DeadlineKey) -> None:
    if key.kind == "phase":
        modules.on_phase_over(state, state.modules[key.uuid])
    elif key.kind == "checkpoint":
        checkpoints.on_overdue(state, key.uuid)
    elif key.kind == "import":
        exports.on_overdue(state, key.uuid)
    elif key.kind == "lease":
        runtimes.on_lease_over(state, state.runtimes[key.uuid])
    elif key.kind == "arrival":
        runtimes.on_arrival_over(state, state.runtimes[key.uuid])
    else:
        runtimes.on_suspicion_over(state, state.runtimes[key.uuid])


def _on_discarded(state: RealmState, event: Discarded) -> None:
    state.count(f"messages_{event.why}")


def _on_link_lost(state: RealmState, event: LinkLost) -> None:
    runtimes.on_link_lost(state)


def _on_link_restored(state: RealmState, event: LinkRestored) -> None:
    runtimes.on_link_restored(state)


_HANDLERS: dict[type[Any], Callable[[RealmState, Any], None]] = {
    RegisterRuntime: runtimes.register,
    RemoveRuntime: runtimes.remove,
    RegisterManager: runtimes.register_manager,
    RemoveManager: runtimes.remove_manager,
    Keepalive: runtimes.keepalive,
    CreateModule: modules.create,
    DeleteModule: modules.delete,
    ModuleExited: modules.on_exit_told,
    MoveModule: migration.move,
    CheckpointModule: checkpoints.take,
    RestoreModule: checkpoints.restore,
    CloneModule: checkpoints.clone,
    ExportModule: exports.export,
    ImportModule: exports.announce,
    Query: on_query,
    Report: _on_report,
    ProgramFetched: placement.on_program_fetched,
    ProgramUnavailable: placement.on_program_unavailable,
    CheckpointKept: checkpoints.on_kept,
    SnapshotFound: checkpoints.on_snapshot_found,
    NoSnapshot: checkpoints.on_no_snapshot,
    SnapshotUnfit: checkpoints.on_snapshot_unfit,
    Discarded: _on_discarded,
    LinkLost: _on_link_lost,
    LinkRestored: _on_link_restored,
}
