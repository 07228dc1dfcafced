"""Anything in any order: programs, viewers and buttons, lost requests, lost answers, restarts.

Whatever happened: when it stops happening, exactly what the scene wants runs, and there was never a
moment at which scenes asked for a second module.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from arts.scenes.events import Linked, ObjectSaid
from arts.scenes.model import ProgramKey
from arts.scenes.state import SceneState
from tests.scenes.stage import KEY, OTHER, SCENE, Stage

OBJECTS = st.sampled_from([KEY, OTHER])
VIEWERS = st.sampled_from(["joe", "jim"])
VERBS = st.sampled_from(["start", "stop", "restart", "move"])


class Chaos(RuleBasedStateMachine):
    """A stage on which anything may happen."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage(answering=False, answer_timeout=5, viewer_grace=20, panels=("*",))
        self.present: set[str] = set()
        self.doubles = 0

    @property
    def state(self) -> SceneState:
        return self.stage.scenes._state

    @rule(
        key=OBJECTS,
        action=st.sampled_from(["create", "update"]),
        instantiate=st.sampled_from(["single", "client"]),
        arg=st.sampled_from(["1", "2", "${nobody}"]),
        parent=st.sampled_from([None, "rt-1", "rt-2"]),
    )
    def put(self, key: str, action: str, instantiate: str, arg: str, parent: str | None) -> None:
        data = {"name": "box", "file": "b.wasm", "instantiate": instantiate}
        assert action in ("create", "update")
        event = ObjectSaid(
            ProgramKey(SCENE, key),
            "jane_web",
            "create" if action == "create" else "update",
            data | {"args": [arg], "parent": parent},
        )
        self.stage.handle(event)

    @rule(key=OBJECTS)
    def delete(self, key: str) -> None:
        self.stage.delete(key)

    @rule(viewer=VIEWERS)
    def join(self, viewer: str) -> None:
        self.present.add(viewer)
        self.stage.join(viewer)

    @rule(viewer=VIEWERS, heard=st.booleans())
    def leave(self, viewer: str, heard: bool) -> None:
        """Not every farewell is heard: then we were deaf, and know it."""
        self.present.discard(viewer)
        if heard:
            self.stage.leave(viewer)
        else:
            self.stage.handle(Linked())

    @rule(verb=VERBS, key=OBJECTS)
    def press(self, verb: str, key: str) -> None:
        self.stage.ask(verb, key)

    @rule()
    def answer_one(self) -> None:
        self._watch(1)

    @rule()
    def answer_all(self) -> None:
        self._watch(1000)

    @rule(heard=st.booleans())
    def lose(self, heard: bool) -> None:
        """A request is lost, or its answer is."""
        if self.stage.waiting:
            request = self.stage.waiting.pop(0)
            if heard:
                self.doubles += self.stage._obey(request).code == "already_exists"

    @rule(state=st.sampled_from(["running", "exited", "failed", "migrating", "pending"]))
    def change(self, state: str) -> None:
        for key in list(self.stage.modules)[:1]:
            if self.stage.modules[key]["state"] not in ("exited", "failed"):
                self.stage.module(key, state)

    @rule(seconds=st.sampled_from([1, 6, 30]))
    def wait(self, seconds: int) -> None:
        for viewer in self.present:
            self.stage.join(viewer)
        self.stage.later(seconds)

    @rule()
    def die(self) -> None:
        self.stage.restart()
        self.stage.handle(Linked())

    def _watch(self, count: int) -> None:
        while self.stage.waiting and count:
            count -= 1
            request = self.stage.waiting.pop(0)
            before = self.stage.refusals.copy()
            response = self.stage._obey(request)
            assert before == self.stage.refusals
            self.doubles += response.code == "already_exists"
            self.stage.refusals[type(request)] = response
            self.stage._answer(request)

    @invariant()
    def no_second_module(self) -> None:
        assert self.doubles == 0

    @invariant()
    def what_is_stored_is_what_is_known(self) -> None:
        stored = {key for kind, key in self.stage.disk if kind == "instance"}
        assert stored == set(self.state.instances)
        stored = {key for kind, key in self.stage.disk if kind == "program"}
        assert stored == {str(key) for key in self.state.programs}

    def teardown(self) -> None:
        """Calm: what is wanted runs, and nothing else."""
        self.stage.answering = True
        self.stage.handle(Linked())
        for _ in range(10):
            for key, module in list(self.stage.modules.items()):
                if module["state"] in ("migrating", "pending"):
                    self.stage.module(key, "running")
            for viewer in self.present:
                self.stage.join(viewer)
            self.stage.later(6)
        wanted = set()
        for program in self.state.programs.values():
            for viewer in self.present if program.per_viewer else {""}:
                instance = self.state.instances[self.state.uuid_for(program.key, viewer)]
                if not program.stopped and not instance.outcome:
                    wanted.add(instance.uuid)
        alive = {k for k, m in self.stage.modules.items() if m["state"] not in ("exited", "failed")}
        assert alive == wanted
        assert self.stage.waiting == []
        assert self.state.unanswered == {}


TestScenesUnderChaos = Chaos.TestCase
TestScenesUnderChaos.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
