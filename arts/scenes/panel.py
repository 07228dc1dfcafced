"""The program manager of a scene: an ``arenaui-button-panel`` whose buttons start and stop things.

What it shows is computed from what runs, and what a click means from what it would show *now*: a
button of an old picture that is not there any more does nothing. Knows no state and no topic.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from arts.protocol.topics import Scene
from arts.scenes.events import Verb

PANEL_ID: Final = "init3d"
"""The object's id in every scene; the name is that of ARENA's program manager."""

MOST: Final = 12
"""So many programs have buttons: a panel is not a list to scroll."""

_PLACE: Final = {
    "position": {"x": 0, "y": 2, "z": -3},
    "rotation": {"x": 0, "y": 0, "z": 0, "w": 1},
    "scale": {"x": 1, "y": 1, "z": 1},
}
_LONGEST_NAME: Final = 40


@dataclass(frozen=True, slots=True)
class Line:
    """One program as the panel shows it."""

    object_id: str
    name: str
    states: tuple[str, ...]
    """Of each instance."""
    runtimes: tuple[str, ...]
    stopped: bool
    """Whether start is what can be done; otherwise stop, restart and move are."""
    per_viewer: bool


def panel_data(scene: Scene, lines: Sequence[Line]) -> dict[str, Any]:
    """The ``data`` of the panel object."""
    shown = lines[:MOST]
    title = [f"Programs of {scene}"]
    title += [
        f"{label}: {_condition(line)}" for line, label in zip(shown, _labels(shown), strict=True)
    ]
    if not lines:
        title.append("none yet")
    if len(lines) > MOST:
        title.append(f"and {len(lines) - MOST} more: arts scene {scene}")
    return {
        "object_type": "arenaui-button-panel",
        "title": "\n".join(title),
        "buttons": [{"name": name} for name, _, _ in _buttons(shown)],
        "vertical": True,
        "font": "Roboto",
        "theme": "light",
    } | _PLACE


def update_data(data: dict[str, Any]) -> dict[str, Any]:
    """What of it changes: whoever has moved the panel in the scene does not see it jump back."""
    return {key: value for key, value in data.items() if key not in _PLACE}


def meaning(lines: Sequence[Line], button: str) -> tuple[Verb, str] | None:
    """What a click means: what to do, and to which program. None: there is no such button."""
    for name, verb, object_id in _buttons(lines[:MOST]):
        if name == button:
            return verb, object_id
    return None


def _buttons(lines: Sequence[Line]) -> Iterable[tuple[str, Verb, str]]:
    for line, label in zip(lines, _labels(lines), strict=True):
        verbs: tuple[Verb, ...] = ("start",) if line.stopped else ("stop", "restart", "move")
        for verb in verbs:
            yield f"{verb.capitalize()} {label}", verb, line.object_id


def _labels(lines: Sequence[Line]) -> list[str]:
    """What to call each: buttons are told apart by their names only."""
    names = [line.name[:_LONGEST_NAME] for line in lines]
    often = Counter(names)
    return [
        name if often[name] == 1 else f"{name} ({line.object_id})"
        for name, line in zip(names, lines, strict=True)
    ]


def _condition(line: Line) -> str:
    if not line.states:
        return "no viewer" if line.per_viewer and not line.stopped else "stopped"
    states = Counter(line.states)
    if line.per_viewer:
        return ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    runtimes = f" on {line.runtimes[0]}" if line.runtimes else ""
    return f"{line.states[0]}{runtimes}"
