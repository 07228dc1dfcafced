"""A realm, its runtimes and its clients on a network that loses, repeats and reorders.

Time is virtual.

What the network does is what MQTT with QoS 1 and clean sessions does: a connection delivers
everything, perhaps twice; a connection that breaks loses what was on its way to that end, and the
sender's outbox repeats what was not confirmed. Nothing else is ever lost in silence.
"""

from dataclasses import dataclass, field
from typing import Any

from arts.model import Durability, Module, Program, ReplyTo, Runtime
from arts.protocol.messages import (
    CreateModule,
    DeleteModule,
    Keepalive,
    ModuleStats,
    MoveModule,
    PrepareModule,
    RegisterRuntime,
    RemoveRuntime,
)
from arts.realm.effects import (
    Command,
    Effect,
    Event,
    FetchProgram,
    FindSnapshot,
    ForgetSnapshots,
    LinkLost,
    LinkRestored,
    ProgramFetched,
    ProgramUnavailable,
    Record,
    Reply,
    SendSnapshot,
)
from arts.realm.realm import Realm
from arts.realm.recovery import STORE
from arts.realm.state import RealmSettings
from support.kept import Keep, Parcel
from support.peers import Incoming, Peer, Registered, SupervisorChanged, World

NATIVE = frozenset({"events", "programs", "snapshot", "checkpoint"})
PROGRAM = Program(digest="d" * 64, size=10, source_digest="d" * 64)
KEEPALIVE = 5.0


@dataclass
class Node:
    """One runtime as the network sees it."""

    uuid: str
    capacity: int
    peer: Peer | None = None
    online: bool = False
    boots: int = 0
    incoming: list[Incoming] = field(default_factory=list)


