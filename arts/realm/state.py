"""The data of a realm and the few ways to change it. PURE.

Records are frozen and replaced, never edited; every change of a record goes through ``advance_*``,
``put_*`` or ``drop_*``, which keep the indexes true, write the story and emit the ``Record``. What
an event *means* is decided in ``runtimes``, ``modules`` and ``migration``.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from arts.errors import InvariantError
from arts.model import Durability, FormWish, Module, ModuleState, ReplyTo, Runtime, RuntimeState
from arts.protocol.messages import (
    AnyCommand,
    ImportModule,
    ModuleStats,
    Response,
    RestoreModule,
)
from arts.realm import lifecycle
from arts.realm.deadlines import DeadlineKey, Deadlines
from arts.realm.effects import (
    CheckpointKept,
    Command,
    Effect,
    FetchProgram,
    ForgetSnapshots,
    LearnPause,
    Note,
    Record,
    Reply,
)
from arts.realm.names import Names
from arts.scheduling.explain import Explanation
from arts.scheduling.policies import Policy, policy_named
from arts.scheduling.view import View

STORY_LENGTH = 50
"""What happened longer ago to one runtime or module is forgotten."""


class Happening(NamedTuple):
    """One line of a story, not yet in words: most are never read."""

    wall: float
    event: str
    runtime: str | None
    detail: object


@dataclass(frozen=True, slots=True)
class RealmSettings:
    """The numbers a realm decides with; seconds unless said otherwise."""

    name: str = "realm"
    policy: str = "least-modules"
    lease_factor: float = 3.0
    """A lease is so many keepalive intervals."""
    lost_after: float = 10.0
    """From suspicion to giving a runtime up."""
    link_grace: float = 10.0
    """After the supervisor's own absence nothing runs out for so long."""
    arrival_grace: float = 0.3
    """Runtimes of old dialects listen only after they were welcomed: so long nothing is sent."""
    start_timeout: float = 30.0
    stop_timeout: float = 10.0
    stop_attempts: int = 3
    """So often a runtime is told to stop a module that is then forgotten."""
    prepare_timeout: float = 30.0
    freeze_timeout: float = 10.0
    restore_timeout: float = 30.0
    switch_timeout: float = 3.0
    """A move behind its commit point is pushed again so often."""
    switch_attempts: int = 5
    """...and so many times, before it falls back to the source's frozen copy."""
    transfer_bytes_per_second: float = 1e6
    """The slowest link a snapshot should survive."""
    checkpoint_timeout: float = 20.0
    """For a checkpoint that somebody waits for."""
    start_attempts: int = 3
    """On so many runtimes a module may fail to start."""
    pause_bound: float = 0.002
    """A program that computes on for longer when asked to pause is slow."""
    keep_ended: float = 3600.0
    """How long an exited or failed module stays visible."""
    keep_lost: float = 3600.0
    """...and a lost runtime that no module waits for."""
    restart_after: float = 0.5
    """The pause after a module's first crash; it doubles with each."""
    restart_after_at_most: float = 60.0


