"""Programs from URLs: a download is whole and right, or nothing of it remains."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from arts.errors import ProgramError
from arts.programs.sources import download
from arts.programs.store import ProgramStore
from arts.settings import ProgramSettings
from tests.programs.fake_web import FakeWeb, files_below


async def fetch(url: str, *, max_bytes: int = 1 << 20, timeout: float = 5) -> bytes:
    """A download that loses no time between its three attempts."""
    return await download(url, max_bytes=max_bytes, timeout=timeout, attempts=3, backoff=0.001)


async def test_a_program_from_a_url(store: ProgramStore, fake_web: FakeWeb, counter: bytes) -> None:
    fake_web.serve(counter)
    program = await store.resolve(fake_web.url, None)
    assert store.read(program.source_digest) == counter


async def test_one_download_for_all_who_ask_at_once(
    store: ProgramStore, fake_web: FakeWeb, counter: bytes
) -> None:
    fake_web.serve(counter, delay=0.05)
    programs = await asyncio.gather(*(store.resolve(fake_web.url, None) for _ in range(10)))
    assert len(set(programs)) == 1
    assert fake_web.asked == 1


async def test_a_url_is_asked_again_unless_the_digest_says_what_it_must_be(
    store: ProgramStore, fake_web: FakeWeb, counter: bytes
) -> None:
    fake_web.serve(counter)
    program = await store.resolve(fake_web.url, None)
    assert store.known(fake_web.url, None) is None
    await store.resolve(fake_web.url, program.source_digest)
    assert fake_web.asked == 1


async def test_the_wrong_program_is_refused(
    store: ProgramStore, fake_web: FakeWeb, counter: bytes
) -> None:
    fake_web.serve(counter)
    with pytest.raises(ProgramError, match="has the sha256"):
        await store.resolve(fake_web.url, "0" * 64)


async def test_a_page_that_is_no_program_is_refused(store: ProgramStore, fake_web: FakeWeb) -> None:
    fake_web.serve(b"<!doctype html>")
    with pytest.raises(ProgramError, match="not WebAssembly"):
        await store.resolve(fake_web.url, None)


async def test_not_found_is_final(fake_web: FakeWeb) -> None:
    with pytest.raises(ProgramError, match="HTTP 404"):
        await fetch(fake_web.url)
    assert fake_web.asked == 1


async def test_a_server_error_is_tried_again(fake_web: FakeWeb) -> None:
    async def recovering(_: web.Request) -> web.StreamResponse:
        if fake_web.asked < 3:
            raise web.HTTPServiceUnavailable
        return web.Response(body=b"data")

    fake_web.answer = recovering
    assert await fetch(fake_web.url) == b"data"
    assert fake_web.asked == 3


async def test_a_broken_download_is_tried_again_and_leaves_nothing(
    tmp_path: Path, fake_web: FakeWeb, counter: bytes
) -> None:
    async def breaking(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(counter))})
        await response.prepare(request)
        await response.write(counter[:1000])
        assert request.transport is not None
        request.transport.abort()
        return response

    fake_web.answer = breaking
    store = ProgramStore(tmp_path, ProgramSettings(fetch_attempts=2))
    with pytest.raises(ProgramError, match="cannot be downloaded"):
        await store.resolve(fake_web.url, None)
    assert fake_web.asked == 2
    assert files_below(tmp_path) == []


async def test_a_slow_server_is_given_up(fake_web: FakeWeb) -> None:
    fake_web.serve(b"late", delay=30)
    with pytest.raises(ProgramError, match="no end after"):
        await fetch(fake_web.url, timeout=0.05)
    assert fake_web.asked == 3


async def test_an_endless_download_is_cut_off(fake_web: FakeWeb) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        async def blocks() -> AsyncIterator[bytes]:
            while True:
                yield bytes(4096)

        return web.Response(body=blocks())

    fake_web.answer = endless
    with pytest.raises(ProgramError, match="larger than 10000 bytes"):
        await fetch(fake_web.url, max_bytes=10_000)
    assert fake_web.asked == 1


@pytest.mark.parametrize("url", ["http://", "http://[::1"])
async def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ProgramError, match="cannot be downloaded"):
        await fetch(url)


async def test_nobody_listens(unused_tcp_port: int) -> None:
    with pytest.raises(ProgramError, match="cannot be downloaded"):
        await fetch(f"http://127.0.0.1:{unused_tcp_port}/x.wasm")


async def test_close_stops_a_download(store: ProgramStore, fake_web: FakeWeb) -> None:
    fake_web.serve(b"late", delay=30)
    waiting = asyncio.create_task(store.resolve(fake_web.url, None))
    await fake_web.was_asked.wait()
    await store.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
