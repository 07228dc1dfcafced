"""The client against a scripted supervisor on the memory bus."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from arts.api.http import serve
from arts.bus.broker import Broker
from arts.bus.memory import MemoryBroker, MemoryBus
from arts.client import Change, Client, OutputLine
from arts.client.connection import RealmConnection
from arts.errors import (
    AlreadyExists,
    ArtsError,
    BusError,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    ProgramError,
    Unplaceable,
)
from arts.migratable import Continuations, ResumePoint
from arts.programs.store import ProgramStore
from arts.protocol import codec
from arts.protocol.messages import CreateModule, DeleteModule, MoveModule, Query
from tests.support.broker import mosquitto, unique
from tests.support.scripted_supervisor import TOPICS, ScriptedSupervisor, memory_client

__all__ = ["mosquitto"]

COUNTER = Path(__file__).parents[1] / "wasm-apps" / "counter" / "counter.wasm"


@pytest.fixture
def broker() -> MemoryBroker:
    """A broker that delivers by itself."""
    return MemoryBroker()


@pytest.fixture
async def supervisor(broker: MemoryBroker) -> AsyncIterator[ScriptedSupervisor]:
    """Announced and answering."""
    bus = MemoryBus(broker, "supervisor")
    supervisor = ScriptedSupervisor(bus)
    await bus.start()
    serving = asyncio.create_task(supervisor.run())
    supervisor.announce()
    yield supervisor
    serving.cancel()
    await asyncio.wait([serving])
    await bus.stop()


@pytest.fixture
async def client(broker: MemoryBroker, supervisor: ScriptedSupervisor) -> AsyncIterator[Client]:
    """A client of that supervisor's realm."""
    async with memory_client(broker) as client:
        yield client


async def delivered(broker: MemoryBroker) -> None:
    """Everything that was sent has arrived and was handled."""
    await asyncio.sleep(0)
    while broker.in_flight:  # noqa: ASYNC110
        await asyncio.sleep(0)
    await asyncio.sleep(0)


# ---- requests


async def test_create_sends_the_fields_and_returns_the_document(
    client: Client, supervisor: ScriptedSupervisor
) -> None:
    supervisor.answers({"uuid": "u1", "state": "starting"})
    document = await client.create("counter", name="c1", args=["a b", "c"], uuid="u1")
    assert document == {"uuid": "u1", "state": "starting"}
    (request,) = supervisor.requests
    assert isinstance(request, CreateModule)
    assert (request.uuid, request.filename, request.name) == ("u1", "counter", "c1")
    assert request.args == ("a b", "c")
    assert request.strict_parent


async def test_create_checks_the_fields_before_it_asks(
    client: Client, supervisor: ScriptedSupervisor
) -> None:
    with pytest.raises(InvalidRequest, match=r"channels.*must start with /ch/"):
        await client.create("counter", channels=[{"path": "/tmp/x", "topic": "t"}])
    assert supervisor.requests == []


async def test_each_module_gets_a_uuid_of_its_own(
    client: Client, supervisor: ScriptedSupervisor
) -> None:
    await client.create("counter")
    await client.create("counter")
    first, second = supervisor.requests
    assert first.uuid != second.uuid
    assert first.object_id != second.object_id


async def test_delete_move_and_query(client: Client, supervisor: ScriptedSupervisor) -> None:
    await client.delete("c1", force=True)
    await client.move("c1", "rt-b")
    await client.move("c1")
    await client.query("why", "c1")
    delete, move, anywhere, query = supervisor.requests
    assert isinstance(delete, DeleteModule)
    assert (delete.uuid, delete.force) == ("c1", True)
    assert isinstance(move, MoveModule)
    assert (move.uuid, move.target) == ("c1", "rt-b")
    assert anywhere.target is None
    assert isinstance(query, Query)
    assert (query.what, query.key) == ("why", "c1")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("not_found", NotFound),
        ("already_exists", AlreadyExists),
        ("invalid", InvalidRequest),
        ("unplaceable", Unplaceable),
        ("program_error", ProgramError),
        ("internal", ArtsError),
        ("of the future", ArtsError),
    ],
)
async def test_a_refusal_is_raised_as_what_it_is(
    client: Client, supervisor: ScriptedSupervisor, code: str, kind: type[ArtsError]
) -> None:
    supervisor.answers("in so many words", code=code)
    with pytest.raises(ArtsError, match="in so many words") as caught:
        await client.query("realm")
    assert type(caught.value) is kind


