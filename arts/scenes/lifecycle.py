"""From what a scene wants to what the realm is asked: the life of one instance. PURE.

``settle`` compares what an instance should be with what it was last asked to be, and asks for one
step towards it. Whatever is under way is waited for; its answer settles again. So any order of
events, repetition and restart ends in the same place, and there is never a second module: a
module's uuid is derived, its create is not repeated before its delete is answered, and the realm
refuses to start what runs already.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from arts.errors import InvalidRequest
from arts.model import ModuleState
from arts.protocol.messages import CreateModule, DeleteModule, MoveModule, Query, Response
from arts.scenes.model import Instance, Phase, ProgramObject
from arts.scenes.program import module_for
from arts.scenes.state import SceneState

_SETTLING = frozenset({"starting", "migrating"})
"""States in which a module cannot be moved, and soon can."""


# ---------------------------------------------------------------------------- towards


def settle(state: SceneState, instance: Instance, *, wanted: bool) -> None:
    """Ask for the next step, if one is due. ``wanted``: the scene has a place for it."""
    program = state.programs.get(instance.key)
    if instance.phase is Phase.DOWN:
        if not wanted or program is None:
            state.drop(instance)
        elif not program.stopped:
            _start(state, instance, program)
    elif instance.phase is Phase.UP:
        if not wanted or program is None or program.stopped:
            end(state, instance)
        else:
            _adapt(state, instance, program)


def _start(state: SceneState, instance: Instance, program: ProgramObject) -> None:
    try:
        spec = wish(state, instance, program)
    except InvalidRequest as error:
        state.put(replace(instance, outcome="refused", detail=str(error), spec=None))
        return
    if instance.outcome and instance.spec == spec:
        return  # it had its end; only something new, or somebody, starts it again
    instance = state.put(
        replace(
            instance,
            phase=Phase.STARTING,
            spec=spec,
            asks=instance.asks + 1,
            outcome="",
            detail=None,
        )
    )
    state.documents.pop(instance.uuid, None)
    state.traffic.pop(instance.uuid, None)
    state.ask(instance, spec)


def _adapt(state: SceneState, instance: Instance, program: ProgramObject) -> None:
    """It runs: is it still what the scene wants?"""
    try:
        spec = wish(state, instance, program)
    except InvalidRequest as error:
        end(state, replace(instance, outcome="refused", detail=str(error)))
        return
    now = instance.spec
    if now == spec:
        return
    if now is None or now.model_copy(update={"parent": spec.parent}) != spec:
        end(state, instance)
    elif spec.parent is None:
        state.put(replace(instance, spec=spec))  # anywhere is here, too
    else:
        _relocate(state, instance, spec)


def _relocate(state: SceneState, instance: Instance, spec: CreateModule) -> None:
    """Only the runtime is to be another one."""
    document = state.documents.get(instance.uuid)
    condition = document["state"] if document else "running"
    if condition in _SETTLING:
        return  # settles again when the realm shows it in its next state
    if condition == "running":
        move(state, replace(instance, spec=spec, relocating=True))
    else:
        end(state, instance)


def wish(state: SceneState, instance: Instance, program: ProgramObject) -> CreateModule:
    """What an instance should be now. Raises ``InvalidRequest``."""
    own = _runtime_of(state, instance.viewer or dict(instance.variables).get("userid", ""))
    return module_for(program, instance, state.settings, viewers_runtime=own)


def _runtime_of(state: SceneState, viewer: str) -> str | None:
    """The runtime in a viewer's own browser or headset: it has the viewer's id as its name or
    label, and takes modules."""
    for uuid, document in state.runtimes.items():
        if is_runtime_of(document, viewer) and document.get("state") == "online":
            return uuid
    return None


def is_runtime_of(document: Mapping[str, Any], viewer: str) -> bool:
    """Whether a runtime is a viewer's own."""
    names = (document.get("name"), (document.get("labels") or {}).get("viewer"))
    return bool(viewer) and viewer in names and bool(document.get("max_nmodules"))


