"""Which programs, instances, viewers and panels there are; and what is on its way out. PURE.

The only place where scenes remember anything. Whoever changes a record here has it kept; nothing
here decides.
"""

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import UUID, uuid5

from arts.protocol.messages import CreateModule, DeleteModule, MoveModule, Query
from arts.protocol.topics import Scene
from arts.scenes.events import Ask, Keep, SceneEffect, SceneNote, Tell
from arts.scenes.model import (
    Instance,
    Panel,
    Phase,
    ProgramKey,
    ProgramObject,
    SceneSettings,
    Viewer,
)
from arts.scenes.run_info import Iso, Traffic
from arts.scenes.topics import SceneTopics

_NAMESPACE = UUID("7d9c3a52-1a0d-4f0e-8f5e-5b7f6f9f0a51")

Request = CreateModule | DeleteModule | MoveModule | Query


class SceneState:
    """Everything that scenes know."""

    def __init__(self, settings: SceneSettings, iso: Iso) -> None:
        self.settings = settings
        self.iso = iso
        self.topics = SceneTopics(settings.realm)
        self.now = 0.0
        self.wall = 0.0
        self.effects: list[SceneEffect] = []
        self.programs: dict[ProgramKey, ProgramObject] = {}
        self.by_scene: dict[Scene, dict[str, None]] = {}
        self.instances: dict[str, Instance] = {}
        self.by_program: dict[ProgramKey, dict[str, str]] = {}
        """Program -> viewer -> instance."""
        self.viewers: dict[Scene, dict[str, Viewer]] = {}
        self.probation: dict[tuple[Scene, str], float] = {}
        """Viewers to be heard of until then: we have been deaf, and may have missed a farewell."""
        self.panels: dict[Scene, Panel] = {}
        self.pictures: dict[Scene, dict[str, Any]] = {}
        """The data of each panel as it was last shown."""
        self.documents: dict[str, Mapping[str, Any]] = {}
        self.traffic: dict[str, Traffic] = {}
        self.runtimes: dict[str, Mapping[str, Any]] = {}
        self.unanswered: dict[str, tuple[str, Request, float]] = {}
        """object_id -> instance, request, when it was last sent."""
        self.due: dict[str, float] = {}
        """Instances whose counters are to be shown, and when."""
        self.told: dict[str, tuple[float, dict[str, Any]]] = {}
        """What was last said of an instance, and when."""
        self.refusals: dict[ProgramKey, tuple[str, float]] = {}

    # ------------------------------------------------------------------ programs

    def put_program(self, program: ProgramObject) -> None:
        """Remember it, durably."""
        self.load_program(program)
        self.effects.append(Keep("program", str(program.key), program))

    def load_program(self, program: ProgramObject) -> None:
        """As ``put_program``, for what is stored already."""
        self.programs[program.key] = program
        self.by_scene.setdefault(program.key.scene, {})[program.key.object_id] = None

    def drop_program(self, key: ProgramKey) -> None:
        """Forget it. Its instances are somebody else's business."""
        del self.programs[key]
        names = self.by_scene[key.scene]
        del names[key.object_id]
        if not names:
            del self.by_scene[key.scene]
        self.effects.append(Keep("program", str(key), None))

    def programs_of(self, scene: Scene) -> Iterator[ProgramObject]:
        """The programs of a scene, in the order in which they came."""
        for object_id in self.by_scene.get(scene, ()):
            yield self.programs[ProgramKey(scene, object_id)]

    # ------------------------------------------------------------------ instances

    def put(self, instance: Instance) -> Instance:
        """Remember an instance, durably."""
        if self.instances.get(instance.uuid) != instance:
            self.effects.append(Keep("instance", instance.uuid, instance))
        return self.load(instance)

    def load(self, instance: Instance) -> Instance:
        """As ``put``, for what is stored already."""
        self.instances[instance.uuid] = instance
        self.by_program.setdefault(instance.key, {})[instance.viewer] = instance.uuid
        return instance

    def drop(self, instance: Instance) -> None:
        """Forget an instance and everything about it."""
        uuid = instance.uuid
        del self.instances[uuid]
        of_program = self.by_program[instance.key]
        del of_program[instance.viewer]
        if not of_program:
            del self.by_program[instance.key]
        for table in (self.documents, self.traffic, self.due, self.told):
            table.pop(uuid, None)
        self.effects.append(Keep("instance", uuid, None))

    def instances_of(self, key: ProgramKey) -> list[Instance]:
        """The instances of a program."""
        return [self.instances[uuid] for uuid in self.by_program.get(key, {}).values()]

    def uuid_for(self, key: ProgramKey, viewer: str) -> str:
        """The uuid of the module of one instance: the object's own, or one made of who looks."""
        return str(uuid5(_NAMESPACE, f"{key}/{viewer}")) if viewer else key.object_id

    def put_panel(self, panel: Panel) -> None:
        """Remember whether a scene shows its panel, durably."""
        self.panels[panel.scene] = panel
        self.effects.append(Keep("panel", str(panel.scene), panel))

    # ------------------------------------------------------------------ the realm

    def ask(self, instance: Instance, request: Request) -> None:
        """Ask the realm something about an instance. ``asks`` of it tells requests apart."""
        kind = type(request).__name__
        object_id = str(uuid5(_NAMESPACE, f"{instance.uuid}/{instance.asks}/{kind}"))
        request = request.model_copy(update={"object_id": object_id})
        self.unanswered[object_id] = instance.uuid, request, self.now
        self.effects.append(Ask(request))

    # ------------------------------------------------------------------ out

    def tell(self, topic: str, message: dict[str, Any]) -> None:
        """Say something in a scene."""
        self.effects.append(Tell(topic, message))

    def note(self, event: str, **fields: object) -> None:
        """For the journal."""
        self.effects.append(SceneNote(event, fields))


def state_of(instance: Instance, document: Mapping[str, Any] | None) -> str:
    """The condition of an instance in one word, for people."""
    match instance.phase:
        case Phase.UP:
            return str(document["state"]) if document else "running"
        case Phase.DOWN:
            return instance.outcome or "stopped"
    return {Phase.STARTING: "starting", Phase.MOVING: "migrating", Phase.ENDING: "stopping"}[
        instance.phase
    ]
