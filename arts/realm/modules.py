"""What requests for modules and reports about them mean. PURE.

The path of a create: ``create`` -> ``place_pending`` -> ``_begin`` -> (program fetched) ->
``_send_start`` -> report ``started`` -> ``on_started``.
"""

from dataclasses import replace

from arts.errors import ArtsError, FailedPrecondition, InvalidRequest, NotFound
from arts.model import Filetype, Module, ModuleState, OnRuntimeLost, ReplyTo
from arts.protocol.messages import (
    CreateModule,
    DeleteModule,
    Report,
    Response,
    StopModule,
)
from arts.realm import migration
from arts.realm.commands import command_id, phase, refusal, start_command
from arts.realm.documents import module_document
from arts.realm.effects import ProgramFetched, ProgramUnavailable
from arts.realm.state import RealmState
from arts.scheduling.explain import Explanation, explain, reasons_against
from arts.scheduling.filters import Demand
from arts.scheduling.policies import place

PERMANENT = frozenset({"program_error", "invalid", "not_found"})
"""Failures that another runtime would not cure."""

EXPLAIN_UP_TO = 100
"""With more runtimes than this a decision is kept without its losers: looking at each is for
people who ask."""


# ---------------------------------------------------------------------------- create


def create(state: RealmState, request: CreateModule) -> None:
    """A module is asked for."""
    old = state.modules.get(request.uuid)
    if old is not None and old.request == request.object_id:
        # A repetition (QoS 1, a client's retry). If the first is not answered yet, one answer does.
        if old.reply is None:
            state.answer(request.reply, _accepted(state, old))
        return
    try:
        parent = _parent_of(state, request)
        if old is not None and not old.state.is_final:
            raise FailedPrecondition(f"module {old.uuid} exists already and is {old.state}")
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    module = Module(
        spec=request.spec(parent),
        state=ModuleState.PENDING,
        generation=old.generation if old else 0,
        request=request.object_id,
        reply=request.reply,
        created_at=request.at or state.wall,
    )
    state.deadlines.cancel(phase(module.uuid))
    module = state.advance_module(module, "requested")
    place_pending(state, module.uuid)


def _parent_of(state: RealmState, request: CreateModule) -> str | None:
    if request.parent is None:
        return None
    found = state.find_runtimes(request.parent)
    if len(found) == 1:
        return found[0].uuid
    if found:
        raise InvalidRequest(f"{len(found)} runtimes are called {request.parent!r}")
    if request.strict_parent:
        raise NotFound(f"no runtime {request.parent!r}")
    return None


def _accepted(state: RealmState, module: Module) -> Response:
    return Response(ok=True, details=module_document(state, module))


# ---------------------------------------------------------------------------- placement


def place_pending(state: RealmState, *uuids: str) -> None:
    """Place what waits for a runtime: these modules, or all of them in order of arrival."""
    for uuid in uuids or tuple(state.pending):
        if not uuids and not state.view.pools:
            return
        module = state.modules[uuid]
        demand = Demand(module.spec, frozenset(module.attempts))
        if placement := place(demand, state.view, state.policy):
            state.view.cursor = placement.sequence
            _remember_decision(state, demand, module, placement.runtime)
            _begin(state, module, placement.runtime)
        elif uuids:
            _keep_waiting(state, demand, module)


def _keep_waiting(state: RealmState, demand: Demand, module: Module) -> None:
    reasons = reasons_against(demand, state.view) or (("realm", "no runtime is registered"),)
    detail = "waits for a runtime"
    state.put_module(replace(module, reasons=reasons, detail=detail, reply=None))
    state.decisions[module.uuid] = Explanation(None, ())
    state.answer(module.reply, _accepted(state, state.modules[module.uuid]))


def _remember_decision(state: RealmState, demand: Demand, module: Module, chosen: str) -> None:
    if len(state.runtimes) <= EXPLAIN_UP_TO:
        state.decisions[module.uuid] = explain(demand, state.view, state.policy)
    else:
        state.decisions[module.uuid] = Explanation(chosen, ())


def _begin(state: RealmState, module: Module, runtime: str) -> None:
    module = state.advance_module(
        module,
        "placed",
        parent=runtime,
        generation=module.generation + 1,
        reasons=(),
        detail=None,
        exit_code=None,
    )
    _start(state, module, runtime)


