"""The commands and the code in our documents work as they stand there, in a real realm.

``make`` and the activation of ``.venv`` are taken as done: what they would do is how these tests
came to run. What does not end (``-f``, ``--watch``) must say something, and is then stopped.
"""

import asyncio
import importlib.util
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest
import pytest_asyncio

from arts.bench.v8 import find_node
from arts.bus.broker import open_broker
from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.settings import Settings, load_settings
from tests.docs.pages import HOWTO, PAGES, ROOT, blocks, script, typed
from tests.support.realm import PATIENCE, running_realm

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

ARTS = (sys.executable, "-m", "arts")
ENDLESS = {"-f", "--follow", "--watch"}
TAUGHT = [page for page in PAGES if any(words[0] == "arts" for words in typed(page))]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def realm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalRealm]:
    """A realm such as the reader has; the broker that is always there."""
    async with running_realm("embedded", tmp_path_factory.mktemp("docs")) as realm:
        yield realm


def where(realm: LocalRealm) -> dict[str, str]:
    """What tells ``arts`` where the realm is."""
    return {"ARTS_BROKER": realm.broker_url, "ARTS_REALM": realm.name}


@asynccontextmanager
async def started(
    *words: str, env: dict[str, str], cwd: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process, killed at the end if it has not ended; what it says is one stream."""
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=cwd,
        env=os.environ | env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def run(*words: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Run a program; what it printed. Fails if it does."""
    async with started(*words, env=env or {}, cwd=cwd) as process:
        output, _ = await process.communicate()
    assert process.returncode == 0, f"{shlex.join(words)}: {output.decode()}"
    return output.decode()


async def glance(*words: str, cwd: Path, env: dict[str, str]) -> str:
    """The first line that an endless program prints, after saying that it listens."""
    async with started(*words, env=env, cwd=cwd) as process, asyncio.timeout(PATIENCE):
        assert process.stdout is not None
        while (line := (await process.stdout.readline()).decode()).startswith("(listening"):
            pass
        return line


async def enter(lines: list[list[str]], realm: LocalRealm, cwd: Path) -> dict[str, str]:
    """Run ``arts`` commands one after the other; what each printed, by its line."""
    said = {}
    for _, *words in lines:
        read = glance if ENDLESS & set(words) else run
        said[shlex.join(words)] = await read(*ARTS, *words, cwd=cwd, env=where(realm))
    return said


# ---------------------------------------------------------------------------- at the prompt


@pytest.mark.parametrize("page", TAUGHT, ids=lambda page: page.stem)
async def test_what_the_reader_types(page: Path, realm: LocalRealm, tmp_path: Path) -> None:
    said = await enter([words for words in typed(page) if words[0] == "arts"], realm, tmp_path)
    for line, output in said.items():
        assert output.strip(), f"{line} says nothing"
        if line.startswith("migrate"):
            assert re.search(r"moved from runtime-\d to runtime-\d: [\d.]+ ms downtime", output)
        if line.startswith("logs"):
            assert re.match(r"count \d+\n", output)
    async with Client.connect(realm.broker_url, realm.name) as client:
        for module in (await client.query("realm"))["modules"]:
            await client.delete(module["uuid"], force=True)  # the next page begins with "counter"


@pytest.mark.slow
async def test_the_demo(tmp_path: Path) -> None:
    shown = blocks(ROOT / "README.md", "text")[0]
    said = await run(*ARTS, "demo", "--rounds", "2", "--broker", "embedded", cwd=tmp_path)
    for word in ("downtime", "median", "snapshot", "✓ counter", "✓ queens", "✓ echo"):
        assert word in said
        assert word in shown, "the README shows something else"


# ---------------------------------------------------------------------------- how-tos


async def test_a_script_without_arts(realm: LocalRealm, tmp_path: Path) -> None:
    (code,) = blocks(HOWTO / "use-mqtt-directly.md", "python")
    (tmp_path / "script.py").write_text(code)
    host, port = address(realm)
    said = await run(sys.executable, "script.py", host, str(port), realm.name, cwd=tmp_path)
    assert re.fullmatch(r"ok [0-9a-f-]{36}\n", said)


async def test_programs_in_a_scene(realm: LocalRealm, tmp_path: Path) -> None:
    page = HOWTO / "run-programs-in-a-scene.md"
    (code,) = blocks(page, "python")
    (tmp_path / "script.py").write_text(code)
    host, port = address(realm)
    said = await run(sys.executable, "script.py", host, str(port), realm.name, cwd=tmp_path)
    assert re.fullmatch(r"running runtime-\d\n", said)
    said_by = await enter([words for words in script(page) if words[0] == "arts"], realm, tmp_path)
    for output in said_by.values():
        assert "public/counter" in output


@pytest.mark.parametrize("number", [0, 1])
async def test_settings_of_scenes(number: int, tmp_path: Path) -> None:
    config = tmp_path / "arts.toml"
    config.write_text(blocks(HOWTO / "run-programs-in-a-scene.md", "toml")[number])
    assert load_settings(config).scenes != Settings().scenes


async def test_a_broker_of_ones_own(tmp_path: Path) -> None:
    supervisor, runtime, doctor = script(HOWTO / "use-your-broker.md")
    async with open_broker("embedded", tmp_path / "broker") as broker:
        env = {"ARTS_DATA_DIR": str(tmp_path / "data")}

        def at(line: list[str]) -> list[str]:
            return [broker.url if word.startswith("mqtt") else word for word in line[1:]]

        async with (
            started(*ARTS, *at(supervisor), env=env, cwd=tmp_path),
            started(*ARTS, *at(runtime), env=env, cwd=tmp_path),
            Client.connect(broker.url, "building-7", timeout=PATIENCE) as client,
        ):
            await client.supervisor(timeout=PATIENCE)
            async with asyncio.timeout(PATIENCE):
                while "gateway" not in await online(client):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            said = await run(*ARTS, *at(doctor), cwd=tmp_path)
            assert re.search(r"sessions +ok", said)


async def test_a_deployment_of_old(tmp_path: Path) -> None:
    page = HOWTO / "point-a-deployment-at-arts.md"
    (serve,) = script(page)
    (code,) = blocks(page, "python")
    (tmp_path / "check.py").write_text(code)
    async with open_broker("embedded", tmp_path / "broker") as broker:
        env = {"ARTS_DATA_DIR": str(tmp_path / "data")}
        words = [broker.url if word.startswith("mqtt") else word for word in serve[1:]]
        words[words.index("--http-port") + 1] = "0"
        async with (
            started(*ARTS, *words, env=env, cwd=tmp_path),
            Client.connect(broker.url, "realm", timeout=PATIENCE) as client,
        ):
            notice = await client.supervisor(timeout=PATIENCE)
            host, port = broker.url.removeprefix("mqtt://").split(":")
            assert notice.http_url
            said = await run(
                sys.executable, "check.py", host, port, "realm", notice.http_url, cwd=tmp_path
            )
            assert await online(client) == set(), "it leaves nothing behind"
    assert said.splitlines() == [
        "ARTS starts check.py",
        "SilverLine 2022 starts check.py",
        "SilverLine starts check.py",
        "ARENA starts check.py",
        "/arts-api/v1/runtimes/ answers",
        "/api/runtimes/ answers",
    ]


async def online(client: Client) -> set[str]:
    """The names of the runtimes that are there."""
    runtimes = (await client.query("realm"))["runtimes"]
    return {runtime["name"] for runtime in runtimes if runtime["state"] == "online"}


async def test_a_module_of_ones_own(realm: LocalRealm, tmp_path: Path) -> None:
    if importlib.util.find_spec("ziglang") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("ziglang is not installed")
    page = HOWTO / "write-a-module.md"
    (code,) = blocks(page, "c")
    (tmp_path / "shout.c").write_text(code)
    (compile_,) = [words for words in script(page) if "ziglang" in words and "-m" in words]
    await run(sys.executable, *compile_[1:], cwd=tmp_path)
    said = await enter([words for words in script(page) if words[0] == "arts"], realm, tmp_path)
    assert any(line.startswith("migrate shout") for line in said)
    host, port = address(realm)
    async with aiomqtt.Client(host, port) as client, asyncio.timeout(PATIENCE):
        await client.subscribe([("demo/out", 1), (f"{realm.name}/proc/debug/stdout/+", 1)])
        await client.publish("demo/in", b"hello", qos=1)
        heard: set[bytes] = set()
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            heard.add(message.payload.strip())
            if {b"hello", b"5 bytes"} <= heard:
                break


async def test_what_can_move(realm: LocalRealm, tmp_path: Path) -> None:
    page = HOWTO / "write-a-module.md"
    (line,) = re.findall(r"`arts (migratable [^`]+)`", page.read_text(encoding="utf-8"))
    program = (ROOT / "wasm-apps" / "hello" / "hello.wasm").read_bytes()
    (tmp_path / "shout.wasm").write_bytes(program)
    said = await enter([["arts", *shlex.split(line)]], realm, tmp_path)
    assert "functions can be suspended" in said[line]


async def test_a_program_prepared_by_hand(tmp_path: Path) -> None:
    page = HOWTO / "prepare-a-program.md"
    program = (ROOT / "wasm-apps" / "queens" / "queens.wasm").read_bytes()
    (tmp_path / "app.wasm").write_bytes(program)
    for _, *words in script(page):
        assert "app.movable.wasm" in await run(*ARTS, *words, cwd=tmp_path)
    (code,) = blocks(page, "python")
    (tmp_path / "script.py").write_text(code)
    said = await run(sys.executable, "script.py", "app.wasm", cwd=tmp_path)
    assert re.search(r"functions can be suspended\n\d+ bytes of continuations\n", said)


async def test_a_host_in_javascript(realm: LocalRealm, tmp_path: Path) -> None:
    whole, *_ = blocks(HOWTO / "host-programs-in-javascript.md", "js")
    (tmp_path / "host.mjs").write_text(whole)
    (tmp_path / "browser").symlink_to(ROOT / "runtime" / "browser")
    async with Client.connect(realm.broker_url, realm.name) as client:
        stored = await client.upload(ROOT / "wasm-apps" / "stdinread" / "stdinread.wasm")
    assert realm.http_url is not None
    node = str(find_node())
    said = await run(node, "host.mjs", realm.http_url, stored["digest"], cwd=tmp_path)
    assert said == "got: one\ngot: two\n\n"


def address(realm: LocalRealm) -> tuple[str, int]:
    """Host and port of its broker."""
    host, port = realm.broker_url.removeprefix("mqtt://").split(":")
    return host, int(port)
