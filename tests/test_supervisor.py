"""The supervisor's shell with twins in memory around it: nothing is said before it is durable.

The realm is the real one, and so are the messages; broker, disk and program store do as told.
"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from arts.bus.memory import MemoryBus
from arts.client import Client
from arts.errors import (
    AlreadyExists,
    ArtsError,
    NotFound,
    ProgramError,
    StoreError,
)
from arts.protocol import codec
from arts.protocol import messages as m
from arts.realm.realm import Realm
from arts.store.base import Row
from arts.supervisor import Supervisor
from tests.support.scripted_supervisor import memory_client
from tests.support.supervised import (
    PROGRAM,
    RUNTIME,
    TOPICS,
    World,
    commands,
    register,
    report,
    running,
    say,
)


@pytest.fixture
def world() -> World:
    """An empty one."""
    return World()


@pytest.fixture
async def observer(world: World) -> AsyncIterator[MemoryBus]:
    """Hears everything."""
    async with world.observer() as bus:
        yield bus


@pytest.fixture
async def supervisor(world: World, observer: MemoryBus) -> AsyncIterator[Supervisor]:
    """Announced."""
    async with world.supervisor() as supervisor:
        await world.until(lambda: world.on(TOPICS.supervisor_state))
        yield supervisor


@pytest.fixture
async def client(world: World, supervisor: Supervisor) -> AsyncIterator[Client]:
    """A client of that realm."""
    async with memory_client(world.broker) as client:
        yield client


# ---------------------------------------------------------------------------- durable, then said


async def test_everything_that_was_said_was_durable_before(
    world: World, client: Client, observer: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whenever the store commits, nothing of that batch has been published yet."""
    key = str(uuid.uuid4())
    said_before_commit: list[bool] = []
    commit = world.store.commit

    def watched(rows: list[Row]) -> None:
        if ("module", key) in {(row.kind, row.key) for row in rows}:
            # What was published is in flight or heard; a create is neither before its commit.
            pending = ("create", key) in commands(world)
            said_before_commit.append(pending or world.broker.in_flight > 0)
        commit(rows)

    register(observer)
    await world.until(lambda: world.on(TOPICS.runtime_state(RUNTIME)))
    monkeypatch.setattr(world.store, "commit", watched)
    await client.create("hello", uuid=key)
    assert said_before_commit[0] is False
    assert ("module", key) in world.store.rows
    await world.until(lambda: ("create", key) in commands(world))


async def test_what_cannot_be_made_durable_is_refused(
    world: World, client: Client, observer: MemoryBus, supervisor: Supervisor
) -> None:
    """An error for who asked, no command for the runtime, and a realm as before."""
    register(observer)
    await world.until(lambda: world.on(TOPICS.runtime_state(RUNTIME)))
    world.store.fail_next = 1
    with pytest.raises(StoreError, match="cannot be made durable"):
        await client.create("hello", uuid="m-1")
    assert supervisor.realm.module("m-1") is None
    assert supervisor.realm.runtime(RUNTIME) is not None
    assert commands(world) == []
    assert (await client.create("hello", uuid="m-1"))["state"] == "starting"


async def test_a_disk_that_stays_broken_makes_nobody_deaf(world: World, client: Client) -> None:
    world.store.fail_next = 10**6
    for _ in range(3):
        with pytest.raises(StoreError):
            await client.create("hello")
    assert (await client.query("realm"))["modules"] == []
    world.store.fail_next = 0
    assert (await client.create("hello"))["state"] == "pending"


async def test_one_transaction_serves_a_whole_batch(world: World, client: Client) -> None:
    before = world.store.commits
    await asyncio.gather(*(client.create("hello") for _ in range(50)))
    assert world.store.commits - before < 50


