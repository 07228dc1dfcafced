"""Scenes: one object, one entrance, no I/O.

    effects = scenes.handle(event, now, wall)      # something happened
    effects = scenes.tick(now, wall)               # time passed
    when = scenes.next_deadline()                  # wake me then

Time is an argument (monotonic seconds, and wall time for dates), ids are derived, so the same
events always give the same effects. ``Keep`` effects are to be durable before anything is said.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any, Final

from arts.errors import ArtsError, InvalidRequest, NotFound
from arts.protocol.messages import Response
from arts.protocol.topics import Scene
from arts.scenes import lifecycle, showing
from arts.scenes.events import (
    Answer,
    Answered,
    ButtonClicked,
    Linked,
    ModuleChanged,
    ObjectRefused,
    ObjectSaid,
    RuntimeChanged,
    SceneEffect,
    SceneEvent,
    SceneRequest,
    StatsHeard,
    Verb,
    ViewerLeft,
    ViewerSeen,
)
from arts.scenes.model import (
    Instance,
    Panel,
    Phase,
    ProgramKey,
    ProgramObject,
    SceneRecord,
    SceneSettings,
    Viewer,
)
from arts.scenes.panel import PANEL_ID, meaning
from arts.scenes.program import SHOWN_ONLY, check
from arts.scenes.run_info import Iso, Traffic, after
from arts.scenes.state import SceneState

_SWEEP: Final = 1.0
"""Time-outs here are long; they need not be exact."""

_VERBS: Final[tuple[Verb, ...]] = ("start", "stop", "restart", "move")


class Scenes:
    """All scenes of one realm, and the programs in them."""

    def __init__(self, settings: SceneSettings, *, iso: Iso) -> None:
        """``iso`` writes wall times as people and ARENA read them."""
        self._state = SceneState(settings, iso)
        self._swept = 0.0

    def handle(self, event: SceneEvent, now: float, wall: float) -> list[SceneEffect]:
        """Take one event in; returns what to do about it, in order."""
        state = self._begin(now, wall)
        _HANDLERS[type(event)](state, event)
        return self._collect()

    def tick(self, now: float, wall: float) -> list[SceneEffect]:
        """Let everything up to ``now`` run out."""
        state = self._begin(now, wall)
        self._swept = now
        _repeat(state)
        _give_up_viewers(state)
        showing.show_due(state)
        return self._collect()

    def next_deadline(self) -> float | None:
        """When ``tick`` is wanted next; None for not at all."""
        state = self._state
        waits = state.unanswered or state.due or state.probation
        return self._swept + _SWEEP if waits else None

    def restore(self, records: Iterable[SceneRecord], now: float) -> None:
        """Begin with what the store remembers. What was under way is asked again when ``Linked``,
        and viewers get time to be heard."""
        state = self._begin(now, 0.0)
        for record in records:
            if isinstance(record, ProgramObject):
                state.load_program(record)
            elif isinstance(record, Instance):
                state.load(record)
                _remember_viewer(state, record)
            else:
                state.panels[record.scene] = record

    def farewell(self) -> list[SceneEffect]:
        """Nobody will react to the panels' buttons any more: take them away."""
        for scene in tuple(self._state.pictures):
            showing.hide_panel(self._state, scene)
        return self._collect()

    def knows(self, key: ProgramKey) -> bool:
        """Whether this object is a program that we have."""
        return key in self._state.programs

    def _begin(self, now: float, wall: float) -> SceneState:
        self._state.now, self._state.wall = now, wall
        return self._state

    def _collect(self) -> list[SceneEffect]:
        effects, self._state.effects = self._state.effects, []
        return effects


def _remember_viewer(state: SceneState, instance: Instance) -> None:
    if instance.viewer:
        known = dict(instance.variables)
        viewer = Viewer(instance.viewer, "", known.get("username", instance.viewer), {})
        scene = instance.key.scene
        state.viewers.setdefault(scene, {})[viewer.id] = viewer
        state.probation[scene, viewer.id] = state.now + state.settings.viewer_grace


# ---------------------------------------------------------------------------- program objects


def _on_object(state: SceneState, event: ObjectSaid) -> None:
    key, old = event.key, state.programs.get(event.key)
    if event.action == "delete":
        if old is not None:
            state.drop_program(key)
            state.note("scene.program_deleted", program=str(key), by=event.client)
            _sync(state, key)
        return
    said = {name: value for name, value in event.data.items() if name not in SHOWN_ONLY}
    merged = said
    if event.action == "update" and not event.overwrite and old is not None:
        merged = old.data | said
        if merged == old.data:
            return  # somebody, often the program itself, told how it is
    try:
        _accept(state, key, merged)
    except ArtsError as error:
        _on_refused(state, ObjectRefused(key, str(error)))
        return
    stopped = old is not None and old.stopped and event.action == "update"
    client = old.client if old else event.client
    state.put_program(ProgramObject(key, merged, client, stopped))
    state.note(f"scene.program_{event.action}d", program=str(key), by=event.client)
    if event.action == "create":
        _forgive(state, key)
    _sync(state, key)


