"""Somebody in an ARENA scene, as a web client speaks: topics and messages of ARENA, version 2.

Written from ARENA's own schemas and clients. Imports nothing of ``arts``: an independent witness.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import aiomqtt

from tests.support.realm import Observer

ENV = ["MID=${moduleid}", "SCENE=${scene}", "NAMESPACE=${namespace}", "MQTTH=${mqtth}"]


class Heard(NamedTuple):
    """One message of the scene."""

    topic: str
    message: dict[str, Any]


class SceneUser:
    """A user of one scene; ``id`` is ARENA's idTag, ``client`` the client level of the topics."""

    def __init__(self, mqtt: aiomqtt.Client, realm: str, scene: str, user: str) -> None:
        self.mqtt = mqtt
        self.root = f"{realm}/s/{scene}"
        self.id = user
        self.client = f"{user}_web"
        self.heard: Observer[Heard] = Observer()

    async def say(self, kind: str, object_id: str, message: Any) -> None:
        """Publish anything on a topic of the scene."""
        payload = message if isinstance(message, bytes) else json.dumps(message).encode()
        await self.mqtt.publish(f"{self.root}/{kind}/{self.client}/{object_id}", payload, qos=1)

    async def put(self, object_id: str, *, action: str = "create", **data: Any) -> None:
        """Put a program into the scene, or change it."""
        message = {
            "object_id": object_id,
            "action": action,
            "type": "program",
            "persist": True,
            "data": data,
        }
        await self.say("o", object_id, message)

    async def create(self, object_id: str = "", **data: Any) -> str:
        """A program with every field that ARENA's schema requires; its object_id."""
        object_id = object_id or str(uuid.uuid4())
        schema: dict[str, Any] = {
            "name": f"public/{object_id[:8]}",
            "instantiate": "single",
            "file": "counter.wasm",
            "location": "public/programs",
            "filetype": "WA",
            "parent": "arena-rt1",
            "env": ENV,
        }
        await self.put(object_id, **(schema | data))
        return object_id

    async def delete(self, object_id: str) -> None:
        """Take an object out of the scene."""
        await self.say("o", object_id, {"object_id": object_id, "action": "delete"})

    async def join(self, **more: Any) -> None:
        """Enter the scene: presence, and a camera."""
        presence = {"object_id": self.id, "action": "join", "type": "ARENA", "dn": self.id.title()}
        await self.say("x", self.id, presence | more)
        await self.look()

    async def look(self) -> None:
        """What a camera says all the time."""
        camera = {
            "object_id": f"camera_{self.id}",
            "action": "update",
            "type": "object",
            "data": {"object_type": "camera", "position": {"x": 0, "y": 1.6, "z": 0}},
        }
        await self.say("u", f"camera_{self.id}", camera)

    async def leave(self) -> None:
        """What the last will says, too."""
        await self.say("x", self.id, {"object_id": self.id, "action": "leave"})

    async def click(self, button: str, *, panel: str = "init3d", index: int = 0) -> None:
        """Click a button of a panel, as ``arenaui-button-panel`` reports it."""
        data = {
            "clickPos": {"x": 0, "y": 1.6, "z": 0},
            "buttonName": button,
            "buttonIndex": index,
            "position": {"x": 0, "y": 2, "z": -3},
            "source": f"camera_{self.id}",
        }
        event = {"object_id": panel, "action": "clientEvent", "type": "buttonClick", "data": data}
        await self.say("u", f"camera_{self.id}", event)

    # ------------------------------------------------------------------ what is heard

    def about(self, object_id: str, *, private: bool = False) -> list[dict[str, Any]]:
        """What others said about an object so far; ``private``: to this user only."""
        levels = [object_id, self.id] if private else [object_id]
        return [
            heard.message
            for heard in self.heard.seen
            if heard.topic.split("/")[6:] == levels and heard.topic.split("/")[5] != self.client
        ]

    async def run_info(
        self, object_id: str, holds: Callable[[dict[str, Any]], object], *, private: bool = False
    ) -> dict[str, Any]:
        """Wait until the newest ``run_info`` of a program is as it should be."""

        def newest() -> dict[str, Any]:
            said = self.about(object_id, private=private)
            infos = [m["data"]["run_info"] for m in said if "run_info" in m.get("data", {})]
            return infos[-1] if infos else {}

        await self.heard.until(lambda _: (info := newest()) and holds(info))
        return newest()

    async def reaches(self, object_id: str, *states: str, private: bool = False) -> dict[str, Any]:
        """Wait until a program is in one of ``states``."""
        return await self.run_info(
            object_id, lambda info: info.get("state") in states, private=private
        )

    async def panel(self, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        """Wait until the panel of the scene is as it should be; its data."""

        def now() -> dict[str, Any]:
            data: dict[str, Any] = {}
            for message in self.about("init3d"):
                data = {} if message["action"] == "delete" else data | message.get("data", {})
            return data

        await self.heard.until(lambda _: holds(now()))
        return now()


def buttons(panel: dict[str, Any]) -> list[str]:
    """The names of a panel's buttons."""
    return [button["name"] for button in panel.get("buttons", ())]


@asynccontextmanager
async def scene_user(
    broker_url: str, realm: str, scene: str, user: str
) -> AsyncIterator[SceneUser]:
    """Somebody who is connected, with the last will that ARENA's clients have, and hears
    everything that is said in the scene."""
    address = urlsplit(broker_url)
    will = aiomqtt.Will(
        f"{realm}/s/{scene}/x/{user}_web/{user}",
        json.dumps({"object_id": user, "action": "leave"}),
        qos=1,
    )
    async with aiomqtt.Client(address.hostname or "", address.port or 1883, will=will) as mqtt:
        somebody = SceneUser(mqtt, realm, scene, user)

        async def collect() -> None:
            async for message in mqtt.messages:
                try:
                    payload = json.loads(bytes(message.payload))
                except ValueError:
                    continue  # somebody else's nonsense
                somebody.heard.add(Heard(str(message.topic), payload))

        await mqtt.subscribe(f"{realm}/s/{scene}/+/+/+", qos=1)
        await mqtt.subscribe(f"{realm}/s/{scene}/+/+/+/{user}/#", qos=1)
        collecting = asyncio.create_task(collect(), name=f"scene {user}")
        try:
            yield somebody
        finally:
            collecting.cancel()
            await asyncio.wait([collecting])