# ---------------------------------------------------------------------------- bugs


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module uuid whose creation runs into a bug of the realm, after it has left its traces."""
    handle = Realm.handle

    def buggy(realm: Realm, event: Any, now: float) -> Any:
        effects = handle(realm, event, now)
        if isinstance(event, m.CreateModule) and event.uuid == "poison":
            raise RuntimeError("a bug")
        return effects

    monkeypatch.setattr(Realm, "handle", buggy)
    return "poison"


async def test_a_bug_costs_only_the_request_that_met_it(
    world: World, client: Client, supervisor: Supervisor, poison: str
) -> None:
    """Its neighbours in the same batch are served; nothing of it remains."""
    names = ["a", "b", poison, "c", "d"]
    world.broker.hold("supervisor")
    creating = [asyncio.create_task(client.create("hello", uuid=name)) for name in names]
    await world.until(lambda: world.broker.in_flight == len(names))
    world.broker.heal()  # all of them arrive at once
    answers = await asyncio.gather(*creating, return_exceptions=True)
    failed = answers[names.index(poison)]
    assert isinstance(failed, ArtsError)
    assert str(failed) == "internal error: a bug"
    assert [a["uuid"] for a in answers if isinstance(a, dict)] == ["a", "b", "c", "d"]
    documents = (await client.query("realm"))["modules"]
    assert sorted(document["uuid"] for document in documents) == ["a", "b", "c", "d"]
    assert ("module", poison) not in world.store.rows


# ---------------------------------------------------------------------------- what makes no sense


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"\xff\x00", b"[" * 10_000, b"{" + b" " * (1 << 20)]
)
async def test_what_cannot_be_read_is_answered(
    world: World, client: Client, observer: MemoryBus, payload: bytes
) -> None:
    observer.publish(TOPICS.control, payload, qos=1)
    await world.until(lambda: any(b"Could not process request" in said for _, said in world.heard))
    assert (await client.query("realm"))["realm"] == "realm"


async def test_nonsense_from_a_runtime_hurts_nobody(
    world: World, client: Client, observer: MemoryBus
) -> None:
    key = await running(world, client, observer)
    for payload in (b"", b"null", b"{}", b'{"data": {"kind": "exploded"}}'):
        observer.publish(TOPICS.events_of(RUNTIME), payload, qos=1)
    say(observer, report("exited", "nobody"))
    say(observer, report("exited", key, generation=7))
    assert (await client.query("module", key))["state"] == "running"


async def test_its_own_answers_are_no_requests(
    world: World, client: Client, observer: MemoryBus
) -> None:
    """Answers to old clients go out on the topic it listens to: it must not answer itself."""
    request = {"object_id": "q", "type": "arts_req", "action": "get", "data": {"what": "realm"}}
    observer.publish(TOPICS.control, json.dumps(request).encode(), qos=1)
    await world.until(lambda: len(world.on(TOPICS.control)) >= 2)
    await client.query("realm")
    assert [message["type"] for message in world.on(TOPICS.control)][:2] == [
        "arts_req",
        "arts_resp",
    ]
    assert sum(message["type"] == "arts_resp" for message in world.on(TOPICS.control)) == 1


# ---------------------------------------------------------------------------- from the store


async def test_the_next_supervisor_knows_everything(world: World, observer: MemoryBus) -> None:
    async with world.supervisor(), memory_client(world.broker) as client:
        key = await running(world, client, observer)
        waiting = (await client.create("hello", labels={"no": "such"}))["uuid"]
    world.heard.clear()
    async with world.supervisor(), memory_client(world.broker) as client:
        states = {d["uuid"]: d["state"] for d in (await client.query("realm"))["modules"]}
        assert states == {key: "running", waiting: "pending"}
        register(observer, m.HeldModule(uuid=key, generation=1))
        await client.query("realm")
        assert commands(world) == []  # what runs is not started again
        with pytest.raises(AlreadyExists):
            await client.create("hello", uuid=key)


async def test_a_start_that_was_lost_with_the_supervisor_is_repeated(
    world: World, observer: MemoryBus
) -> None:
    async with world.supervisor(), memory_client(world.broker) as client:
        register(observer)
        await world.until(lambda: world.on(TOPICS.runtime_state(RUNTIME)))
        key = (await client.create("hello"))["uuid"]
    world.heard.clear()
    async with world.supervisor():
        await world.until(lambda: ("create", key) in commands(world))


async def test_an_end_that_nobody_heard_is_told_again(world: World, observer: MemoryBus) -> None:
    """A module exited while there was no supervisor: it must not be started once more."""
    async with world.supervisor(), memory_client(world.broker) as client:
        key = await running(world, client, observer)
    say(observer, report("exited", key, exit_code=0))
    world.heard.clear()
    async with world.supervisor(), memory_client(world.broker) as client:
        register(observer, ended=(report("exited", key, exit_code=0),))
        document = await client.wait_state(key, {"exited"})
        assert (document["exit_code"], document["generation"]) == (0, 1)
        assert commands(world) == []


async def test_the_same_request_after_a_restart_is_answered_once_more(
    world: World, observer: MemoryBus
) -> None:
    """The answer was lost with the supervisor; the client asks again and gets the same module."""
    envelope = {
        **{"object_id": "r1", "type": "arts_req", "action": "create", "reply_to": "me"},
        "data": {"type": "module", "uuid": "m-1", "filename": "hello"},
    }
    observer.subscribe("me")
    for _ in range(2):
        async with world.supervisor() as supervisor:
            world.heard.clear()
            observer.publish(TOPICS.control, json.dumps(envelope).encode(), qos=1)
            await world.until(lambda: world.on("me"))
            (answer,) = world.on("me")
            assert (answer["object_id"], answer["data"]["result"]) == ("r1", "ok")
            assert supervisor.realm.documents()["modules"][0]["uuid"] == "m-1"


# ---------------------------------------------------------------------------- programs


async def test_a_program_that_must_be_fetched(
    world: World, client: Client, observer: MemoryBus
) -> None:
    """The create is answered when its program is there; others do not wait for it."""
    register(observer)
    await world.until(lambda: world.on(TOPICS.runtime_state(RUNTIME)))
    creating = asyncio.create_task(client.create("slow"))
    await client.create("hello")
    assert not creating.done()
    world.programs.fetched.set()
    document = await creating
    assert document["program"]["digest"] == PROGRAM.digest
    await world.until(lambda: ("create", document["uuid"]) in commands(world))


@pytest.mark.parametrize(
    ("filename", "said"),
    [("nowhere", "no program 'nowhere'"), ("buggy", "internal error: a bug")],
)
async def test_a_program_that_cannot_be_had(
    world: World, client: Client, observer: MemoryBus, filename: str, said: str
) -> None:
    register(observer)
    await world.until(lambda: world.on(TOPICS.runtime_state(RUNTIME)))
    with pytest.raises(ProgramError, match=said):
        await client.create(filename, uuid="m-1")
    document = await client.query("module", "m-1")
    assert (document["state"], document["detail"]) == ("failed", said)
    assert commands(world) == []


async def test_the_journal_is_told_of_what_others_do(world: World, supervisor: Supervisor) -> None:
    supervisor.note("program.preparing", filename="large", done=1, total=2)
    await world.until(lambda: world.on(TOPICS.journal))
    (entry,) = (e for batch in world.on(TOPICS.journal) for e in batch if "filename" in e)
    assert entry["event"] == "program.preparing"
    assert (entry["filename"], entry["done"], entry["total"]) == ("large", 1, 2)


async def test_what_is_slow_to_pause_is_remembered(
    world: World, client: Client, observer: MemoryBus
) -> None:
    key = await running(world, client, observer)
    stats = m.ModuleStats(uuid=key, generation=1, pause_seconds=0.5)
    keepalive = m.Keepalive(uuid=RUNTIME, instance="i1", children=(stats,))
    observer.publish(TOPICS.keepalive_of(RUNTIME), codec.encode_request(keepalive))
    await world.until(lambda: world.programs.pauses)
    assert world.programs.pauses == [(PROGRAM.digest, 0.5)]


# ---------------------------------------------------------------------------- what the world sees


async def test_the_read_model_follows(world: World, client: Client, observer: MemoryBus) -> None:
    """Retained documents of what there is; empty when it is gone."""
    key = await running(world, client, observer)
    deleting = asyncio.create_task(client.delete(key))
    await world.until(lambda: ("delete", key) in commands(world))
    say(observer, report("stopped", key))
    await deleting
    await world.until(lambda: world.on(TOPICS.module_state(key))[-1] == {})
    assert "running" in [d.get("state") for d in world.on(TOPICS.module_state(key))]
    async with memory_client(world.broker) as late, late.changes() as changes:
        first = await anext(changes)
        assert (first.kind, first.uuid) == ("runtime", RUNTIME)
    with pytest.raises(NotFound):
        await client.query("module", key)


async def test_it_announces_itself_whenever_it_has_a_broker(
    world: World, client: Client, observer: MemoryBus, supervisor: Supervisor
) -> None:
    """And shows everything again: the broker may have forgotten."""
    key = await running(world, client, observer)
    before = len(world.on(TOPICS.supervisor_state))
    world.broker.cut("supervisor")
    await world.until(lambda: len(world.on(TOPICS.supervisor_state)) > before)
    notices = world.on(TOPICS.supervisor_state)
    assert notices[-1]["online"]
    assert notices[-1]["instance"] == notices[0]["instance"]
    await world.until(
        lambda: sum(d.get("state") == "running" for d in world.on(TOPICS.module_state(key))) >= 2
    )


async def test_it_takes_leave(world: World, observer: MemoryBus) -> None:
    async with world.supervisor():
        await world.until(lambda: world.on(TOPICS.supervisor_state))
    await world.until(lambda: not world.on(TOPICS.supervisor_state)[-1]["online"])


# ---------------------------------------------------------------------------- time


async def test_a_jump_of_the_wall_clock_changes_nothing(
    world: World, client: Client, observer: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Decisions are made on a clock that nobody sets; dates are only shown."""
    key = await running(world, client, observer)
    actual = time.time
    for jump in (86_400.0, -86_400.0):
        monkeypatch.setattr(time, "time", lambda jump=jump: actual() + jump)
        say(observer, report("started", key))
        assert (await client.query("module", key))["state"] == "running"
        assert (await client.query("runtime", RUNTIME))["state"] == "online"
    assert commands(world) == [("create", key)]


async def test_silence_while_the_broker_is_away_is_nobodys_fault(
    world: World, client: Client, observer: MemoryBus, supervisor: Supervisor
) -> None:
    """Hours without a broker: everybody gets the time to be heard again."""
    key = await running(world, client, observer)
    world.broker.partition("supervisor")
    await world.until(lambda: supervisor.realm.next_deadline() is None)
    world.clock.now += 7200
    world.broker.heal()
    register(observer, m.HeldModule(uuid=key, generation=1))
    assert (await client.query("module", key))["state"] == "running"
    assert commands(world) == [("create", key)]