async def test_answers_find_their_requests_in_any_order(
    client: Client, supervisor: ScriptedSupervisor
) -> None:
    supervisor.script = lambda request: None
    first = asyncio.create_task(client.query("module", "a"))
    second = asyncio.create_task(client.query("module", "b"))
    while len(supervisor.requests) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    for request in reversed(supervisor.requests):
        reply = {"object_id": request.object_id, "type": "arts_resp"}
        payload = codec.encode_document(reply | {"data": {"result": "ok", "details": request.key}})
        supervisor.bus.publish(TOPICS.reply("me"), payload)
    assert await first == {"details": "a"}
    assert await second == {"details": "b"}


async def test_nonsense_on_the_reply_topic_is_ignored(
    client: Client, supervisor: ScriptedSupervisor
) -> None:
    for payload in (b"", b"{", b'{"object_id":"x","type":"arts_resp","data":{"result":"ok"}}'):
        supervisor.bus.publish(TOPICS.reply("me"), payload)
    assert await client.query("realm") == {}


async def test_what_is_unanswered_is_asked_again_of_a_supervisor_that_is_back(
    client: Client, supervisor: ScriptedSupervisor, broker: MemoryBroker
) -> None:
    supervisor.script = lambda request: None
    asking = asyncio.create_task(client.query("realm"))
    while not supervisor.requests:  # noqa: ASYNC110
        await asyncio.sleep(0)
    supervisor.answers({"realm": "realm"})
    supervisor.announce()
    assert await asking == {"realm": "realm"}
    first, second = supervisor.requests
    assert first.object_id == second.object_id
    supervisor.announce()
    await delivered(broker)
    assert len(supervisor.requests) == 2  # what is answered is not


# ---- silence


async def test_a_supervisor_that_does_not_answer(
    client: Client, supervisor: ScriptedSupervisor
) -> None:
    supervisor.script = lambda request: None
    with pytest.raises(BusError, match=r"the supervisor did not answer within 0\.5 s"):
        await client.query("realm", timeout=0.5)


async def test_no_supervisor(broker: MemoryBroker) -> None:
    async with memory_client(broker) as client:
        with pytest.raises(BusError, match="no supervisor in realm 'realm'"):
            await client.supervisor(timeout=0.5)


async def test_a_supervisor_that_took_leave(
    client: Client, supervisor: ScriptedSupervisor, broker: MemoryBroker
) -> None:
    assert (await client.supervisor()).instance == "scripted"
    supervisor.announce(online=False)
    await delivered(broker)
    with pytest.raises(BusError, match="no supervisor"):
        await client.supervisor(timeout=0.5)


async def test_no_broker(broker: MemoryBroker) -> None:
    broker.stop()
    with pytest.raises(BusError, match=r"cannot reach the broker: .*out of reach"):
        async with memory_client(broker):
            pass


async def test_a_broker_that_says_nothing() -> None:
    class Silent(MemoryBus):
        async def start(self) -> None:
            """Never get anywhere."""

    connection = RealmConnection(Silent(MemoryBroker(), "me"), "realm", client_id="me")
    with pytest.raises(BusError, match="does not answer"):
        async with connection.running(timeout=0.5):
            pass


async def test_the_broker_is_lost_in_between(
    client: Client, broker: MemoryBroker, supervisor: ScriptedSupervisor
) -> None:
    supervisor.script = lambda request: broker.stop()  # type: ignore[func-returns-value]
    with pytest.raises(BusError, match="the broker did not answer"):
        await client.query("realm", timeout=0.05)
    broker.start()


async def test_the_broker_forbids_answers(broker: MemoryBroker) -> None:
    broker.refuse(TOPICS.reply("me"))
    with pytest.raises(BusError, match="forbids us to listen to realm/proc/reply/me"):
        async with memory_client(broker):
            pass


