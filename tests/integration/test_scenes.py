"""Programs in ARENA scenes, as somebody in the scene sees them: real brokers, real runtimes."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import pytest_asyncio

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.errors import NotFound
from tests.support.broker import unique
from tests.support.realm import counted, is_consecutive, watching
from tests.support.scene import SceneUser, buttons, scene_user
from tests.support.script import Script

pytestmark = pytest.mark.asyncio(loop_scope="session")

Enter = Callable[[str], AbstractAsyncContextManager[SceneUser]]


@pytest.fixture
def scene() -> str:
    """A scene that no other test uses."""
    return f"public/{unique('scene')}"


@pytest.fixture
def enter(realm: LocalRealm, scene: str) -> Enter:
    """``async with enter(name) as somebody``: who looks at the scene."""
    return lambda name: scene_user(realm.broker_url, realm.name, scene, name)


@pytest_asyncio.fixture(loop_scope="session")
async def builder(enter: Enter) -> AsyncIterator[SceneUser]:
    """Who builds the scene."""
    async with enter(unique("builder")) as builder:
        yield builder


async def gone(client: Client, module: str) -> None:
    """Wait until the realm knows nothing of a module."""
    async with asyncio.timeout(40):
        while True:
            try:
                await client.query("module", module)
            except NotFound:
                return
            await asyncio.sleep(0.05)


async def test_a_program_in_a_scene_runs(builder: SceneUser, client: Client, scene: str) -> None:
    key = str(uuid.uuid4())
    async with watching(client, key) as module:
        await builder.create(key, args=["20", "${scene}"])
        document = await module.reaches("running")
        await module.output.more(3)
        namespace, name = scene.split("/")
        assert document["name"] == f"public/{key[:8]}"
        assert f"SCENE={name}" in document["env"]
        assert f"NAMESPACE={namespace}" in document["env"]
        assert f"MID={key}" in document["env"]
        assert document["args"] == ["20", name]

        info = await builder.reaches(key, "running")
        assert (info["namespace"], info["scene"]) == (namespace, name)
        assert (info["filename"], info["module"]) == ("counter.wasm", key)
        assert info["create_time"].endswith("Z")
        assert info["runtime"].startswith("runtime-")

        await builder.delete(key)
        await gone(client, key)


async def test_a_change_restarts_and_another_parent_moves(
    builder: SceneUser, client: Client
) -> None:
    key = str(uuid.uuid4())
    async with watching(client, key) as module:
        await builder.create(key, args=["20"], parent="runtime-1")
        first = await module.reaches("running")
        assert first["parent"]["name"] == "runtime-1"
        await module.output.more(5)

        await builder.put(key, action="update", parent="runtime-2")
        moved = await module.until(
            lambda d: d.get("state") == "running" and d["parent"]["name"] == "runtime-2"
        )
        assert moved["generation"] == first["generation"] + 1
        await module.output.more(5)
        numbers = counted(module.lines)
        assert numbers[0] == 1
        assert is_consecutive(numbers), "it moved, and did not start anew"

        await builder.put(key, action="update", args=["30", "1000000"])
        await module.until(lambda d: d.get("state") == "running" and len(d["args"]) == 2)
        await module.output.until(lambda lines: lines.count("count 1") == 2)
        await builder.delete(key)
        await gone(client, key)


async def test_a_viewer_has_an_own_instance_that_ends_with_the_last_will(
    builder: SceneUser, client: Client, enter: Enter, scene: str
) -> None:
    program = await builder.create(
        f"box-{unique()}", instantiate="client", args=["20"], env=["WHO=${userid}", "N=${username}"]
    )
    async with enter("joe") as joe, enter("jim") as jim:
        await joe.join()
        await jim.look()  # a camera is enough
        mine = await joe.reaches(program, "running", private=True)
        his = await jim.reaches(program, "running", private=True)
        assert mine["env"] == "WHO=joe N=Joe"
        assert his["env"] == "WHO=jim N=jim"
        assert mine["module"] != his["module"]
        assert builder.about(program) == []

        await jim.leave()
        await gone(client, his["module"])
        await client.query("module", mine["module"])
        await abort(joe)
    await gone(client, mine["module"])
    await builder.delete(program)


async def abort(user: SceneUser) -> None:
    """The connection dies without a farewell."""
    transport = user.mqtt._client.socket()  # type: ignore[union-attr]
    assert transport is not None
    transport.shutdown(2)
    await asyncio.sleep(0)


async def test_what_is_wrong_is_said_in_the_scene(builder: SceneUser, client: Client) -> None:
    key = str(uuid.uuid4())
    await builder.create(key, instanciate="single")
    info = await builder.reaches(key, "refused")
    assert info["detail"] == "instanciate: no such field of a program"
    await builder.say("o", key, {"object_id": "another", "action": "create", "type": "program"})
    await builder.run_info(key, lambda info: "object_id: the topic says" in info["detail"])
    await builder.say("o", key, b'{"type": "program", ')
    await builder.run_info(key, lambda info: "not JSON" in info["detail"])
    await builder.create(key, file="nowhere.wasm")
    info = await builder.reaches(key, "failed")
    assert "no program 'nowhere.wasm'" in info["detail"]
    await builder.create(key, file="counter.wasm", args=["20"])
    await builder.reaches(key, "running")
    await builder.delete(key)
    await gone(client, key)


async def test_a_box_moves_in_its_scene(builder: SceneUser, client: Client, scene: str) -> None:
    """ARENA's own example: a program that writes objects of the scene it stands in."""
    channel = {
        "path": "/ch/scene",
        "type": "pubsub",
        "mode": "w",
        "params": {"topic": f"{client.topics.realm}/s/${{namespace}}/${{scene}}/o/box/box_1"},
    }
    key = await builder.create(file="moving-box.wasm", args=["10", "box_1"], channels=[channel])
    await builder.heard.until(lambda seen: sum("/o/box/box_1" in m.topic for m in seen) > 5)
    info = await builder.run_info(key, lambda info: info.get("pub_msgs", 0) > 0)
    assert info["last_pub_time"].endswith("Z")
    await builder.delete(key)
    await gone(client, key)


