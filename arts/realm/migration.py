"""How a module moves: phase by phase, with one commit point. PURE.

    preparing --ready--> freezing --frozen--> restoring --restored, digests equal--> switching

Until ``_commit`` the module belongs to the source, and calling the move off means: the source runs
on. From there it belongs to the target at the next generation, and there is only forward: the
commands are repeated until the target runs, and if the target dies first the source's frozen copy
is the next owner, at a generation of its own.
"""

from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from arts.errors import (
    ArtsError,
    FailedPrecondition,
    InvalidRequest,
    MigrationFailed,
    NotFound,
    Unplaceable,
)
from arts.model import Migration, MigrationPhase, Module, ModuleState, RuntimeState
from arts.protocol.messages import (
    AbortMigration,
    FreezeModule,
    MoveModule,
    PrepareModule,
    ReleaseModule,
    Report,
    Response,
    ResumeModule,
    StopModule,
)
from arts.realm import lifecycle
from arts.realm.commands import command_id, phase, refusal, start_command
from arts.realm.documents import module_document
from arts.realm.state import RealmState
from arts.scheduling.explain import reasons_against
from arts.scheduling.filters import Demand
from arts.scheduling.policies import place


def ask(state: RealmState, request: MoveModule) -> None:
    """A module is to move."""
    try:
        module = _movable(state, request.uuid)
        target = _target(state, module, request.target)
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    assert module.parent is not None
    migration = Migration(
        id=str(uuid5(NAMESPACE_OID, f"{module.uuid}/{module.generation}/{request.object_id}")),
        source=module.parent,
        target=target,
        phase=MigrationPhase.PREPARING,
        reply=request.reply,
    )
    module = state.advance_module(module, "moving", migration=migration, detail=None)
    prepare = PrepareModule(
        object_id=command_id(module, "prepare"),
        module=start_command(module, target, module.generation + 1),
        source=migration.source,
        **_step(module, ahead=1),
    )
    state.command(target, prepare)
    state.deadlines.set(phase(module.uuid), state.now + state.settings.prepare_timeout)


def _movable(state: RealmState, key: str) -> Module:
    found = state.find_modules(key)
    if not found:
        raise NotFound(f"no module {key!r}")
    if len(found) > 1:
        raise InvalidRequest(f"{len(found)} modules are meant by {key!r}; say which by uuid")
    module = found[0]
    if module.state is not ModuleState.RUNNING:
        raise FailedPrecondition(f"module {module.name} is {module.state}, not running")
    if module.program is not None and not module.program.migratable:
        raise FailedPrecondition(f"{module.name} cannot be moved: {module.program.refusal}")
    assert module.parent is not None
    source = state.runtimes[module.parent]
    if "snapshot" not in source.features:
        raise FailedPrecondition(f"runtime {source.name} cannot send a running module away")
    if source.state is not RuntimeState.ONLINE:
        raise FailedPrecondition(f"runtime {source.name} is {source.state}")
    return module


def _target(state: RealmState, module: Module, key: str | None) -> str:
    assert module.parent is not None
    wanted = None
    if key is not None:
        found = state.find_runtimes(key)
        if len(found) != 1:
            raise NotFound(f"no runtime {key!r}" if not found else f"several runtimes {key!r}")
        wanted = found[0].uuid
        if wanted == module.parent:
            raise FailedPrecondition(f"module {module.name} is on {found[0].name} already")
    demand = Demand(
        replace(module.spec, parent=wanted), exclude=frozenset({module.parent}), moving=True
    )
    placement = place(demand, state.view, state.policy)
    if placement is None:
        raise Unplaceable(dict(reasons_against(demand, state.view)))
    return placement.runtime


def _step(module: Module, *, ahead: int = 0) -> dict[str, Any]:
    """The fields that every command of a move carries; ``ahead`` of the commit point by 1."""
    assert module.migration is not None
    return {
        "uuid": module.uuid,
        "generation": module.generation + ahead,
        "migration": module.migration.id,
    }


# ---------------------------------------------------------------------------- reports


