"""From wanting a runtime to running on one, and what follows when the runtime is gone. PURE.

The path of a module: ``place_pending`` -> ``_begin`` -> (program fetched) -> ``_send_start`` ->
report ``started`` -> ``on_started``.
"""

from collections.abc import Hashable
from dataclasses import replace

from arts.errors import Unplaceable
from arts.model import (
    Durability,
    Filetype,
    FormWish,
    Module,
    ModuleSpec,
    ModuleState,
    OnCrash,
    OnRuntimeLost,
    Recovery,
    ReplyTo,
    Runtime,
)
from arts.protocol.messages import Response
from arts.realm.abort import cancel
from arts.realm.commands import accepted, discard, phase, refusal, start_command
from arts.realm.deadlines import DeadlineKey
from arts.realm.effects import ProgramFetched, ProgramUnavailable
from arts.realm.recovery import after_loss, seek
from arts.realm.state import RealmState
from arts.scheduling.explain import Explanation, explain, reasons_against
from arts.scheduling.filters import Demand, common_abilities
from arts.scheduling.policies import place

EXPLAIN_UP_TO = 20
"""With more runtimes than this a decision is kept without its losers: looking at each is for
people who ask."""

NOT_ASKED = Explanation(None, ())
"""Stands for a decision whose grounds nobody looked at."""


# ---------------------------------------------------------------------------- placement


def place_pending(state: RealmState) -> None:
    """Something became free: first those who wait for this very runtime, then the others in order
    of arrival."""
    for runtime in tuple(state.orphans):
        for module in state.orphans_of(runtime) if state.is_online(runtime) else ():
            start_again(state, module)
    hopeless: set[Hashable] = set()
    for uuid in tuple(state.pending):
        if not state.view.pools:
            return
        module = state.modules[uuid]
        kind = _kind(module)
        if kind not in hopeless and not _try_to_place(state, module):
            hopeless.add(kind)


def place_new(state: RealmState, module: Module) -> None:
    """Place a module that has just begun to wait, or tell the asker that it waits."""
    if not _try_to_place(state, module):
        _keep_waiting(state, module)


def place_now(state: RealmState, module: Module) -> None:
    """Place a module whose asker will not wait."""
    if not _try_to_place(state, module):
        reasons = reasons_against(_demand(module), state.view)
        reply = module.reply
        state.advance_module(module, "deleted")
        state.answer(reply, refusal(Unplaceable(dict(reasons))))


def _try_to_place(state: RealmState, module: Module) -> bool:
    demand = _demand(module)
    placement = place(demand, state.view, state.policy)
    if placement is None:
        return False
    if len(state.runtimes) <= EXPLAIN_UP_TO:
        state.decisions[module.uuid] = explain(demand, state.view, state.policy)
    else:
        state.decisions[module.uuid] = NOT_ASKED
    state.view.cursor = placement.sequence
    _begin(state, module, placement.runtime)
    return True


def _demand(module: Module) -> Demand:
    return Demand(
        module.spec,
        frozenset(module.attempts),
        restoring=module.recovery is not None,
        needs=module.needs,
    )


def _kind(module: Module) -> Hashable:
    """What all modules have in common that can go to the same runtimes."""
    spec = module.spec
    asks = spec.filetype, spec.apis, spec.labels, spec.parent, spec.durability
    return *asks, module.attempts, module.needs, module.recovery is not None


def _keep_waiting(state: RealmState, module: Module) -> None:
    reasons = reasons_against(_demand(module), state.view)
    reply = module.reply
    state.decisions[module.uuid] = NOT_ASKED
    module = replace(module, reasons=reasons, detail=_wait(module, reasons), reply=None)
    state.put_module(module)
    state.answer(reply, accepted(state, module))


def _wait(module: Module, reasons: tuple[tuple[str, str], ...]) -> str:
    wait = "waits for a runtime" if reasons else "waits for a runtime: none is registered"
    return f"{wait} ({module.detail})" if module.detail else wait


def start_again(state: RealmState, module: Module) -> None:
    """A module that waits for its runtime starts there anew, if there is room."""
    assert module.parent is not None
    demand = Demand(replace(module.spec, parent=module.parent), needs=module.needs)
    if place(demand, state.view, state.policy):
        runtime = module.parent
        module = state.advance_module(module, "replaced", parent=None, detail=None)
        _begin(state, module, runtime)


# ---------------------------------------------------------------------------- start


