"""What only a store on disk can get wrong: crashes, damage, company."""

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from arts.errors import StoreError
from arts.store.base import Row
from arts.store.sqlite import SCHEMA_VERSION, SqliteStore

COMMIT_FOR_EVER = """
import sys
from pathlib import Path
from arts.store.base import Row
from arts.store.sqlite import SqliteStore

store, number = SqliteStore(Path(sys.argv[1]), synchronous=sys.argv[2]), 0
while True:
    store.commit([Row("a", str(number), bytes(900)), Row("b", str(number), bytes(900))])
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("synchronous", ["normal", "full"])
def test_killed_in_the_middle_it_keeps_all_that_it_reported(
    tmp_path: Path, synchronous: str
) -> None:
    path = tmp_path / "db"
    for reported in (1, 20, 150):
        path.unlink(missing_ok=True)
        child = subprocess.Popen(
            [sys.executable, "-c", COMMIT_FOR_EVER, str(path), synchronous],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        for _ in range(reported):
            last = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        child.communicate()
        store = SqliteStore(path)
        keys = {kind: {row.key for row in store.load() if row.kind == kind} for kind in "ab"}
        store.close()
        assert keys["a"] == keys["b"], "half a commit"
        assert {str(number) for number in range(last + 1)} <= keys["a"]


def test_rows_outlive_closing(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "new" / "directory" / "db", synchronous="full")
    store.commit([Row("module", "a", b"1")])
    store.close()
    again = SqliteStore(tmp_path / "new" / "directory" / "db")
    assert list(again.load()) == [Row("module", "a", b"1")]
    again.close()


def test_a_second_process_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "db")
    store.commit([Row("module", "a", b"1")])
    script = (
        "import sys; from pathlib import Path; from arts.store.sqlite import SqliteStore; "
        "SqliteStore(Path(sys.argv[1]))"
    )
    second = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "db")], capture_output=True, text=True
    )
    assert "StoreError" in second.stderr
    assert "another supervisor uses it" in second.stderr
    with pytest.raises(StoreError, match="another supervisor uses it"):
        SqliteStore(tmp_path / "db")
    store.commit([Row("module", "b", b"2")])
    assert len(list(store.load())) == 2
    store.close()
    SqliteStore(tmp_path / "db").close()


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "db").close()
    _execute(tmp_path / "db", f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    before = (tmp_path / "db").read_bytes()
    with pytest.raises(StoreError, match=r"schema 2.*use the newer ARTS"):
        SqliteStore(tmp_path / "db")
    assert (tmp_path / "db").read_bytes() == before


def test_a_file_that_is_no_database_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "db").write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreError, match="damaged; move it away"):
        SqliteStore(tmp_path / "db")


def test_damaged_pages_are_reported_with_advice(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "db")
    store.commit([Row("module", str(number), bytes(500)) for number in range(1000)])
    store.close()
    damaged = bytearray((tmp_path / "db").read_bytes())
    damaged[8192:-4096] = b"\xa5" * (len(damaged) - 12288)
    (tmp_path / "db").write_bytes(damaged)
    store = SqliteStore(tmp_path / "db")
    with pytest.raises(StoreError, match="damaged; move it away"):
        list(store.load())
    store.close()


def test_a_full_disk_fails_one_commit_and_leaves_the_store_usable(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "db").close()
    store = SqliteStore(tmp_path / "db")
    store.commit([Row("module", "a", b"1")])
    # SQLite's own limit stands for the disk: the failure takes the same way.
    store._connection.execute("PRAGMA max_page_count = 10")
    with pytest.raises(StoreError, match="full"):
        store.commit([Row("module", "b", bytes(100)), Row("module", "c", bytes(1_000_000))])
    assert list(store.load()) == [Row("module", "a", b"1")]
    store.commit([Row("module", "d", b"2")])
    assert [row.key for row in store.load()] == ["a", "d"]
    store.close()


def test_rows_that_cannot_be_written_leave_nothing_behind(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "db")
    with pytest.raises(StoreError, match="cannot write"):
        store.commit([Row("module", "a", b"1"), Row("module", "b", "text")])  # type: ignore[arg-type]
    assert list(store.load()) == []
    store.close()


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "db")
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.commit([Row("module", "a", b"1")])


def test_an_impossible_place_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot open"):
        SqliteStore(tmp_path / "file" / "db")


def _execute(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
