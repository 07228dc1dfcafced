"""Programs over HTTP, through a real server on a real socket."""

import hashlib
import io
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from arts.api.http import serve
from arts.bus.broker import Broker
from arts.client import Client
from arts.errors import SettingsError
from arts.migratable import Continuations, ResumePoint
from arts.programs.store import ProgramStore
from arts.settings import ProgramSettings
from tests.support.broker import unique

APPS = Path(__file__).parents[2] / "wasm-apps"
COUNTER = (APPS / "counter" / "counter.wasm").read_bytes()
WASM = {"Content-Type": "application/wasm"}


@pytest.fixture
def store(tmp_path: Path) -> ProgramStore:
    """An empty store that takes 100 kB."""
    return ProgramStore(tmp_path, ProgramSettings(max_bytes=100_000))


@pytest.fixture
async def client(store: ProgramStore) -> AsyncIterator[aiohttp.ClientSession]:
    """Talks to a server of that store."""
    async with serve(store) as url, aiohttp.ClientSession(url) as session:
        yield session


async def test_health(client: aiohttp.ClientSession) -> None:
    async with client.get("/healthz") as response:
        assert await response.json() == {"status": "ok"}


async def test_an_uploaded_program_can_be_had_by_its_digest(
    client: aiohttp.ClientSession, store: ProgramStore
) -> None:
    async with client.post("/programs?name=mine", data=COUNTER, headers=WASM) as response:
        assert response.status == 201
        program = await response.json()
    assert program["migratable"]
    assert program["names"] == ["mine"]
    async with client.get(f"/programs/{program['digest']}") as response:
        data = await response.read()
        assert "immutable" in response.headers["Cache-Control"]
        assert response.content_type == "application/wasm"
    assert hashlib.sha256(data).hexdigest() == program["digest"]
    assert store.by_name("mine") is not None
    async with client.get("/programs") as response:
        assert await response.json() == [program]


async def test_a_program_in_the_form_in_which_it_will_be_wanted(
    client: aiohttp.ClientSession, store: ProgramStore
) -> None:
    async with client.post("/programs?profile=responsive", data=COUNTER, headers=WASM) as response:
        program = await response.json()
    assert program["profile"] == "responsive"
    assert program["needs"] == ["atomics", "linking", "multi-memory"]
    async with client.post("/programs?profile=quick", data=COUNTER, headers=WASM) as response:
        assert response.status == 400
        assert "there are responsive, throughput" in (await response.json())["error"]


async def test_part_of_a_program(client: aiohttp.ClientSession, store: ProgramStore) -> None:
    program = await store.add(COUNTER)
    part = {"Range": "bytes=0-3"}
    async with client.get(f"/programs/{program.digest}", headers=part) as response:
        assert response.status == 206
        assert await response.read() == b"\0asm"


@pytest.mark.parametrize("digest", ["0" * 64, "..%2F..%2Fetc%2Fpasswd", "names.json"])
async def test_an_unknown_program(client: aiohttp.ClientSession, digest: str) -> None:
    async with client.get(f"/programs/{digest}") as response:
        assert response.status == 404
        assert (await response.json())["code"] == "not_found"


async def test_what_is_no_program_is_refused_with_the_reason(
    client: aiohttp.ClientSession,
) -> None:
    async with client.post("/programs", data=b"hello", headers=WASM) as response:
        assert response.status == 400
        assert "not WebAssembly" in (await response.json())["error"]


async def test_too_large_an_upload(client: aiohttp.ClientSession) -> None:
    async with client.post("/programs", data=bytes(100_001), headers=WASM) as response:
        assert response.status == 413
        assert "100000" in (await response.json())["error"]


async def test_a_form_of_a_web_page_uploads_nothing(
    client: aiohttp.ClientSession, store: ProgramStore
) -> None:
    async with client.post("/programs", data={"file": io.BytesIO(COUNTER)}) as response:
        assert response.status == 415
    assert list(store.programs()) == []


async def ask_for(client: aiohttp.ClientSession, digest: str, points: object) -> tuple[int, bytes]:
    """Status and body of the answer to a request for continuations."""
    body = points if isinstance(points, bytes) else json.dumps(points).encode()
    async with client.post(f"/programs/{digest}/continuations", data=body) as response:
        if response.status != 200:
            assert set(await response.json()) == {"error", "code"}
        return response.status, await response.read()


async def test_continuations(client: aiohttp.ClientSession, store: ProgramStore) -> None:
    program = await store.add(COUNTER)
    points = [ResumePoint(1, 2), ResumePoint(0, 1)]
    made = Continuations(store.read(program.digest)).module(points)
    assert await ask_for(client, program.digest, points) == (200, made)
    async with client.post(
        f"/programs/{program.digest}/continuations", json=points, headers={"Origin": "http://x"}
    ) as response:
        assert response.content_type == "application/wasm"
        assert response.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("points", "status", "says"),
    [
        (b"", 413, "how many"),
        (b"[" * 50_000, 400, "not JSON"),
        (b"\xff", 400, "not JSON"),
        (b" " * 70_000, 413, "65536"),
        ([], 400, "must be a list"),
        ({"0": 1}, 400, "must be a list"),
        ([[0, 1]] * 1001, 400, "at most 1000"),
        ([[0]], 400, "each point"),
        ([[0, True]], 400, "each point"),
        ([0, 1], 400, "each point"),
        ([[0, 0]], 400, "has no point 0"),
        ([[0, 10**30]], 400, "has no point"),
        ([[-1, 1]], 400, "no function id -1"),
        ([[0, 1], [10**6, 1]], 400, "no function id 1000000"),
    ],
)
async def test_points_that_are_none(
    client: aiohttp.ClientSession, store: ProgramStore, points: object, status: int, says: str
) -> None:
    program = await store.add(COUNTER)
    found, body = await ask_for(client, program.digest, points)
    assert (found, says in body.decode()) == (status, True), body


async def test_no_continuations_of_what_is_not_prepared(
    client: aiohttp.ClientSession, store: ProgramStore
) -> None:
    program = await store.add(COUNTER)
    assert (await ask_for(client, program.source_digest, [[0, 1]]))[0] == 409
    assert (await ask_for(client, "0" * 64, [[0, 1]]))[0] == 404
    assert (await ask_for(client, "nonsense", [[0, 1]]))[0] == 404


async def test_an_address_in_use(store: ProgramStore) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"127.0.0.1:{port}"):
            async with serve(store, port=port):
                pass


async def test_ipv6(store: ProgramStore) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with serve(store, "::1") as url, aiohttp.request("GET", f"{url}/healthz") as response:
        assert response.status == 200


async def test_mqtt_for_browsers(store: ProgramStore, mosquitto: Broker) -> None:
    topic = unique()
    async with (
        serve(store, broker_url=mosquitto.url) as url,
        Client.connect(url.replace("http", "ws") + "/mqtt", unique()) as client,
        client.messages(topic) as messages,
    ):
        client.publish(topic, b"through the websocket")
        assert (await anext(messages)).payload == b"through the websocket"


@pytest.mark.parametrize("broker_url", [None, "ws://127.0.0.1:9001/mqtt"])
async def test_no_websocket_where_there_is_nothing_to_bridge(
    store: ProgramStore, broker_url: str | None
) -> None:
    async with (
        serve(store, broker_url=broker_url) as url,
        aiohttp.request("GET", f"{url}/mqtt") as response,
    ):
        assert response.status == 404
