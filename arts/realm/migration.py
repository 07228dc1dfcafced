"""How a module moves: phase by phase, with one commit point. PURE.

    preparing --ready--> freezing --frozen--> restoring --restored, digests equal--> switching

Until ``_commit`` the module belongs to the source, and calling the move off means: the source runs
on. From there it belongs to the target at the next generation, and there is only forward: the
commands are repeated until the target runs, and if the target dies first the source's frozen copy
is the next owner, at a generation of its own.
"""

from dataclasses import replace
from uuid import NAMESPACE_OID, uuid5

from arts.errors import ArtsError, FailedPrecondition, Unplaceable
from arts.model import Migration, MigrationPhase, Module, ModuleState, Runtime, RuntimeState
from arts.protocol.messages import (
    FreezeModule,
    MoveModule,
    PrepareModule,
    ReleaseModule,
    Report,
    Response,
    ResumeModule,
    StopModule,
)
from arts.realm.abort import call_off, failure, step
from arts.realm.commands import accepted, command_id, discard, phase, refusal, start_command
from arts.realm.documents import module_document
from arts.realm.placement import on_owner_gone, place_pending
from arts.realm.state import RealmState
from arts.scheduling.explain import reasons_against
from arts.scheduling.filters import Demand, reason_against
from arts.scheduling.policies import place

# ---------------------------------------------------------------------------- the request


def move(state: RealmState, request: MoveModule) -> None:
    """A module is to move."""
    try:
        module = state.module_names.the(request.uuid)
        if _is_repetition(state, module, request):
            return
        source = _source(state, module)
        if "snapshot" not in source.features:
            _hand_over(state, module, source, request)
            return
        target = _target(state, module, request.target)
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    _prepare(state, module, source.uuid, target, request)


def plan(state: RealmState, module: Module, key: str | None) -> dict[str, object]:
    """What a move to ``key`` would do, as far as the realm knows. Raises what that would say."""
    source = _source(state, module)
    moves = "snapshot" in source.features
    target = _target(state, module, key) if moves else _receiver(state, module, source, key)
    return {
        "module": module_document(state, module),
        "from": source.name,
        "to": _name(state, target),
        "way": None if moves else "handed over",
        "source": source.uuid,
        "measures": "measure" in source.features,
    }


def _hand_over(state: RealmState, module: Module, source: Runtime, request: MoveModule) -> None:
    """The original's way: the source is told where to, and sees to it with the target alone."""
    target = _receiver(state, module, source, request.target)
    stop = StopModule(
        object_id=command_id(module, "handover"),
        uuid=module.uuid,
        generation=module.generation,
        module=start_command(module, source.uuid, module.generation),
        send_to=target,
    )
    state.command(source.uuid, stop)
    module = replace(
        module, parent=target, generation=module.generation + 1, moved_by=request.object_id
    )
    state.put_module(module)
    state.note("module.handed_over", module=module)
    state.answer(request.reply, accepted(state, module))
    place_pending(state)


def _receiver(state: RealmState, module: Module, source: Runtime, key: str | None) -> str:
    target = _wanted(state, module, key) if key is not None else ""
    ends = (source, state.runtimes.get(target))
    if not all(end and "handover" in end.features for end in ends):
        raise FailedPrecondition(f"runtime {source.name} cannot send a running module away")
    demand = Demand(replace(module.spec, parent=target))
    if reason := reason_against(demand, state.view.candidates[target]):
        raise Unplaceable({state.runtimes[target].name: reason})
    return target


def _is_repetition(state: RealmState, module: Module, request: MoveModule) -> bool:
    """The same request again (QoS 1): one answer does, and one move."""
    if module.migration is not None and module.migration.request == request.object_id:
        return True
    if module.moved_by != request.object_id:
        return False
    state.answer(request.reply, accepted(state, module))
    return True


def _source(state: RealmState, module: Module) -> Runtime:
    if module.state is not ModuleState.RUNNING:
        raise FailedPrecondition(f"module {module.name} is {module.state}, not running")
    if module.program is not None and not module.program.migratable:
        raise FailedPrecondition(f"{module.name} cannot be moved: {module.program.refusal}")
    assert module.parent is not None
    source = state.runtimes[module.parent]
    if source.state is not RuntimeState.ONLINE:
        raise FailedPrecondition(f"runtime {source.name} is {source.state}")
    return source


def _target(state: RealmState, module: Module, key: str | None) -> str:
    wanted = _wanted(state, module, key) if key is not None else None
    assert module.parent is not None
    demand = Demand(
        replace(module.spec, parent=wanted),
        exclude=frozenset({module.parent}),
        moving=True,
        needs=module.needs,
    )
    placement = place(demand, state.view, state.policy)
    if placement is None:
        raise Unplaceable(dict(reasons_against(demand, state.view)))
    return placement.runtime


