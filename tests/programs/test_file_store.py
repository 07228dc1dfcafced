"""Programs from ARENA's file store: one file, or the folder around it; and tricks of pages."""

import asyncio
import io
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from arts.errors import ProgramError
from arts.migratable import Refused
from arts.programs.filestore import Bounds, fetch_folder, links
from arts.programs.folders import NOT_MOVABLE, is_packed, pack
from arts.programs.store import ProgramStore
from tests.programs.fake_web import files_below

FOLDER = "https://arena.example/store/users/jane/app/"


class FileStore:
    """A file store with directory index pages, as nginx shows them; ``pages`` and ``files`` by
    path."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.pages: dict[str, str] = {}
        self.moved: dict[str, str] = {}
        self.asked: list[str] = []
        self.url = ""

    def at(self, path: str) -> str:
        return f"{self.url}/store/users/{path}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.rel_url.raw_path.removeprefix("/store/users/")
        self.asked.append(path)
        if path in self.moved:
            raise web.HTTPFound(self.moved[path])
        if path.endswith("/"):
            page = self.pages.get(path) or self._index(path)
            return web.Response(text=page, content_type="text/html")
        if path not in self.files:
            raise web.HTTPNotFound
        return web.Response(body=self.files[path])

    def _index(self, folder: str) -> str:
        inside = {name.removeprefix(folder) for name in self.files if name.startswith(folder)}
        if not inside:
            raise web.HTTPNotFound
        names = sorted({name.split("/")[0] + "/" * ("/" in name) for name in inside})
        return listing("../", *names)


def listing(*hrefs: str) -> str:
    """A page of nginx."""
    lines = "".join(f'<a href="{href}">{href}</a>  24-Nov-2026 10:00  17\n' for href in hrefs)
    return f"<html><head><title>Index</title></head><body><h1>Index</h1><pre>{lines}</pre></html>"


@pytest.fixture
async def file_store() -> AsyncIterator[FileStore]:
    """One with Jane's application in it."""
    fake = FileStore()
    app = web.Application()
    app.router.add_get("/store/users/{path:.*}", fake.handle)
    async with TestServer(app) as server:
        fake.url = str(server.make_url("")).rstrip("/")
        fake.files = {
            "jane/app/main.py": b"import lib.words\nprint(lib.words.HELLO)\n",
            "jane/app/requirements.txt": b"",
            "jane/app/lib/__init__.py": b"",
            "jane/app/lib/words.py": b'HELLO = "hello"\n',
            "jane/app/lib/my%20notes.txt": b"x",
            "jane/secret.py": b"",
        }
        yield fake


BOUNDS = Bounds(max_bytes=100_000, timeout=5, attempts=1, max_files=20, max_depth=4)

JANES = {
    "main.py",
    "requirements.txt",
    "lib/__init__.py",
    "lib/words.py",
    "lib/my notes.txt",
}


# ---------------------------------------------------------------------------- what works


async def test_the_whole_folder_of_a_python_program(file_store: FileStore) -> None:
    files = await fetch_folder(file_store.at("jane/app/main.py"), BOUNDS)
    assert files.keys() == JANES
    assert files["lib/words.py"] == b'HELLO = "hello"\n'
    assert not any("secret" in path for path in file_store.asked)


async def test_the_program_store_keeps_it_as_one(
    store: ProgramStore, file_store: FileStore, tmp_path: Path
) -> None:
    url = file_store.at("jane/app/main.py")
    program = await store.resolve(url, None)
    assert program.refusal == str(Refused(NOT_MOVABLE))
    assert await store.resolve(url, None) == program
    packed = store.read(program.digest)
    assert set(zipfile.ZipFile(io.BytesIO(packed)).namelist()) == JANES
    archive = tmp_path / "app.zip"
    archive.write_bytes(packed)
    run = [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); import main"]
    said = await asyncio.to_thread(subprocess.check_output, [*run, str(archive)], text=True)
    assert said == "hello\n"


