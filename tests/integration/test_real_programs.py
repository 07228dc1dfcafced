"""Programs that misbehave, programs from elsewhere, programs that are none."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from wasmtime import wat2wasm

from arts.client import Client
from arts.errors import ArtsError, FailedPrecondition, ProgramError
from tests.support.broker import unique
from tests.support.realm import APPS, PATIENCE, counted, is_consecutive, module

pytestmark = pytest.mark.asyncio(loop_scope="session")

ENDED = ("exited", "failed")
MEBIBYTE = 1 << 20

STUCK_WITH_A_REFERENCE = """
(module
  (import "wasi_snapshot_preview1" "fd_read"
    (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00\\40\\00\\00\\00")
  (table $kept 1 externref)
  (func (export "_start") (local $reference externref)
    (local.set $reference (table.get $kept (i32.const 0)))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (ref.is_null (local.get $reference)))))
"""
"""Waits for a line of input while it holds a reference, which cannot be written down."""


# ---------------------------------------------------------------------------- how programs end


@pytest.mark.parametrize("code", [0, 3])
async def test_an_exit_is_told_with_its_code(client: Client, code: int) -> None:
    async with module(client, "hello", "--exit", code, until=("exited",)) as hello:
        assert hello.document["exit_code"] == code
        assert hello.lines == ["hello", "arg 0: hello", "arg 1: --exit", f"arg 2: {code}"]


async def test_a_computation_exits_by_itself(client: Client) -> None:
    async with module(client, "bench/sort", until=ENDED) as sort:
        assert (sort.document["state"], sort.document["exit_code"]) == ("exited", 0)
        assert sort.lines


async def test_a_trap_is_told_with_its_reason(client: Client) -> None:
    async with module(client, "faulty/trap", until=ENDED) as trap:
        assert trap.document["state"] == "failed"
        assert "unreachable" in trap.document["detail"]
        assert trap.lines == ["about to trap"]


async def test_memory_has_a_limit(client: Client) -> None:
    limits = {"memory_bytes": 32 * MEBIBYTE}
    async with module(client, "faulty/hog", until=ENDED, limits=limits) as hog:
        assert (hog.document["state"], hog.document["exit_code"]) == ("exited", 1)
        megabytes = int(hog.lines[-1].split()[3])
        assert 1 <= megabytes <= 32


async def test_a_life_has_a_limit(client: Client) -> None:
    async with module(client, "faulty/spin", until=ENDED, limits={"wall_seconds": 0.5}) as spin:
        assert spin.document["state"] == "failed"
        assert "0.5 s" in spin.document["detail"]


async def test_a_module_may_end_well(client: Client) -> None:
    async with module(client, "faulty/signals") as signals:
        await client.delete(signals.uuid)
        await signals.output.until(lambda lines: lines == ["bye"])


# ---------------------------------------------------------------------------- bad neighbours


@pytest.mark.parametrize(
    "program", ["faulty/spin", pytest.param("faulty/flood", marks=pytest.mark.slow)]
)
async def test_a_bad_neighbour_starves_nobody(client: Client, program: str) -> None:
    """More of them than workers; what shares their runtimes goes on, and moves, and so do they."""
    async with (
        module(client, "counter", 20) as counter,
        module(client, program) as first,
        module(client, program) as second,
        module(client, program) as third,
    ):
        await counter.output.more(5)
        await client.move(counter.uuid)
        await client.move(first.uuid)
        await counter.output.more(5)
        assert is_consecutive(counted(counter.lines))
        for neighbour in (first, second, third):
            await client.delete(neighbour.uuid)


async def test_a_flood_loses_nothing_on_the_move(client: Client) -> None:
    limits = {"output_bytes_per_second": 20_000}
    async with module(client, "faulty/flood", limits=limits) as flood:
        for _ in range(3):
            await flood.output.more(500)
            await client.move(flood.uuid)
        await flood.output.more(500)
        assert is_consecutive([int(line.removeprefix("flood ")) for line in flood.lines])


# ---------------------------------------------------------------------------- what cannot move


@pytest.mark.parametrize(
    ("name", "lines", "movable"),
    [
        ("startsection", ["started", "main"], True),
        ("tables", ["old", "new"], True),
        ("externref", ["main"], False),
    ],
)
async def test_what_is_unusual_runs_whether_it_can_be_moved_or_not(
    client: Client, name: str, lines: list[str], movable: bool
) -> None:
    async with module(client, f"faulty/{name}", until=ENDED) as faulty:
        assert faulty.document["state"] == "exited", faulty.document["detail"]
        assert faulty.lines == lines
        assert (faulty.document["program"]["refusal"] is None) is movable


async def test_its_move_is_refused_with_the_reason(client: Client) -> None:
    name = unique("stuck")
    uploaded = await client.upload(bytes(wat2wasm(STUCK_WITH_A_REFERENCE)), name=name)
    assert not uploaded["migratable"]
    async with module(client, name) as stuck:
        with pytest.raises(FailedPrecondition, match=r"cannot be moved: .*reference"):
            await client.move(stuck.uuid)
        client.write_stdin(stuck.uuid, b"go on")
        assert (await stuck.reaches("exited"))["exit_code"] == 0


# ---------------------------------------------------------------------------- what is no program


async def refused(client: Client, filename: str, **fields: Any) -> str:
    """What the supervisor says to a create that it refuses."""
    with pytest.raises(ArtsError) as caught:
        await client.create(filename, **fields)
    return str(caught.value)


async def test_a_program_that_nobody_has(client: Client) -> None:
    assert "no program 'nowhere'" in await refused(client, "nowhere")


async def test_a_program_outside_the_search_path(client: Client) -> None:
    for path in ("../pyproject.toml", "/etc/passwd", "counter/../../README.md"):
        assert f"no program '{path}'" in await refused(client, path)


async def test_a_file_that_is_not_wasm(client: Client) -> None:
    assert "not WebAssembly" in await refused(client, "faulty/notwasm")


async def test_a_digest_that_is_wrong(client: Client) -> None:
    wrong = "0" * 64
    actual = hashlib.sha256((APPS / "counter" / "counter.wasm").read_bytes()).hexdigest()
    said = await refused(client, "counter", program=wrong)
    assert f"has the sha256 {actual}, not {wrong}" in said


async def test_an_import_that_nobody_has(client: Client) -> None:
    async with module(client, "faulty/badimport", until=ENDED) as badimport:
        assert badimport.document["state"] == "failed"
        assert "env.nope" in badimport.document["detail"]


# ---------------------------------------------------------------------------- from elsewhere


async def test_an_upload_is_a_program_by_name_and_by_digest(client: Client) -> None:
    name = unique("mine")
    data = (APPS / "hello" / "hello.wasm").read_bytes()
    uploaded = await client.upload(data, name=name)
    assert uploaded["source_digest"] == hashlib.sha256(data).hexdigest()
    async with module(client, name, until=ENDED) as by_name:
        assert by_name.lines[0] == "hello"
    digest = uploaded["source_digest"]
    document = await client.create(unique("nowhere"), program=digest)
    assert document["program"]["source_digest"] == digest
    await client.wait_state(document["uuid"], ENDED)


async def test_an_upload_that_is_no_program(client: Client) -> None:
    with pytest.raises(ProgramError, match="not WebAssembly"):
        await client.upload(b"hello", name=unique("bad"))


@pytest_asyncio.fixture(loop_scope="session")
async def website() -> AsyncIterator[str]:
    """Serves the example programs, and at ``/endless`` never comes to an end."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"\0asm")
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_get("/endless", endless)
    app.router.add_static("/apps", APPS)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


async def test_a_program_from_a_website(client: Client, website: str) -> None:
    async with module(client, f"{website}/apps/counter/counter.wasm", 5) as counter:
        await client.move(counter.uuid)
        await counter.output.more(3)
        assert is_consecutive(counted(counter.lines))


async def test_a_website_without_the_program(client: Client, website: str) -> None:
    said = await refused(client, f"{website}/apps/nothing.wasm")
    assert "cannot be downloaded: HTTP 404" in said


async def test_a_website_that_is_not_what_it_was(client: Client, website: str) -> None:
    url = f"{website}/apps/hello/hello.wasm"
    assert "has the sha256" in await refused(client, url, program="0" * 64)


@pytest.mark.slow
async def test_a_website_that_hangs_delays_nobody_else(client: Client, website: str) -> None:
    hanging = asyncio.create_task(refused(client, f"{website}/endless", timeout=PATIENCE))
    async with module(client, "hello", until=("exited",)):
        assert not hanging.done()
    assert "no end after 2 s" in await hanging
