"""The REST interfaces of ARTS and SilverLine (section 8 of the contract), over a real server."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import aiohttp
import pytest

from arts.api.http import serve
from arts.api.legacy import LegacyRest
from arts.programs.store import ProgramStore
from arts.settings import ProgramSettings
from tests.protocol.contract import (
    CONTROL,
    MOD,
    MOD2,
    RT,
    RT2,
    arts_module,
    arts_runtime,
    module,
    request,
    silverline_runtime,
)
from tests.support.wire import Wire, in_memory, wire


class Rest:
    """Asks over HTTP."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self.session = session

    async def get(self, path: str, *, method: str = "GET", status: int = 200) -> Any:
        """The JSON at a path; None for an empty body."""
        async with self.session.request(method, path) as response:
            assert response.status == status, await response.text()
            return await response.json() if await response.read() else None


@pytest.fixture
async def realm() -> AsyncIterator[Wire]:
    """A runtime of each kind, with a module; one more waits."""
    async with wire(in_memory()) as connected:
        await arts_runtime(connected)
        await silverline_runtime(connected, RT2, max_nmodules=1)
        py = {"name": "m", "filename": "m.py", "filetype": "PY", "parent": {"uuid": RT}}
        await connected.say(CONTROL, request("create", module(**py)))
        for uuid in (MOD2, "waits"):
            data = module(uuid, name=f"sl-{uuid}", file="s.wasm", parent=RT2)
            await connected.say(CONTROL, request("create", data, "req"))
        yield connected


@pytest.fixture
async def rest(realm: Wire, tmp_path: Path) -> AsyncIterator[Rest]:
    """A server of that realm."""

    def documents() -> Any:
        assert realm.supervisor is not None
        return realm.supervisor.realm.documents()

    store = ProgramStore(tmp_path, ProgramSettings())
    legacy = LegacyRest(documents, "mqtt://broker.example:1884", None)
    async with serve(store, legacy=legacy) as url, aiohttp.ClientSession(url) as session:
        yield Rest(session)


ARTS_RUNTIME = {
    "type": "runtime",
    "uuid": RT,
    "name": "py-runtime",
    "apis": "python:python3",
    "max_nmodules": 100,
    "nmodules": 1,
    "ka_ts": ANY,
    "ka_interval_sec": 60,
    "children": [
        {
            "type": "module",
            "parent": {"uuid": RT},
            "name": "m",
            "uuid": MOD,
            "filename": "m.py",
        }
    ],
}


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_arts(rest: Rest, version: str) -> None:
    base = f"/arts-api/{version}"
    first, second = await rest.get(f"{base}/runtimes/")
    assert first == ARTS_RUNTIME
    assert [child["uuid"] for child in second["children"]] == [MOD2]
    assert await rest.get(f"{base}/runtimes/{RT}/") == ARTS_RUNTIME
    modules = await rest.get(f"{base}/modules/")
    assert modules[0] == arts_module()
    assert [each["uuid"] for each in modules] == [MOD, MOD2]
    assert await rest.get(f"{base}/modules/{MOD}/") == arts_module()


async def test_arts_knows_uuids_only(rest: Rest) -> None:
    for kind, name in (("runtimes", "Runtime"), ("modules", "Module")):
        answer = await rest.get(f"/arts-api/v1/{kind}/py-runtime/", status=404)
        assert answer == {"message": f"{name} with uuid: py-runtime does not exist"}
    assert await rest.get(f"/arts-api/v1/modules/{RT}/", status=404)  # as modctl asks


async def test_arts_config(rest: Rest) -> None:
    config = await rest.get("/arts-api/v1/config/")
    assert config["mqtt_server"] == {"host": "broker.example", "port": 1884, "ws_port": ANY}
    assert config["mqtt_server"]["ws_port"] > 0
    assert config["mqtt_username"] is config["mqtt_password"] is None
    assert {t["name"]: t["topic"] for t in config["subscribe_topics"]} == {
        "reg": "realm/proc/reg",
        "ctl": "realm/proc/control",
        "dbg": "realm/proc/debug",
    }


@pytest.mark.parametrize("path", ["/arts-api/v1/runtimes", "/arts-api/v2/config", "/api/modules"])
async def test_without_the_last_slash(rest: Rest, path: str) -> None:
    async with rest.session.get(path, allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (301, f"{path}/")
    assert await rest.get(path)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_writing_is_refused(rest: Rest, method: str) -> None:
    answer = await rest.get("/arts-api/v1/modules/", method=method, status=403)
    assert answer == {"detail": "Authentication credentials were not provided."}


async def test_silverline_runtimes(rest: Rest) -> None:
    page = await rest.get("/api/runtimes/")
    assert (page["count"], page["start"]) == (2, 0)
    short = {"uuid": MOD2, "name": f"sl-{MOD2}", "parent": RT2}
    waits = {"uuid": "waits", "name": "sl-waits", "parent": RT2}
    files = {"filename": "s.wasm", "file": "s.wasm"}
    assert page["results"][1] == {
        "uuid": RT2,
        "name": "managed",
        "runtime_type": "linux",
        "aot_target": {},
        "children": [short | files],
        "queued": [waits | files],
    }


async def test_silverline_modules(rest: Rest) -> None:
    page = await rest.get("/api/modules/")
    assert page["count"] == 2
    assert page["results"][0] == {
        "uuid": MOD,
        "name": "m",
        "parent": RT,
        "filename": "m.py",
        "file": "m.py",
    }
    assert [each["uuid"] for each in (await rest.get("/api/queued/"))["results"]] == ["waits"]


@pytest.mark.parametrize("which", [RT2, "managed", RT2[-4:]])
async def test_silverline_finds_by_uuid_name_and_end(rest: Rest, which: str) -> None:
    found = await rest.get(f"/api/runtimes/{which}/")
    assert (found["uuid"], found["status"], found["apis"]) == (RT2, "A", ["wasi", "wasm"])
    assert [child["uuid"] for child in found["children"]] == [MOD2]


async def test_silverline_shows_the_dead_too(rest: Rest, realm: Wire) -> None:
    exited = request("exited", module(MOD2), "req")
    await realm.say(f"{CONTROL}/{RT2}", exited)
    found = await rest.get(f"/api/modules/{MOD2}/")
    assert (found["status"], found["file"], found["filename"]) == ("D", "s.wasm", "s.wasm")
    assert (await rest.get("/api/modules/"))["count"] == 2, "the one that waited runs now"
    assert (await rest.get("/api/queued/"))["count"] == 0


async def test_silverline_says_nothing_of_nobody(rest: Rest) -> None:
    assert await rest.get("/api/modules/nobody/", status=404) is None
    assert await rest.get("/api/runtimes/nobody/", status=404) is None


async def test_before_there_is_a_realm(tmp_path: Path) -> None:
    def nobody() -> Any:
        raise IndexError

    legacy = LegacyRest(nobody, "mqtt://127.0.0.1:1883", 9001)
    store = ProgramStore(tmp_path, ProgramSettings())
    async with (
        serve(store, legacy=legacy) as url,
        aiohttp.ClientSession(url) as session,
        session.get("/api/modules/") as response,
    ):
        assert response.status == 503
