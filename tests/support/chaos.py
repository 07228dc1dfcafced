"""Everything that can happen to a realm, as a hypothesis state machine over a ``Network``."""

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from arts.model import Durability, Migration, MigrationPhase, OnRuntimeLost, ReplyTo
from arts.protocol.messages import CreateModule, DeleteModule, MoveModule, RegisterRuntime
from arts.realm.state import RealmSettings
from support.network import Network, Node

SETTINGS = RealmSettings(keep_ended=100.0, keep_lost=200.0)
MODULES = ("m0", "m1", "m2", "m3")
RUNTIMES = ("a", "b", "c")
CODES = ("engine_error", "program_error", "snapshot_error")
DURABLE: dict[str, Any] = {"durability": "checkpoint", "checkpoint_interval": 1.0}
KINDS: dict[str, dict[str, Any]] = {
    "m0": DURABLE,
    "m1": DURABLE | {"on_runtime_lost": OnRuntimeLost.WAIT},
    "m2": {},
    "m3": {},
}
"""What there is in the beginning."""
WRONG = (*CODES, "damaged", "garbled")

modules = st.sampled_from(MODULES)
runtimes = st.sampled_from(RUNTIMES)
choices = st.integers(0, 1 << 16)


class Chaos(RuleBasedStateMachine):
    """Clients, runtimes and a network that is against them. Subclasses say which runtimes."""

    make_peer: ClassVar[Any]

    def __init__(self) -> None:
        super().__init__()
        self.network = Network(type(self).make_peer, SETTINGS)
        self.asked: list[Any] = []

    @initialize(running=st.sets(modules, min_size=1))
    def begin(self, running: set[str]) -> None:
        for uuid, capacity in zip(RUNTIMES, (2, 2, 3), strict=True):
            self.network.add(uuid, capacity)
        self.network.drain()
        for uuid in sorted(running):
            self.ask(CreateModule, uuid=uuid, **KINDS[uuid])
        self.network.drain()

    def node(self, uuid: str) -> Node:
        return self.network.nodes[uuid]

    # ------------------------------------------------------------------ clients

    def ask(self, kind: type[Any], **fields: Any) -> None:
        object_id = f"q{len(self.asked)}"
        reply = ReplyTo(topic="client", object_id=object_id)
        self.asked.append(kind(object_id=object_id, reply=reply, **fields))
        self.network.request(self.asked[-1])

    @rule(
        uuid=modules,
        parent=st.none() | runtimes,
        lost=st.sampled_from(OnRuntimeLost),
        durable=st.booleans(),
    )
    def create(self, uuid: str, parent: str | None, lost: OnRuntimeLost, durable: bool) -> None:
        fields = DURABLE if durable else {}
        self.ask(
            CreateModule,
            uuid=uuid,
            parent=parent,
            strict_parent=False,
            on_runtime_lost=lost,
            **fields,
        )

    @rule(uuid=modules, force=st.booleans())
    def delete(self, uuid: str, force: bool) -> None:
        self.ask(DeleteModule, uuid=uuid, force=force)

    def running(self) -> list[str]:
        everything = self.network.realm.documents()["modules"]
        return [module["uuid"] for module in everything if module["state"] == "running"]

    @precondition(lambda self: self.running())
    @rule(choice=choices, to=st.none() | runtimes, then=st.lists(choices, max_size=12))
    def move(self, choice: int, to: str | None, then: list[int]) -> None:
        running = self.running()
        self.ask(MoveModule, uuid=running[choice % len(running)], target=to)
        self.flow(then)

    @rule(back=st.integers(1, 3))
    def ask_again(self, back: int) -> None:
        if self.asked:
            self.network.request(self.asked[-min(back, len(self.asked))])

    # ------------------------------------------------------------------ what is under way

    @rule()
    def drain(self) -> None:
        self.network.drain()

    @rule(picks=st.lists(choices, min_size=1, max_size=10))
    def flow(self, picks: list[int]) -> None:
        """Some of what is under way happens, in any order, and some of it twice."""
        for pick in picks:
            possible = self.possible(twice=pick % 5 == 0)
            if possible:
                possible[pick % len(possible)]()

    @rule(picks=st.lists(choices, min_size=1, max_size=4))
    def flow_a_little(self, picks: list[int]) -> None:
        self.flow(picks)

    def possible(self, *, twice: bool) -> list[Callable[[], object]]:
        network = self.network
        found: list[Callable[[], object]] = [
            partial(network.fetched, fetch, found=not twice) for fetch in network.fetches
        ]
        found += [partial(network.will, index) for index in range(len(network.wills))]
        found += self.possible_in_the_store()
        for node in network.nodes.values():
            for index in range(min(3, len(node.incoming))):
                found.append(partial(network.to_runtime, node, index, again=twice))
            if node.peer is not None:
                found.append(partial(node.peer.progress, network.now))
                for index in range(self.overtaking(node) if node.online else 0):
                    found.append(partial(network.to_supervisor, node, index, again=twice))
        return found

    def possible_in_the_store(self) -> list[Callable[[], object]]:
        keep = self.network.keep
        found: list[Callable[[], object]] = [keep.work] if keep.works else []
        found += [partial(self.network.told, index) for index in range(len(keep.news))]
        senders = [(parcel.runtime, parcel.module) for parcel in keep.parcels]
        firsts = sorted({senders.index(sender) for sender in senders})
        return found + [partial(keep.arrive, index) for index in firsts]

    def overtaking(self, node: Node) -> int:
        """How many messages may come next: nothing overtakes, or is overtaken by, a
        registration."""
        assert node.peer is not None
        queue = node.peer.outgoing[:3]
        barrier = [i for i, message in enumerate(queue) if isinstance(message, RegisterRuntime)]
        return max(1, barrier[0]) if barrier else len(queue)

    @rule(seconds=st.sampled_from((0.1, 1.0, 3.0, 12.0)), alive=st.booleans())
    def advance(self, seconds: float, alive: bool) -> None:
        self.network.advance(seconds)
        for node in self.network.nodes.values() if alive else ():
            self.network.keepalive(node)

    # ------------------------------------------------------------------ checkpoints

    def durable(self) -> list[tuple[Node, str]]:
        """Modules of which a checkpoint could be taken now, and where."""
        nodes = self.network.nodes.values()
        found = [(n, uuid) for n in nodes if n.peer is not None for uuid in n.peer.values()]
        return [(node, uuid) for node, uuid in found if self.is_durable(uuid)]

    def is_durable(self, uuid: str) -> bool:
        module = self.network.realm.module(uuid)
        return module is not None and module.spec.durability is not Durability.NONE

    @rule()
    def count(self) -> None:
        """Whoever runs takes one more input."""
        for node in self.network.nodes.values():
            if node.peer is not None:
                node.peer.count()

    def keep(self, node: Node, uuid: str, at_once: bool) -> None:
        """A runtime sends a checkpoint; ``at_once``: and the store has it."""
        self.count()
        if node.online:
            self.network.keep.parcels.append(self.network.parcel(node, uuid))
        while at_once and self.network.step_store():
            pass

    @precondition(lambda self: self.durable())
    @rule(choice=choices, at_once=st.booleans())
    def checkpoint(self, choice: int, at_once: bool) -> None:
        possible = self.durable()
        self.keep(*possible[choice % len(possible)], at_once)

    @precondition(lambda self: any(self.network.keep.kept.values()))
    @rule(choice=choices, back=st.integers(1, 2))
    def damage(self, choice: int, back: int) -> None:
        """A checkpoint on the disk."""
        found = [kept for kept in self.network.keep.kept.values() if kept]
        kept = found[choice % len(found)]
        kept[-min(back, len(kept))].damaged = True

    @precondition(lambda self: self.durable())
    @rule(
        choice=choices,
        kept=st.integers(0, 3),
        moved=st.booleans(),
        wrong=st.none() | st.sampled_from(WRONG),
        back=st.booleans(),
        then=st.lists(choices, max_size=20),
    )
    def lose_a_durable(
        self,
        choice: int,
        kept: int,
        moved: bool,
        wrong: str | None,
        back: bool,
        then: list[int],
    ) -> None:
        """Its runtime dies with so many checkpoints kept, and is given up. ``moved``: since then.
        ``wrong``: how runtimes fail at the first thing that they are told or rebuild then, or what
        becomes of the checkpoint that was found. ``back``: the dead one is there again by then.
        The last checkpoint that was sent comes late."""
        possible = self.durable()
        node, uuid = possible[choice % len(possible)]
        for _ in range(kept):
            self.keep(node, uuid, at_once=True)
        late = self.network.parcel(node, uuid)
        if moved:
            self.ask(MoveModule, uuid=uuid)
            self.network.drain()
            node = next((n for n, held in self.durable() if held == uuid), node)
        others = [other for other in RUNTIMES if other != node.uuid]
        self.network.crash(node)
        for other in others:
            self.mend_runtime(other)
        self.network.drain()
        self.network.advance(SETTINGS.lost_after)
        self.network.keep.parcels.append(late)
        if back:
            self.mend_runtime(node.uuid)
            self.network.to_supervisor(node)
        if wrong in CODES:
            self.network.world.failing.update(dict.fromkeys(RUNTIMES, wrong))
        elif wrong == "garbled":
            self.network.world.garbling.update(RUNTIMES)
        elif wrong == "damaged":
            self.find_then_damage(uuid)
        self.flow(then)

    def find_then_damage(self, uuid: str) -> None:
        keep = self.network.keep
        while keep.works:
            keep.work()
        for kept in keep.kept.get(uuid, [])[-1:]:
            kept.damaged = True

    # ------------------------------------------------------------------ faults

    @rule(uuid=runtimes, what=st.sampled_from(("cut", "crash", "blink")))
    def break_runtime(self, uuid: str, what: str) -> None:
        node = self.node(uuid)
        if what == "crash":
            self.network.crash(node)
        else:
            self.network.cut(node)
            if what == "blink":
                self.network.connect(node)

    def moving(self) -> list[Migration]:
        everything = self.network.realm.documents()["modules"]
        found = (self.network.realm.module(module["uuid"]) for module in everything)
        return [module.migration for module in found if module and module.migration]

    @precondition(lambda self: self.moving())
    @rule(phase=st.sampled_from(MigrationPhase))
    def move_on(self, phase: MigrationPhase) -> None:
        """A move gets as far as that."""
        move = self.moving()[0]
        for _ in range(40):
            if move not in self.moving() or move.phase is phase or not self.network.step():
                return
            move = next((m for m in self.moving() if m.id == move.id), move)

    @precondition(lambda self: self.moving())
    @rule(
        end=st.sampled_from(("source", "target")),
        what=st.sampled_from(("cut", "crash", "blink", "reboot")),
        then=st.lists(choices, max_size=8),
    )
    def break_an_end_of_a_move(self, end: str, what: str, then: list[int]) -> None:
        uuid = getattr(self.moving()[0], end)
        self.break_runtime(uuid, "crash" if what == "reboot" else what)
        if what == "reboot":
            self.network.boot(self.node(uuid))
        self.flow(then)

    @rule(uuid=runtimes)
    def mend_runtime(self, uuid: str) -> None:
        self.network.boot(self.node(uuid))
        self.network.connect(self.node(uuid))

    @rule(uuid=runtimes, code=st.sampled_from(CODES), now=st.booleans())
    def module_fails(self, uuid: str, code: str, now: bool) -> None:
        """Some module ends at once, or the next thing the engine is asked for fails."""
        peer = self.node(uuid).peer
        if not now:
            self.network.world.failing[uuid] = code
        elif peer is not None and peer.acting():
            peer.end(min(peer.acting()), code == "engine_error", self.network.now)

    @rule(
        uuid=runtimes,
        what=st.sampled_from(("crash", "before commit", "after commit", "cut", "mend", "mend")),
    )
    def break_supervisor(self, uuid: str, what: str) -> None:
        if what == "cut":
            self.network.lose_link()
        elif what == "mend":
            self.network.restore_link()
        elif what == "crash" or not self.network.linked:
            self.network.crash_supervisor()
        else:
            node, last = self.node(uuid), None
            if node.online and node.peer is not None and node.peer.outgoing:
                last = self.network.outgoing_event(node)
                node.peer.outgoing.pop(0)
            self.network.crash_supervisor(last, committed=what == "after commit")

    # ------------------------------------------------------------------ what must be true

    @invariant()
    def holds(self) -> None:
        self.network.check()

    def teardown(self) -> None:
        self.network.settle()
        self.network.check_settled()


def thoroughly(chaos: type[Chaos]) -> type[Any]:
    """The test case of it, with more examples and more time than other properties get."""
    case: type[Any] = chaos.TestCase
    case.settings = settings(max_examples=settings().max_examples * 3 // 2)
    case.pytestmark = [pytest.mark.timeout(600)]
    return case