def _begin(state: RealmState, module: Module, runtime: str) -> None:
    module = state.advance_module(
        module,
        "placed",
        parent=runtime,
        generation=module.generation + 1,
        reasons=(),
        detail=None,
        exit_code=None,
        restored=None,
    )
    begin_again(state, module)


def begin_again(state: RealmState, module: Module) -> None:
    """Do what starts a module; repeated after the supervisor's restart, it does no harm."""
    state.deadlines.set(phase(module.uuid), state.now + state.settings.start_timeout)
    assert module.parent is not None
    if state.deadlines.get(DeadlineKey("arrival", module.parent)) is not None:
        return  # it does not listen yet
    if needs_program(state, module):
        form = FormWish(module.spec.profile, common_abilities(_demand(module), state.view))
        state.fetch(module, form)
    else:
        _send_start(state, module)


def needs_program(state: RealmState, module: Module) -> bool:
    """Whether a starting module still waits for its program: its runtime loads by digest."""
    assert module.parent is not None
    by_digest = "programs" in state.runtimes[module.parent].features
    return by_digest and module.program is None and _is_fetched(module.spec)


def _is_fetched(spec: ModuleSpec) -> bool:
    """Whether the realm gets the program. Python by its bare name is the runtime's own business."""
    url = spec.filename.startswith(("http://", "https://"))
    return spec.filetype is Filetype.WASM or (spec.filetype is Filetype.PYTHON and url)


def _send_start(state: RealmState, module: Module) -> None:
    assert module.parent is not None
    if module.recovery is not None:
        _recover(state, module)
        return
    reply, runtime = module.reply, module.parent
    knows = module.heard and is_told_by(state.runtimes[runtime], reply)
    module = replace(module, reply=None, heard=False)
    state.put_module(module)
    if not knows:
        state.command(runtime, start_command(module, runtime, module.generation))
    if not state.runtimes[runtime].reports:
        # Runtimes of the old dialects never say: what was sent counts as running.
        state.deadlines.cancel(phase(module.uuid))
        module = state.advance_module(module, "started")
    if reply is not None and not knows:
        state.answer(reply, accepted(state, module))


def _recover(state: RealmState, module: Module) -> None:
    reply = module.reply
    module = replace(module, reply=None, heard=False)
    state.put_module(module)
    seek(state, module)
    if reply is not None:
        state.answer(reply, accepted(state, module))


def cold_start(state: RealmState, module: Module, why: str, damaged: tuple[int, ...]) -> None:
    """No checkpoint will do: from the beginning."""
    spoiled = f" (damaged: {', '.join(map(str, damaged))})" if damaged else ""
    state.note("module.cold_start", module=module, detail=f"{why}{spoiled}")
    state.deadlines.set(phase(module.uuid), state.now + state.settings.start_timeout)
    detail = f"from the beginning: {why}{spoiled}" if damaged else None
    _send_start(state, replace(module, recovery=None, restored=None, detail=detail))


def is_told_by(runtime: Runtime, reply: ReplyTo | None) -> bool:
    """Whether a runtime that heard a request understood it, and answers it itself."""
    return reply is not None and not runtime.reports and runtime.dialect == reply.dialect


def on_program_fetched(state: RealmState, event: ProgramFetched) -> None:
    """The program is there: the runtime may load it."""
    module = _waiting(state, event)
    if module is None:
        return
    program = event.program
    if module.spec.durability is not Durability.NONE and not program.migratable:
        why = f"it cannot be {module.spec.durability}: {program.refusal}"
        finish(state, replace(module, program=program), "failed", why, code="program_error")
        return
    state.deadlines.set(phase(module.uuid), state.now + state.settings.start_timeout)
    _send_start(state, replace(module, program=program))


def on_program_unavailable(state: RealmState, event: ProgramUnavailable) -> None:
    """There is no such program, or it is none."""
    module = _waiting(state, event)
    if module is not None:
        finish(state, module, "failed", event.detail, code="program_error")


def _waiting(state: RealmState, event: ProgramFetched | ProgramUnavailable) -> Module | None:
    module = state.modules.get(event.module)
    if module is None or module.generation != event.generation:
        return None
    starting = module.state is ModuleState.STARTING and needs_program(state, module)
    return module if starting else None


