"""A module as a file: out of one realm, into another with a broker of its own, and bad files."""

import json
import uuid
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.realm_process import realm_process, until
from tests.support.broker import unique

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """``arts`` in another realm with another broker."""
    directory = tmp_path_factory.mktemp("elsewhere")
    with realm_process(directory, "--runtimes", "1", "--realm", "elsewhere") as realm:
        realm.wait_until_up()
        yield Cli({"ARTS_DATA_DIR": str(realm.data_dir)})


@pytest.fixture
def counter(arts: Cli) -> Iterator[str]:
    """The uuid of a counter with a label and an environment, far enough to tell from a new one."""
    words = ("run", "counter", "20", "--name", unique("counter"), "-e", "A=b", "--json")
    key: str = json.loads(arts.ok(*words))["uuid"]
    numbers(arts, key, 1.5)
    yield key
    arts("rm", "--force", key)


@pytest.fixture
def exported(arts: Cli, counter: str, tmp_path: Path) -> Path:
    """A copy of the counter as a file."""
    file = tmp_path / "counter.arts"
    arts.ok("export", counter, str(file))
    return file


def numbers(arts: Cli, key: str, seconds: float = 1.0) -> list[int]:
    """What a counter writes in a while."""
    lines = arts.ok("logs", key, "--for", str(seconds)).splitlines()
    return [int(line.split()[-1]) for line in lines if "count " in line]


def modules(arts: Cli) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(arts.ok("ps", "--json"))["modules"]
    return found


