"""Programs of scenes while the supervisor or the broker is away: never two, never none."""

import asyncio
import uuid

import pytest

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.errors import BusError, NotFound
from tests.support.broker import unique
from tests.support.faults import assert_alive_once, killed, until_online, without_broker
from tests.support.realm import PATIENCE, counted, is_consecutive, watching
from tests.support.scene import scene_user

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(150),
    pytest.mark.slow,
]


async def until_gone(client: Client, module: str) -> None:
    """Wait until the realm knows nothing of a module."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await client.query("module", module)
            except NotFound:
                return
            await asyncio.sleep(0.1)


async def until_heard(client: Client, scene: str) -> None:
    """Wait until scenes are back on the broker: they have a connection of their own."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await client.scene(scene, timeout=1)
                return
            except BusError:
                continue


async def test_the_supervisor_is_killed(realm: LocalRealm, client: Client) -> None:
    """What runs for a scene runs on; who left meanwhile is missed; changes work again."""
    scene, key, box = f"public/{unique('scene')}", str(uuid.uuid4()), unique("box")
    async with (
        scene_user(realm.broker_url, realm.name, scene, "jane") as jane,
        scene_user(realm.broker_url, realm.name, scene, "joe") as joe,
        watching(client, key) as counter,
    ):
        await jane.create(key, args=["20"])
        await jane.create(box, instantiate="client", args=["50"])
        for somebody in (jane, joe):
            await somebody.join()
        hers = await jane.reaches(box, "running", private=True)
        his = await joe.reaches(box, "running", private=True)
        await client.scene(scene, "show")
        await counter.output.more(5)

        async with killed(realm.supervisor):
            await joe.leave()  # which nobody hears
            await counter.output.more(10)
        await until_online(client, realm)
        await until_heard(client, scene)
        await jane.look()
        await until_gone(client, his["module"])
        await client.query("module", hers["module"])

        await assert_alive_once(client, realm, counter)
        assert counter.document["generation"] == 1
        assert is_consecutive(counted(counter.lines))
        document = await client.scene(scene)
        assert document["panel"] is True
        assert [len(program["instances"]) for program in document["programs"]] == [1, 1]

        await jane.put(key, action="update", args=["30"])
        await counter.until(
            lambda d: d.get("state") == "running" and d["args"] == ["30"]  # and so a new module
        )
        for program in (key, box):
            await jane.delete(program)
        await until_gone(client, key)
        await until_gone(client, hers["module"])


async def test_the_supervisor_is_killed_between_a_wish_and_its_module(
    realm: LocalRealm, client: Client
) -> None:
    """As soon as a program is put into the scene, several times: one module each."""
    scene = f"public/{unique('scene')}"
    keys = [str(uuid.uuid4()) for _ in range(4)]
    async with scene_user(realm.broker_url, realm.name, scene, "jane") as jane:
        for key in keys:
            await jane.create(key, args=["50"])
            async with killed(realm.supervisor):
                pass
            await until_online(client, realm)
            await until_heard(client, scene)
            await jane.create(key, args=["50"])  # in case nobody heard it
            info = await jane.reaches(key, "running")
            assert info["module"] == key
        modules = (await client.query("realm", timeout=PATIENCE))["modules"]
        ours = [module["uuid"] for module in modules if module["uuid"] in keys]
        assert sorted(ours) == sorted(keys)
        for key in keys:
            await jane.delete(key)
        for key in keys:
            await until_gone(client, key)


async def test_the_broker_restarts(realm: LocalRealm, client: Client) -> None:
    scene, key = f"public/{unique('scene')}", str(uuid.uuid4())
    async with scene_user(realm.broker_url, realm.name, scene, "jane") as jane:
        await jane.create(key, args=["20"])
        await jane.reaches(key, "running")
    async with without_broker(realm):
        pass
    await until_online(client, realm)
    await until_heard(client, scene)
    async with (
        scene_user(realm.broker_url, realm.name, scene, "jane") as jane,
        watching(client, key) as counter,
    ):
        await counter.reaches("running")
        await counter.output.more(3)
        await jane.put(key, action="update", args=["30"])
        await counter.until(lambda d: d.get("state") == "running" and d["args"] == ["30"])
        await jane.delete(key)
        await until_gone(client, key)