def _start(state: RealmState, module: Module, runtime: str) -> None:
    by_digest = "programs" in state.runtimes[runtime].features
    if by_digest and module.spec.filetype is Filetype.WASM and module.program is None:
        state.fetch(module)
        state.deadlines.set(phase(module.uuid), state.now + state.settings.start_timeout)
    else:
        _send_start(state, module)


def _send_start(state: RealmState, module: Module) -> None:
    assert module.parent is not None
    state.command(module.parent, start_command(module, module.parent, module.generation))
    state.deadlines.set(phase(module.uuid), state.now + state.settings.start_timeout)
    if not state.runtimes[module.parent].reports:
        # Runtimes of the old dialects never say: what was sent counts as running.
        state.deadlines.cancel(phase(module.uuid))
        module = state.advance_module(module, "started")
    if module.reply:
        state.put_module(replace(module, reply=None))
        state.answer(module.reply, _accepted(state, module))


def begin_again(state: RealmState, module: Module) -> None:
    """The supervisor restarted while the module was starting: do it once more, same generation."""
    assert module.parent is not None
    if module.parent in state.runtimes:
        _start(state, module, module.parent)
    else:
        on_owner_gone(state, module, "its runtime is unknown")


def on_program_fetched(state: RealmState, event: ProgramFetched) -> None:
    """The program is there: the runtime may load it."""
    module = state.modules.get(event.module)
    if module and (module.state, module.generation) == (ModuleState.STARTING, event.generation):
        module = replace(module, program=event.program)
        state.put_module(module)
        _send_start(state, module)


def on_program_unavailable(state: RealmState, event: ProgramUnavailable) -> None:
    """There is no such program, or it is none."""
    module = state.modules.get(event.module)
    if module and (module.state, module.generation) == (ModuleState.STARTING, event.generation):
        finish(state, module, "failed", event.detail, code="program_error")


# ---------------------------------------------------------------------------- reports


def on_started(state: RealmState, module: Module, report: Report) -> None:
    """A runtime runs the module."""
    match module.state:
        case ModuleState.STARTING:
            state.deadlines.cancel(phase(module.uuid))
            state.retries.pop(module.uuid, None)
            state.advance_module(module, "started", attempts=())
        case ModuleState.LOST:
            state.advance_module(module, "adopted")


def on_ended(state: RealmState, module: Module, report: Report) -> None:
    """``exited`` or ``failed``, from the module's owner at its present generation."""
    failed = report.kind == "failed"
    curable = report.code not in PERMANENT
    if module.state is ModuleState.STOPPING:
        forget(state, module)
    elif failed and curable and module.state is ModuleState.STARTING:
        _try_elsewhere(state, module, report.detail or "failed to start")
    elif not module.state.is_final:
        migration.cancel(state, module, f"the module {report.kind}: {report.detail or 'by itself'}")
        detail = report.detail or (None if failed else f"exit code {report.exit_code}")
        module = state.modules[module.uuid]
        finish(state, module, report.kind, detail, code=report.code, exit_code=report.exit_code)


def _try_elsewhere(state: RealmState, module: Module, why: str) -> None:
    """Give the module to another runtime, unless enough of them failed."""
    assert module.parent is not None
    attempts = (*module.attempts, module.parent)
    if len(attempts) >= state.settings.start_attempts or module.spec.parent:
        finish(state, module, "failed", why, code="engine_error")
        return
    state.deadlines.cancel(phase(module.uuid))
    module = state.advance_module(module, "replaced", parent=None, attempts=attempts, detail=why)
    place_pending(state, module.uuid)


def finish(
    state: RealmState,
    module: Module,
    event: str,
    detail: str | None,
    *,
    code: str | None = None,
    exit_code: int | None = None,
) -> None:
    """The module has ended; it stays visible for a while."""
    reply = module.reply
    module = state.advance_module(
        module, event, detail=detail, exit_code=exit_code, migration=None, reply=None
    )
    state.deadlines.set(phase(module.uuid), state.now + state.settings.keep_ended)
    state.answer(reply, Response(ok=False, details=detail or event, code=code or "failed"))
    place_pending(state)


# ---------------------------------------------------------------------------- delete


