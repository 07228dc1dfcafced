"""Going on with what was under way when the supervisor stopped. PURE.

Deadlines are armed anew, never loaded. Commands may repeat: generations make it harmless.
"""

from collections.abc import Iterable

from arts.model import Durability, Module, ModuleState, Runtime, RuntimeState
from arts.realm import migration
from arts.realm.commands import phase
from arts.realm.deadlines import DeadlineKey
from arts.realm.effects import ForgetSnapshots
from arts.realm.modules import send_stop
from arts.realm.placement import begin_again, on_owner_gone, pause, place_pending
from arts.realm.state import RealmState


def restore(state: RealmState, records: Iterable[Runtime | Module]) -> None:
    """Take in what the store remembers, in any order, and take up every loose end."""
    found = list(records)
    for record in found:
        if isinstance(record, Runtime):
            state.load_runtime(record)
            _expect(state, record)
    for record in found:
        if isinstance(record, Module):
            state.load_module(record)
    for module in tuple(state.modules.values()):
        _take_up(state, module)
    place_pending(state)


def _expect(state: RealmState, runtime: Runtime) -> None:
    """Whoever promised keepalives gets a lease and the grace to be heard in it."""
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
    if module.state.is_placed and module.parent not in state.runtimes:
        on_owner_gone(state, module, "its runtime is unknown")
        return
    if _has_never_run(module):
        # One of this uuid may have been deleted just before, and its checkpoints not yet.
        state.effects.append(ForgetSnapshots(module.uuid))
    match module.state:
        case ModuleState.STARTING:
            begin_again(state, module)
        case ModuleState.STOPPING:
            send_stop(state, module)
        case ModuleState.MIGRATING:
            migration.take_up(state, module)
        case ModuleState.EXITED | ModuleState.FAILED:
            state.deadlines.set(phase(module.uuid), state.now + pause(state, module))


def _has_never_run(module: Module) -> bool:
    """Whether a durable module is certainly at the beginning of its first life."""
    waits = module.state in (ModuleState.PENDING, ModuleState.STARTING)
    first = module.recovery is None and module.life == 0 and module.generation <= 1
    return waits and first and module.spec.durability is not Durability.NONE
