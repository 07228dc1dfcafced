"""What must always be true of a realm. PURE; changes nothing. For tests and post-mortems."""

from arts.errors import InvariantError
from arts.model import Module, ModuleState, RuntimeState
from arts.realm.commands import phase
from arts.realm.deadlines import DeadlineKey
from arts.realm.state import RealmState, places_of

_UNTIMED = frozenset({ModuleState.PENDING, ModuleState.RUNNING, ModuleState.LOST})
_OWING = frozenset({ModuleState.STARTING, ModuleState.STOPPING})


def validate(state: RealmState) -> None:
    """Raise ``InvariantError`` unless everything fits together."""
    for module in state.modules.values():
        _validate_module(state, module)
    for uuid, taken in state.taken.items():
        for occupant in taken:
            here = uuid in places_of(state.modules.get(occupant))
            _check(here, "keeps a place it does not take", state, occupant)
    for uuid in state.runtimes:
        _validate_runtime(state, uuid)


def _check(truth: bool, what: str, state: RealmState, uuid: str) -> None:
    if not truth:
        raise InvariantError(f"{what}. {state.tell(uuid)}")


def _validate_module(state: RealmState, module: Module) -> None:
    uuid, now = module.uuid, module.state
    moving = now is ModuleState.MIGRATING
    _check(moving == (module.migration is not None), "a move without a moving module", state, uuid)
    pending = now is ModuleState.PENDING
    _check(pending == (uuid in state.pending), "pending but not in the queue", state, uuid)
    _check(not (pending and module.parent), "pending on a runtime", state, uuid)
    _check(not now.is_placed or module.parent in state.runtimes, "placed nowhere", state, uuid)
    lost = now is ModuleState.LOST
    waits = uuid in state.orphans.get(module.parent or "", ())
    _check(lost == waits, "lost but not waiting", state, uuid)
    armed = state.deadlines.get(phase(uuid)) is not None
    _check((now not in _UNTIMED) == armed, f"{now} with deadline {armed}", state, uuid)
    _check(module.reply is None or now in _OWING, f"{now} owes an answer", state, uuid)
    for runtime in places_of(module):
        _check(uuid in state.taken.get(runtime, {}), "takes no place", state, uuid)


def _validate_runtime(state: RealmState, uuid: str) -> None:
    runtime, count = state.runtimes[uuid], len(state.taken[uuid])
    candidate = state.view.candidates[uuid]
    _check((candidate.runtime, candidate.occupied) == (runtime, count), "view", state, uuid)
    suspected = state.deadlines.get(DeadlineKey("suspicion", uuid)) is not None
    _check(suspected == (runtime.state is not RuntimeState.ONLINE), "suspicion", state, uuid)
    leased = state.deadlines.get(DeadlineKey("lease", uuid)) is not None
    expected = runtime.state is RuntimeState.ONLINE and runtime.lease_seconds > 0
    _check(leased == expected, "lease", state, uuid)
