"""A realm to talk to in a few words: what happened in, what is to be done out.

    world.register("a")
    world.create("m")
    done = world.report("started", "m")
    assert world.state("m") == "running"

Every step is followed by ``realm.validate()``, and every request is watched: never two answers.
"""

from dataclasses import dataclass
from typing import Any

from arts.model import Module, Program, ReplyTo
from arts.protocol.messages import (
    AnyCommand,
    CreateModule,
    DeleteModule,
    HeldModule,
    Keepalive,
    MoveModule,
    Query,
    RegisterRuntime,
    RemoveRuntime,
    Report,
    Response,
)
from arts.realm.effects import (
    Command,
    Effect,
    FetchProgram,
    Note,
    ProgramFetched,
    ProgramUnavailable,
    Record,
    Reply,
)
from arts.realm.realm import Realm
from arts.realm.state import RealmSettings

NATIVE = frozenset({"events", "programs", "snapshot"})
ABLE = NATIVE | {"checkpoint"}
DURABLE: dict[str, Any] = {"durability": "checkpoint"}
PROGRAM = Program(digest="d" * 64, size=10, source_digest="5" * 64)
UNMOVABLE = Program(digest="e" * 64, size=10, source_digest="e" * 64, refusal="it uses threads")


@dataclass(frozen=True)
class Done:
    """What the realm asked for in one step."""

    effects: list[Effect]

    @property
    def commands(self) -> list[tuple[str, str]]:
        """(runtime, action) of each command, in order."""
        return [(e.runtime, e.message.action) for e in self.effects if isinstance(e, Command)]

    def command(self, runtime: str) -> AnyCommand:
        """The only command for that runtime."""
        (found,) = [
            e.message for e in self.effects if isinstance(e, Command) and e.runtime == runtime
        ]
        return found

    @property
    def replies(self) -> list[Reply]:
        """All answers."""
        return [e for e in self.effects if isinstance(e, Reply)]

    @property
    def response(self) -> Response:
        """The only answer."""
        (reply,) = self.replies
        return reply.response

    @property
    def error(self) -> tuple[str | None, str]:
        """(code, text) of the only answer, which is a refusal."""
        assert not self.response.ok, self.response
        assert isinstance(self.response.details, str)
        return self.response.code, self.response.details

    @property
    def fetches(self) -> list[FetchProgram]:
        """Programs to be found."""
        return [e for e in self.effects if isinstance(e, FetchProgram)]

    @property
    def notes(self) -> list[str]:
        """Names of what the journal is told."""
        return [e.event for e in self.effects if isinstance(e, Note)]

    @property
    def records(self) -> list[Record]:
        """What is to be made durable."""
        return [e for e in self.effects if isinstance(e, Record)]