@dataclass
class RealmState:
    """Everything the realm knows. ``now`` is the time of the event being handled."""

    settings: RealmSettings
    wall_offset: float = 0.0
    """Wall time minus the realm's own clock: for people only."""
    now: float = 0.0
    runtimes: dict[str, Runtime] = field(default_factory=dict)
    modules: dict[str, Module] = field(default_factory=dict)
    view: View = field(default_factory=View)
    deadlines: Deadlines = field(default_factory=Deadlines)
    taken: dict[str, dict[str, None]] = field(default_factory=dict)
    """Per runtime: modules that take a place on it, as owner or as target of a move."""
    pending: dict[str, None] = field(default_factory=dict)
    """Modules without a runtime, in order of arrival."""
    orphans: dict[str, dict[str, None]] = field(default_factory=dict)
    """Per lost runtime: modules that wait for it."""
    stats: dict[str, ModuleStats] = field(default_factory=dict)
    checkpoints: dict[str, CheckpointKept] = field(default_factory=dict)
    """The newest of each module that has been heard of since the supervisor began."""
    awaited: dict[str, list[ReplyTo]] = field(default_factory=dict)
    """Who waits for a module's next checkpoint."""
    restores: dict[str, tuple[int, RestoreModule]] = field(default_factory=dict)
    """Modules that are to go back to a checkpoint as soon as it has been found; at which
    generation that was asked."""
    imports: dict[str, ImportModule] = field(default_factory=dict)
    """Modules that come as soon as their checkpoint is kept."""
    decisions: dict[str, Explanation] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    """How often the present phase of a module was pushed again."""
    linked: bool = True
    effects: list[Effect] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    policy: Policy = field(init=False)
    runtime_names: Names[Runtime] = field(init=False)
    module_names: Names[Module] = field(init=False)
    _stories: dict[str, deque[Happening]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.policy = policy_named(self.settings.policy)
        self.runtime_names = Names(self.runtimes, "runtime")
        self.module_names = Names(self.modules, "module")

    @property
    def wall(self) -> float:
        """Seconds since the epoch, at the event being handled."""
        return self.now + self.wall_offset

    # ------------------------------------------------------------------ modules

    def advance_module(self, module: Module, event: str, **changes: Any) -> Module:
        """Move a module along its table, with these fields changed."""
        current = self.modules.get(module.uuid)
        state = self._after(
            lifecycle.MODULE, current.state if current else None, event, module.uuid
        )
        if state is None:
            self._drop_module(module)
            return module
        new = replace(module, state=state, **changes)
        self.put_module(new)
        self.note(f"module.{event}", module=new, detail=new.detail)
        return new

    def advance_migration(self, module: Module, event: str, **changes: Any) -> Module:
        """Move a module's move along its table, with these fields of the move changed."""
        move = module.migration
        assert move is not None
        reached = self._after(lifecycle.MIGRATION, move.phase, event, module.uuid)
        module = replace(
            module, migration=replace(move, phase=reached, **changes) if reached else None
        )
        self.put_module(module)
        self.note(f"migration.{event}", module=module, migration=move.id)
        return module

    def put_module(self, module: Module) -> None:
        """Replace a module's record without a transition."""
        self.load_module(module)
        self.effects.append(Record("module", module.uuid, module))

    def load_module(self, module: Module) -> None:
        """As ``put_module``, for a record that is durable already."""
        uuid, old = module.uuid, self.modules.get(module.uuid)
        self.modules[uuid] = module
        if old is None or old.name != module.name:
            if old is not None:
                self.module_names.remove(uuid, old.name)
            self.module_names.add(uuid, module.name)
        self._reindex(uuid, places_of(old), places_of(module))
        self._requeue(uuid, old, module)

    def _requeue(self, uuid: str, old: Module | None, new: Module | None) -> None:
        """Keep the two kinds of waiting: for any runtime, and for one that is lost."""
        if new is not None and new.state is ModuleState.PENDING:
            self.pending.setdefault(uuid, None)
        else:
            self.pending.pop(uuid, None)
        before, after = _waits_for(old), _waits_for(new)
        if before is not None:
            del self.orphans[before][uuid]
            if not self.orphans[before]:
                del self.orphans[before]
        if after is not None:
            self.orphans.setdefault(after, {})[uuid] = None

    def _drop_module(self, module: Module) -> None:
        self.note("module.deleted", module=module)
        old = self.modules.pop(module.uuid)
        self.module_names.remove(old.uuid, old.name)
        self._reindex(old.uuid, places_of(old), ())
        self._requeue(old.uuid, old, None)
        for reply in self.awaited.pop(old.uuid, ()):
            self.answer(reply, Response(ok=False, details="the module is gone", code="not_found"))
        if (restore := self.restores.pop(old.uuid, None)) is not None:
            gone = Response(ok=False, details="the module is gone", code="not_found")
            self.answer(restore[1].reply, gone)
        if old.uuid in self.checkpoints or old.spec.durability is not Durability.NONE:
            self.effects.append(ForgetSnapshots(old.uuid))
        for table in (
            self.stats,
            self.decisions,
            self.retries,
            self.checkpoints,
            self._stories,
        ):
            table.pop(old.uuid, None)
        self.deadlines.cancel(DeadlineKey("checkpoint", old.uuid))
        self.deadlines.cancel(DeadlineKey("phase", old.uuid))
        self.effects.append(Record("module", old.uuid, None))

    def _reindex(self, uuid: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        if before == after:
            return
        for runtime in before:
            self.taken[runtime].pop(uuid, None)
        for runtime in after:
            self.taken.setdefault(runtime, {})[uuid] = None
        for runtime in {*before, *after}:
            if runtime in self.runtimes:
                self.view.put(self.runtimes[runtime], len(self.taken[runtime]))
            elif not self.taken[runtime]:
                del self.taken[runtime]

    def modules_of(self, runtime: str) -> list[Module]:
        """The modules a runtime owns (not those that are still moving to it)."""
        found = (self.modules[uuid] for uuid in self.taken.get(runtime, ()))
        return [module for module in found if module.parent == runtime]

    def orphans_of(self, runtime: str) -> list[Module]:
        """The modules that wait for a lost runtime to come back."""
        return [self.modules[uuid] for uuid in self.orphans.get(runtime, ())]

    # ------------------------------------------------------------------ runtimes

    def advance_runtime(self, runtime: Runtime, event: str) -> Runtime:
        """Move a runtime along its table."""
        current = self.runtimes.get(runtime.uuid)
        state = self._after(
            lifecycle.RUNTIME, current.state if current else None, event, runtime.uuid
        )
        if state is None:
            self._drop_runtime(runtime)
            return runtime
        new = replace(runtime, state=state)
        self.load_runtime(new)
        if new != current:
            self.effects.append(Record("runtime", new.uuid, new))
            self.note(f"runtime.{event}", runtime=new)
        return new

    def load_runtime(self, runtime: Runtime) -> None:
        """Set a runtime's record, which is durable already or too fleeting to become so."""
        uuid, old = runtime.uuid, self.runtimes.get(runtime.uuid)
        self.runtimes[uuid] = runtime
        if old is None or old.name != runtime.name:
            if old is not None:
                self.runtime_names.remove(uuid, old.name)
            self.runtime_names.add(uuid, runtime.name)
        self.view.put(runtime, len(self.taken.setdefault(uuid, {})))

    def _drop_runtime(self, runtime: Runtime) -> None:
        self.note("runtime.left", runtime=runtime)
        old = self.runtimes.pop(runtime.uuid)
        self.runtime_names.remove(old.uuid, old.name)
        self.view.remove(old.uuid)
        if not self.taken[old.uuid]:
            del self.taken[old.uuid]
        self._stories.pop(old.uuid, None)
        for kind in ("lease", "suspicion", "arrival"):
            self.deadlines.cancel(DeadlineKey(kind, old.uuid))
        self.effects.append(Record("runtime", old.uuid, None))

    def is_online(self, runtime: str | None) -> bool:
        """Whether a runtime is certainly there."""
        found = self.runtimes.get(runtime) if runtime else None
        return found is not None and found.state is RuntimeState.ONLINE

    def _after(
        self, table: lifecycle.Table[lifecycle.S], state: lifecycle.S | None, event: str, uuid: str
    ) -> lifecycle.S | None:
        try:
            return lifecycle.after(table, state, event)
        except InvariantError as error:
            raise InvariantError(f"{error}. {self.tell(uuid)}") from None

    # ------------------------------------------------------------------ effects

    def command(self, runtime: str, message: AnyCommand) -> None:
        """Send a command to a runtime."""
        self.effects.append(Command(runtime, message))

    def fetch(self, module: Module, form: FormWish) -> None:
        """Have a module's program found, in a form that suits whoever may get it."""
        spec = module.spec
        self.effects.append(
            FetchProgram(spec.uuid, module.generation, spec.filename, spec.program, form)
        )

    def learn_pause(self, module: Module, seconds: float) -> None:
        """Remember of a program that its modules are slow to pause."""
        if seconds > self.settings.pause_bound and module.program is not None:
            self.effects.append(LearnPause(module.program.digest, seconds))

    def answer(self, to: ReplyTo | None, response: Response) -> None:
        """Answer a request, if anybody waits for it."""
        if to is not None:
            self.count("requests_ok" if response.ok else "requests_refused")
            self.effects.append(Reply(to, response))

    def note(
        self,
        event: str,
        *,
        module: Module | None = None,
        runtime: Runtime | None = None,
        **more: object,
    ) -> None:
        """Write the story of those concerned, and the journal."""
        fields: dict[str, object] = {k: v for k, v in more.items() if v is not None}
        if module is not None:
            fields |= {"module": module.uuid, "name": module.name, "state": str(module.state)}
            fields["generation"] = module.generation
            if module.parent:
                fields["runtime"] = module.parent
            self._remember(module.uuid, event, module.parent, more.get("detail"))
        if runtime is not None:
            fields |= {"runtime": runtime.uuid, "name": runtime.name, "state": str(runtime.state)}
            self._remember(runtime.uuid, event, None, more.get("detail"))
        self.count(event)
        self.effects.append(Note(event, fields))

    def count(self, what: str) -> None:
        """Count something for the counters of the realm."""
        self.counters[what] = self.counters.get(what, 0) + 1

    # ------------------------------------------------------------------ stories

    def _remember(self, uuid: str, event: str, where: str | None, detail: object) -> None:
        story = self._stories.get(uuid)
        if story is None:
            story = self._stories[uuid] = deque(maxlen=STORY_LENGTH)
        story.append(Happening(self.wall, event, where, detail))

    def story(self, uuid: str) -> list[tuple[float, str]]:
        """What happened to a runtime or module lately: (wall time, what)."""
        return [(line.wall, self._in_words(line)) for line in self._stories.get(uuid, ())]

    def _in_words(self, line: Happening) -> str:
        runtime = self.runtimes.get(line.runtime) if line.runtime else None
        place = runtime.name if runtime else line.runtime
        words = [line.event, f"on {place}" if place else "", f"({line.detail})"]
        return " ".join(word for word in words if word and word != "(None)")

    def tell(self, uuid: str) -> str:
        """The story as one line, for errors."""
        return f"Story of {uuid}: " + "; ".join(what for _, what in self.story(uuid))


def _waits_for(module: Module | None) -> str | None:
    """The lost runtime that a module waits for."""
    return module.parent if module is not None and module.state is ModuleState.LOST else None


def places_of(module: Module | None) -> tuple[str, ...]:
    """The runtimes on which a module takes a place: its owner, and both ends of its move."""
    if module is None or module.parent is None or not module.state.is_placed:
        return ()
    move = module.migration
    if move is None:
        return (module.parent,)
    return tuple(dict.fromkeys((module.parent, move.source, move.target)))
