"""Checkpoints as the realm sees them: taken, listed, gone back to, and what if one does not do.
PURE.

The store keeps them and knows which there are. The realm says whose may be kept: those of a
module's owner, at its present generation.
"""

from dataclasses import replace

from arts.errors import AlreadyExists, ArtsError, FailedPrecondition, NotFound, SnapshotError
from arts.model import Module, ModuleState, Recovery, Restored
from arts.protocol.messages import (
    CheckpointModule,
    CloneModule,
    Report,
    Response,
    RestoreModule,
    TakeCheckpoint,
)
from arts.realm import exports
from arts.realm.commands import accepted, discard, phase, refusal
from arts.realm.deadlines import DeadlineKey
from arts.realm.documents import checkpoint_document
from arts.realm.effects import (
    CheckpointKept,
    FindSnapshot,
    NoSnapshot,
    SnapshotFound,
    SnapshotUnfit,
)
from arts.realm.placement import cold_start, finish, on_started, place_new, try_elsewhere
from arts.realm.recovery import (
    on_found,
    on_ready,
    on_restored,
    seek,
    with_which_it_began,
)
from arts.realm.state import RealmState

_OWNED = frozenset({ModuleState.RUNNING, ModuleState.MIGRATING})


def refusal_of(state: RealmState, uuid: str, runtime: str, generation: int) -> str | None:
    """Why a checkpoint of this origin must not be kept; None if it may."""
    if exports.is_awaited(state, uuid, runtime):
        return None
    module = state.modules.get(uuid)
    if module is None:
        return "nobody knows the module"
    if (module.parent, module.generation) != (runtime, generation):
        return f"the module lives on at generation {module.generation}"
    return None if module.state in _OWNED else f"the module is {module.state}"


# ---------------------------------------------------------------------------- taking one


def take(state: RealmState, request: CheckpointModule) -> None:
    """Somebody wants a checkpoint now."""
    try:
        module = state.module_names.the(request.uuid)
        runtime = _capable(state, module, holding=request.hold > 0)
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    if request.reply is not None:
        state.awaited.setdefault(module.uuid, []).append(request.reply)
    command = TakeCheckpoint(
        object_id=request.object_id,
        uuid=module.uuid,
        generation=module.generation,
        hold=request.hold,
    )
    state.command(runtime, command)
    key = DeadlineKey("checkpoint", module.uuid)
    state.deadlines.set(key, state.now + state.settings.checkpoint_timeout)


def _capable(state: RealmState, module: Module, *, holding: bool) -> str:
    if module.state is not ModuleState.RUNNING:
        raise FailedPrecondition(f"module {module.name} is {module.state}, not running")
    if module.program is not None and not module.program.migratable:
        raise FailedPrecondition(
            f"no checkpoint can be taken of {module.name}: {module.program.refusal}"
        )
    assert module.parent is not None
    runtime = state.runtimes[module.parent]
    if "checkpoint" not in runtime.features:
        raise FailedPrecondition(f"runtime {runtime.name} takes no checkpoints")
    if holding and "hold" not in runtime.features:
        raise FailedPrecondition(f"runtime {runtime.name} lets no module stand still")
    return runtime.uuid


def on_kept(state: RealmState, event: CheckpointKept) -> None:
    """The store has one more."""
    if event.module in state.imports:
        exports.on_kept(state, event)
        return
    module = state.modules.get(event.module)
    if module is None:
        return
    state.checkpoints[module.uuid] = event
    state.count("checkpoints")
    details = {"module": module.uuid, "name": module.name} | checkpoint_document(event)
    _tell(state, module.uuid, Response(ok=True, details=details))


def on_refused(state: RealmState, module: Module, report: Report) -> None:
    """The module's runtime could not take one."""
    detail = f"no checkpoint of {module.name}: {report.detail or 'its runtime refused'}"
    _tell(state, module.uuid, Response(ok=False, details=detail, code=report.code))


def on_overdue(state: RealmState, uuid: str) -> None:
    """Nobody has said that the checkpoint is kept."""
    detail = f"no checkpoint within {state.settings.checkpoint_timeout:g} s"
    _tell(state, uuid, Response(ok=False, details=detail, code=SnapshotError.code))


def _tell(state: RealmState, uuid: str, response: Response) -> None:
    state.deadlines.cancel(DeadlineKey("checkpoint", uuid))
    for reply in state.awaited.pop(uuid, ()):
        state.answer(reply, response)


# ---------------------------------------------------------------------------- going back to one


def restore(state: RealmState, request: RestoreModule) -> None:
    """A module is to go on from a checkpoint. First it is looked whether there is one."""
    try:
        module = state.module_names.the(request.uuid)
        _check_restorable(state, module)
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    state.restores[module.uuid] = module.generation, request
    state.effects.append(FindSnapshot(module.uuid, module.generation, module.uuid, request.number))


def _check_restorable(state: RealmState, module: Module) -> None:
    movable = module.state in (ModuleState.RUNNING, ModuleState.LOST) or module.state.is_final
    if not movable:
        raise FailedPrecondition(f"module {module.name} is {module.state}")
    if module.uuid in state.restores:
        raise FailedPrecondition(f"module {module.name} is being restored already")


def _go_back(state: RealmState, module: Module, request: RestoreModule, number: int) -> None:
    if module.state is ModuleState.RUNNING:
        assert module.parent is not None
        discard(state, module.parent, module.uuid, module.generation)
    again = "requested" if module.state.is_final else "replaced"
    state.deadlines.cancel(phase(module.uuid))
    module = state.advance_module(
        module,
        again,
        parent=None,
        attempts=(),
        detail=f"back to checkpoint {number}",
        recovery=Recovery(module.uuid, at=number),
        life=module.generation + 1,
        begun=(module.uuid, number),
        reply=replace(request.reply, said=None) if request.reply else None,
    )
    place_new(state, module)


