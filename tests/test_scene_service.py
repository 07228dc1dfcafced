"""The shell of scenes on twins in memory: durable first, bugs isolated, restarts, bad input."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from arts.bus.memory import MemoryBroker, MemoryBus
from arts.client import Client
from arts.client.connection import RealmConnection
from arts.errors import InvalidRequest, NotFound
from arts.protocol.topics import Scene
from arts.scene_service import SceneService
from arts.scenes.model import (
    ProgramKey,
    SceneSettings,
)
from arts.store.memory import MemoryStore
from tests.support.supervised import RUNTIME, World, commands, register, report, say

SCENE = Scene("public", "lobby")
KEY = "3e6d1c52-6d3c-4a43-9e1c-0d4c8a4f0001"
ROOT = f"realm/s/{SCENE}"


class Stage(World):
    """A world with scenes in it."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = MemoryStore()
        self.settings = SceneSettings(answer_timeout=0.2)

    @asynccontextmanager
    async def scenes(self) -> AsyncIterator[SceneService]:
        """A process that runs scenes; only the disk remembers."""
        bus = MemoryBus(self.broker, "scenes")
        service = SceneService(self.settings, bus, self.disk)
        await bus.start()
        running = asyncio.create_task(service.run())
        try:
            yield service
        finally:
            running.cancel()
            await asyncio.wait([running])
            await bus.stop()

    @asynccontextmanager
    async def everybody(self) -> AsyncIterator[tuple[SceneService, MemoryBus]]:
        """A supervisor, scenes, and a runtime (played by the observer) that is registered."""
        async with self.observer() as observer, self.supervisor(), self.scenes() as service:
            observer.subscribe("realm/s/#")
            register(observer)
            await self.until(lambda: self.on(f"realm/proc/state/runtime/{RUNTIME}"))
            yield service, observer

    def put(self, bus: MemoryBus, object_id: str = KEY, **data: Any) -> None:
        """Somebody creates a program."""
        program = {"name": "box", "file": "hello", "instantiate": "single"} | data
        self.say(bus, "o", object_id, action="create", type="program", data=program)

    def say(self, bus: MemoryBus, kind: str, object_id: str, **message: Any) -> None:
        payload = json.dumps({"object_id": object_id} | message).encode()
        bus.publish(f"{ROOT}/{kind}/jane_web/{object_id}", payload, qos=1)

    def infos(self, object_id: str = KEY) -> list[dict[str, Any]]:
        return [
            message["data"]["run_info"]
            for message in self.on(f"{ROOT}/o/arts-scenes/{object_id}")
            if "run_info" in message.get("data", {})
        ]

    def state(self, object_id: str = KEY) -> str:
        infos = self.infos(object_id)
        return infos[-1]["state"] if infos else ""


@pytest.fixture
def stage() -> Stage:
    return Stage()


@asynccontextmanager
async def client_on(broker: MemoryBroker) -> AsyncIterator[Client]:
    connection = RealmConnection(MemoryBus(broker, "client"), "realm", client_id="client")
    async with connection.running():
        yield Client(connection)


def starts(stage: Stage) -> Iterator[str]:
    return (module for action, module in commands(stage) if action == "create")


async def test_from_the_scene_to_the_runtime_and_back(stage: Stage) -> None:
    async with stage.everybody() as (_, bus):
        stage.put(bus)
        await stage.until(lambda: KEY in starts(stage))
        say(bus, report("started", KEY))
        await stage.until(lambda: stage.state() == "running")
        assert stage.infos()[-1]["runtime"] == "runtime"
        stage.say(bus, "o", KEY, action="delete")
        await stage.until(lambda: ("delete", KEY) in commands(stage))