# ---- watching


async def test_changes_start_with_what_is_there(
    client: Client, supervisor: ScriptedSupervisor
) -> None:
    supervisor.show(TOPICS.module_state("m1"), {"state": "running"})
    async with client.changes() as changes:
        assert await anext(changes) == Change("module", "m1", {"state": "running"})
        supervisor.show(TOPICS.runtime_state("r1"), {"name": "rt"})
        assert await anext(changes) == Change("runtime", "r1", {"name": "rt"})
        supervisor.show(TOPICS.module_state("m1"), None)
        assert await anext(changes) == Change("module", "m1", None)


async def test_output_lines_in_order(client: Client, supervisor: ScriptedSupervisor) -> None:
    async with client.output("m1") as lines:
        for stream, line in (("stdout", b"one"), ("stderr", b"two \xff"), ("stdout", b"three")):
            supervisor.bus.publish(TOPICS.stdio(stream, "m1"), line, qos=1)
        supervisor.bus.publish(TOPICS.stdio("stdout", "m2"), b"not mine", qos=1)
        assert await anext(lines) == OutputLine("stdout", "one")
        assert await anext(lines) == OutputLine("stderr", "two \N{REPLACEMENT CHARACTER}")
        assert await anext(lines) == OutputLine("stdout", "three")


async def test_stdin(client: Client) -> None:
    async with client.output("m1", streams=["stdin"]) as lines:
        client.write_stdin("m1", b"hello")
        assert await anext(lines) == OutputLine("stdin", "hello")


async def test_the_journal(client: Client, supervisor: ScriptedSupervisor) -> None:
    entries = [{"at": 1.0, "event": "module.placed"}, {"at": 2.0, "event": "module.started"}]
    async with client.journal() as journal:
        supervisor.bus.publish(TOPICS.journal, codec.encode_document(entries))
        assert [await anext(journal), await anext(journal)] == entries


async def test_two_listeners_of_one_topic(client: Client, supervisor: ScriptedSupervisor) -> None:
    async with client.output("m1") as first:
        async with client.output("m1"):
            pass
        supervisor.bus.publish(TOPICS.stdio("stdout", "m1"), b"still here", qos=1)
        assert (await anext(first)).line == "still here"


async def test_listening_to_what_the_client_needs_itself(
    client: Client, supervisor: ScriptedSupervisor, broker: MemoryBroker
) -> None:
    async with client.messages(TOPICS.supervisor_state, TOPICS.reply("me")) as messages:
        await anext(messages)
    supervisor.announce(online=False)
    await delivered(broker)
    with pytest.raises(BusError, match="no supervisor"):
        await client.supervisor(timeout=0.01)
    supervisor.announce()
    assert await client.query("realm") == {}


async def test_listening_where_it_is_forbidden(client: Client, broker: MemoryBroker) -> None:
    broker.refuse(TOPICS.journal)
    async with client.journal() as journal:
        with pytest.raises(BusError, match="forbids"):
            await anext(journal)


# ---- waiting for a state


def module(state: str, **fields: object) -> dict[str, object]:
    """A module's document, as far as waiting is concerned."""
    return {"name": "c1", "state": state, "detail": None, "reasons": {}} | fields


async def test_wait_state(
    client: Client, supervisor: ScriptedSupervisor, broker: MemoryBroker
) -> None:
    topic = TOPICS.module_state("m1")
    supervisor.show(topic, module("starting"))
    waiting = asyncio.create_task(client.wait_state("m1", ["running"]))
    await delivered(broker)
    supervisor.show(topic, module("running"))
    assert (await waiting)["state"] == "running"


async def test_wait_state_of_a_module_that_ends_otherwise(
    client: Client, supervisor: ScriptedSupervisor
) -> None:
    supervisor.show(TOPICS.module_state("m1"), module("failed", detail="unreachable executed"))
    with pytest.raises(FailedPrecondition, match=r"c1 is failed \(unreachable executed\)"):
        await client.wait_state("m1", ["running"])


