"""What registrations, keepalives, last wills and silence mean. PURE.

A last will or a lapsed lease is suspicion, not death: the runtime keeps its modules until
``lost_after``. While the supervisor itself is cut off nothing expires.
"""

from typing import Any

from arts.errors import NotFound
from arts.model import Module, ModuleState, Runtime, RuntimeState
from arts.protocol.messages import (
    AbortMigration,
    HeldModule,
    Keepalive,
    RegisterRuntime,
    RemoveRuntime,
    Response,
    StopModule,
)
from arts.realm import migration, modules
from arts.realm.commands import refusal, start_command
from arts.realm.deadlines import DeadlineKey
from arts.realm.documents import runtime_document
from arts.realm.state import RealmState


def register(state: RealmState, request: RegisterRuntime) -> None:
    """A runtime announces itself, for the first time or again."""
    old = state.runtimes.get(request.uuid)
    runtime = Runtime(
        uuid=request.uuid,
        name=request.name,
        max_nmodules=request.max_nmodules,
        apis=frozenset(request.apis),
        labels=tuple(sorted(request.labels.items())),
        filetypes=request.filetypes,
        instance=request.instance,
        features=request.features,
        engine=request.engine,
        lease_seconds=request.ka_interval_sec * state.settings.lease_factor,
        load=old.load if old else None,
        created_at=old.created_at if old else state.wall,
        dialect=request.reply.dialect if request.reply else "arts",
    )
    runtime = state.advance_runtime(runtime, "heard" if old else "registered")
    state.deadlines.cancel(DeadlineKey("suspicion", runtime.uuid))
    renew_lease(state, runtime)
    state.answer(request.reply, Response(ok=True, details=_welcome(state, runtime)))
    if runtime.reports:
        _reconcile(state, runtime, request.modules)
    elif old and old.state is not RuntimeState.ONLINE:
        _repeat_starts(state, runtime)
    modules.place_pending(state)


def _welcome(state: RealmState, runtime: Runtime) -> dict[str, Any]:
    document = runtime_document(state, runtime)
    # The union of what the original supervisors answer: their clients read different halves of it.
    return document | {"ka_interval_sec": 60, "ka_ts": state.wall, "status": "A"}


def _reconcile(state: RealmState, runtime: Runtime, held: tuple[HeldModule, ...]) -> None:
    """Compare what a runtime holds with what it should: adopt, discard, mourn; never restart
    what runs."""
    for copy in held:
        _judge(state, runtime, copy)
    held_now = {copy.uuid for copy in held}
    for uuid in tuple(state.taken[runtime.uuid]):
        module = state.modules[uuid]
        if uuid not in held_now:
            _on_missing(state, runtime, module)
    for module in _waiting_for(state, runtime):
        modules.start_again(state, module, runtime.uuid)


def _judge(state: RealmState, runtime: Runtime, copy: HeldModule) -> None:
    module = state.modules.get(copy.uuid)
    if module is None or module.state.is_final or module.state is ModuleState.PENDING:
        discard(state, runtime.uuid, copy.uuid, copy.generation, session=module is None)
    elif _is_end_of_move(module, runtime, copy):
        return  # the deadlines of the move see to it
    elif (module.parent, module.generation) != (runtime.uuid, copy.generation):
        discard(state, runtime.uuid, copy.uuid, copy.generation, session=False)
    elif copy.migration is not None:
        _resume_in_place(state, runtime, copy)
    elif module.state is ModuleState.STARTING:
        state.deadlines.cancel(DeadlineKey("phase", module.uuid))
        state.advance_module(module, "started", attempts=())
    elif module.state is ModuleState.LOST:
        state.advance_module(module, "adopted", detail=None)
    elif module.state is ModuleState.STOPPING:
        modules.send_stop(state, module, force=True)


def _is_end_of_move(module: Module, runtime: Runtime, copy: HeldModule) -> bool:
    move = module.migration
    return (
        move is not None
        and runtime.uuid in (move.source, move.target)
        and (copy.migration == move.id or module.parent == runtime.uuid)
    )


def _resume_in_place(state: RealmState, runtime: Runtime, copy: HeldModule) -> None:
    """It stands still for a move that nobody knows any more."""
    assert copy.migration is not None
    state.command(
        runtime.uuid,
        AbortMigration(uuid=copy.uuid, generation=copy.generation, migration=copy.migration),
    )


def discard(
    state: RealmState, runtime: str, module: str, generation: int, *, session: bool
) -> None:
    """Tell a runtime to drop a copy that must not act."""
    state.command(
        runtime,
        StopModule(uuid=module, generation=generation, force=True, forget_session=session),
    )


def _on_missing(state: RealmState, runtime: Runtime, module: Module) -> None:
    """The runtime should have the module, as owner or as target, and does not."""
    if module.migration is not None:
        why = f"runtime {runtime.name} restarted"
        if not migration.on_end_lost(state, module, runtime.uuid, why):
            modules.on_owner_gone(state, state.modules[module.uuid], why)
    elif module.state is ModuleState.STARTING:
        # Perhaps the command was lost with the old connection; to repeat it harms nothing.
        _repeat_start(state, runtime, module)
    elif module.state is ModuleState.STOPPING:
        modules.forget(state, module)
    else:
        modules.on_owner_gone(state, module, f"runtime {runtime.name} came back without it")


def _repeat_starts(state: RealmState, runtime: Runtime) -> None:
    """An old runtime is back: it forgot its modules, the original supervisors send them again."""
    for module in state.modules_of(runtime.uuid):
        _repeat_start(state, runtime, module)