async def test_counters_come_from_keepalives(stage: Stage) -> None:
    stage.settings = SceneSettings(run_info_interval=0.01)
    async with stage.everybody() as (_, bus):
        stage.put(bus)
        await stage.until(lambda: KEY in starts(stage))
        say(bus, report("started", KEY))
        await stage.until(lambda: stage.state() == "running")
        child = {"uuid": KEY, "generation": 1, "messages_out": 7}
        for children in ([child, {"uuid": "x"}, 3, {"uuid": KEY, "generation": "?"}], "?", []):
            keepalive = {"action": "update", "type": "arts_req", "data": {"children": children}}
            payload = json.dumps(keepalive).encode()
            bus.publish(f"realm/proc/keepalive/{RUNTIME}", payload)
        bus.publish(f"realm/proc/keepalive/{RUNTIME}", b"[]")
        await stage.until(lambda: stage.infos()[-1].get("pub_msgs") == 7)


async def test_a_restart_of_scenes_starts_nothing_twice(stage: Stage) -> None:
    async with stage.observer() as bus, stage.supervisor():
        register(bus)
        await stage.until(lambda: stage.on(f"realm/proc/state/runtime/{RUNTIME}"))
        bus.subscribe("realm/s/#")
        for _ in range(3):
            async with stage.scenes() as service:
                stage.put(bus)
                await stage.until(lambda: KEY in starts(stage))
                say(bus, report("started", KEY))
                await stage.until(lambda: stage.state() == "running")
                assert service.scenes.knows(ProgramKey(SCENE, KEY))
            stage.heard = [m for m in stage.heard if "/s/" not in m[0]]
        assert list(starts(stage)) == [KEY]


async def test_a_restart_of_the_supervisor_starts_nothing_twice(stage: Stage) -> None:
    async with stage.observer() as bus, stage.scenes():
        bus.subscribe("realm/s/#")
        async with stage.supervisor():
            register(bus)
            await stage.until(lambda: stage.on(f"realm/proc/state/runtime/{RUNTIME}"))
            stage.put(bus)
            await stage.until(lambda: KEY in starts(stage))
            say(bus, report("started", KEY))
            await stage.until(lambda: stage.state() == "running")
        stage.say(bus, "o", KEY, action="update", type="program", data={"args": ["1"]})
        await stage.until(lambda: stage.state() == "stopping")
        async with stage.supervisor():
            await stage.until(lambda: ("delete", KEY) in commands(stage))
            say(bus, report("stopped", KEY))
            await stage.until(lambda: list(starts(stage)) == [KEY, KEY])


async def test_nothing_is_said_before_it_is_durable(stage: Stage) -> None:
    """A disk that fails: the message is forgotten, the rest goes on, and later it works again."""
    async with stage.everybody() as (service, bus):
        stage.disk.fail_next = 1
        stage.put(bus)
        await stage.until(lambda: stage.disk.fail_next == 0)
        assert list(starts(stage)) == []
        assert not service.scenes.knows(ProgramKey(SCENE, KEY))
        stage.put(bus)
        await stage.until(lambda: KEY in starts(stage))


