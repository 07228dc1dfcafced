"""What the program store keeps, finds, shares and refuses."""

import asyncio
import hashlib
from pathlib import Path

import pytest

from arts.errors import NotFound, ProgramError
from arts.migratable import Options, describe, prepare
from arts.programs import preparing
from arts.programs import store as store_module
from arts.programs.store import ProgramStore
from arts.settings import ProgramSettings
from tests.programs.fake_web import APPS, files_below


async def test_a_program_is_kept_in_its_migratable_form(
    store: ProgramStore, counter: bytes
) -> None:
    program = await store.add(counter)

    prepared = store.read(program.digest)
    assert program.migratable
    assert program.source_digest == hashlib.sha256(counter).hexdigest()
    assert program.digest == hashlib.sha256(prepared).hexdigest()
    assert program.size == len(prepared)
    assert describe(prepared).source_digest == program.source_digest
    assert store.read(program.source_digest) == counter


async def test_a_program_that_cannot_move_is_kept_as_it_is(store: ProgramStore) -> None:
    source = (APPS / "faulty" / "externref.wasm").read_bytes()

    program = await store.add(source)

    assert program.refusal is not None
    assert "externref" in program.refusal
    assert program.digest == program.source_digest
    assert store.read(program.digest) == source


async def test_what_is_not_wasm_is_refused(store: ProgramStore) -> None:
    with pytest.raises(ProgramError, match="not WebAssembly"):
        await store.add(b"#!/bin/sh\n")
    assert list(store.programs()) == []


async def test_too_large_a_program_is_refused(tmp_path: Path, counter: bytes) -> None:
    store = ProgramStore(tmp_path, ProgramSettings(search_path=(APPS,), max_bytes=1000))
    with pytest.raises(ProgramError, match="the limit is 1000"):
        await store.add(counter)
    with pytest.raises(ProgramError, match="the limit is 1000"):
        await store.resolve("counter", None)


async def test_programs_and_names_survive_a_restart(tmp_path: Path, counter: bytes) -> None:
    first = await ProgramStore(tmp_path).add(counter, name="mine")
    again = ProgramStore(tmp_path)
    assert again.by_name("mine") == first
    assert again.known("whatever", first.source_digest) == first
    assert list(again.programs()) == [(first, ["mine"])]


