"""The records of scenes: what a program object and an instance of it *are*, and the settings.

Frozen, replaced and never edited, and JSON both ways: this is also what is stored.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from arts.errors import InvalidRequest
from arts.protocol.messages import CreateModule
from arts.protocol.topics import Scene


class ProgramKey(NamedTuple):
    """Which program: a scene and the id of the object in it."""

    scene: Scene
    object_id: str

    def __str__(self) -> str:
        return f"{self.scene}/{self.object_id}"


@dataclass(frozen=True, slots=True)
class ProgramObject:
    """A program as somebody put it into a scene. Its data has been checked."""

    key: ProgramKey
    data: dict[str, Any]
    """As it was said, updates merged into it, without what is only shown (``run_info``)."""
    client: str
    """Who put it there: the client level of the topic."""
    stopped: bool = False
    """Somebody pressed stop. It runs again when somebody starts it or puts it there anew."""

    @property
    def name(self) -> str:
        """Its name for people."""
        return str(self.data["name"])

    @property
    def per_viewer(self) -> bool:
        """Whether each viewer has an instance of it."""
        return self.data.get("instantiate") != "single"


class Phase(StrEnum):
    """What an instance is going through, as far as we have asked the realm."""

    DOWN = "down"
    """There is no module, or a finished one."""
    STARTING = "starting"
    UP = "up"
    MOVING = "moving"
    ENDING = "ending"


@dataclass(frozen=True, slots=True)
class Instance:
    """One module of a program: the only one (``viewer`` is empty) or that of one viewer."""

    uuid: str
    key: ProgramKey
    viewer: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    """Who it was made for, fixed at that time: a new display name is no reason to restart."""
    phase: Phase = Phase.DOWN
    spec: CreateModule | None = None
    """What the module is, as last asked for."""
    asks: int = 0
    """Requests so far: the id of a request is made of it, so that a repetition is recognised."""
    relocating: bool = False
    """The move under way is because the object's ``parent`` changed, not because of a button."""
    outcome: str = ""
    """How it came to an end by itself: exited, failed, refused, deleted. Not tried again as is."""
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """A scene shows the panel of its programs, or hides it although the settings show it."""

    scene: Scene
    shown: bool = True


@dataclass(slots=True)
class Viewer:
    """Somebody who looks at a scene."""

    id: str
    client: str
    name: str
    query: dict[str, str]
    """The query string of the page, where the viewer tells it."""


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """What scenes are decided with. Times are seconds."""

    realm: str = "realm"
    mqtt_host: str = "localhost"
    """``${mqtth}``."""
    web_host: str = "localhost"
    file_store: str | None = None
    """``https://host`` of the ARENA file store; None: programs are found as in any create."""
    per_viewer: bool = True
    """Start the ``client`` programs of each viewer; off where the viewers do that themselves."""
    strict_parent: bool = False
    """Refuse a ``parent`` that nobody knows; otherwise the realm chooses."""
    panels: tuple[str, ...] = ()
    """Scenes (``namespace/name``, ``*`` for any) that show the panel from the beginning."""
    viewer_grace: float = 60.0
    """A viewer who is not heard of for so long after we have been deaf has left."""
    run_info_interval: float = 5.0
    """Counters are shown no more often than this."""
    answer_timeout: float = 10.0
    max_programs: int = 100
    """In one scene."""
    max_viewers: int = 1000
    """Of one scene."""


Kind = Literal["program", "instance", "panel"]
SceneRecord = ProgramObject | Instance | Panel

_ADAPTERS: Final[dict[str, TypeAdapter[Any]]] = {
    "program": TypeAdapter(ProgramObject),
    "instance": TypeAdapter(Instance),
    "panel": TypeAdapter(Panel),
}


def encode(record: SceneRecord) -> bytes:
    """A record as it is stored."""
    return to_json(record)


def decode(kind: str, data: bytes) -> SceneRecord:
    """A record from the store. Raises ``InvalidRequest`` when it is of another version."""
    try:
        record: SceneRecord = _ADAPTERS[kind].validate_json(data)
    except (ValidationError, KeyError) as error:
        raise InvalidRequest(f"stored {kind}: {error}") from None
    return record
