"""Everything that can happen to scenes, and everything that scenes can ask their shell to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from arts.model import ReplyTo
from arts.protocol.messages import (
    CreateModule,
    DeleteModule,
    ModuleStats,
    MoveModule,
    Query,
    Response,
)
from arts.protocol.topics import Scene
from arts.scenes.model import (
    Kind,
    ProgramKey,
    SceneRecord,
)

Verb = Literal["start", "stop", "restart", "move"]


@dataclass(frozen=True, slots=True)
class ObjectSaid:
    """Somebody created, updated or deleted what is, or may be, a program object."""

    key: ProgramKey
    client: str
    action: Literal["create", "update", "delete"]
    data: dict[str, Any] = field(default_factory=dict)
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class ObjectRefused:
    """What somebody said about a program object makes no sense; ``reason`` is for people."""

    key: ProgramKey
    reason: str


@dataclass(frozen=True, slots=True)
class ViewerSeen:
    """Somebody is in a scene. None: the message does not tell."""

    scene: Scene
    viewer: str
    client: str
    name: str | None = None
    query: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ViewerLeft:
    """Somebody has left a scene, or their broker says so."""

    scene: Scene
    viewer: str


@dataclass(frozen=True, slots=True)
class ButtonClicked:
    """Somebody clicked a button of a panel."""

    scene: Scene
    panel: str
    button: str
    by: str


@dataclass(frozen=True, slots=True)
class SceneRequest:
    """Somebody asks about a scene outside of it: ``arts scene``."""

    reply: ReplyTo
    scene: Scene
    action: str
    """get, show, hide or one of ``Verb``; else it is refused."""
    program: str = ""
    """object_id, or a name that only one program of the scene has."""


@dataclass(frozen=True, slots=True)
class ModuleChanged:
    """The realm shows a module as it is now; None: it is gone."""

    uuid: str
    document: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class RuntimeChanged:
    """The realm shows a runtime as it is now; None: it is gone."""

    uuid: str
    document: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class StatsHeard:
    """A runtime said how busy its modules are."""

    children: tuple[ModuleStats, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """The realm answered a request of ours."""

    object_id: str
    response: Response


@dataclass(frozen=True, slots=True)
class Linked:
    """We hear again, or there is another supervisor: what was under way may have met nobody."""


SceneEvent = (
    ObjectSaid
    | ObjectRefused
    | ViewerSeen
    | ViewerLeft
    | ButtonClicked
    | SceneRequest
    | ModuleChanged
    | RuntimeChanged
    | StatsHeard
    | Answered
    | Linked
)


# ---------------------------------------------------------------------------- effects


@dataclass(frozen=True, slots=True)
class Keep:
    """Make this the durable state of one thing, before anything is said; None: it is gone."""

    kind: Kind
    key: str
    value: SceneRecord | None


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a request to the realm. Ends as ``Answered``."""

    request: CreateModule | DeleteModule | MoveModule | Query


@dataclass(frozen=True, slots=True)
class Tell:
    """Say something in a scene."""

    topic: str
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer a ``SceneRequest``."""

    to: ReplyTo
    response: Response


@dataclass(frozen=True, slots=True)
class SceneNote:
    """Something happened that people may want to know: for the journal."""

    event: str
    fields: Mapping[str, object]


SceneEffect = Keep | Ask | Tell | Answer | SceneNote