# ---------------------------------------------------------------------------- steps


def end(state: SceneState, instance: Instance) -> None:
    """Ask the realm to end the module."""
    instance = state.put(replace(instance, phase=Phase.ENDING, asks=instance.asks + 1))
    state.ask(instance, DeleteModule(uuid=instance.uuid))


def move(state: SceneState, instance: Instance) -> None:
    """Ask the realm to move the module: to the parent of its spec, or where it thinks best."""
    instance = state.put(replace(instance, phase=Phase.MOVING, asks=instance.asks + 1, detail=None))
    state.ask(instance, _move_of(instance))


def _move_of(instance: Instance) -> MoveModule:
    target = instance.spec.parent if instance.relocating and instance.spec else None
    return MoveModule(uuid=instance.uuid, target=target)


def ask_again(state: SceneState, instance: Instance) -> None:
    """What was asked may have met nobody: ids make it safe to repeat. What should run is asked
    after."""
    match instance.phase:
        case Phase.STARTING:
            assert instance.spec is not None
            state.ask(instance, instance.spec)
        case Phase.MOVING:
            state.ask(instance, _move_of(instance))
        case Phase.ENDING:
            state.ask(instance, DeleteModule(uuid=instance.uuid))
        case Phase.UP:
            state.ask(instance, Query(what="module", key=instance.uuid))


# ---------------------------------------------------------------------------- answers


def answered(state: SceneState, instance: Instance, asked: object, response: Response) -> Instance:
    """What an instance is after an answer; the caller settles it."""
    if response.ok and isinstance(response.details, dict) and "state" in response.details:
        state.documents[instance.uuid] = response.details
    match asked, instance.phase:
        case CreateModule(), Phase.STARTING:
            instance = _started(instance, response)
        case MoveModule(), Phase.MOVING:
            instance = _moved(instance, response)
        case DeleteModule(), Phase.ENDING:
            state.documents.pop(instance.uuid, None)
            instance = replace(instance, phase=Phase.DOWN)
        case Query(), Phase.UP if response.code == "not_found":
            # While we were away it was lost, not ended: we would have been told.
            instance = replace(instance, phase=Phase.DOWN)
    return seen(state, state.put(instance))


def _started(instance: Instance, response: Response) -> Instance:
    if response.ok or response.code == "already_exists":
        # Somebody else has started it under the same uuid, as browsers do: then it is there.
        return replace(instance, phase=Phase.UP)
    return replace(
        instance, phase=Phase.DOWN, outcome="failed", detail=str(response.details) or None
    )


def _moved(instance: Instance, response: Response) -> Instance:
    relocating, why = instance.relocating, str(response.details)
    instance = replace(instance, phase=Phase.UP, relocating=False)
    if response.ok:
        return instance
    if relocating and response.code == "failed_precondition" and " already" not in why:
        # It cannot be moved as it runs: what the scene wants needs a restart there.
        return replace(instance, spec=None)
    return replace(instance, detail=why)


def seen(state: SceneState, instance: Instance) -> Instance:
    """What an instance is, given how the realm shows its module."""
    document = state.documents.get(instance.uuid)
    if document is None or instance.phase not in (Phase.UP, Phase.MOVING):
        return instance
    if not ModuleState(document["state"]).is_final:
        return instance
    over = replace(
        instance,
        phase=Phase.DOWN,
        relocating=False,
        outcome=document["state"],
        detail=document.get("detail"),
    )
    return state.put(over)


def vanished(state: SceneState, instance: Instance) -> Instance:
    """The realm no longer has its module, and we did not ask for that."""
    if instance.phase not in (Phase.UP, Phase.MOVING):
        return instance
    gone = replace(
        instance,
        phase=Phase.DOWN,
        relocating=False,
        outcome="deleted",
        detail="somebody deleted it",
    )
    return state.put(gone)