async def test_a_restart_prepares_nothing_again(
    tmp_path: Path, counter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await ProgramStore(tmp_path).add(counter)
    monkeypatch.setattr(preparing, "prepare", None)
    assert await ProgramStore(tmp_path).add(counter) == first


async def test_another_pipeline_prepares_again_and_keeps_the_old_form(
    tmp_path: Path, counter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await ProgramStore(tmp_path).add(counter, name="mine")
    monkeypatch.setattr(store_module, "PIPELINE_VERSION", "another")
    monkeypatch.setattr(preparing, "prepare", lambda *what: prepare(*what) + b"\0\1\0")
    upgraded = ProgramStore(tmp_path)

    assert upgraded.by_name("mine") is None
    assert upgraded.read(old.digest)
    new = await upgraded.add(counter)
    assert new.digest != old.digest
    assert upgraded.by_name("mine") == new


async def test_damaged_notes_are_made_again(tmp_path: Path, counter: bytes) -> None:
    program = await ProgramStore(tmp_path).add(counter, name="mine")
    (tmp_path / "programs" / f"{program.source_digest}.json").write_text('{"digest":')
    (tmp_path / "names.json").write_text("[]")
    store = ProgramStore(tmp_path)
    assert list(store.programs()) == []
    assert await store.add(counter) == program


async def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path, counter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ProgramStore(tmp_path)

    def fail(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        await store.add(counter)
    assert files_below(tmp_path) == []


async def test_the_newest_upload_owns_the_name(store: ProgramStore, counter: bytes) -> None:
    await store.add(counter, name="app.wasm")
    other = await store.add((APPS / "hello" / "hello.wasm").read_bytes(), name="app.wasm")
    assert store.by_name("app") == other


@pytest.mark.parametrize("digest", ["", "0" * 64, "../../etc/passwd", "A" * 64])
async def test_an_unknown_digest_is_not_found(store: ProgramStore, digest: str) -> None:
    with pytest.raises(NotFound):
        store.path(digest)


# ---- resolve


@pytest.mark.parametrize(
    "filename", ["counter", "counter.wasm", "counter/counter.wasm", "counter/counter"]
)
async def test_the_search_path_finds_every_spelling(
    store: ProgramStore, counter: bytes, filename: str
) -> None:
    program = await store.resolve(filename, None)
    assert program.source_digest == hashlib.sha256(counter).hexdigest()
    assert store.known(filename, None) == program


async def test_nested_programs_are_found(store: ProgramStore) -> None:
    nested = await store.resolve("bench/queens", None)
    assert nested != await store.resolve("queens", None)


async def test_nothing_outside_the_search_path_is_found(tmp_path: Path, counter: bytes) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "secret.wasm").write_bytes(counter)
    (inside / "link.wasm").symlink_to(tmp_path / "secret.wasm")
    store = ProgramStore(tmp_path / "store", ProgramSettings(search_path=(inside,)))
    absolute = str(tmp_path / "secret.wasm")
    for filename in ("../secret", "../secret.wasm", "link", absolute, "", "a\0b", "x" * 5000):
        assert store.known(filename, None) is None
        with pytest.raises(ProgramError, match="nobody uploaded it"):
            await store.resolve(filename, None)


async def test_absolute_paths_must_be_allowed(tmp_path: Path, counter: bytes) -> None:
    (tmp_path / "app.wasm").write_bytes(counter)
    store = ProgramStore(tmp_path / "store", ProgramSettings(allow_absolute=True))
    assert (await store.resolve(str(tmp_path / "app.wasm"), None)).migratable
    with pytest.raises(ProgramError):
        await store.resolve(str(tmp_path / "other.wasm"), None)


async def test_a_changed_file_is_a_new_program(tmp_path: Path, counter: bytes) -> None:
    file = tmp_path / "app.wasm"
    file.write_bytes(counter)
    store = ProgramStore(tmp_path / "store", ProgramSettings(search_path=(tmp_path,)))
    first = await store.resolve("app", None)
    file.write_bytes((APPS / "hello" / "hello.wasm").read_bytes())
    assert store.known("app", None) is None
    assert await store.resolve("app", None) != first


async def test_an_uploaded_name_is_resolved(store: ProgramStore, counter: bytes) -> None:
    program = await store.add(counter, name="counter-2.wasm")
    assert await store.resolve("counter-2", None) == program


async def test_the_digest_must_be_right(store: ProgramStore, counter: bytes) -> None:
    program = await store.resolve("counter", hashlib.sha256(counter).hexdigest())
    assert await store.resolve("counter", program.digest) == program
    with pytest.raises(ProgramError, match=f"not {'0' * 64}"):
        await store.resolve("counter", "0" * 64)


async def test_a_known_digest_needs_no_file(store: ProgramStore, counter: bytes) -> None:
    program = await store.add(counter)
    assert await store.resolve("gone.wasm", program.source_digest) == program


async def test_many_who_ask_at_once_share_the_work(
    store: ProgramStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counting(source: bytes, options: Options) -> bytes:
        calls.append(source)
        return prepare(source, options)

    monkeypatch.setattr(preparing, "prepare", counting)
    names = ["counter", "counter.wasm"] * 10
    programs = await asyncio.gather(*(store.resolve(name, None) for name in names))
    assert len(set(programs)) == 1
    assert len(calls) == 1


async def test_who_stops_waiting_does_not_stop_the_others(store: ProgramStore) -> None:
    impatient = asyncio.create_task(store.resolve("counter", None))
    patient = asyncio.create_task(store.resolve("counter", None))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).migratable


async def test_naming_a_program_twice_writes_nothing(
    store: ProgramStore, counter: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await store.add(counter, name="mine")
    monkeypatch.setattr("os.replace", None)
    assert await store.add(counter, name="mine") == first


async def test_a_program_whose_file_is_gone_is_unknown(tmp_path: Path, counter: bytes) -> None:
    program = await ProgramStore(tmp_path).add(counter)
    ProgramStore(tmp_path).path(program.digest).unlink()
    store = ProgramStore(tmp_path)
    assert store.known("", program.source_digest) is None
    assert await store.add(counter) == program
    assert store.read(program.digest)


async def test_the_upload_limit_is_public(store: ProgramStore) -> None:
    assert store.max_bytes == ProgramSettings().max_bytes


async def test_an_invalid_program_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    # A function that returns a global which the module does not have.
    invalid = bytes.fromhex("0061736d010000000105016000017f030201000a060104002300 0b")
    store = ProgramStore(tmp_path)
    with pytest.raises(ProgramError, match=r"not a valid program: .*global"):
        await store.add(invalid)
    await store.close()


async def test_a_file_that_is_gone_is_no_program(tmp_path: Path, counter: bytes) -> None:
    file = tmp_path / "app.wasm"
    file.write_bytes(counter)
    store = ProgramStore(tmp_path / "store", ProgramSettings(search_path=(tmp_path,)))
    program = await store.resolve("app", None)
    file.unlink()
    assert store.known("app", None) is None
    with pytest.raises(ProgramError):
        await store.resolve("app", None)
    assert await store.resolve("app", program.source_digest) == program