async def test_wait_state_of_a_module_that_is_deleted(
    client: Client, supervisor: ScriptedSupervisor, broker: MemoryBroker
) -> None:
    supervisor.show(TOPICS.module_state("m1"), module("stopping"))
    waiting = asyncio.create_task(client.wait_state("m1", ["running"]))
    await delivered(broker)
    supervisor.show(TOPICS.module_state("m1"), None)
    with pytest.raises(NotFound, match="m1 is gone"):
        await waiting


async def test_wait_state_takes_only_so_long(
    client: Client, supervisor: ScriptedSupervisor
) -> None:
    supervisor.show(TOPICS.module_state("m1"), module("pending", reasons={"rt-a": "full"}))
    with pytest.raises(FailedPrecondition, match=r"c1 is pending \(rt-a: full\) after 0\.5 s"):
        await client.wait_state("m1", ["running"], timeout=0.5)
    with pytest.raises(FailedPrecondition, match="nothing is known of module m2"):
        await client.wait_state("m2", ["running"], timeout=0.5)


# ---- uploads


async def test_upload(
    client: Client, supervisor: ScriptedSupervisor, broker: MemoryBroker, tmp_path: Path
) -> None:
    store = ProgramStore(tmp_path)
    async with serve(store) as url:
        supervisor.announce(http_url=url)
        await delivered(broker)
        program = await client.upload(COUNTER, name="mine")
        named = store.by_name("mine")
        assert named is not None
        assert program["digest"] == named.digest
        with pytest.raises(ProgramError, match="not WebAssembly"):
            await client.upload(b"hello")
        with pytest.raises(NotFound, match=r"cannot read .*nowhere\.wasm"):
            await client.upload(tmp_path / "nowhere.wasm")
    with pytest.raises(BusError, match=f"cannot upload to {url}"):
        await client.upload(COUNTER)


async def test_continuations(
    client: Client, supervisor: ScriptedSupervisor, broker: MemoryBroker, tmp_path: Path
) -> None:
    store = ProgramStore(tmp_path)
    program = await store.add(COUNTER.read_bytes())
    with pytest.raises(BusError, match="serves no HTTP"):
        await client.continuations(program.digest, [(0, 1)])
    async with serve(store) as url:
        supervisor.announce(http_url=url)
        await delivered(broker)
        made = Continuations(store.read(program.digest)).module([ResumePoint(0, 1)])
        assert await client.continuations(program.digest, [(0, 1)]) == made
        with pytest.raises(NotFound, match="no program"):
            await client.continuations("0" * 64, [(0, 1)])
        with pytest.raises(FailedPrecondition, match="not prepared"):
            await client.continuations(program.source_digest, [(0, 1)])
        with pytest.raises(InvalidRequest, match="has no point 99"):
            await client.continuations(program.digest, [(0, 99)])
    with pytest.raises(BusError, match=f"cannot ask {url}"):
        await client.continuations(program.digest, [(0, 1)])


async def test_upload_where_there_is_no_http(client: Client) -> None:
    with pytest.raises(BusError, match="serves no HTTP"):
        await client.upload(b"")


# ---- following one module


async def test_follow_keeps_lines_and_changes_in_order(
    client: Client, supervisor: ScriptedSupervisor
) -> None:
    supervisor.show(TOPICS.module_state("m1"), {"state": "running"})
    async with client.follow("m1") as news:
        assert await anext(news) == Change("module", "m1", {"state": "running"})
        client.publish(TOPICS.stdio("stdout", "m1"), b"last words")
        assert await anext(news) == OutputLine("stdout", "last words")
        supervisor.show(TOPICS.module_state("m1"), {"state": "exited"})
        assert await anext(news) == Change("module", "m1", {"state": "exited"})


async def test_any_topic(client: Client) -> None:
    async with client.messages("a/+", "b/#") as messages:
        client.publish("b/c/d", b"1")
        client.publish("a/b", b"2")
        assert [(await anext(messages)).payload for _ in range(2)] == [b"1", b"2"]


async def test_connect_to_a_real_broker(mosquitto: Broker) -> None:
    async with Client.connect(mosquitto.url, unique()) as client:
        with pytest.raises(BusError, match=f"no supervisor .* at the broker at {mosquitto.url}"):
            await client.supervisor(timeout=0.01)