async def test_a_changed_file_is_a_changed_program(
    store: ProgramStore, file_store: FileStore
) -> None:
    url = file_store.at("jane/app/main.py")
    first = await store.resolve(url, None)
    file_store.files["jane/app/lib/words.py"] = b'HELLO = "hi"\n'
    second = await store.resolve(url, None)
    assert second.digest != first.digest
    assert await store.resolve(url, first.digest) == first
    with pytest.raises(ProgramError, match="has the sha256"):
        await store.resolve(url, "0" * 64)


async def test_a_wasm_program_is_one_file(
    store: ProgramStore, file_store: FileStore, counter: bytes
) -> None:
    file_store.files["jane/wasm/counter.wasm"] = counter
    file_store.files["jane/wasm/another.wasm"] = b""
    program = await store.resolve(file_store.at("jane/wasm/counter.wasm"), None)
    assert store.read(program.source_digest) == counter
    assert file_store.asked == ["jane/wasm/counter.wasm"]


def test_the_same_files_are_the_same_bytes() -> None:
    assert pack({"a": b"1", "b": b"2"}) == pack({"b": b"2", "a": b"1"})
    assert is_packed(pack({}))


async def test_other_archives_are_no_programs(store: ProgramStore) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("main.py", b"")
    with pytest.raises(ProgramError, match="not WebAssembly"):
        await store.add(buffer.getvalue())


@pytest.mark.parametrize(
    ("hrefs", "found"),
    [
        (["../", "main.py", "lib/"], ["main.py", "lib/"]),
        (["?C=N;O=D", "?C=M;O=A", "/store/users/jane/", "main.py"], ["main.py"]),
        (["/", "./", ".", "#", "main.py"], ["main.py"]),
        (["/store/users/jane/app/main.py"], ["main.py"]),
        (["main.py", "main.py", "./main.py"], ["main.py"]),
        (["my%20notes.txt", "%C3%A4.py"], ["my%20notes.txt", "%C3%A4.py"]),
        ([], []),
    ],
)
def test_pages_of_all_kinds_of_servers(hrefs: list[str], found: list[str]) -> None:
    assert links(FOLDER, listing(*hrefs).encode()) == found


# ---------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "href",
    [
        "../secret.py",
        "../../john/app/main.py",
        "/etc/passwd",
        "/store/users/john/",
        "lib/words.py",
        "https://elsewhere.example/main.py",
        "//elsewhere.example/store/users/jane/app/main.py",
        "http://arena.example/store/users/jane/app/main.py",
        "https://arena.example:8443/store/users/jane/app/main.py",
        "%2e%2e/",
        "%2e%2e%2fsecret.py",
        "..%2fsecret.py",
        "..%5csecret.py",
        "a%00b.py",
        "a%0ab.py",
        "x" * 300,
        "main.py?x=1",
        "main.py#x",
        "javascript:alert(1)",
        "mailto:jane@arena.example",
        "http://[::1",
    ],
)
def test_a_link_to_anywhere_else_is_refused(href: str) -> None:
    with pytest.raises(ProgramError, match=r"https://arena.example/store/users/jane/app/ links to"):
        links(FOLDER, listing("main.py", href).encode())


def test_a_file_cannot_be_a_folder() -> None:
    with pytest.raises(ProgramError, match=r"lists lib as a file and as a folder"):
        links(FOLDER, listing("lib", "lib/").encode())


@pytest.mark.parametrize("page", [b"", b'{"files": []}', b"\xff\xfe\x00"])
def test_a_page_that_is_none(page: bytes) -> None:
    with pytest.raises(ProgramError, match="shows no list of files"):
        links(FOLDER, page)


async def test_a_page_without_the_program(file_store: FileStore) -> None:
    file_store.pages["jane/app/"] = "<html>It works!</html>"
    with pytest.raises(ProgramError, match=r"jane/app/ has no main\.py"):
        await fetch_folder(file_store.at("jane/app/main.py"), BOUNDS)


async def test_no_such_folder(file_store: FileStore) -> None:
    with pytest.raises(ProgramError, match=r"john/app/ cannot be downloaded: HTTP 404"):
        await fetch_folder(file_store.at("john/app/main.py"), BOUNDS)