def changed(file: Path, part: str, data: bytes | None) -> Path:
    """The file with a part replaced, or (None) without it."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts.pop(part)
    if data is not None:
        parts[part] = data
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


def altered(file: Path, **fields: object) -> Path:
    """The file with other fields in its manifest."""
    with zipfile.ZipFile(file) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    return changed(file, "manifest.json", json.dumps(manifest | fields).encode())


def test_a_module_moves_to_another_realm(
    arts: Cli, elsewhere: Cli, counter: str, tmp_path: Path
) -> None:
    file = tmp_path / "counter.arts"
    before = numbers(arts, counter)[-1]
    told = json.loads(arts.ok("export", counter, str(file), "--stop", "--json"))
    assert (told["uuid"], told["stopped"]) == (counter, True)
    assert counter not in {m["uuid"] for m in modules(arts)}
    module = json.loads(elsewhere.ok("import", str(file), "--json"))
    try:
        assert (module["uuid"], module["generation"], module["env"]) == (counter, 2, ["A=b"])
        assert module["restored_from"]["number"] == 1
        after = numbers(elsewhere, counter)
        assert after == list(range(after[0], after[0] + len(after)))
        assert before < after[0] < before + 400
        again = elsewhere("import", str(file))
        assert again.exit_code == 4
        assert "exists already and is running" in again.stderr
    finally:
        elsewhere.ok("rm", "--force", counter)
    back = json.loads(arts.ok("import", str(file), "--json"))  # a copy is still in the file
    assert back["state"] == "running"


def test_a_copy_beside_the_original(arts: Cli, counter: str, exported: Path) -> None:
    module = json.loads(arts.ok("import", str(exported), "--copy", "--name", "twin", "--json"))
    assert module["uuid"] != counter
    assert module["name"] == "twin"
    assert numbers(arts, module["uuid"])[0] > 20
    assert numbers(arts, counter)
    arts.ok("rm", "--force", module["uuid"])


def test_much_memory_travels_too(arts: Cli, tmp_path: Path) -> None:
    """72 MiB that do not compress, each block of which is checked before it is written anew."""
    kib, rate = 73728, 40_000
    run = ("run", "dirty", str(kib), str(rate), "--name", unique("dirty"), "--json")
    key: str = json.loads(arts.ok(*run))["uuid"]
    file, before = tmp_path / "dirty.arts", ticks(arts, key, 0)[-1]
    try:
        told = json.loads(arts.ok("export", key, str(file), "--json"))
        assert told["bytes"] == file.stat().st_size > kib * 1024
        copy = json.loads(arts.ok("import", str(file), "--copy", "--json"))["uuid"]
        try:
            checked = ticks(arts, copy, 100 * kib // rate + 1)  # all that it brought, and one more
            assert before < checked[0]
            assert {m["uuid"]: m["state"] for m in modules(arts)}[copy] == "running"
        finally:
            arts.ok("rm", "--force", copy)
    finally:
        arts.ok("rm", "--force", key)


def ticks(arts: Cli, key: str, more: int) -> list[int]:
    """What a dirty module says, until it has said so many more than its first; at least that."""
    seen: list[int] = []

    def enough() -> bool:
        lines = arts.ok("logs", key, "--for", "0.5").splitlines()
        seen.extend(int(line.split()[-1]) for line in lines if "tick " in line)
        return bool(seen) and seen[-1] >= seen[0] + more

    until(enough, f"{more} ticks")
    return seen


def test_the_same_checkpoint_gives_the_same_file(arts: Cli, counter: str, tmp_path: Path) -> None:
    arts.ok("checkpoint", counter)
    first, second = tmp_path / "1", tmp_path / "2"
    for file in (first, second):
        arts.ok("export", counter, str(file), "--at", "1")
    assert first.read_bytes() == second.read_bytes()
    missing = arts("export", counter, str(tmp_path / "3"), "--at", "99")
    assert missing.exit_code == 3
    assert "no checkpoint 99" in missing.stderr
    assert not (tmp_path / "3").exists()


def test_a_file_that_cannot_be_written_stops_nothing(
    arts: Cli, counter: str, exported: Path, tmp_path: Path
) -> None:
    before = exported.read_bytes()
    assert arts("export", counter, str(exported)).exit_code == 4
    assert exported.read_bytes() == before
    result = arts("export", counter, str(tmp_path / "nowhere" / "x"), "--stop")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr
    after = numbers(arts, counter)
    assert after == list(range(after[0], after[0] + len(after)))
    assert len(after) > 5, "it goes on at once"


@pytest.mark.parametrize(
    ("break_", "status", "words"),
    [
        (lambda f: f.with_name("missing"), 3, "cannot read"),
        (lambda f: f.write_bytes(b"nonsense") and f, 2, "no exported module"),
        (lambda f: f.write_bytes(f.read_bytes()[:-30]) and f, 2, "no exported module"),
        (lambda f: changed(f, "manifest.json", None), 2, "it has no manifest.json"),
        (lambda f: changed(f, "manifest.json", b"[]"), 2, "its manifest is none"),
        (lambda f: changed(f, "snapshot", None), 1, "it has no snapshot"),
        (lambda f: changed(f, "snapshot", b"x"), 1, "is not what its manifest says"),
        (lambda f: changed(f, "program.wasm", b"x"), 1, "is not what its manifest says"),
        (lambda f: altered(f, format="other"), 2, "no exported module, but 'other'"),
        (lambda f: altered(f, version=9), 2, "has version 9; here is version 1"),
        (lambda f: altered(f, parts={}), 1, "says nothing of program.wasm"),
        (lambda f: altered(f, generation="x"), 1, "manifest is malformed"),
        (lambda f: altered(f, pipeline=1), 1, "prepared by pipeline 1"),
        (lambda f: altered(f, abilities=["multi-memory"]), 1, "prepares the program otherwise"),
        (lambda f: altered(f, module={"uuid": "a/b"}), 2, "makes no sense"),
    ],
)
def test_bad_files(elsewhere: Cli, exported: Path, break_: Any, status: int, words: str) -> None:
    result = elsewhere("import", str(break_(exported)))
    assert (result.exit_code, result.exception.__class__) == (status, SystemExit), result.output
    assert words in " ".join(result.stderr.split())
    assert modules(elsewhere) == []


def test_damage_in_the_middle(elsewhere: Cli, exported: Path) -> None:
    data = bytearray(exported.read_bytes())
    data[len(data) // 2] ^= 0xFF
    exported.write_bytes(data)
    result = elsewhere("import", str(exported))
    assert result.exit_code == 1
    assert "damaged" in result.stderr
    assert modules(elsewhere) == []


def test_a_state_that_does_not_fit_leaves_nothing(elsewhere: Cli, exported: Path) -> None:
    import hashlib

    snapshot = b"of something else"
    changed(exported, "snapshot", snapshot)
    with zipfile.ZipFile(exported) as archive:
        parts = json.loads(archive.read("manifest.json"))["parts"]
    parts["snapshot"] = {"sha256": hashlib.sha256(snapshot).hexdigest(), "bytes": len(snapshot)}
    key = str(uuid.uuid4())
    altered(exported, parts=parts)
    result = elsewhere("import", str(exported))
    assert result.exit_code == 1, key
    assert "could not go on here" in result.stderr
    assert modules(elsewhere) == []