def on_started(state: RealmState, module: Module) -> None:
    """Its runtime runs the module. One that has not been sent there yet is another of this uuid,
    which is gone: the news of it came late, or once more."""
    if module.state is ModuleState.STARTING and not needs_program(state, module):
        state.deadlines.cancel(phase(module.uuid))
        state.advance_module(module, "started", attempts=())


def on_outrun(state: RealmState, module: Module, newest: int) -> None:
    """The runtime remembers a later generation, of a module of this uuid that nobody knows any
    more: begin behind that."""
    state.deadlines.set(phase(module.uuid), state.now + state.settings.start_timeout)
    _send_start(state, replace(module, generation=newest + 1))


def on_start_timeout(state: RealmState, module: Module) -> None:
    """Nobody said that the module runs."""
    assert module.parent is not None
    if needs_program(state, module) or not state.is_online(module.parent):
        # Fetching has an end of its own, and so has suspicion: those decide.
        state.deadlines.set(phase(module.uuid), state.now + state.settings.start_timeout)
        return
    discard(state, module.parent, module.uuid, module.generation)
    try_elsewhere(state, module, f"did not start within {state.settings.start_timeout:g} s")


def try_elsewhere(state: RealmState, module: Module, why: str) -> None:
    """Give the module to another runtime, unless enough of them failed."""
    assert module.parent is not None
    attempts = (*module.attempts, module.parent)
    if len(attempts) >= state.settings.start_attempts or module.spec.parent:
        finish(state, module, "failed", why, code="engine_error")
        return
    state.deadlines.cancel(phase(module.uuid))
    module = state.advance_module(
        module,
        "replaced",
        parent=None,
        attempts=attempts,
        detail=why,
        recovery=after_loss(module) if module.recovery else None,
    )
    place_new(state, module)


# ---------------------------------------------------------------------------- end and loss


def finish(
    state: RealmState,
    module: Module,
    event: str,
    detail: str | None,
    *,
    code: str | None = None,
    exit_code: int | None = None,
) -> None:
    """The module has ended (``exited`` or ``failed``); it stays visible for a while."""
    reply = module.reply
    crashed = event == "failed" and module.state in (ModuleState.RUNNING, ModuleState.MIGRATING)
    module = state.advance_module(
        module,
        event,
        detail=detail,
        exit_code=exit_code,
        reply=None,
        recovery=None,
        crashes=module.crashes + 1 if crashed else 0,
    )
    state.deadlines.set(phase(module.uuid), state.now + pause(state, module))
    state.answer(reply, Response(ok=False, details=detail or event, code=code or "failed"))
    place_pending(state)


def begins_again(module: Module) -> bool:
    """Whether a module that has ended is to start anew by itself."""
    return module.crashes > 0 and module.spec.on_crash is OnCrash.RESTART


def pause(state: RealmState, module: Module) -> float:
    """How long a module that has ended stays as it is."""
    settings = state.settings
    if not begins_again(module):
        return settings.keep_ended
    doublings = min(module.crashes - 1, 32)
    return min(settings.restart_after * 2.0**doublings, settings.restart_after_at_most)


def forget(state: RealmState, module: Module) -> None:
    """The module is gone; its place is free."""
    state.advance_module(module, "deleted")
    state.answer(module.reply, farewell(module))
    place_pending(state)


def farewell(module: Module) -> Response:
    """The answer to a delete."""
    return Response(ok=True, details={"type": "module", "uuid": module.uuid, "name": module.name})


def on_owner_gone(state: RealmState, module: Module, why: str) -> None:
    """The runtime of a module is given up, or no longer has it."""
    module = cancel(state, module, why)
    state.deadlines.cancel(phase(module.uuid))
    if module.state is ModuleState.STOPPING:
        forget(state, module)
    elif module.spec.on_runtime_lost is OnRuntimeLost.WAIT:
        _orphan(state, module, why)
    else:
        module = state.advance_module(
            module,
            "replaced",
            parent=None,
            detail=why,
            attempts=(),
            recovery=_recovery_of(module),
        )
        place_new(state, module)


def _recovery_of(module: Module) -> Recovery | None:
    """What ran has checkpoints, or may have; what had not begun yet begins."""
    started = module.state is not ModuleState.STARTING
    return after_loss(module) if started or module.recovery else None


def _orphan(state: RealmState, module: Module, why: str) -> None:
    reply = module.reply
    module = state.advance_module(
        module, "orphaned", detail=why, reply=None, recovery=_recovery_of(module)
    )
    state.answer(reply, accepted(state, module))