def _accept(state: SceneState, key: ProgramKey, data: dict[str, Any]) -> None:
    """Raise ``InvalidRequest`` unless this can be a program of the scene."""
    program = check(data, key.object_id)
    most = state.settings.max_programs
    if key not in state.programs and len(state.by_scene.get(key.scene, ())) >= most:
        raise InvalidRequest(f"scene {key.scene} has {most} programs already")
    if program.instantiate == "single":
        other = state.instances.get(key.object_id)
        if other is not None and other.key != key:
            raise InvalidRequest(
                f"object_id: a program in scene {other.key.scene} has the same one; "
                "it is the module's uuid where instantiate is 'single'"
            )


def _on_refused(state: SceneState, event: ObjectRefused) -> None:
    showing.refuse(state, event.key, event.reason)


def _forgive(state: SceneState, key: ProgramKey) -> None:
    """Somebody wants it to run, whatever became of it before."""
    for instance in state.instances_of(key):
        if instance.phase is Phase.DOWN:
            state.put(replace(instance, outcome="", detail=None))


# ---------------------------------------------------------------------------- instances


def _sync(state: SceneState, key: ProgramKey) -> None:
    """Have the instances that a program should have, and no other."""
    for viewer in _wanted(state, key):
        _ensure(state, key, viewer)
    for instance in state.instances_of(key):
        _settle(state, instance)
    showing.show_panel(state, key.scene)


def _sync_viewer(state: SceneState, scene: Scene, viewer: str) -> None:
    """As ``_sync``, for one viewer who came or went."""
    for program in tuple(state.programs_of(scene)):
        if viewer in _wanted(state, program.key):
            _ensure(state, program.key, viewer)
        uuid = state.by_program.get(program.key, {}).get(viewer)
        if uuid is not None:
            _settle(state, state.instances[uuid])
    showing.show_panel(state, scene)


def _ensure(state: SceneState, key: ProgramKey, viewer: str) -> None:
    if viewer not in state.by_program.get(key, {}):
        uuid = state.uuid_for(key, viewer)
        state.put(Instance(uuid, key, viewer, _variables(state, key, viewer)))


def _settle(state: SceneState, instance: Instance) -> None:
    wanted = instance.viewer in _wanted(state, instance.key)
    lifecycle.settle(state, instance, wanted=wanted)
    showing.show(state, instance.uuid)


def _wanted(state: SceneState, key: ProgramKey) -> Collection[str]:
    """The viewers who have an instance of a program; "" for everybody together."""
    program = state.programs.get(key)
    if program is None:
        return ()
    if not program.per_viewer:
        return ("",)
    return state.viewers.get(key.scene, {}) if state.settings.per_viewer else ()


def _variables(state: SceneState, key: ProgramKey, viewer: str) -> tuple[tuple[str, str], ...]:
    """Who an instance is for. A single one is for whoever put the program there."""
    viewers = state.viewers.get(key.scene, {})
    client = state.programs[key].client
    seen = viewers.get(viewer) or next((v for v in viewers.values() if v.client == client), None)
    who = seen or Viewer(client, client, client, {})
    known = who.query | {"userid": who.id, "username": who.name, "cameraid": f"camera_{who.id}"}
    return tuple(sorted(known.items()))


# ---------------------------------------------------------------------------- viewers


def _on_viewer(state: SceneState, event: ViewerSeen) -> None:
    viewers = state.viewers.setdefault(event.scene, {})
    viewer = viewers.get(event.viewer)
    if viewer is not None:
        state.probation.pop((event.scene, event.viewer), None)
        viewer.client = event.client
        viewer.name = event.name or viewer.name
        viewer.query = event.query or viewer.query
        return
    if len(viewers) >= state.settings.max_viewers:
        state.note("scene.viewer_ignored", scene=str(event.scene), viewer=event.viewer)
        return
    name = event.name or event.viewer
    viewers[event.viewer] = Viewer(event.viewer, event.client, name, event.query or {})
    _sync_viewer(state, event.scene, event.viewer)
    showing.show_panel(state, event.scene, to=event.viewer)


def _on_viewer_left(state: SceneState, event: ViewerLeft) -> None:
    viewers = state.viewers.get(event.scene, {})
    if viewers.pop(event.viewer, None) is None:
        return
    state.probation.pop((event.scene, event.viewer), None)
    if not viewers:
        del state.viewers[event.scene]
    _sync_viewer(state, event.scene, event.viewer)


def _give_up_viewers(state: SceneState) -> None:
    for (scene, viewer), due in tuple(state.probation.items()):
        if due <= state.now:
            state.note("scene.viewer_lost", scene=str(scene), viewer=viewer)
            _on_viewer_left(state, ViewerLeft(scene, viewer))


# ---------------------------------------------------------------------------- the panel, requests


def _on_click(state: SceneState, event: ButtonClicked) -> None:
    if event.panel != PANEL_ID or event.scene not in state.pictures:
        return
    meant = meaning(showing.lines(state, event.scene), event.button)
    if meant is not None:
        verb, object_id = meant
        _do(state, ProgramKey(event.scene, object_id), verb, by=event.by)