async def test_a_file_that_is_listed_but_not_there(file_store: FileStore) -> None:
    file_store.pages["jane/app/"] = listing("main.py", "gone.py")
    with pytest.raises(ProgramError, match=r"gone\.py cannot be downloaded: HTTP 404"):
        await fetch_folder(file_store.at("jane/app/main.py"), BOUNDS)


async def test_folders_in_a_circle(file_store: FileStore) -> None:
    """A store that shows the same page everywhere, as a link to a parent on its disk makes it."""
    for depth in range(10):
        file_store.pages["jane/app/" + "loop/" * depth] = listing("main.py", "loop/")
        file_store.files["jane/app/" + "loop/" * depth + "main.py"] = b""
    with pytest.raises(ProgramError, match="is deeper than 4 folders: loop/loop/loop/loop/"):
        await fetch_folder(file_store.at("jane/app/main.py"), BOUNDS)
    assert len(file_store.asked) < 20


async def test_too_many_files(file_store: FileStore) -> None:
    file_store.pages["jane/app/"] = listing(*(f"{number}.py" for number in range(100_000 // 100)))
    with pytest.raises(ProgramError, match="has more than 20 files"):
        await fetch_folder(file_store.at("jane/app/main.py"), BOUNDS)


async def test_too_many_bytes(file_store: FileStore) -> None:
    for number in range(3):
        file_store.files[f"jane/app/{number}.bin"] = bytes(40_000)
    with pytest.raises(ProgramError, match="jane/app/ is larger than 100000 bytes"):
        await fetch_folder(file_store.at("jane/app/main.py"), BOUNDS)
    file_store.files["jane/app/0.bin"] = bytes(200_000)
    with pytest.raises(ProgramError, match="is larger than 100000 bytes"):
        await fetch_folder(file_store.at("jane/app/main.py"), BOUNDS)


async def test_a_page_without_end(file_store: FileStore) -> None:
    file_store.pages["jane/app/"] = listing() + "<br>" * 300_000
    with pytest.raises(ProgramError, match="is larger than 1048576 bytes"):
        await fetch_folder(file_store.at("jane/app/main.py"), BOUNDS)


@pytest.mark.parametrize("path", ["jane/app/", "jane/app/lib/", "jane/app/main.py"])
@pytest.mark.parametrize("to", ["https://elsewhere.example/", "/store/users/jane/secret.py"])
async def test_whoever_is_sent_elsewhere_does_not_go(
    file_store: FileStore, path: str, to: str
) -> None:
    file_store.moved[path] = to
    with pytest.raises(ProgramError, match=f"leads to {to}"):
        await fetch_folder(file_store.at("jane/app/main.py"), BOUNDS)
    assert "jane/secret.py" not in file_store.asked


async def test_neither_does_who_wants_one_file(
    store: ProgramStore, file_store: FileStore, tmp_path: Path
) -> None:
    file_store.moved["jane/counter.wasm"] = "https://elsewhere.example/counter.wasm"
    with pytest.raises(ProgramError, match=r"leads to https://elsewhere\.example"):
        await store.resolve(file_store.at("jane/counter.wasm"), None)
    assert files_below(tmp_path) == []


async def test_a_store_that_does_not_answer() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(30)
        raise web.HTTPNotFound

    app = web.Application()
    app.router.add_get("/{path:.*}", silent)
    async with TestServer(app) as server:
        url = str(server.make_url("/store/users/jane/app/main.py"))
        with pytest.raises(ProgramError, match="no end after"):
            await fetch_folder(url, replace(BOUNDS, timeout=0.05))


async def test_a_store_that_answers_too_slowly(file_store: FileStore) -> None:
    patient = replace(BOUNDS, timeout=0.2, max_files=500)
    for number in range(100):
        file_store.files[f"jane/app/{number}.py"] = b""
    prompt = file_store.handle

    async def slow(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.1)
        return await prompt(request)

    app = web.Application()
    app.router.add_get("/{path:.*}", slow)
    async with TestServer(app) as server:
        url = str(server.make_url("/store/users/jane/app/main.py"))
        with pytest.raises(ProgramError, match="is not here after 2 s"):
            await fetch_folder(url, patient)
