"""Scenes with a small realm beside them that answers like the real one. No I/O, no clock.

The realm here is a dict of modules: it refuses what exists, forgets what is deleted, and moves what
runs. Tests decide when it answers, what is lost, and when somebody dies.
"""

from typing import Any

from arts.model import ReplyTo
from arts.protocol.messages import CreateModule, DeleteModule, MoveModule, Query, Response
from arts.protocol.topics import Scene
from arts.scenes import model
from arts.scenes.events import (
    Answer,
    Answered,
    Ask,
    Keep,
    Linked,
    ModuleChanged,
    ObjectSaid,
    RuntimeChanged,
    SceneEffect,
    SceneEvent,
    SceneNote,
    SceneRequest,
    Tell,
    ViewerLeft,
    ViewerSeen,
)
from arts.scenes.model import (
    ProgramKey,
    SceneSettings,
)
from arts.scenes.scenes import Scenes

SCENE = Scene("public", "lobby")
KEY = "3e6d1c52-6d3c-4a43-9e1c-0d4c8a4f0001"
OTHER = "3e6d1c52-6d3c-4a43-9e1c-0d4c8a4f0002"


def iso(wall: float) -> str:
    return f"T{wall:g}"


def program(**data: Any) -> dict[str, Any]:
    """The data of a program object; ``single`` unless said otherwise."""
    return {"name": "box", "file": "box.wasm", "instantiate": "single"} | data


