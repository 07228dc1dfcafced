"""``arts scene``: what it lists, what it does, and what it refuses."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from paho.mqtt import publish

from tests.cli.conftest import Cli
from tests.cli.realm_process import RealmProcess
from tests.support.broker import unique


@pytest.fixture
def scene() -> str:
    return f"public/{unique('scene')}"


def put(up: RealmProcess, scene: str, name: str) -> str:
    """A program in a scene; its object_id."""
    key = str(uuid.uuid4())
    data = {"name": name, "file": "counter.wasm", "instantiate": "single", "args": ["200"]}
    message = {"object_id": key, "action": "create", "type": "program", "data": data}
    host, port = str(up.run_file["broker"]).removeprefix("mqtt://").split(":")
    publish.single(
        f"realm/s/{scene}/o/tester/{key}", json.dumps(message), qos=1, hostname=host, port=int(port)
    )
    return key


def until(arts: Cli, scene: str, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The scene as soon as it is as it should be."""
    for _ in range(200):
        document: dict[str, Any] = json.loads(arts.ok("scene", scene, "--no-panel", "--json"))
        if holds(document):
            return document
        time.sleep(0.1)
    raise AssertionError(document)


def states(document: dict[str, Any]) -> list[str]:
    return [i["state"] for program in document["programs"] for i in program["instances"]]


def test_a_scene_and_its_programs(arts: Cli, up: RealmProcess, scene: str) -> None:
    key = put(up, scene, "box")
    until(arts, scene, lambda document: states(document) == ["running"])
    text = arts("scene", scene)
    assert text.exit_code == 0
    assert "The panel is in the scene" in text.stderr
    (line,) = [line for line in text.stdout.splitlines() if "box" in line]
    assert key in line
    assert "running" in line
    assert "runtime-" in line
    assert json.loads(arts.ok("scene", scene, "--json"))["panel"] is True
    arts.ok("scene", scene, "--stop", "box")
    until(arts, scene, lambda document: states(document) == ["stopped"])
    arts.ok("scene", scene, "--start", key)
    until(arts, scene, lambda document: states(document) == ["running"])
    assert json.loads(arts.ok("scene", scene, "--no-panel", "--json"))["panel"] is False
    arts.ok("scene", scene, "--stop", "box")


def test_what_cannot_be(arts: Cli, scene: str) -> None:
    assert arts("scene", "lobby").exit_code == 2
    unknown = arts("scene", scene, "--stop", "box")
    assert unknown.exit_code == 3
    assert "no program 'box'" in unknown.stderr
    both = arts("scene", scene, "--stop", "box", "--start", "box")
    assert both.exit_code == 2
    assert "one thing at a time: not --start and --stop" in both.stderr


def test_what_has_no_instance_is_shown_too() -> None:
    from rich.console import Console

    from arts.cli.scene import render_scene

    def program(**fields: Any) -> dict[str, Any]:
        return {"name": "box", "object_id": "1", "stopped": False, "instances": []} | fields

    document = {
        "namespace": "public",
        "scene": "lobby",
        "viewers": 0,
        "programs": [
            program(instantiate="client"),
            program(instantiate="client", stopped=True, name="[b]all"),
        ],
    }
    console = Console(width=120)
    with console.capture() as capture:
        console.print(render_scene(document))
    text = capture.get()
    assert "no viewer" in text
    assert "stopped" in text
    assert "[b]all" in text
