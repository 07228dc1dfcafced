"""What registrations, keepalives, last wills and silence mean. PURE.

A last will or a lapsed lease is suspicion, not death: the runtime keeps its modules until
``lost_after``. While the supervisor itself is cut off nothing expires.
"""

from dataclasses import replace
from typing import Any

from arts.errors import NotFound
from arts.model import ModuleState, Runtime, RuntimeState
from arts.protocol.messages import (
    AnnounceRuntime,
    Keepalive,
    RegisterManager,
    RegisterRuntime,
    RemoveManager,
    RemoveRuntime,
    Response,
)
from arts.realm import migration
from arts.realm.commands import refusal
from arts.realm.deadlines import DeadlineKey
from arts.realm.documents import runtime_document
from arts.realm.placement import begin_again, on_owner_gone, place_pending
from arts.realm.reconcile import note_stats, reconcile, repeat_start
from arts.realm.state import RealmState

# ---------------------------------------------------------------------------- arriving


def register(state: RealmState, request: RegisterRuntime) -> None:
    """A runtime announces itself, for the first time or again."""
    old = state.runtimes.get(request.uuid)
    runtime = state.advance_runtime(_described(state, request, old), "registered")
    state.deadlines.cancel(DeadlineKey("suspicion", runtime.uuid))
    renew_lease(state, runtime)
    if runtime.reports:
        # Before the answer: with it the runtime lets go on whatever was not taken away.
        restarted = old is not None and old.instance != runtime.instance
        reconcile(state, runtime, request, restarted=restarted)
    state.answer(request.reply, Response(ok=True, details=_welcome(state, runtime)))
    if not runtime.reports and (old is None or old.state is not RuntimeState.ONLINE):
        arrived = DeadlineKey("arrival", runtime.uuid)
        state.deadlines.set(arrived, state.now + state.settings.arrival_grace)
    place_pending(state)


def on_arrival_over(state: RealmState, runtime: Runtime) -> None:
    """A runtime of an old dialect listens by now: what waited for that is sent, and what it had
    before it went is sent again."""
    for module in state.modules_of(runtime.uuid):
        if module.state is ModuleState.STARTING:
            begin_again(state, module)
        else:
            repeat_start(state, runtime, module)


def _described(state: RealmState, request: RegisterRuntime, old: Runtime | None) -> Runtime:
    return Runtime(
        uuid=request.uuid,
        name=request.name,
        max_nmodules=request.max_nmodules,
        apis=frozenset(request.apis),
        labels=tuple(sorted(request.labels.items())),
        filetypes=request.filetypes,
        instance=request.instance,
        features=request.features,
        engine=request.engine,
        abilities=request.abilities,
        lease_seconds=request.ka_interval_sec * state.settings.lease_factor,
        load=old.load if old else None,
        created_at=old.created_at if old else state.wall,
        dialect=request.reply.dialect if request.reply else "native",
        manager=request.manager,
        traits=request.traits,
    )


def _welcome(state: RealmState, runtime: Runtime) -> dict[str, Any]:
    document = runtime_document(state, runtime)
    return document | {"ka_interval_sec": 60, "heard_at": state.wall}


# ---------------------------------------------------------------------------- signs of life


def renew_lease(state: RealmState, runtime: Runtime) -> None:
    """The runtime was heard of. One that never promised keepalives is not expired for silence."""
    key = DeadlineKey("lease", runtime.uuid)
    if runtime.lease_seconds > 0:
        state.deadlines.set(key, state.now + runtime.lease_seconds)
    else:
        state.deadlines.cancel(key)


def heard(state: RealmState, uuid: str, instance: str) -> Runtime | None:
    """A runtime said something; None if it must register first, so that what it holds is judged."""
    runtime = state.runtimes.get(uuid)
    if runtime is None or runtime.state is RuntimeState.LOST:
        if instance:
            state.command(uuid, AnnounceRuntime(uuid=uuid))
        return None
    if runtime.instance != instance:
        return None  # another process, and its registration is on its way or long superseded
    if runtime.state is RuntimeState.SUSPECT:
        state.deadlines.cancel(DeadlineKey("suspicion", uuid))
        runtime = state.advance_runtime(runtime, "heard")
        place_pending(state)
    renew_lease(state, runtime)
    return runtime


def keepalive(state: RealmState, message: Keepalive) -> None:
    """A sign of life with statistics."""
    runtime = heard(state, message.uuid, message.instance)
    if runtime is None:
        return
    if message.load is not None:
        state.load_runtime(replace(runtime, load=message.load))
    for stats in message.children:
        note_stats(state, runtime, stats)


# ---------------------------------------------------------------------------- leaving