def _repeat_start(state: RealmState, runtime: Runtime, module: Module) -> None:
    if module.program is not None or "programs" not in runtime.features:
        state.command(runtime.uuid, start_command(module, runtime.uuid, module.generation))


def _waiting_for(state: RealmState, runtime: Runtime) -> list[Module]:
    return [
        module
        for module in state.modules.values()
        if module.state is ModuleState.LOST and module.parent == runtime.uuid
    ]


# ---------------------------------------------------------------------------- signs of life


def renew_lease(state: RealmState, runtime: Runtime) -> None:
    """The runtime was heard of. One that never promised keepalives is not expired for silence."""
    if runtime.lease_seconds > 0:
        state.deadlines.set(DeadlineKey("lease", runtime.uuid), state.now + runtime.lease_seconds)


def heard(state: RealmState, uuid: str, instance: str) -> Runtime | None:
    """A runtime said something; None if it is unknown or another process than registered."""
    runtime = state.runtimes.get(uuid)
    if runtime is None or runtime.instance != instance:
        return None
    if runtime.state is RuntimeState.LOST:
        return None  # it must register again, so that what it holds can be judged
    if runtime.state is RuntimeState.SUSPECT:
        state.deadlines.cancel(DeadlineKey("suspicion", uuid))
        runtime = state.advance_runtime(runtime, "heard")
        modules.place_pending(state)
    renew_lease(state, runtime)
    return runtime


def keepalive(state: RealmState, message: Keepalive) -> None:
    """A sign of life with statistics."""
    runtime = heard(state, message.uuid, message.instance)
    if runtime is None:
        return
    if message.load is not None:
        state.set_load(runtime, message.load)
    for stats in message.children:
        module = state.modules.get(stats.uuid)
        if module and (module.parent, module.generation) == (runtime.uuid, stats.generation):
            state.stats[stats.uuid] = stats


# ---------------------------------------------------------------------------- leaving


def remove(state: RealmState, request: RemoveRuntime) -> None:
    """A runtime takes leave, or its last will speaks for it."""
    runtime = state.runtimes.get(request.uuid)
    if runtime is None:
        unknown = NotFound(
            f"Runtime ({request.uuid}) could not be deleted; Runtime matching query does not exist."
        )
        if request.reason is None:
            state.answer(request.reply, refusal(unknown))
        return
    if request.instance and request.instance != runtime.instance:
        return  # the will of a process that has a successor
    if request.reason == "last_will" or (request.reason is None and runtime.reports):
        suspect(state, runtime, "its connection broke")
        return
    document = runtime_document(state, runtime)
    state.answer(request.reply, Response(ok=True, details=document))
    _give_up(state, runtime, f"runtime {runtime.name} left")
    state.advance_runtime(state.runtimes[runtime.uuid], "left")


def suspect(state: RealmState, runtime: Runtime, why: str) -> None:
    """It may be gone."""
    if runtime.state is not RuntimeState.ONLINE:
        return
    state.note("runtime.silent", runtime=runtime, detail=why)
    state.advance_runtime(runtime, "suspected")
    state.deadlines.cancel(DeadlineKey("lease", runtime.uuid))
    patience = state.settings.lost_after if state.linked else float("inf")
    state.deadlines.set(DeadlineKey("suspicion", runtime.uuid), state.now + patience)


def on_lease_over(state: RealmState, runtime: Runtime) -> None:
    """No keepalive for a whole lease."""
    suspect(state, runtime, f"silent for {runtime.lease_seconds:g} s")


def on_suspicion_over(state: RealmState, runtime: Runtime) -> None:
    """It did not come back in time; much later it is forgotten, unless a module waits for it."""
    if runtime.state is RuntimeState.SUSPECT:
        runtime = state.advance_runtime(runtime, "given_up")
        _give_up(state, runtime, f"runtime {runtime.name} is lost")
    elif not _waiting_for(state, runtime):
        state.advance_runtime(runtime, "left")
        return
    state.deadlines.set(
        DeadlineKey("suspicion", runtime.uuid), state.now + state.settings.keep_lost
    )


def _give_up(state: RealmState, runtime: Runtime, why: str) -> None:
    """Its modules are on their own now."""
    leaving = (
        state.advance_runtime(runtime, "suspected")
        if runtime.state is (RuntimeState.ONLINE)
        else runtime
    )  # so that nothing is placed there again
    for uuid in tuple(state.taken.get(leaving.uuid, ())):
        module = state.modules[uuid]
        if module.migration is not None:
            if not migration.on_end_lost(state, module, leaving.uuid, why):
                modules.on_owner_gone(state, state.modules[uuid], why)
        else:
            modules.on_owner_gone(state, module, why)


# ---------------------------------------------------------------------------- the own link


def on_link_lost(state: RealmState) -> None:
    """Silence proves nothing while the supervisor is deaf."""
    state.linked = False
    for kind in ("lease", "suspicion"):
        state.deadlines.shift_kind(kind, float("inf"))


def on_link_restored(state: RealmState) -> None:
    """Everybody gets time to be heard again."""
    state.linked = True
    for runtime in state.runtimes.values():
        if runtime.state is RuntimeState.SUSPECT:
            patience = state.settings.lost_after + state.settings.link_grace
            state.deadlines.set(DeadlineKey("suspicion", runtime.uuid), state.now + patience)
        elif runtime.state is RuntimeState.ONLINE and runtime.lease_seconds > 0:
            patience = runtime.lease_seconds + state.settings.link_grace
            state.deadlines.set(DeadlineKey("lease", runtime.uuid), state.now + patience)
