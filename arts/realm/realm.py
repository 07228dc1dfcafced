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

from arts.errors import InvalidRequest, InvariantError, NotFound
from arts.model import Module, ModuleState, Runtime, RuntimeState
from arts.protocol.messages import (
    CreateModule,
    DeleteModule,
    Keepalive,
    MoveModule,
    Query,
    RegisterRuntime,
    RemoveRuntime,
    Report,
    Response,
)
from arts.realm import documents, migration, modules, runtimes
from arts.realm.commands import phase, refusal
from arts.realm.deadlines import DeadlineKey
from arts.realm.effects import (
    Effect,
    Event,
    LinkLost,
    LinkRestored,
    ProgramFetched,
    ProgramUnavailable,
)
from arts.realm.state import RealmSettings, RealmState, places_of
from arts.scheduling.explain import explain
from arts.scheduling.filters import Demand
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
        """Let every deadline up to ``now`` run out."""
        state = self._state
        state.now = now
        while key := state.deadlines.pop_due(now):
            _on_deadline(state, key)
        return self._collect()

    def restore(self, records: Iterable[Runtime | Module], now: float) -> list[Effect]:
        """Begin with what the store remembers: re-arm every deadline, repeat every command.

        Deadlines are armed anew, never loaded; commands may repeat, generations make it harmless.
        """
        state = self._state
        state.now = now
        for record in records:
            if isinstance(record, Runtime):
                _restore_runtime(state, record)
            else:
                state.put_module(record)
        for module in tuple(state.modules.values()):
            _take_up(state, module)
        modules.place_pending(state)
        return self._collect()

    def _collect(self) -> list[Effect]:
        effects, self._state.effects = self._state.effects, []
        return effects

    # ------------------------------------------------------------------ look

    def next_deadline(self) -> float | None:
        """When ``tick`` is wanted next; None for not at all."""
        return self._state.deadlines.next()

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

    def validate(self) -> None:
        """Raise ``InvariantError`` unless everything fits together. For tests and post-mortems."""
        for module in self._state.modules.values():
            _validate_module(self._state, module)
        _validate_places(self._state)


# ---------------------------------------------------------------------------- dispatch


def _on_report(state: RealmState, report: Report) -> None:
    """A runtime says what became of a module."""
    state.count("reports")
    sender = runtimes.heard(state, report.runtime, report.instance)
    module = state.modules.get(report.uuid)
    if sender is None:
        return  # it has yet to register; then everything it holds is judged
    if module is None:
        if report.kind in WORKING:
            runtimes.discard(state, sender.uuid, report.uuid, report.generation, session=True)
    elif report.migration is not None:
        _on_move_report(state, module, report)
    elif (module.parent, module.generation) != (report.runtime, report.generation):
        if report.kind in WORKING:
            runtimes.discard(state, sender.uuid, report.uuid, report.generation, session=False)
    elif report.kind == "started":
        modules.on_started(state, module, report)
    elif report.kind in ("exited", "failed"):
        modules.on_ended(state, module, report)
    elif report.kind == "stopped" and module.state is ModuleState.STOPPING:
        modules.forget(state, module)


def _on_move_report(state: RealmState, module: Module, report: Report) -> None:
    move = module.migration
    if move is not None and move.id == report.migration:
        if not migration.on_report(state, module, report):
            module = state.modules[module.uuid]
            modules.on_owner_gone(state, module, report.detail or "both ends of the move failed")
    elif (module.parent, module.generation) == (report.runtime, report.generation):
        return  # a duplicate from the end that is the owner by now
    elif report.kind in WORKING:
        migration.abort_stray(state, report)


def _on_query(state: RealmState, query: Query) -> None:
    try:
        details = _answer_to(state, query)
    except (NotFound, InvalidRequest) as error:
        state.answer(query.reply, refusal(error))
        return
    state.answer(query.reply, Response(ok=True, details=details))


def _answer_to(state: RealmState, query: Query) -> dict[str, Any]:
    if query.what == "realm":
        return documents.realm_document(state)
    if query.what == "runtime":
        runtime = _only(state.find_runtimes(query.key), "runtime", query.key)
        story = documents.story_document(state, runtime.uuid)
        return documents.runtime_document(state, runtime) | {"story": story}
    module = _only(state.find_modules(query.key), "module", query.key)
    if query.what == "why":
        return _why(state, module)
    story = documents.story_document(state, module.uuid)
    return documents.module_document(state, module) | {"story": story}


def _why(state: RealmState, module: Module) -> dict[str, Any]:
    decision = state.decisions.get(module.uuid)
    if decision is None or not decision.opinions:
        decision = explain(Demand(module.spec), state.view, state.policy)
    return documents.decision_document(module, decision, state.settings.policy)


