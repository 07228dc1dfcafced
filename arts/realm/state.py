"""The data of a realm and the few ways to change it. PURE.

Records are frozen and replaced, never edited; every change of a record goes through ``advance_*``,
``put_*`` or ``drop_*``, which keep the indexes true, write the story and emit the ``Record``. What
an event *means* is decided in ``runtimes``, ``modules`` and ``migration``.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Any

from arts.model import Load, Module, ModuleState, ReplyTo, Runtime, RuntimeState
from arts.protocol.messages import AnyCommand, ModuleStats, Response
from arts.realm import lifecycle
from arts.realm.deadlines import DeadlineKey, Deadlines
from arts.realm.effects import Command, Effect, FetchProgram, Note, Record, Reply
from arts.scheduling.explain import Explanation
from arts.scheduling.policies import Policy, policy_named
from arts.scheduling.view import View

STORY_LENGTH = 50


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
    """After the supervisor's own absence nobody is suspected for so long."""
    start_timeout: float = 30.0
    stop_timeout: float = 10.0
    prepare_timeout: float = 30.0
    freeze_timeout: float = 10.0
    restore_timeout: float = 30.0
    switch_timeout: float = 3.0
    """A move behind its commit point is pushed again so often."""
    switch_attempts: int = 5
    """...and so many times, before it falls back to the source's frozen copy."""
    transfer_bytes_per_second: float = 1e6
    """The slowest link a snapshot should survive."""
    start_attempts: int = 3
    """On so many runtimes a module may fail to start."""
    keep_ended: float = 3600.0
    """How long an exited or failed module stays visible."""
    keep_lost: float = 3600.0
    """...and a lost runtime that no module waits for."""


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
    stats: dict[str, ModuleStats] = field(default_factory=dict)
    decisions: dict[str, Explanation] = field(default_factory=dict)
    retries: dict[str, int] = field(default_factory=dict)
    """How often the present phase of a module was pushed again."""
    linked: bool = True
    effects: list[Effect] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    policy: Policy = field(init=False)
    _stories: dict[str, deque[tuple[float, str]]] = field(default_factory=dict)
    _names: dict[str, dict[str, None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.policy = policy_named(self.settings.policy)

    @property
    def wall(self) -> float:
        """Seconds since the epoch, at the event being handled."""
        return self.now + self.wall_offset

    # ------------------------------------------------------------------ modules

    def advance_module(self, module: Module, event: str, **changes: Any) -> Module:
        """Move a module along its table, with these fields changed."""
        story = self.tell(module.uuid)
        current = self.modules.get(module.uuid)
        state = lifecycle.after(lifecycle.MODULE, current.state if current else None, event, story)
        if state is None:
            self._drop_module(module)
            return module
        new = replace(module, state=state, **changes)
        self.put_module(new)
        self.note(f"module.{event}", module=new, detail=new.detail)
        return new

    def put_module(self, module: Module) -> None:
        """Replace a module's record without a transition."""
        old = self.modules.get(module.uuid)
        self.modules[module.uuid] = module
        if old is None:
            self._names.setdefault(module.name, {})[module.uuid] = None
        self._reindex(module.uuid, places_of(old), places_of(module))
        if module.state is ModuleState.PENDING:
            self.pending.setdefault(module.uuid, None)
        else:
            self.pending.pop(module.uuid, None)
        self.effects.append(Record("module", module.uuid, module))

    def _drop_module(self, module: Module) -> None:
        self.note("module.deleted", module=module)
        del self.modules[module.uuid]
        namesakes = self._names[module.name]
        del namesakes[module.uuid]
        if not namesakes:
            del self._names[module.name]
        self._reindex(module.uuid, places_of(module), ())
        for table in (self.pending, self.stats, self.decisions, self.retries, self._stories):
            table.pop(module.uuid, None)
        self.deadlines.cancel(DeadlineKey("phase", module.uuid))
        self.effects.append(Record("module", module.uuid, None))

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

    # ------------------------------------------------------------------ runtimes

    def advance_runtime(self, runtime: Runtime, event: str) -> Runtime:
        """Move a runtime along its table."""
        current = self.runtimes.get(runtime.uuid)
        before = current.state if current else None
        state = lifecycle.after(lifecycle.RUNTIME, before, event, self.tell(runtime.uuid))
        if state is None:
            self._drop_runtime(runtime)
            return runtime
        new = replace(runtime, state=state)
        self.runtimes[new.uuid] = new
        self.view.put(new, len(self.taken.setdefault(new.uuid, {})))
        if current is None or new != current:
            self.effects.append(Record("runtime", new.uuid, new))
            self.note(f"runtime.{event}", runtime=new)
        return new

    def set_load(self, runtime: Runtime, load: Load) -> None:
        """How busy it is: seen by the scheduler, too fleeting to be recorded."""
        runtime = replace(runtime, load=load)
        self.runtimes[runtime.uuid] = runtime
        self.view.put(runtime, len(self.taken[runtime.uuid]))

    def _drop_runtime(self, runtime: Runtime) -> None:
        self.note("runtime.left", runtime=runtime)
        del self.runtimes[runtime.uuid]
        self.view.remove(runtime.uuid)
        if not self.taken[runtime.uuid]:
            del self.taken[runtime.uuid]
        self._stories.pop(runtime.uuid, None)
        for kind in ("lease", "suspicion"):
            self.deadlines.cancel(DeadlineKey(kind, runtime.uuid))
        self.effects.append(Record("runtime", runtime.uuid, None))

    # ------------------------------------------------------------------ effects

    def command(self, runtime: str, message: AnyCommand) -> None:
        """Send a command to a runtime."""
        self.effects.append(Command(runtime, message))

    def fetch(self, module: Module) -> None:
        """Have a module's program found."""
        spec = module.spec
        self.effects.append(FetchProgram(spec.uuid, module.generation, spec.filename, spec.program))

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
        story = self._stories.setdefault(uuid, deque(maxlen=STORY_LENGTH))
        place = self.runtimes[where].name if where in self.runtimes else where
        words = [event, f"on {place}" if place else "", f"({detail})" if detail else ""]
        story.append((self.wall, " ".join(word for word in words if word)))

    def story(self, uuid: str) -> list[tuple[float, str]]:
        """What happened to a runtime or module lately: (wall time, what)."""
        return list(self._stories.get(uuid, ()))

    def tell(self, uuid: str) -> str:
        """The story as one line, for errors."""
        return f"Story of {uuid}: " + "; ".join(what for _, what in self.story(uuid))

    # ------------------------------------------------------------------ look-ups

    def find_modules(self, key: str) -> list[Module]:
        """Modules meant by a uuid, a name, or the beginning of a uuid."""
        if key in self.modules:
            return [self.modules[key]]
        if key in self._names:
            return [self.modules[uuid] for uuid in self._names[key]]
        return [m for uuid, m in self.modules.items() if len(key) >= 4 and uuid.startswith(key)]

    def find_runtimes(self, key: str) -> list[Runtime]:
        """Runtimes meant by a uuid, a name, or the beginning of a uuid."""
        if key in self.runtimes:
            return [self.runtimes[key]]
        named = [r for r in self.runtimes.values() if r.name == key]
        return named or [
            r for uuid, r in self.runtimes.items() if len(key) >= 4 and uuid.startswith(key)
        ]

    def is_online(self, runtime: str | None) -> bool:
        """Whether a runtime is certainly there."""
        found = self.runtimes.get(runtime) if runtime else None
        return found is not None and found.state is RuntimeState.ONLINE


def places_of(module: Module | None) -> tuple[str, ...]:
    """The runtimes on which a module takes a place."""
    if module is None or module.parent is None:
        return ()
    if module.state is ModuleState.LOST or not module.state.is_placed:
        return ()
    ends = (
        (module.parent, module.migration.source, module.migration.target)
        if (module.migration)
        else (module.parent,)
    )
    return tuple(dict.fromkeys(ends))