class World:
    """A realm, the time, and memory of what was asked."""

    def __init__(self, **settings: Any) -> None:
        self.settings = RealmSettings(**settings)
        self.realm = Realm(self.settings, wall_offset=1e9)
        self.now = 100.0
        self.asked = 0
        self.answered: list[ReplyTo] = []
        self.store: dict[tuple[str, str], Any] = {}

    # ------------------------------------------------------------------ any event

    def handle(self, event: Any) -> Done:
        """Something happens."""
        return self._done(self.realm.handle(event, self.now))

    def _done(self, effects: list[Effect]) -> Done:
        self.realm.validate()
        for effect in effects:
            if isinstance(effect, Reply):
                self.answered.append(effect.to)
            elif isinstance(effect, Record):
                self.store[effect.kind, effect.key] = effect.value
        return Done(effects)

    def wait(self, seconds: float) -> Done:
        """Time passes, deadline by deadline as a timer would have it."""
        until, effects = self.now + seconds, []
        while (when := self.realm.next_deadline()) is not None and when <= until:
            self.now = max(self.now, when)
            effects += self._done(self.realm.tick(self.now)).effects
        self.now = until
        return Done(effects)

    def restart(self) -> Done:
        """The supervisor dies and comes back with what it had recorded."""
        self.realm = Realm(self.settings, wall_offset=1e9)
        records = [record for record in self.store.values() if record is not None]
        return self._done(self.realm.restore(records, self.now))

    def reply_to(self, object_id: str | None = None, dialect: str = "native") -> ReplyTo:
        """Where the next answer is owed."""
        self.asked += 1
        return ReplyTo("client", object_id or f"q{self.asked}", dialect)

    # ------------------------------------------------------------------ runtimes

    def register(
        self,
        uuid: str,
        *held: tuple[str, int],
        instance: str | None = None,
        modules: tuple[HeldModule, ...] = (),
        **fields: Any,
    ) -> Done:
        """A native runtime registers, holding these running (module, generation)."""
        copies = tuple(HeldModule(uuid=m, generation=g) for m, g in held)
        facts = {"name": f"runtime {uuid}", "features": NATIVE, "max_nmodules": 3} | fields
        reply = self.reply_to()
        return self.handle(
            RegisterRuntime(
                object_id=reply.object_id,
                reply=reply,
                uuid=uuid,
                instance=f"{uuid}-1" if instance is None else instance,
                modules=copies + modules,
                **facts,
            )
        )

    def register_old(self, uuid: str, *, settle: bool = True, **fields: Any) -> Done:
        """A runtime of an old dialect registers: it reports nothing. ``settle``: and listens."""
        facts: dict[str, Any] = {"instance": "", "features": frozenset()} | fields
        done = self.register(uuid, **facts)
        if settle:
            done.effects.extend(self.wait(self.settings.arrival_grace).effects)
        return done

    def will(self, uuid: str, instance: str | None = None) -> Done:
        """A runtime's connection broke."""
        return self.handle(
            RemoveRuntime(uuid=uuid, instance=instance or f"{uuid}-1", reason="last_will")
        )

    def leave(self, uuid: str, **fields: Any) -> Done:
        """A runtime says goodbye."""
        reply = self.reply_to()
        facts = {"instance": f"{uuid}-1", "reason": "shutdown"} | fields
        return self.handle(
            RemoveRuntime(object_id=reply.object_id, reply=reply, uuid=uuid, **facts)
        )

    def keepalive(self, uuid: str, **fields: Any) -> Done:
        """A sign of life."""
        return self.handle(Keepalive(uuid=uuid, **({"instance": f"{uuid}-1"} | fields)))

    def lose(self, uuid: str) -> Done:
        """A runtime goes away without a word and is given up."""
        will = self.will(uuid)
        return Done(will.effects + self.wait(self.settings.lost_after).effects)

    # ------------------------------------------------------------------ requests

    def create(self, uuid: str, *, object_id: str | None = None, **fields: Any) -> Done:
        """A client asks for a module."""
        reply = self.reply_to(object_id)
        facts = {"name": f"module {uuid}", "filename": "counter.wasm"} | fields
        return self.handle(CreateModule(object_id=reply.object_id, reply=reply, uuid=uuid, **facts))

    def delete(self, uuid: str, *, object_id: str | None = None, **fields: Any) -> Done:
        """A client asks to end a module."""
        reply = self.reply_to(object_id)
        return self.handle(
            DeleteModule(object_id=reply.object_id, reply=reply, uuid=uuid, **fields)
        )

    def move(self, uuid: str, target: str | None = None, *, object_id: str | None = None) -> Done:
        """A client asks to move a module."""
        reply = self.reply_to(object_id)
        return self.handle(
            MoveModule(object_id=reply.object_id, reply=reply, uuid=uuid, target=target)
        )

    def ask(self, what: Any, key: str = "", **more: Any) -> Done:
        """A client asks a question."""
        reply = self.reply_to()
        query = Query(object_id=reply.object_id, reply=reply, what=what, key=key, **more)
        return self.handle(query)

    # ------------------------------------------------------------------ what becomes of it

    def fetched(self, uuid: str, program: Program = PROGRAM) -> Done:
        """The program of a module is there."""
        return self.handle(ProgramFetched(uuid, self.module(uuid).generation, program))

    def unavailable(self, uuid: str, why: str = "404") -> Done:
        """The program of a module cannot be had."""
        return self.handle(ProgramUnavailable(uuid, self.module(uuid).generation, why))

    def report(self, kind: Any, uuid: str, runtime: str | None = None, **fields: Any) -> Done:
        """A runtime reports; unless said otherwise the owner, at the present generation."""
        module = self.realm.module(uuid)
        sender = runtime or (module.parent if module else None)
        assert sender is not None, "nobody who could report"
        facts = {"instance": f"{sender}-1"} | fields
        facts.setdefault("generation", module.generation if module else 0)
        return self.handle(Report(kind=kind, runtime=sender, uuid=uuid, **facts))

    def step(self, kind: Any, uuid: str, runtime: str, **fields: Any) -> Done:
        """One end of the present move reports."""
        module = self.module(uuid)
        assert module.migration is not None
        committed = module.migration.phase == "switching"
        return self.report(
            kind,
            uuid,
            runtime,
            generation=module.generation + (0 if committed else 1),
            migration=module.migration.id,
            **fields,
        )

    # ------------------------------------------------------------------ whole stories

    def starting(self, uuid: str, on: str, **fields: Any) -> None:
        """A module that was sent to a runtime."""
        self.create(uuid, parent=on, **fields)
        if self.realm.module(uuid) and self.module(uuid).program is None:
            self.fetched(uuid)

    def running(self, uuid: str, on: str, **fields: Any) -> None:
        """A module that runs on a runtime, and on no other if it can choose."""
        self.starting(uuid, on, **fields)
        self.report("started", uuid)

    def roaming(self, uuid: str, on: str, **fields: Any) -> None:
        """A module that runs on ``on``, the only runtime so far, but would run elsewhere too."""
        self.create(uuid, **fields)
        self.fetched(uuid)
        self.report("started", uuid)
        assert self.module(uuid).parent == on

    def moving(self, uuid: str, to: str, phase: str) -> Done:
        """Move a running module until it is in ``phase``; what the last step did."""
        source = self.module(uuid).parent
        assert source is not None
        done = self.move(uuid, to)
        if phase in ("freezing", "restoring", "switching"):
            done = self.step("ready", uuid, to)
        if phase in ("restoring", "switching"):
            done = self.step("frozen", uuid, source, digest="s", size=1000, at=5.0)
        if phase == "switching":
            done = self.step("restored", uuid, to, digest="s")
        assert self.phase(uuid) == phase
        return done

    # ------------------------------------------------------------------ looking

    def module(self, uuid: str) -> Module:
        """A module's record."""
        found = self.realm.module(uuid)
        assert found is not None, f"no module {uuid}"
        return found

    def state(self, uuid: str) -> str | None:
        """A module's state; None when it is gone."""
        found = self.realm.module(uuid)
        return str(found.state) if found else None

    def where(self, uuid: str) -> tuple[str | None, int]:
        """(runtime, generation) of a module."""
        return self.module(uuid).parent, self.module(uuid).generation

    def phase(self, uuid: str) -> str | None:
        """The phase of a module's move."""
        move = self.module(uuid).migration
        return str(move.phase) if move else None

    def runtime(self, uuid: str) -> str | None:
        """A runtime's state; None when it is gone."""
        found = self.realm.runtime(uuid)
        return str(found.state) if found else None

    def check_answers(self) -> None:
        """Nobody was answered twice for one delivery of a request."""
        assert len(self.answered) <= self.asked