def _only(found: list[Any], kind: str, key: str) -> Any:
    if not found:
        raise NotFound(f"no {kind} {key!r}")
    if len(found) > 1:
        raise InvalidRequest(f"{len(found)} {kind}s are meant by {key!r}; say which by uuid")
    return found[0]


def _on_deadline(state: RealmState, key: DeadlineKey) -> None:
    if key.kind == "phase":
        modules.on_phase_over(state, state.modules[key.uuid])
    elif key.kind == "lease":
        runtimes.on_lease_over(state, state.runtimes[key.uuid])
    else:
        runtimes.on_suspicion_over(state, state.runtimes[key.uuid])


def _on_link_lost(state: RealmState, event: LinkLost) -> None:
    runtimes.on_link_lost(state)


def _on_link_restored(state: RealmState, event: LinkRestored) -> None:
    runtimes.on_link_restored(state)


_HANDLERS: dict[type[Any], Callable[[RealmState, Any], None]] = {
    RegisterRuntime: runtimes.register,
    RemoveRuntime: runtimes.remove,
    Keepalive: runtimes.keepalive,
    CreateModule: modules.create,
    DeleteModule: modules.delete,
    MoveModule: migration.ask,
    Query: _on_query,
    Report: _on_report,
    ProgramFetched: modules.on_program_fetched,
    ProgramUnavailable: modules.on_program_unavailable,
    LinkLost: _on_link_lost,
    LinkRestored: _on_link_restored,
}


# ---------------------------------------------------------------------------- restart


def _restore_runtime(state: RealmState, runtime: Runtime) -> None:
    """As it was; whoever promised keepalives gets a lease and the grace to be heard in it."""
    state.runtimes[runtime.uuid] = runtime
    state.view.put(runtime, len(state.taken.setdefault(runtime.uuid, {})))
    settings = state.settings
    if runtime.state is RuntimeState.LOST:
        wait, kind = settings.keep_lost, "suspicion"
    elif runtime.state is RuntimeState.SUSPECT:
        wait, kind = settings.lost_after + settings.link_grace, "suspicion"
    elif runtime.lease_seconds > 0:
        wait, kind = runtime.lease_seconds + settings.link_grace, "lease"
    else:
        return
    state.deadlines.set(DeadlineKey(kind, runtime.uuid), state.now + wait)


def _take_up(state: RealmState, module: Module) -> None:
    """Go on with what was under way when the supervisor stopped."""
    match module.state:
        case ModuleState.STARTING:
            modules.begin_again(state, module)
        case ModuleState.STOPPING:
            modules.send_stop(state, module)
        case ModuleState.MIGRATING:
            migration.push_again(state, module)
        case ModuleState.EXITED | ModuleState.FAILED:
            state.deadlines.set(phase(module.uuid), state.now + state.settings.keep_ended)


# ---------------------------------------------------------------------------- invariants


def _check(truth: bool, what: str, state: RealmState, uuid: str) -> None:
    if not truth:
        raise InvariantError(f"{what}. {state.tell(uuid)}")


def _validate_module(state: RealmState, module: Module) -> None:
    uuid = module.uuid
    moving = module.state is ModuleState.MIGRATING
    _check(moving == (module.migration is not None), "a move without a moving module", state, uuid)
    pending = module.state is ModuleState.PENDING
    _check(pending == (uuid in state.pending), "pending but not in the queue", state, uuid)
    _check(not (pending and module.parent), "pending on a runtime", state, uuid)
    _check(not module.state.is_placed or module.parent is not None, "placed nowhere", state, uuid)
    timed = module.state not in (ModuleState.PENDING, ModuleState.RUNNING, ModuleState.LOST)
    armed = state.deadlines.get(phase(uuid)) is not None
    _check(timed == armed, f"{module.state} with deadline {armed}", state, uuid)
    for runtime in places_of(module):
        _check(uuid in state.taken.get(runtime, {}), "takes no place", state, uuid)


def _validate_places(state: RealmState) -> None:
    for uuid, taken in state.taken.items():
        for module in taken:
            _check(
                uuid in places_of(state.modules.get(module)), "takes a place twice", state, module
            )
    for uuid, runtime in state.runtimes.items():
        count = len(state.taken[uuid])
        candidate = state.view.candidates[uuid]
        _check((candidate.runtime, candidate.occupied) == (runtime, count), "view", state, uuid)
        suspected = state.deadlines.get(DeadlineKey("suspicion", uuid)) is not None
        _check(suspected == (runtime.state is not RuntimeState.ONLINE), "suspicion", state, uuid)