def _wanted(state: RealmState, module: Module, key: str) -> str:
    runtime = state.runtime_names.the(key)
    if runtime.uuid == module.parent:
        raise FailedPrecondition(f"module {module.name} is on {runtime.name} already")
    return runtime.uuid


# ---------------------------------------------------------------------------- the phases


def _prepare(
    state: RealmState, module: Module, source: str, target: str, request: MoveModule
) -> None:
    migration = Migration(
        id=str(uuid5(NAMESPACE_OID, f"{module.uuid}/{module.generation}/{request.object_id}")),
        source=source,
        target=target,
        phase=MigrationPhase.PREPARING,
        request=request.object_id,
        reply=request.reply,
    )
    module = state.advance_module(module, "moving", migration=migration, detail=None)
    _send_prepare(state, module, migration)
    _arm(state, module)


def _arm(state: RealmState, module: Module) -> None:
    """Give the present phase its time."""
    settings, move = state.settings, module.migration
    assert move is not None
    patience = {
        MigrationPhase.PREPARING: settings.prepare_timeout,
        MigrationPhase.FREEZING: settings.freeze_timeout,
        MigrationPhase.RESTORING: settings.restore_timeout
        + move.size / settings.transfer_bytes_per_second,
        MigrationPhase.SWITCHING: settings.switch_timeout,
    }
    state.deadlines.set(phase(module.uuid), state.now + patience[move.phase])


def _send_prepare(state: RealmState, module: Module, move: Migration) -> None:
    prepare = PrepareModule(
        object_id=command_id(module, "prepare"),
        module=start_command(module, move.target, module.generation + 1),
        source=move.source,
        **step(module, ahead=1),
    )
    state.command(move.target, prepare)


def _send_freeze(state: RealmState, module: Module, move: Migration) -> None:
    target = state.runtimes.get(move.target)
    freeze = FreezeModule(
        object_id=command_id(module, "freeze"),
        target=move.target,
        rehearse=target is not None and "foresee" in target.features,
        **step(module, ahead=1),
    )
    state.command(move.source, freeze)


def on_report(state: RealmState, module: Module, report: Report) -> None:
    """One end of the module's present move says something."""
    assert module.migration is not None
    if module.migration.phase is MigrationPhase.SWITCHING:
        if report.runtime == module.parent:
            _on_owner_says(state, module, module.migration, report)
    elif report.runtime == module.migration.source:
        _on_source_says(state, module, module.migration, report)
    elif report.runtime == module.migration.target:
        _on_target_says(state, module, module.migration, report)


def _on_source_says(state: RealmState, module: Module, move: Migration, report: Report) -> None:
    if report.kind == "frozen" and move.phase is MigrationPhase.FREEZING:
        _on_frozen(state, module, report)
    elif report.kind == "ahead" and move.phase is MigrationPhase.FREEZING:
        state.note("migration.ahead", module=module, bytes=report.size)
        _arm(state, module)
    elif report.kind == "refused":
        call_off(state, module, report.detail or "the source refused")


def _on_target_says(state: RealmState, module: Module, move: Migration, report: Report) -> None:
    match report.kind:
        case "ready" if move.phase is MigrationPhase.PREPARING:
            _freeze(state, module, move)
        case "restored":
            _on_restored(state, module, move, report)
        case "refused" | "failed" | "aborted":
            call_off(state, module, report.detail or f"{report.kind} by the target")


def _on_owner_says(state: RealmState, module: Module, move: Migration, report: Report) -> None:
    match report.kind:
        case "resumed":
            _finish(state, module, move, report)
        case "refused" | "failed" | "aborted":
            fall_back(state, module, report.detail or f"{report.kind} by the target")


def _freeze(state: RealmState, module: Module, move: Migration) -> None:
    module = state.advance_migration(module, "ready")
    _send_freeze(state, module, move)
    _arm(state, module)


def _on_frozen(state: RealmState, module: Module, report: Report) -> None:
    state.learn_pause(module, report.pause_seconds)
    module = state.advance_migration(
        module, "frozen", digest=report.digest, size=report.size or 0, frozen_at=report.at
    )
    _arm(state, module)
    _commit_if_equal(state, module)


def _on_restored(state: RealmState, module: Module, move: Migration, report: Report) -> None:
    module = replace(module, migration=replace(move, restored=report.digest))
    state.put_module(module)
    _commit_if_equal(state, module)