def on_report(state: RealmState, module: Module, report: Report) -> bool:
    """One end of the module's present move says something. False: the module lost its owner."""
    move = module.migration
    assert move is not None
    committed = move.phase is MigrationPhase.SWITCHING
    match report.kind:
        case "ready" if move.phase is MigrationPhase.PREPARING:
            _freeze(state, module, move)
        case "frozen" if move.phase is MigrationPhase.FREEZING:
            _on_frozen(state, module, move, report)
        case "restored" if not committed and report.runtime == move.target:
            _on_restored(state, module, move, report)
        case "resumed" if committed and report.runtime == module.parent:
            _finish(state, module, move, report)
        case "refused" | "failed" if not committed:
            _call_off(state, module, report.detail or f"{report.kind} by a runtime")
        case "refused" | "failed" if report.runtime == module.parent:
            return _fall_back(state, module, move)
    return True


def _freeze(state: RealmState, module: Module, move: Migration) -> None:
    module = _advance(state, module, "ready")
    freeze = FreezeModule(
        object_id=command_id(module, "freeze"), target=move.target, **_step(module, ahead=1)
    )
    state.command(move.source, freeze)
    state.deadlines.set(phase(module.uuid), state.now + state.settings.freeze_timeout)


def _on_frozen(state: RealmState, module: Module, move: Migration, report: Report) -> None:
    size = report.size or 0
    module = _advance(state, module, "frozen", digest=report.digest, size=size, frozen_at=report.at)
    patience = state.settings.restore_timeout + size / state.settings.transfer_bytes_per_second
    state.deadlines.set(phase(module.uuid), state.now + patience)
    _commit_if_equal(state, module)


def _on_restored(state: RealmState, module: Module, move: Migration, report: Report) -> None:
    module = replace(module, migration=replace(move, restored=report.digest or ""))
    state.put_module(module)
    _commit_if_equal(state, module)


def _commit_if_equal(state: RealmState, module: Module) -> None:
    move = module.migration
    assert move is not None
    if move.digest is None or move.restored is None:
        return  # the other end has not spoken yet
    if move.digest != move.restored:
        _call_off(state, module, "the target rebuilt another state than the source sent")
        return
    _commit(state, module, move)


def _commit(state: RealmState, module: Module, move: Migration) -> None:
    """The one commit point: with this record durable, the module belongs to the target."""
    module = _advance(state, module, "committed")
    module = replace(module, parent=move.target, generation=module.generation + 1)
    state.put_module(module)
    _push(state, module)


def _push(state: RealmState, module: Module) -> None:
    """Tell the new owner to go on and the old one to let go; again if need be."""
    move = module.migration
    assert move is not None
    step = _step(module)
    state.command(move.target, ResumeModule(object_id=command_id(module, "resume"), **step))
    state.command(move.source, ReleaseModule(object_id=command_id(module, "release"), **step))
    state.deadlines.set(phase(module.uuid), state.now + state.settings.switch_timeout)


def _finish(state: RealmState, module: Module, move: Migration, report: Report) -> None:
    state.deadlines.cancel(phase(module.uuid))
    state.retries.pop(module.uuid, None)
    _forget_copy(state, module, move.source)
    downtime = max(0.0, report.at - move.frozen_at) * 1000
    names = [
        state.runtimes[r].name if r in state.runtimes else r for r in (move.source, move.target)
    ]
    module = state.advance_module(module, "stayed" if move.fell_back else "moved", migration=None)
    state.note(
        "migration.done",
        module=module,
        source=names[0],
        target=names[1],
        downtime_ms=round(downtime, 3),
        bytes=move.size,
    )
    if move.fell_back:
        state.answer(move.reply, _failure("the target failed; the module goes on at the source"))
        return
    details = {
        "module": module_document(state, module),
        "from": names[0],
        "to": names[1],
        "downtime_ms": downtime,
        "bytes": move.size,
    }
    state.answer(move.reply, Response(ok=True, details=details))