def remove(state: RealmState, request: RemoveRuntime) -> None:
    """A runtime takes leave, or its last will speaks for it.

    A runtime of an old dialect gives no reason and is taken at its word. A native one always gives
    a reason: without one, somebody else asks, and the runtime may object by being heard of again.
    """
    runtime = state.runtimes.get(request.uuid)
    ours = runtime is not None and request.instance in ("", runtime.instance)
    if request.reason == "last_will":
        if runtime is not None and ours:  # not the will of a process that has a successor
            suspect(state, runtime, "its connection broke")
        return
    if runtime is None or not ours:
        state.answer(request.reply, refusal(_unknown(request.uuid)))
        return
    document = runtime_document(state, runtime)
    state.answer(request.reply, Response(ok=True, details=document))
    if request.reason is None and runtime.reports:
        suspect(state, runtime, "somebody asked to remove it")
        return
    _leave(state, runtime, f"runtime {runtime.name} left")


def _leave(state: RealmState, runtime: Runtime, why: str) -> None:
    _give_up(state, runtime, why)
    state.advance_runtime(state.runtimes[runtime.uuid], "left")


def _unknown(uuid: str) -> NotFound:
    return NotFound(f"no runtime {uuid!r}", kind="runtime", key=uuid)


def register_manager(state: RealmState, request: RegisterManager) -> None:
    """A manager announces itself: its runtimes will say that they are its own."""
    details = {"type": "manager", "uuid": request.uuid, "name": request.name}
    state.answer(request.reply, Response(ok=True, details=details))


def remove_manager(state: RealmState, request: RemoveManager) -> None:
    """A manager is gone, and its runtimes with it, without a word of their own."""
    owned = [r for r in state.runtimes.values() if r.manager == request.uuid and not r.reports]
    for runtime in owned:
        _leave(state, runtime, f"the manager of runtime {runtime.name} left")
    state.answer(request.reply, Response(ok=True, details={"runtimes": [r.uuid for r in owned]}))


def suspect(state: RealmState, runtime: Runtime, why: str) -> None:
    """It may be gone."""
    if runtime.state is not RuntimeState.ONLINE:
        return
    state.note("runtime.silent", runtime=runtime, detail=why)
    state.advance_runtime(runtime, "suspected")
    state.deadlines.cancel(DeadlineKey("lease", runtime.uuid))
    key = DeadlineKey("suspicion", runtime.uuid)
    state.deadlines.set(key, state.now + state.settings.lost_after)


def on_lease_over(state: RealmState, runtime: Runtime) -> None:
    """No keepalive for a whole lease."""
    suspect(state, runtime, f"silent for {runtime.lease_seconds:g} s")


def on_suspicion_over(state: RealmState, runtime: Runtime) -> None:
    """It did not come back in time; much later it is forgotten, unless a module waits for it."""
    if runtime.state is RuntimeState.SUSPECT:
        runtime = state.advance_runtime(runtime, "given_up")
        _give_up(state, runtime, f"runtime {runtime.name} is lost")
    elif not state.orphans_of(runtime.uuid):
        state.advance_runtime(runtime, "left")
        return
    key = DeadlineKey("suspicion", runtime.uuid)
    state.deadlines.set(key, state.now + state.settings.keep_lost)


def _give_up(state: RealmState, runtime: Runtime, why: str) -> None:
    """Its modules are on their own now."""
    if runtime.state is RuntimeState.ONLINE:  # so that nothing is placed there again
        state.advance_runtime(runtime, "suspected")
    for uuid in tuple(state.taken[runtime.uuid]):
        module = state.modules[uuid]
        if module.migration is not None:
            migration.on_end_lost(state, module, runtime.uuid, why)
        else:
            on_owner_gone(state, module, why)


# ---------------------------------------------------------------------------- the own link


def on_link_lost(state: RealmState) -> None:
    """Silence proves nothing while the supervisor is deaf: nothing runs out."""
    state.linked = False


def on_link_restored(state: RealmState) -> None:
    """Everybody gets time to be heard again, and is asked what became of the modules meanwhile."""
    state.linked = True
    grace = state.settings.link_grace
    state.deadlines.postpone(state.now + grace)
    for runtime in state.runtimes.values():
        if runtime.state is RuntimeState.SUSPECT:
            key = DeadlineKey("suspicion", runtime.uuid)
            state.deadlines.set(key, state.now + state.settings.lost_after + grace)
        elif runtime.state is RuntimeState.ONLINE and runtime.lease_seconds > 0:
            key = DeadlineKey("lease", runtime.uuid)
            state.deadlines.set(key, state.now + runtime.lease_seconds + grace)
        if runtime.reports:
            state.command(runtime.uuid, AnnounceRuntime(uuid=runtime.uuid))