def clone(state: RealmState, request: CloneModule) -> None:
    """A new module, as an old one was at its newest good checkpoint."""
    old = state.modules.get(request.clone)
    if old is not None and old.request == request.object_id:
        state.answer(request.reply, accepted(state, old))
        return
    try:
        if old is not None:
            raise AlreadyExists(f"module {old.uuid} exists already and is {old.state}")
        source = state.module_names.the(request.uuid)
        if source.program is None or not source.program.migratable:
            raise FailedPrecondition(f"module {source.name} has no state that could be cloned")
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    name = request.name or f"{source.name}-clone"
    module = Module(
        spec=replace(source.spec, uuid=request.clone, name=name),
        state=ModuleState.PENDING,
        program=source.program,
        request=request.object_id,
        reply=replace(request.reply, said=None) if request.reply else None,
        created_at=state.wall,
        recovery=Recovery(source.uuid),
    )
    place_new(state, state.advance_module(module, "requested"))


# ---------------------------------------------------------------------------- what the store says


def on_snapshot_found(state: RealmState, event: SnapshotFound) -> None:
    """There is a checkpoint, and it is good."""
    module = _meant(state, event.module, event.generation)
    if request := _asked_for(state, event):
        _restore_now(state, state.modules[event.module], request, event.number)
    elif module is None:
        return
    elif module.state is ModuleState.STARTING and module.recovery is not None:
        on_found(state, module, event)


def _restore_now(state: RealmState, module: Module, request: RestoreModule, number: int) -> None:
    try:
        _check_restorable(state, module)
    except ArtsError as error:  # it has become something else meanwhile
        state.answer(request.reply, refusal(error))
    else:
        _go_back(state, module, request, number)


def on_no_snapshot(state: RealmState, event: NoSnapshot) -> None:
    """There is none that is good: from the beginning, unless one was asked for."""
    module = _meant(state, event.module, event.generation)
    if request := _asked_for(state, event):
        error = SnapshotError(event.detail) if event.damaged else NotFound(event.detail)
        state.answer(request.reply, refusal(error))
    elif module is None:
        return
    elif module.state is ModuleState.STARTING and module.recovery is not None:
        _without(state, module, module.recovery, event)


def _without(state: RealmState, module: Module, move: Recovery, event: NoSnapshot) -> None:
    """None of the checkpoints that were wanted is good."""
    if (first := with_which_it_began(module, move)) is not None:
        module = replace(module, recovery=first)
        state.put_module(module)
        seek(state, module)
    elif move.source != module.uuid or move.required:
        finish(state, module, "failed", event.detail, code=NotFound.code)
    else:
        damaged = tuple(dict.fromkeys((*move.damaged, *event.damaged)))
        cold_start(state, module, event.detail, damaged)


def on_snapshot_unfit(state: RealmState, event: SnapshotUnfit) -> None:
    """The one that was found cannot be sent."""
    module = _meant(state, event.module, event.generation)
    if module is None or module.state is not ModuleState.STARTING or module.recovery is None:
        return
    if module.recovery.number == event.number:
        _older(state, module, module.recovery, event.detail)


def _asked_for(state: RealmState, event: SnapshotFound | NoSnapshot) -> RestoreModule | None:
    """The request that this answers; None if it is about a module that starts."""
    generation, request = state.restores.get(event.module, (-1, None))
    if generation != event.generation:
        return None
    del state.restores[event.module]
    return request


def _meant(state: RealmState, uuid: str, generation: int) -> Module | None:
    module = state.modules.get(uuid)
    return module if module is not None and module.generation == generation else None


# ---------------------------------------------------------------------------- what the target says


def on_report(state: RealmState, module: Module, report: Report) -> None:
    """The runtime that is to go on from the checkpoint says something."""
    move = module.recovery
    assert move is not None
    match report.kind:
        case "ready":
            on_ready(state, module, move)
        case "restored":
            if not on_restored(state, module, move, report):
                _older(state, module, move, "it was rebuilt with another digest")
        case "resumed":
            _resumed(state, module, move)
        case "refused" | "failed" | "aborted" if report.code == SnapshotError.code:
            _older(state, module, move, report.detail or f"{report.kind} by the runtime")
        case "refused" | "failed" | "aborted":
            try_elsewhere(state, module, report.detail or f"{report.kind} by the runtime")


def _older(state: RealmState, module: Module, move: Recovery, why: str) -> None:
    """This checkpoint did not do: perhaps the one before it does."""
    assert move.number is not None
    assert module.parent is not None
    discard(state, module.parent, module.uuid, module.generation)
    if move.required:
        finish(state, module, "failed", f"it cannot go on: {why}", code=SnapshotError.code)
        return
    damaged = (*move.damaged, move.number)
    older = Recovery(move.source, before=move.number, since=move.since, damaged=damaged)
    module = replace(module, recovery=older)
    state.put_module(module)
    state.note("module.checkpoint_unfit", module=module, detail=f"checkpoint {move.number}")
    seek(state, module)


def _resumed(state: RealmState, module: Module, move: Recovery) -> None:
    assert move.number is not None
    begun = module.begun if move.source == module.uuid else (move.source, move.number)
    restored = Restored(move.number, move.source, move.taken_at, move.damaged)
    spoiled = f"; {_listed(move.damaged)} could not be used" if move.damaged else ""
    state.note("module.restored", module=module, detail=f"from checkpoint {move.number}{spoiled}")
    on_started(state, replace(module, recovery=None, restored=restored, begun=begun))


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))