def _commit_if_equal(state: RealmState, module: Module) -> None:
    move = module.migration
    assert move is not None
    if move.digest is None or move.restored is None:
        return  # the other end has not spoken yet
    if move.digest == move.restored:
        _commit(state, module, move.target)
    else:
        call_off(state, module, "the target rebuilt another state than the source sent")


def _commit(state: RealmState, module: Module, target: str) -> None:
    """The one commit point: with this record durable, the module belongs to the target."""
    module = replace(module, parent=target, generation=module.generation + 1)
    push(state, state.advance_migration(module, "committed"))


def push(state: RealmState, module: Module) -> None:
    """Tell the new owner to go on and the old one to let go; again if need be."""
    move = module.migration
    assert move is not None
    resume = ResumeModule(object_id=command_id(module, "resume"), **step(module))
    state.command(move.target, resume)
    if move.fell_back:
        discard(state, move.source, module.uuid, module.generation - 1)
    else:
        release = ReleaseModule(object_id=command_id(module, "release"), **step(module))
        state.command(move.source, release)
    _arm(state, module)


def _finish(state: RealmState, module: Module, move: Migration, report: Report) -> None:
    state.deadlines.cancel(phase(module.uuid))
    state.retries.pop(module.uuid, None)
    discard(state, move.source, module.uuid, module.generation - 1)
    module = state.advance_migration(module, "resumed")
    if move.fell_back:
        state.advance_module(module, "stayed", detail="not moved: the target failed")
        state.answer(move.reply, failure("the target failed; the module goes on at the source"))
        return
    module = state.advance_module(module, "moved", moved_by=move.request)
    source, target = _name(state, move.source), _name(state, move.target)
    downtime_ms = round(max(0.0, report.at - move.frozen_at) * 1000, 3)
    state.note(
        "migration.done",
        module=module,
        source=source,
        target=target,
        downtime_ms=downtime_ms,
        bytes=move.size,
    )
    details = {
        "module": module_document(state, module),
        "from": source,
        "to": target,
        "downtime_ms": downtime_ms,
        "bytes": move.size,
    }
    state.answer(move.reply, Response(ok=True, details=details))


def _name(state: RealmState, runtime: str) -> str:
    found = state.runtimes.get(runtime)
    return found.name if found else runtime


# ---------------------------------------------------------------------------- trouble


def on_end_back(state: RealmState, module: Module, runtime: str) -> None:
    """One of the two runtimes has registered again: its last command may have been lost, or its
    last report been missed. Asked again, it says again how far it is."""
    move = module.migration
    assert move is not None
    if move.phase is MigrationPhase.SWITCHING:
        push(state, module)
    elif runtime == move.target:
        _send_prepare(state, module, move)
    elif move.phase is not MigrationPhase.PREPARING:
        _send_freeze(state, module, move)


def on_end_lost(state: RealmState, module: Module, runtime: str, why: str) -> None:
    """One of the two runtimes is given up, or came back without its copy."""
    move = module.migration
    assert move is not None
    if move.phase is MigrationPhase.SWITCHING:
        if runtime == module.parent:
            fall_back(state, module, why)
    elif runtime == move.target:
        call_off(state, module, why)
    else:
        on_owner_gone(state, module, why)


def fall_back(state: RealmState, module: Module, why: str) -> None:
    """The new owner failed behind the commit point: the source still has the frozen copy."""
    move = module.migration
    assert move is not None
    assert module.parent is not None
    source = state.runtimes.get(move.source)
    if move.fell_back or source is None or source.state is RuntimeState.LOST:
        discard(state, module.parent, module.uuid, module.generation)
        on_owner_gone(state, module, why)
        return
    state.retries.pop(module.uuid, None)
    module = replace(module, parent=move.source, generation=module.generation + 1)
    push(
        state,
        state.advance_migration(
            module, "fell_back", source=move.target, target=move.source, fell_back=True
        ),
    )


def on_phase_over(state: RealmState, module: Module) -> None:
    """The present phase takes too long."""
    move = module.migration
    assert move is not None
    if move.phase is not MigrationPhase.SWITCHING:
        call_off(state, module, f"it took too long while {move.phase}")
        return
    tries = state.retries.get(module.uuid, 0) + 1
    state.retries[module.uuid] = tries
    if tries < state.settings.switch_attempts or not state.is_online(module.parent):
        push(state, module)
        return
    fall_back(state, module, "the move got stuck")


def take_up(state: RealmState, module: Module) -> None:
    """After the supervisor's own absence: repeat what was last said, and go on."""
    move = module.migration
    assert move is not None
    _arm(state, module)
    on_end_back(state, module, move.target)
    if move.phase is not MigrationPhase.SWITCHING:
        on_end_back(state, module, move.source)
