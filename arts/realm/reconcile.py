"""What a runtime holds against what it should hold: adopt, discard, mourn. PURE.

Never restarts what runs, and never lets a copy act that is not the module's present one.
"""

from arts.model import Module, ModuleState, Runtime
from arts.protocol.messages import (
    AbortMigration,
    HeldModule,
    ModuleStats,
    RegisterRuntime,
    Report,
)
from arts.realm import migration
from arts.realm.commands import discard, start_command
from arts.realm.modules import on_ended, send_stop
from arts.realm.placement import forget, needs_program, on_owner_gone
from arts.realm.recovery import seek
from arts.realm.state import RealmState


def reconcile(
    state: RealmState, runtime: Runtime, request: RegisterRuntime, *, restarted: bool
) -> None:
    """A runtime has registered and said everything it holds. ``restarted``: as a new process."""
    for copy in request.modules:
        _judge(state, runtime, copy)
    # Only now: what ends makes room, and room may start what is still to be adopted.
    for report in request.ended:
        _note_end(state, runtime, report)
    held_now = {copy.uuid for copy in request.modules}
    for uuid in tuple(state.taken[runtime.uuid]):
        if uuid not in held_now:
            _on_missing(state, runtime, state.modules[uuid], restarted=restarted)


def _note_end(state: RealmState, runtime: Runtime, report: Report) -> None:
    """How a module ended, told again: without it it would be missed, and started once more."""
    module = state.modules.get(report.uuid)
    if module and (module.parent, module.generation) == (runtime.uuid, report.generation):
        if module.state is ModuleState.LOST:
            module = state.advance_module(module, "adopted", detail=None, recovery=None)
        on_ended(state, module, report)


def _judge(state: RealmState, runtime: Runtime, copy: HeldModule) -> None:
    if discard_stale(state, runtime.uuid, copy.uuid, copy.generation):
        return
    module = state.modules[copy.uuid]
    if module.migration is not None:
        migration.on_end_back(state, module, runtime.uuid)
        return
    if copy.migration is not None and not _is_recovering(module, copy):
        _thaw(state, runtime, copy)
    if module.state is ModuleState.STARTING:
        repeat_start(state, runtime, module)
    elif module.state is ModuleState.LOST:
        state.advance_module(module, "adopted", detail=None, recovery=None)
    elif module.state is ModuleState.STOPPING:
        send_stop(state, module)


def discard_stale(state: RealmState, runtime: str, uuid: str, generation: int) -> bool:
    """Have a copy dropped that is neither the module's present one nor an end of its move."""
    module = state.modules.get(uuid)
    if module is not None and _belongs(module, runtime, generation):
        return False
    discard(state, runtime, uuid, generation, session=module is None)
    return True


def _belongs(module: Module, runtime: str, generation: int) -> bool:
    if module.migration is not None:
        return runtime in (module.migration.source, module.migration.target)
    here = (module.parent, module.generation) == (runtime, generation)
    return here and not module.state.is_final


def _is_recovering(module: Module, copy: HeldModule) -> bool:
    return module.recovery is not None and module.recovery.id == copy.migration


def _thaw(state: RealmState, runtime: Runtime, copy: HeldModule) -> None:
    """It stands still for a move that nobody knows any more."""
    assert copy.migration is not None
    abort = AbortMigration(uuid=copy.uuid, generation=copy.generation, migration=copy.migration)
    state.command(runtime.uuid, abort)


def _on_missing(state: RealmState, runtime: Runtime, module: Module, *, restarted: bool) -> None:
    """The runtime should have the module, as owner or as an end of its move, and does not."""
    why = f"runtime {runtime.name} {'restarted' if restarted else 'no longer has it'}"
    if module.migration is not None:
        if restarted or runtime.uuid == module.parent:
            migration.on_end_lost(state, module, runtime.uuid, why)
        else:  # a target tells of its copy only once it is complete
            migration.on_end_back(state, module, runtime.uuid)
    elif module.state is ModuleState.STARTING:
        # Perhaps the command was lost with the old connection; to repeat it harms nothing.
        repeat_start(state, runtime, module)
    elif module.state is ModuleState.STOPPING:
        forget(state, module)
    else:
        on_owner_gone(state, module, why)


def repeat_start(state: RealmState, runtime: Runtime, module: Module) -> None:
    """Perhaps the command was lost, or what it had started."""
    if module.recovery is not None:
        seek(state, module)
    elif not needs_program(state, module):
        state.command(runtime.uuid, start_command(module, runtime.uuid, module.generation))


def note_stats(state: RealmState, runtime: Runtime, stats: ModuleStats) -> None:
    """A keepalive tells what a module uses; what should not be there is told to go."""
    module = state.modules.get(stats.uuid)
    if module and (module.parent, module.generation) == (runtime.uuid, stats.generation):
        state.stats[stats.uuid] = stats
        state.learn_pause(module, stats.pause_seconds)
    elif runtime.reports:
        discard_stale(state, runtime.uuid, stats.uuid, stats.generation)
