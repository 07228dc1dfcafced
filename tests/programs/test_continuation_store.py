"""Continuations are made once, kept within bounds, and made again when a file is lost."""

import asyncio
from pathlib import Path

import pytest
import wasmtime

from arts.errors import FailedPrecondition, InvalidRequest, NotFound
from arts.migratable import Continuations, ResumePoint, prepare
from arts.programs.continuations import ContinuationStore
from tests.programs.fake_web import APPS

POINTS = (ResumePoint(0, 1), ResumePoint(1, 1))


class Shelf:
    """Programs by digest, and how often one was read."""

    def __init__(self) -> None:
        self.programs: dict[str, bytes] = {}
        self.reads: list[str] = []

    def read(self, digest: str) -> bytes:
        self.reads.append(digest)
        if digest not in self.programs:
            raise NotFound(f"no program {digest}")
        return self.programs[digest]


@pytest.fixture(scope="module")
def prepared() -> bytes:
    """A prepared program."""
    return prepare((APPS / "counter" / "counter.wasm").read_bytes())


@pytest.fixture
def shelf(prepared: bytes) -> Shelf:
    """Six names for one program, and one that is not prepared."""
    shelf = Shelf()
    shelf.programs = {name: prepared for name in "abcdef"} | {"plain": b"\0asm\1\0\0\0"}
    return shelf


def opened(directory: Path, shelf: Shelf, max_bytes: int = 1 << 20) -> ContinuationStore:
    """A store of what continues the programs on the shelf."""
    return ContinuationStore(directory / "kept", max_bytes, shelf.read)


async def test_what_is_made_continues_the_program(
    tmp_path: Path, shelf: Shelf, prepared: bytes
) -> None:
    module = await opened(tmp_path, shelf).module("a", POINTS)
    assert module == Continuations(prepared).module(POINTS)
    config = wasmtime.Config()
    config.wasm_threads = config.wasm_multi_memory = config.wasm_exceptions = True
    exports = [e.name for e in wasmtime.Module(wasmtime.Engine(config), module).exports]
    assert exports == ["c0", "c1"]


async def test_made_once_for_all_who_ask(tmp_path: Path, shelf: Shelf) -> None:
    store = opened(tmp_path, shelf)
    assert len(set(await asyncio.gather(*(store.module("a", POINTS) for _ in range(5))))) == 1
    assert shelf.reads == ["a"]
    again = opened(tmp_path, shelf)  # after a restart
    await again.module("a", POINTS)
    assert shelf.reads == ["a"]
    await again.module("a", POINTS[::-1])
    await again.module("a", POINTS[:1])
    assert shelf.reads == ["a", "a"], "a parsed program is kept at hand"
    await store.close()


async def test_only_so_many_programs_are_at_hand(tmp_path: Path, shelf: Shelf) -> None:
    store = opened(tmp_path, shelf)
    for name in "abcdeab":
        await store.module(name, [ResumePoint(0, 1 + len(shelf.reads) % 2)])
    assert shelf.reads == list("abcdeab"), "the least recently used goes"


async def test_so_many_bytes_are_kept(tmp_path: Path, shelf: Shelf) -> None:
    size = len(await opened(tmp_path / "other", shelf).module("a", POINTS))
    store = opened(tmp_path, shelf, 2 * size)
    for name in "abc":
        await store.module(name, POINTS)
    kept = list((tmp_path / "kept").iterdir())
    assert [path.stat().st_size for path in kept] == [size, size]
    shelf.reads.clear()
    await opened(tmp_path, shelf).module("c", POINTS)
    assert shelf.reads == []


async def test_a_disk_that_fails_loses_nothing(
    tmp_path: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)
    assert await opened(tmp_path, shelf).module("a", POINTS)
    assert list((tmp_path / "kept").iterdir()) == []


async def test_what_cannot_be_made_is_said(tmp_path: Path, shelf: Shelf) -> None:
    store = opened(tmp_path, shelf)
    with pytest.raises(NotFound):
        await store.module("z", POINTS)
    with pytest.raises(FailedPrecondition, match="not prepared"):
        await store.module("plain", POINTS)
    with pytest.raises(InvalidRequest, match="no function id 9999"):
        await store.module("a", [ResumePoint(9999, 1)])
    assert await store.module("a", POINTS), "and the store lives on"