def delete(state: RealmState, request: DeleteModule) -> None:
    """A module is to go."""
    found = state.find_modules(request.uuid)
    if len(found) != 1:
        state.answer(request.reply, refusal(_not_one(request.uuid, len(found))))
        return
    module = found[0]
    if module.state is ModuleState.STOPPING:
        state.answer(request.reply, _farewell(module))
    elif module.state.is_placed:
        _stop(state, module, request.reply, request.force)
    else:
        forget(state, replace(module, reply=request.reply))


def _not_one(key: str, count: int) -> ArtsError:
    if count:
        return InvalidRequest(f"{count} modules are meant by {key!r}; say which by uuid")
    return NotFound(f"Module ({key}) could not be deleted; there is none.")


def _stop(state: RealmState, module: Module, reply: ReplyTo | None, force: bool) -> None:
    earlier = module.reply
    state.answer(
        earlier, refusal(FailedPrecondition("the module was deleted before it had started"))
    )
    migration.cancel(state, module, "the module was deleted")
    module = replace(state.modules[module.uuid], reply=reply)
    assert module.parent is not None
    module = state.advance_module(module, "stopping")
    send_stop(state, module, force)
    owner = state.runtimes.get(module.parent or "")
    if owner is None or not owner.reports:
        forget(state, module)


def send_stop(state: RealmState, module: Module, force: bool = False) -> None:
    """Tell the owner to end the module, and see that it does."""
    assert module.parent is not None
    stop = StopModule(
        object_id=command_id(module, "delete"),
        uuid=module.uuid,
        generation=module.generation,
        force=force,
    )
    state.command(module.parent, stop)
    state.deadlines.set(phase(module.uuid), state.now + state.settings.stop_timeout)


def forget(state: RealmState, module: Module) -> None:
    """The module is gone; its place is free."""
    state.advance_module(module, "deleted")
    state.answer(module.reply, _farewell(module))
    place_pending(state)


def _farewell(module: Module) -> Response:
    return Response(ok=True, details={"type": "module", "uuid": module.uuid, "name": module.name})


# ---------------------------------------------------------------------------- loss and time


def on_owner_gone(state: RealmState, module: Module, why: str) -> None:
    """The runtime of a module is given up, or came back without it."""
    migration.cancel(state, module, why)
    module = state.modules[module.uuid]
    state.deadlines.cancel(phase(module.uuid))
    if module.state is ModuleState.STOPPING:
        forget(state, module)
    elif module.spec.on_runtime_lost is OnRuntimeLost.WAIT:
        state.advance_module(module, "orphaned", detail=why)
    else:
        module = state.advance_module(module, "replaced", parent=None, detail=why, attempts=())
        place_pending(state, module.uuid)


def start_again(state: RealmState, module: Module, runtime: str) -> None:
    """A module that waits for its runtime starts there anew, if there is still room."""
    if place(Demand(replace(module.spec, parent=runtime)), state.view, state.policy):
        module = state.advance_module(module, "replaced", parent=None, detail=None)
        _begin(state, module, runtime)


def on_phase_over(state: RealmState, module: Module) -> None:
    """A module took too long for what it was going through."""
    match module.state:
        case ModuleState.STARTING:
            _on_start_timeout(state, module)
        case ModuleState.STOPPING:
            _on_stop_timeout(state, module)
        case ModuleState.MIGRATING:
            if not migration.on_phase_over(state, module):
                on_owner_gone(state, state.modules[module.uuid], "the move got stuck")
        case ModuleState.EXITED | ModuleState.FAILED:
            forget(state, module)


def _on_start_timeout(state: RealmState, module: Module) -> None:
    assert module.parent is not None
    if not state.is_online(module.parent):
        # Suspicion has its own deadline, and that one decides.
        state.deadlines.set(phase(module.uuid), state.now + state.settings.start_timeout)
        return
    if module.program is not None or not state.runtimes[module.parent].reports:
        stale = StopModule(uuid=module.uuid, generation=module.generation, force=True)
        state.command(module.parent, stale)
    _try_elsewhere(state, module, f"did not start within {state.settings.start_timeout:g} s")


def _on_stop_timeout(state: RealmState, module: Module) -> None:
    tries = state.retries.get(module.uuid, 0) + 1
    state.retries[module.uuid] = tries
    if state.is_online(module.parent) and tries < 3:
        send_stop(state, module, force=True)
    else:
        # A runtime that comes back with it is told to drop it: nobody knows it any more.
        forget(state, module)