async def test_the_panel_starts_stops_restarts_and_moves(
    builder: SceneUser, client: Client, enter: Enter, scene: str
) -> None:
    key = str(uuid.uuid4())
    async with watching(client, key) as module, enter("joe") as joe:
        await builder.create(key, name="counter", args=["20"])
        first = await module.reaches("running")
        document = await client.scene(scene, "show")
        assert document["panel"] is True
        assert document["programs"][0]["instances"][0]["module"] == key
        panel = await joe.panel(lambda panel: "running" in panel.get("title", ""))
        assert panel["object_type"] == "arenaui-button-panel"
        assert buttons(panel) == ["Stop counter", "Restart counter", "Move counter"]

        here = first["parent"]["name"]
        await joe.click("Move counter")
        await module.until(lambda d: d.get("state") == "running" and d["parent"]["name"] != here)
        await module.output.more(3)
        assert is_consecutive(counted(module.lines))
        await joe.panel(lambda panel: here not in panel["title"] and "running" in panel["title"])

        await joe.click("Restart counter")
        await module.output.until(lambda lines: lines.count("count 1") == 2)
        await joe.panel(lambda panel: "running" in panel["title"])

        await joe.click("Stop counter")
        await gone(client, key)
        await joe.panel(lambda panel: buttons(panel) == ["Start counter"])
        await joe.reaches(key, "stopped")

        await joe.click("Start counter")
        await module.output.until(lambda lines: lines.count("count 1") == 3)
        await client.scene(scene, "hide")
        await joe.panel(lambda panel: panel == {})
        await builder.delete(key)
        await gone(client, key)


async def test_a_python_program_goes_to_a_runtime_of_arena(
    builder: SceneUser, client: Client, bare: Script, scene: str
) -> None:
    """It is told where the folder is, and fetches it itself: as from ARENA's own orchestrator."""
    runtime, name, key = str(uuid.uuid4()), unique("launcher"), str(uuid.uuid4())
    realm = client.topics.realm
    await bare.listen(f"{realm}/g/public/p/{runtime}")
    await bare.listen(f"{realm}/s/+/+/p/+/+")

    async def register(action: str) -> None:
        data = {"uuid": runtime, "type": "runtime", "name": name, "max_nmodules": 10}
        data |= {"runtime_type": "containerized-modules", "apis": ["python:python3"]}
        envelope = {"object_id": str(uuid.uuid4()), "action": action, "type": "req"}
        message = json.dumps(envelope | {"from": runtime, "data": data})
        await bare.mqtt.publish(f"{realm}/g/public/p/{runtime}", message, qos=1)

    async def told(action: str) -> dict[str, Any]:
        topic = f"{realm}/s/{scene}/p/{runtime}/{key}"
        await bare.heard.until(
            lambda seen: any(m.topic == topic and m.json["action"] == action for m in seen)
        )
        found = [m for m in bare.heard.seen if m.topic == topic and m.json["action"] == action]
        return found[0].json["data"]  # type: ignore[no-any-return]

    await register("create")
    await builder.create(
        key, file="box.py", location="jane/py/box", filetype="PY", parent=name, args=["${scene}"]
    )
    data = await told("create")
    assert (data["file"], data["location"], data["filetype"]) == ("box.py", "jane/py/box", "PY")
    assert (data["uuid"], data["parent"]) == (key, runtime)
    assert data["args"] == [scene.split("/")[1]]
    assert f"MID={key}" in data["env"]
    info = await builder.reaches(key, "running")
    assert info["runtime"] == name
    await builder.delete(key)
    await told("delete")
    await register("delete")


async def test_web_clients_of_arena_ask_for_the_same_program_too(
    builder: SceneUser, client: Client, bare: Script, scene: str
) -> None:
    """Each browser in a scene asks for its ``single`` programs by itself: there is one of it."""
    key = str(uuid.uuid4())
    async with watching(client, key) as module:
        await builder.create(key, args=["20"])
        await module.reaches("running")
        await module.output.more(3)
        data = {"type": "module", "uuid": key, "name": "box", "file": "counter.wasm"}
        data |= {"location": "", "filetype": "WA", "args": ["20"], "env": [], "channels": []}
        request = {"object_id": str(uuid.uuid4()), "action": "create", "type": "req", "data": data}
        for topic in (f"s/{scene}/p/{builder.id}", "proc/control"):
            payload = json.dumps(request)
            await bare.mqtt.publish(f"{client.topics.realm}/{topic}", payload, qos=1)
        await module.output.more(10)
        assert is_consecutive(counted(module.lines))
        assert module.document["generation"] == 1
        await builder.delete(key)
        await gone(client, key)