class Stage:
    """``settings`` are those of scenes. ``answering``: the realm answers at once."""

    def __init__(self, *, answering: bool = True, **settings: Any) -> None:
        self.settings = SceneSettings(**settings)
        self.scenes = Scenes(self.settings, iso=iso)
        self.now = 1000.0
        self.answering = answering
        self.disk: dict[tuple[str, str], bytes] = {}
        self.modules: dict[str, dict[str, Any]] = {}
        self.specs: dict[str, CreateModule] = {}
        self.asked: list[CreateModule | DeleteModule | MoveModule | Query] = []
        self.waiting: list[CreateModule | DeleteModule | MoveModule | Query] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.answers: list[Response] = []
        self.notes: list[SceneNote] = []
        self.refusals: dict[type, Response] = {}
        """How the next request of a kind is refused."""
        self.started: dict[str, int] = {}
        self.moves: dict[str, Response] = {}
        """How each move request was answered: asking again does not move again."""
        self.lives: dict[str, str] = {}
        """module -> the request that made it: asking again makes no second one."""
        self.handle(Linked())

    # ------------------------------------------------------------------ drive

    def handle(self, event: SceneEvent) -> None:
        self._perform(self.scenes.handle(event, self.now, self.now))

    def later(self, seconds: float) -> None:
        self.now += seconds
        self._perform(self.scenes.tick(self.now, self.now))

    def restart(self) -> None:
        """A new process on the same disk; what was unanswered is lost."""
        self.waiting.clear()
        self.scenes = Scenes(self.settings, iso=iso)
        records = [model.decode(kind, value) for (kind, _), value in self.disk.items()]
        self.scenes.restore(records, self.now)

    def answer(self, count: int = 1000) -> None:
        """Let the realm answer what it was asked, and what follows from that."""
        while self.waiting and count:
            count -= 1
            self._answer(self.waiting.pop(0))

    def _perform(self, effects: list[SceneEffect]) -> None:
        for effect in effects:
            match effect:
                case Keep(kind, key, None):
                    self.disk.pop((kind, key), None)
                case Keep(kind, key, value):
                    assert value is not None
                    self.disk[kind, key] = model.encode(value)
                case Ask(request):
                    self.asked.append(request)
                    self.waiting.append(request)
                case Tell(topic, message):
                    self.told.append((topic, message))
                case Answer(_, response):
                    self.answers.append(response)
                case SceneNote():
                    self.notes.append(effect)
        if self.answering:
            self.answer()

    def _answer(self, request: CreateModule | DeleteModule | MoveModule | Query) -> None:
        response = self.refusals.pop(type(request), None) or self._obey(request)
        self._perform(self.scenes.handle(Answered(request.object_id, response), self.now, self.now))

    # ------------------------------------------------------------------ the realm

    def _obey(self, request: CreateModule | DeleteModule | MoveModule | Query) -> Response:
        match request:
            case CreateModule():
                return self._create(request)
            case DeleteModule(uuid=key):
                if self.modules.pop(key, None) is None:
                    return Response(ok=False, details="none", code="not_found")
                self.lives.pop(key)
                return Response(ok=True, details={"type": "module", "uuid": key})
            case MoveModule(uuid=key, target=target):
                if request.object_id not in self.moves and key in self.modules:
                    self.modules[key]["parent"] = {"uuid": "x", "name": target or "elsewhere"}
                self.moves[request.object_id] = Response(ok=True, details={"to": target})
                return self.moves[request.object_id]
            case Query(key=key):
                if key not in self.modules:
                    return Response(ok=False, details="none", code="not_found")
                return Response(ok=True, details=dict(self.modules[key]))

    def _create(self, request: CreateModule) -> Response:
        key = request.uuid
        old = self.modules.get(key)
        alive = old is not None and old["state"] not in ("exited", "failed")
        if alive and self.lives[key] != request.object_id:
            return Response(ok=False, details="exists already", code="already_exists")
        if not alive:
            self.started[key] = self.started.get(key, 0) + 1
            self.specs[key], self.lives[key] = request, request.object_id
            self.modules[key] = {
                "state": "running",
                "parent": {"uuid": "x", "name": request.parent or "rt-1"},
                "created_at": self.now,
                "detail": None,
                "reasons": {},
            }
        return Response(ok=True, details=dict(self.modules[key]))

    def module(self, key: str, state: str, **fields: Any) -> None:
        """The realm shows a module in another state."""
        self.modules[key] = self.modules.get(key, {}) | {"state": state} | fields
        self.handle(ModuleChanged(key, dict(self.modules[key])))

    def vanish(self, key: str) -> None:
        """Somebody has deleted a module."""
        self.modules.pop(key)
        self.lives.pop(key)
        self.handle(ModuleChanged(key, None))

    def runtime(self, uuid: str, **document: Any) -> None:
        self.handle(RuntimeChanged(uuid, {"state": "online", "max_nmodules": 3} | document))

    # ------------------------------------------------------------------ the scene

    def put(self, object_id: str = KEY, *, scene: Scene = SCENE, **data: Any) -> None:
        """Somebody creates a program."""
        key = ProgramKey(scene, object_id)
        self.handle(ObjectSaid(key, "jane_web", "create", program(**data)))

    def update(self, object_id: str = KEY, *, overwrite: bool = False, **data: Any) -> None:
        key = ProgramKey(SCENE, object_id)
        self.handle(ObjectSaid(key, "jane_web", "update", data, overwrite))

    def delete(self, object_id: str = KEY) -> None:
        self.handle(ObjectSaid(ProgramKey(SCENE, object_id), "jane_web", "delete"))

    def join(self, viewer: str = "joe", **more: Any) -> None:
        self.handle(ViewerSeen(SCENE, viewer, f"{viewer}_web", **more))

    def leave(self, viewer: str = "joe") -> None:
        self.handle(ViewerLeft(SCENE, viewer))

    def ask(self, action: str, program: str = "") -> Response:
        """What ``arts scene`` asks."""
        self.handle(SceneRequest(ReplyTo("reply", "r1"), SCENE, action, program))
        return self.answers[-1]

    # ------------------------------------------------------------------ look

    def kinds(self) -> list[str]:
        """What the realm was asked, in short."""
        return [type(request).__name__.removesuffix("Module").lower() for request in self.asked]

    def infos(self, object_id: str = KEY, to: str = "") -> list[dict[str, Any]]:
        """Every ``run_info`` that was said."""
        topic = f"realm/s/{SCENE}/o/arts-scenes/{object_id}" + (f"/{to}" if to else "")
        return [
            m["data"]["run_info"]
            for where, m in self.told
            if where == topic and "run_info" in m.get("data", {})
        ]

    def info(self, object_id: str = KEY, to: str = "") -> dict[str, Any]:
        return self.infos(object_id, to)[-1]

    def panels(self, to: str = "") -> list[dict[str, Any]]:
        """Every message about the panel."""
        topic = f"realm/s/{SCENE}/o/arts-scenes/init3d" + (f"/{to}" if to else "")
        return [message for where, message in self.told if where == topic]

    def buttons(self) -> list[str]:
        """The buttons as last shown."""
        shown = [m for m in self.panels() if "buttons" in m.get("data", {})]
        return [button["name"] for button in shown[-1]["data"]["buttons"]]

    def document(self) -> dict[str, Any]:
        details = self.ask("get").details
        assert isinstance(details, dict)
        return details