class Network:
    """Everything together. ``make_peer(uuid, instance, world)`` starts a runtime process."""

    def __init__(self, make_peer: Any, settings: RealmSettings) -> None:
        self._make_peer = make_peer
        self._settings = settings
        self.now = 1000.0
        self.world = World()
        self.realm = Realm(settings)
        self.linked = True
        self.store: dict[tuple[str, str], Runtime | Module] = {}
        self.nodes: dict[str, Node] = {}
        self.fetches: list[FetchProgram] = []
        self.wills: list[RemoveRuntime] = []
        self.unsent: list[Effect] = []
        self.deliveries: dict[str, int] = {}
        self.answers: dict[str, list[Any]] = {}
        self.excused: set[str] = set()
        self.keep = Keep(self._refuses, self.world.snapshots, self.world.unfit)
        self._begun: set[tuple[str, int]] = set()
        """Module and generation of every copy that has been seen to act."""
        self._lived: set[str] = set()
        """Modules that have been seen to act in their present life."""

    # ------------------------------------------------------------------ the supervisor

    def handle(self, event: Event) -> None:
        """The supervisor takes an event in, commits, speaks."""
        self._perform(self.realm.handle(event, self.now))

    def _perform(self, effects: list[Effect]) -> None:
        self._commit(effects)
        for effect in effects:
            match effect:
                case FetchProgram():
                    self.fetches.append(effect)
                case FindSnapshot() | SendSnapshot() | ForgetSnapshots():
                    self.keep.ask(effect)
                case Command() | Reply() if self.linked:
                    self._say(effect)
                case Command() | Reply():
                    self.unsent.append(effect)

    def _commit(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Record):
                if effect.value is None:
                    self.store.pop((effect.kind, effect.key), None)
                else:
                    self.store[effect.kind, effect.key] = effect.value

    def _say(self, effect: Command | Reply) -> None:
        if isinstance(effect, Command):
            if isinstance(effect.message, PrepareModule) and effect.message.source == STORE:
                self._note_recovery(effect.message)
            node = self.nodes.get(effect.runtime)
            if node and node.online:
                node.incoming.append(effect.message)
        elif effect.to.topic in self.nodes:
            node = self.nodes[effect.to.topic]
            if node.online:
                node.incoming.append(Registered(effect.to.object_id))
        else:
            self.answers.setdefault(effect.to.object_id, []).append(effect.response)

    def _note_recovery(self, prepare: PrepareModule) -> None:
        module = self.realm.module(prepare.uuid)
        wanted = module.recovery if module is not None else None
        if wanted is not None and wanted.id == prepare.migration and wanted.number is not None:
            self.keep.recoveries[prepare.migration] = wanted.source, wanted.number

    def request(self, message: CreateModule | DeleteModule | MoveModule) -> None:
        """A client asks (again)."""
        object_id = message.object_id
        self.deliveries[object_id] = self.deliveries.get(object_id, 0) + 1
        if self.linked:
            before = self._asked_for(message)
            self.handle(message)
            if isinstance(message, CreateModule) and not before and self._asked_for(message):
                self.keep.begin(message.uuid)
                self._lived.discard(message.uuid)
        else:
            self.excused.add(object_id)

    def _refuses(self, module: str, runtime: str, generation: int) -> str | None:
        return self.realm.refuses_checkpoint(module, runtime, generation)

    def _asked_for(self, message: CreateModule | DeleteModule | MoveModule) -> bool:
        """Whether the module is there because of this request."""
        module = self.realm.module(message.uuid)
        return module is not None and module.request == message.object_id

    def fetched(self, fetch: FetchProgram, *, found: bool = True) -> None:
        """A download ends."""
        self.fetches.remove(fetch)
        if found:
            self.handle(ProgramFetched(fetch.module, fetch.generation, PROGRAM))
        else:
            self.handle(ProgramUnavailable(fetch.module, fetch.generation, "404"))

    def crash_supervisor(self, last: Event | None = None, *, committed: bool = False) -> None:
        """``kill -9``, perhaps while handling ``last``, before or after its commit."""
        effects = self.realm.handle(last, self.now) if last is not None else []
        if committed:
            self._commit(effects)
        lost = [e.to.object_id for e in [*effects, *self.unsent] if isinstance(e, Reply)]
        self.excused.update(lost)
        if last is not None and hasattr(last, "reply"):
            self.excused.add(last.object_id)
        self.unsent.clear()
        self.fetches.clear()
        self.keep.die()
        self.linked = True
        self.realm = Realm(self._settings)
        self._perform(self.realm.restore(list(self.store.values()), self.now))
        self.keep.restart([key for kind, key in self.store if kind == "module"])
        for node in self.nodes.values():
            if node.online:
                node.incoming.append(SupervisorChanged())

    def lose_link(self) -> None:
        """The supervisor's own connection breaks."""
        if self.linked:
            self.linked = False
            self.handle(LinkLost())

    def restore_link(self) -> None:
        """...and is back: what could not be said is said now."""
        if not self.linked:
            self.linked = True
            unsent, self.unsent = self.unsent, []
            for effect in unsent:
                self._say(effect)  # type: ignore[arg-type]
            self.handle(LinkRestored())

    # ------------------------------------------------------------------ the runtimes

    def add(self, uuid: str, capacity: int = 3) -> Node:
        """A machine on which a runtime may run."""
        self.nodes[uuid] = node = Node(uuid, capacity)
        self.boot(node)
        return node

    def boot(self, node: Node) -> None:
        """Start the runtime's process."""
        if node.peer is None:
            node.boots += 1
            node.peer = self._make_peer(node.uuid, f"{node.uuid}/{node.boots}", self.world)
            self.connect(node)

    def connect(self, node: Node) -> None:
        """The runtime reaches the broker."""
        if node.peer is not None and not node.online:
            node.online = True
            node.peer.connected(self.now)

    def cut(self, node: Node) -> None:
        """The runtime's connection breaks: the broker tells its will."""
        if node.peer is not None and node.online:
            node.online = False
            node.incoming.clear()
            self.wills.append(
                RemoveRuntime(uuid=node.uuid, instance=node.peer.instance, reason="last_will")
            )
            node.peer.disconnected(self.now)

    def crash(self, node: Node) -> None:
        """The runtime's process dies."""
        self.cut(node)
        if node.peer is not None:
            for uuid, (peer, _) in list(self.world.sessions.items()):
                if peer is node.peer:
                    del self.world.sessions[uuid]
        node.peer = None

    def keepalive(self, node: Node) -> None:
        """The runtime shows that it lives."""
        if node.peer is not None and node.online and self.linked:
            children = tuple(
                ModuleStats(uuid=uuid, generation=generation)
                for uuid, generation in node.peer.holding().items()
            )
            self.handle(Keepalive(uuid=node.uuid, instance=node.peer.instance, children=children))

    def to_runtime(self, node: Node, index: int = 0, *, again: bool = False) -> None:
        """Deliver one message to a runtime; ``again``: it will come once more."""
        message = node.incoming[index] if again else node.incoming.pop(index)
        if node.peer is not None:
            node.peer.receive(message, self.now)

    def to_supervisor(self, node: Node, index: int = 0, *, again: bool = False) -> None:
        """Deliver one message of a runtime to whoever supervises; to nobody if that is deaf."""
        assert node.peer is not None
        message = self.outgoing_event(node, index)
        if not again:
            node.peer.outgoing.pop(index)
        if self.linked:
            self.handle(message)

    def outgoing_event(self, node: Node, index: int = 0) -> Event:
        """The message as the supervisor will see it."""
        assert node.peer is not None
        message = node.peer.outgoing[index]
        if isinstance(message, RegisterRuntime):
            reply = ReplyTo(topic=node.uuid, object_id=message.object_id)
            facts = {
                "reply": reply,
                "max_nmodules": node.capacity,
                "features": NATIVE,
                "ka_interval_sec": KEEPALIVE,
            }
            return message.model_copy(update=facts)
        return message

    def parcel(self, node: Node, uuid: str) -> Parcel:
        """What a runtime sends as a checkpoint of a module, as it is now."""
        assert node.peer is not None
        return Parcel(node.uuid, uuid, node.peer.holding()[uuid], node.peer.values()[uuid])

    def told(self, index: int = 0) -> None:
        """The realm hears what the store has done."""
        self.handle(self.keep.news.pop(index))

    def will(self, index: int = 0) -> None:
        """The broker publishes a last will."""
        message = self.wills.pop(index)
        if self.linked:
            self.handle(message)

    # ------------------------------------------------------------------ time

    def advance(self, seconds: float) -> None:
        """Time passes, for everybody."""
        self.now += seconds
        self._perform(self.realm.tick(self.now))
        for node in self.nodes.values():
            if node.peer is not None:
                node.peer.tick(self.now)

    def drain(self, limit: int = 10_000) -> None:
        """Let everything that is under way happen, in order, at this moment."""
        for _ in range(limit):
            if not self.step():
                return
        raise AssertionError("it never comes to rest")

    def step(self) -> bool:
        """Let the next thing happen; False when nothing is under way."""
        if self.wills:
            self.will()
            return True
        for node in self.nodes.values():
            if node.incoming:
                self.to_runtime(node)
                return True
            if node.online and node.peer is not None and node.peer.outgoing:
                self.to_supervisor(node)
                return True
        if any(n.peer.progress(self.now) for n in self.nodes.values() if n.peer is not None):
            return True
        if self.fetches:
            self.fetched(self.fetches[0])
            return True
        return self.step_store()

    def step_store(self) -> bool:
        """Let the store do the next thing; False when it has nothing to do."""
        if self.keep.works:
            self.keep.work()
        elif self.keep.news:
            self.told()
        elif self.keep.parcels:
            self.keep.arrive(0)
        else:
            return False
        return True

    def settle(self, seconds: float = 300.0) -> None:
        """Faults stop and every deadline passes."""
        self.world.failing.clear()
        self.world.garbling.clear()
        self.restore_link()
        for node in self.nodes.values():
            self.connect(node)
        until = self.now + seconds
        while self.now < until:
            self.drain()
            for node in self.nodes.values():
                self.keepalive(node)
            self.drain()
            self.advance(min(KEEPALIVE, seconds))
        self.drain()

    # ------------------------------------------------------------------ what must be true

    def check(self) -> None:
        """At every moment, whatever happened."""
        self.realm.validate()
        seen: set[tuple[str, int]] = set()
        for node in self.nodes.values():
            for copy in node.peer.acting().items() if node.peer is not None else ():
                assert copy not in seen, f"two act as {copy}"
                seen.add(copy)
            self._check_values(node)
        for candidate in self.realm.view().candidates.values():
            assert candidate.occupied <= candidate.runtime.max_nmodules
        for object_id, answers in self.answers.items():
            assert len(answers) <= self.deliveries[object_id], f"{object_id}: {answers}"

    def _check_values(self, node: Node) -> None:
        """What begins to act is not behind what was acknowledged before."""
        for uuid, generation in node.peer.acting().items() if node.peer is not None else ():
            assert node.peer is not None
            module = self.realm.module(uuid)
            ours = module is not None and module.generation == generation
            if module is None or not ours or (uuid, generation) in self._begun:
                continue
            self._begun.add((uuid, generation))
            self.keep.newest[uuid] = max(generation, self.keep.newest.get(uuid, 0))
            if module.spec.durability is not Durability.NONE:
                floor, value = self.keep.floor(uuid, generation), node.peer.values()[uuid]
                assert value >= floor, f"{uuid} goes on at {value}, behind {floor}"
                assert value == 0 or uuid in self._lived, f"{uuid} begins its life at {value}"
            self._lived.add(uuid)

    def check_settled(self) -> None:
        """When faults have stopped and deadlines have passed."""
        self.check()
        expected: dict[str, dict[str, int]] = {uuid: {} for uuid in self.nodes}
        for document in self.realm.documents()["modules"]:
            module = self.realm.module(document["uuid"])
            assert module is not None
            assert module.state in ("pending", "running", "lost", "exited", "failed"), module
            if module.state == "running":
                assert module.parent is not None
                expected[module.parent][module.uuid] = module.generation
        for uuid, node in self.nodes.items():
            acting = node.peer.acting() if node.peer is not None else {}
            holding = node.peer.holding() if node.peer is not None else {}
            assert acting == expected[uuid], f"{uuid} acts as {acting}, not {expected[uuid]}"
            assert holding == expected[uuid], f"{uuid} keeps {holding}, not {expected[uuid]}"
        for object_id in self.deliveries:
            assert object_id in self.answers or object_id in self.excused, f"{object_id}: no answer"