def _on_request(state: SceneState, request: SceneRequest) -> None:
    try:
        _obey(state, request)
    except ArtsError as error:
        response = Response(ok=False, details=str(error), code=error.code)
    else:
        response = Response(ok=True, details=showing.document(state, request.scene))
    state.effects.append(Answer(request.reply, response))


def _obey(state: SceneState, request: SceneRequest) -> None:
    scene = request.scene
    if request.action in ("show", "hide"):
        state.put_panel(Panel(scene, shown=request.action == "show"))
        showing.show_panel(state, scene)
    elif request.action in _VERBS:
        verb = next(verb for verb in _VERBS if verb == request.action)
        _do(state, _meant(state, scene, request.program), verb, by=request.reply.topic)
    elif request.action != "get":
        raise InvalidRequest(f"unknown action {request.action!r} for a scene")


def _meant(state: SceneState, scene: Scene, program: str) -> ProgramKey:
    """The program that an object_id or a name means. Raises ``RequestError``."""
    found = [
        known.key
        for known in state.programs_of(scene)
        if program in (known.key.object_id, known.name)
    ]
    if not found:
        raise NotFound(f"no program {program!r} in scene {scene}")
    if len(found) > 1:
        raise InvalidRequest(
            f"{len(found)} programs are called {program!r}; say which by object_id"
        )
    return found[0]


def _do(state: SceneState, key: ProgramKey, verb: Verb, *, by: str) -> None:
    """Start, stop, restart or move a program, all its instances."""
    state.note(f"scene.{verb}", program=str(key), by=by)
    program = state.programs[key]
    stopped = program.stopped if verb == "move" else verb == "stop"
    if stopped != program.stopped:
        state.put_program(replace(program, stopped=stopped))
    if verb in ("start", "restart"):
        _forgive(state, key)
    for instance in state.instances_of(key) if verb in ("restart", "move") else ():
        if instance.phase is Phase.UP:
            (lifecycle.end if verb == "restart" else lifecycle.move)(state, instance)
    _sync(state, key)


# ---------------------------------------------------------------------------- the realm


def _on_module(state: SceneState, event: ModuleChanged) -> None:
    instance = state.instances.get(event.uuid)
    if instance is None:
        return
    if event.document is None:
        state.documents.pop(event.uuid, None)
        instance = lifecycle.vanished(state, instance)
    else:
        state.documents[event.uuid] = event.document
        instance = lifecycle.seen(state, instance)
    _settle(state, instance)
    showing.show_panel(state, instance.key.scene)


def _on_runtime(state: SceneState, event: RuntimeChanged) -> None:
    if event.document is None:
        state.runtimes.pop(event.uuid, None)
        return
    state.runtimes[event.uuid] = event.document
    for instance in tuple(state.instances.values()):
        if lifecycle.is_runtime_of(event.document, instance.viewer):
            _settle(state, instance)


def _on_stats(state: SceneState, event: StatsHeard) -> None:
    for stats in event.children:
        if stats.uuid in state.instances:
            traffic = state.traffic.get(stats.uuid, Traffic())
            state.traffic[stats.uuid] = after(traffic, stats, state.wall)
            showing.show_later(state, stats.uuid)


def _on_answer(state: SceneState, event: Answered) -> None:
    uuid, request, _ = state.unanswered.pop(event.object_id, ("", None, 0.0))
    instance = state.instances.get(uuid)
    if instance is not None:
        instance = lifecycle.answered(state, instance, request, event.response)
        _settle(state, instance)
        showing.show_panel(state, instance.key.scene)


def _on_linked(state: SceneState, event: Linked) -> None:
    """Ask again what is unanswered, and after what runs; begin what should run and does not; and
    see who still looks."""
    state.unanswered.clear()
    state.pictures.clear()
    for scene, viewers in state.viewers.items():
        for viewer in viewers:
            state.probation[scene, viewer] = state.now + state.settings.viewer_grace
    for instance in tuple(state.instances.values()):
        lifecycle.ask_again(state, instance)
    for key in tuple(state.programs):
        _sync(state, key)
    for scene in state.panels:
        showing.show_panel(state, scene)


def _repeat(state: SceneState) -> None:
    """Ask again what nobody has answered."""
    patience = state.settings.answer_timeout
    late = [
        (object_id, uuid)
        for object_id, (uuid, _, asked_at) in state.unanswered.items()
        if state.now - asked_at >= patience
    ]
    for object_id, uuid in late:
        del state.unanswered[object_id]
        if (instance := state.instances.get(uuid)) is not None:
            lifecycle.ask_again(state, instance)


_HANDLERS: Final[dict[type[Any], Callable[[SceneState, Any], None]]] = {
    ObjectSaid: _on_object,
    ObjectRefused: _on_refused,
    ViewerSeen: _on_viewer,
    ViewerLeft: _on_viewer_left,
    ButtonClicked: _on_click,
    SceneRequest: _on_request,
    ModuleChanged: _on_module,
    RuntimeChanged: _on_runtime,
    StatsHeard: _on_stats,
    Answered: _on_answer,
    Linked: _on_linked,
}
