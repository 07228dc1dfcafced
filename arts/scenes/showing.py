"""What scenes show: ``run_info`` of their programs, refusals, and the panel. Decides nothing. PURE.

Nothing is said twice, counters no more often than the settings want, and a refusal is not repeated
for as long as somebody repeats the fault.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from arts.protocol.topics import Scene
from arts.scenes.model import (
    Instance,
    ProgramKey,
)
from arts.scenes.panel import PANEL_ID, Line, panel_data, update_data
from arts.scenes.run_info import run_info, waiting
from arts.scenes.state import SceneState, state_of

_SAME_REFUSAL: Final = 10.0
_MOST_REFUSALS: Final = 1000


# ---------------------------------------------------------------------------- run_info


def show(state: SceneState, uuid: str) -> None:
    """Tell the scene how an instance is, if that is news. Who looks at a ``client`` program is
    told about the own instance only. A deleted object is left alone: an update would revive it."""
    instance = state.instances.get(uuid)
    if instance is None or instance.key not in state.programs:
        return
    if instance.viewer and instance.viewer not in state.viewers.get(instance.key.scene, ()):
        return
    info = _info(state, instance)
    _, before = state.told.get(uuid, (0.0, None))
    if info != before:
        state.told[uuid] = state.now, info
        state.due.pop(uuid, None)
        topic = state.topics.object(instance.key.scene, instance.key.object_id, instance.viewer)
        state.tell(topic, _update(instance.key, info))


def show_later(state: SceneState, uuid: str) -> None:
    """The same, when it is time to."""
    told_at, _ = state.told.get(uuid, (state.now, None))
    state.due.setdefault(uuid, told_at + state.settings.run_info_interval)


def show_due(state: SceneState) -> None:
    """Show what was put off until now."""
    for uuid, due in tuple(state.due.items()):
        if due <= state.now:
            del state.due[uuid]
            show(state, uuid)


def _info(state: SceneState, instance: Instance) -> dict[str, Any]:
    document = state.documents.get(instance.uuid)
    condition = state_of(instance, document)
    traffic = state.traffic.get(instance.uuid)
    return run_info(instance, condition, document, traffic, state.settings, state.iso)


def _update(key: ProgramKey, info: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "object_id": key.object_id,
        "action": "update",
        "type": "program",
        "persist": False,  # it is only true now
        "data": {"run_info": info},
    }


def refuse(state: SceneState, key: ProgramKey, reason: str) -> None:
    """Say what is wrong with what somebody said about an object, where they said it."""
    last, at = state.refusals.get(key, ("", 0.0))
    if last == reason and state.now - at < _SAME_REFUSAL:
        return
    if len(state.refusals) >= _MOST_REFUSALS:
        state.refusals.clear()
    state.refusals[key] = reason, state.now
    state.note("scene.program_refused", program=str(key), reason=reason)
    info = {
        "namespace": key.scene.namespace,
        "scene": key.scene.name,
        "realm": state.settings.realm,
        "state": "refused",
        "detail": reason,
    }
    state.tell(state.topics.object(key.scene, key.object_id), _update(key, info))


# ---------------------------------------------------------------------------- the panel


def show_panel(state: SceneState, scene: Scene, *, to: str = "") -> None:
    """Bring a scene's panel up to date; ``to``: and show it to a viewer who has just come."""
    if not _is_shown(state, scene):
        hide_panel(state, scene)
        return
    data = panel_data(scene, lines(state, scene))
    before = state.pictures.get(scene)
    if before is None:
        _tell_panel(state, scene, "create", data)
    elif data != before:
        _tell_panel(state, scene, "update", update_data(data))
    if to and before is not None:
        _tell_panel(state, scene, "create", data, to=to)
    state.pictures[scene] = data


def hide_panel(state: SceneState, scene: Scene) -> None:
    """Take the panel out of a scene, if it is there."""
    if state.pictures.pop(scene, None) is not None:
        message = {"object_id": PANEL_ID, "action": "delete"}
        state.tell(state.topics.object(scene, PANEL_ID), message)


def _is_shown(state: SceneState, scene: Scene) -> bool:
    panel = state.panels.get(scene)
    if panel is not None:
        return panel.shown
    wanted = any(fnmatchcase(str(scene), pattern) for pattern in state.settings.panels)
    return wanted and scene in state.by_scene


def _tell_panel(
    state: SceneState, scene: Scene, action: str, data: dict[str, Any], *, to: str = ""
) -> None:
    message = {
        "object_id": PANEL_ID,
        "action": action,
        "type": "object",
        "persist": False,  # without us its buttons do nothing
        "data": data,
    }
    state.tell(state.topics.object(scene, PANEL_ID, to), message)


def lines(state: SceneState, scene: Scene) -> list[Line]:
    """The programs of a scene as the panel shows them."""
    return [_line(state, program.key) for program in state.programs_of(scene)]


def _line(state: SceneState, key: ProgramKey) -> Line:
    program, instances = state.programs[key], state.instances_of(key)
    documents = [state.documents.get(instance.uuid) for instance in instances]
    runtimes = [((document or {}).get("parent") or {}).get("name") for document in documents]
    return Line(
        object_id=key.object_id,
        name=program.name,
        states=tuple(map(state_of, instances, documents)),
        runtimes=tuple(name for name in runtimes if name),
        stopped=program.stopped or (bool(instances) and all(i.outcome for i in instances)),
        per_viewer=program.per_viewer,
    )


# ---------------------------------------------------------------------------- for ``arts scene``


def document(state: SceneState, scene: Scene) -> dict[str, Any]:
    """A scene as it is shown outside of it."""
    return {
        "namespace": scene.namespace,
        "scene": scene.name,
        "panel": scene in state.pictures,
        "viewers": len(state.viewers.get(scene, ())),
        "programs": [
            {
                "object_id": program.key.object_id,
                "name": program.name,
                "instantiate": "client" if program.per_viewer else "single",
                "stopped": program.stopped,
                "instances": [
                    _instance_document(state, instance)
                    for instance in state.instances_of(program.key)
                ],
            }
            for program in state.programs_of(scene)
        ],
    }


def _instance_document(state: SceneState, instance: Instance) -> dict[str, Any]:
    document = state.documents.get(instance.uuid)
    return {
        "module": instance.uuid,
        "viewer": instance.viewer or None,
        "state": state_of(instance, document),
        "runtime": ((document or {}).get("parent") or {}).get("name"),
        "detail": instance.detail or waiting(document),
    }