def _forget_copy(state: RealmState, module: Module, runtime: str) -> None:
    """A copy of an earlier generation may go, its session lives on elsewhere."""
    state.command(
        runtime,
        StopModule(
            object_id=command_id(module, "forget"),
            uuid=module.uuid,
            generation=module.generation - 1,
            force=True,
            forget_session=False,
        ),
    )


# ---------------------------------------------------------------------------- trouble


def on_end_lost(state: RealmState, module: Module, runtime: str, why: str) -> bool:
    """One of the two runtimes is given up. False: the module lost its owner for good."""
    move = module.migration
    assert move is not None
    if move.phase is MigrationPhase.SWITCHING:
        return runtime != module.parent or _fall_back(state, module, move)
    if runtime == move.target:
        _call_off(state, module, why)
        return True
    return False


def _fall_back(state: RealmState, module: Module, move: Migration) -> bool:
    """The target is gone behind the commit point: its source still has the frozen copy."""
    source = state.runtimes.get(move.source)
    if move.fell_back or source is None or source.state is RuntimeState.LOST:
        return False
    state.retries.pop(module.uuid, None)
    module = _advance(
        state, module, "fell_back", source=move.target, target=move.source, fell_back=True
    )
    module = replace(module, parent=move.source, generation=module.generation + 1)
    state.put_module(module)
    _push(state, module)
    return True


def on_phase_over(state: RealmState, module: Module) -> bool:
    """The present phase takes too long. False: the module lost its owner for good."""
    move = module.migration
    assert move is not None
    if move.phase is not MigrationPhase.SWITCHING:
        _call_off(state, module, f"it took too long while {move.phase}")
        return True
    tries = state.retries.get(module.uuid, 0) + 1
    state.retries[module.uuid] = tries
    if tries < state.settings.switch_attempts or not state.is_online(module.parent):
        _push(state, module)
        return True
    return _fall_back(state, module, move)


def push_again(state: RealmState, module: Module) -> None:
    """After the supervisor's own absence: before the commit give up, behind it go on."""
    move = module.migration
    assert move is not None
    if move.phase is MigrationPhase.SWITCHING:
        _push(state, module)
    else:
        _call_off(state, module, "the supervisor restarted in the middle")


def cancel(state: RealmState, module: Module, why: str) -> None:
    """Whatever becomes of the module, it is no longer moving. Harmless if it was not."""
    move = module.migration
    if move is None:
        return
    state.deadlines.cancel(phase(module.uuid))
    if move.phase is MigrationPhase.SWITCHING:
        _forget_copy(state, module, move.source)
    else:
        _send_abort(state, module, move.target)
    _advance(state, module, "aborted")
    state.answer(move.reply, _failure(why))


def _call_off(state: RealmState, module: Module, why: str) -> None:
    """Before the commit point: the source runs on, the target forgets."""
    move = module.migration
    assert move is not None
    _send_abort(state, module, move.source)
    cancel(state, module, why)
    state.advance_module(state.modules[module.uuid], "stayed", detail=f"not moved: {why}")


def _send_abort(state: RealmState, module: Module, runtime: str) -> None:
    state.command(
        runtime,
        AbortMigration(object_id=command_id(module, "abort"), **_step(module, ahead=1)),
    )


def abort_stray(state: RealmState, report: Report) -> None:
    """An end of a move that is over still works on it."""
    assert report.migration is not None
    abort = AbortMigration(
        uuid=report.uuid, generation=report.generation, migration=report.migration
    )
    state.command(report.runtime, abort)


def _advance(state: RealmState, module: Module, event: str, **changes: Any) -> Module:
    """Move the move along its table."""
    move = module.migration
    assert move is not None
    reached = lifecycle.after(lifecycle.MIGRATION, move.phase, event, state.tell(module.uuid))
    migration = replace(move, phase=reached, **changes) if reached else None
    module = replace(module, migration=migration)
    state.put_module(module)
    state.note(f"migration.{event}", module=module, migration=move.id)
    return module


def _failure(why: str) -> Response:
    error = MigrationFailed(why)
    return Response(ok=False, details=f"not moved: {error}", code=error.code)