async def test_a_bug_hurts_only_what_has_it(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from arts.scenes import lifecycle, wire

    wish, decode = lifecycle.wish, wire.decode

    def buggy_wish(state: Any, instance: Any, program: Any) -> Any:
        if program.name == "buggy":
            raise RuntimeError("a bug")
        return wish(state, instance, program)

    def buggy_decode(place: Any, *args: Any, **kwargs: Any) -> Any:
        if place.object_id == "unreadable":
            raise RuntimeError("a bug")
        return decode(place, *args, **kwargs)

    monkeypatch.setattr(lifecycle, "wish", buggy_wish)
    monkeypatch.setattr(wire, "decode", buggy_decode)
    other = KEY.replace("0001", "0002")
    async with stage.everybody() as (service, bus):
        stage.put(bus, other, name="buggy")
        stage.put(bus, "unreadable")
        stage.put(bus)
        await stage.until(lambda: list(starts(stage)) == [KEY])
        assert not service.scenes.knows(ProgramKey(SCENE, other))


async def test_records_of_another_version_are_left_out(stage: Stage) -> None:
    async with stage.everybody() as (_, bus):
        stage.put(bus)
        await stage.until(lambda: KEY in starts(stage))
    stage.disk.rows["program", "old"] = b"{}"
    async with stage.scenes() as service:
        await stage.until(lambda: service.scenes.knows(ProgramKey(SCENE, KEY)))


async def test_a_lost_request_is_asked_again(stage: Stage) -> None:
    async with stage.everybody() as (_, bus):
        stage.broker.drop(lambda parcel: parcel.topic == "realm/proc/control")
        stage.put(bus)
        await stage.until(lambda: stage.state() == "starting")
        stage.broker.heal()
        await stage.until(lambda: KEY in starts(stage))


async def test_a_client_asks_about_a_scene(stage: Stage) -> None:
    async with stage.everybody() as (_, bus), client_on(stage.broker) as client:
        stage.put(bus)
        await stage.until(lambda: KEY in starts(stage))
        document = await client.scene("public/lobby", "show")
        assert document["panel"] is True
        assert [program["name"] for program in document["programs"]] == ["box"]
        await client.scene("public/lobby", "stop", "box")
        await stage.until(lambda: ("delete", KEY) in commands(stage))
        with pytest.raises(NotFound, match="no program 'bax' in scene public/lobby"):
            await client.scene("public/lobby", "stop", "bax")
        with pytest.raises(InvalidRequest, match="is NAMESPACE/SCENE"):
            await client.scene("lobby")
    assert stage.on(f"{ROOT}/o/arts-scenes/init3d")[-1]["action"] == "delete"


GARBAGE = [b"", b"\0", b"\xff" * 100, b"[" * 5000, b"null", b'{"object_id": 3}', b"x" * 100_000]
TOPICS = [
    f"{ROOT}/o/jane_web/{KEY}",
    f"{ROOT}/u/jane_web/camera_jane",
    f"{ROOT}/x/jane_web/jane",
    "realm/s//lobby/o/jane_web/box",
    "realm/proc/scene/public/lobby",
    "realm/proc/scene//lobby",
    "realm/proc/reply/arts-scenes",
    f"realm/proc/state/module/{KEY}",
    f"realm/proc/state/runtime/{RUNTIME}x",
    f"realm/proc/keepalive/{RUNTIME}",
]


@pytest.mark.parametrize("topic", TOPICS)
async def test_garbage_leaves_scenes_alive(stage: Stage, topic: str) -> None:
    async with stage.everybody() as (_, bus):
        stage.put(bus)
        await stage.until(lambda: KEY in starts(stage))
        for payload in GARBAGE:
            bus.publish(topic, payload, qos=1)
        other = KEY.replace("0001", "0002")
        stage.put(bus, other)
        await stage.until(lambda: other in starts(stage))


async def test_leftovers_of_the_past_are_not_taken_for_news(stage: Stage) -> None:
    """Retained farewells and requests are old; a retained object is how things are."""
    async with stage.observer() as bus:
        leave = json.dumps({"object_id": "joe", "action": "leave"}).encode()
        bus.publish(f"{ROOT}/x/joe_web/joe", leave, retain=True)
        request = {
            "object_id": "r",
            "type": "arts_req",
            "reply_to": "realm/proc/x",
            "action": "get",
        }
        bus.publish("realm/proc/scene/public/lobby", json.dumps(request).encode(), retain=True)
        program = {"name": "box", "file": "hello", "instantiate": "single"}
        message = {"object_id": KEY, "action": "create", "type": "program", "data": program}
        bus.publish(f"{ROOT}/o/jane_web/{KEY}", json.dumps(message).encode(), qos=1, retain=True)
        assert await bus.flush(5)
        async with stage.supervisor():
            register(bus)
            async with stage.scenes():
                await stage.until(lambda: KEY in starts(stage))
            async with stage.scenes() as service:
                await stage.until(lambda: service.scenes.knows(ProgramKey(SCENE, KEY)))
        assert stage.on("realm/proc/x") == []
        assert list(starts(stage)) == [KEY]
