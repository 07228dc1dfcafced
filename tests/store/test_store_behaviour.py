"""What every store does, on disk and in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from arts.store.base import Row, Store
from arts.store.memory import MemoryStore
from arts.store.sqlite import SqliteStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Each kind of store, empty."""
    new: Store = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "db")
    yield new
    new.close()
    new.close()


def row(key: str, value: bytes | None = b"v", kind: str = "module") -> Row:
    return Row(kind, key, value)


def test_new_store_is_empty(store: Store) -> None:
    assert list(store.load()) == []


def test_rows_come_back_in_the_order_of_their_keys_first_writing(store: Store) -> None:
    store.commit([row("b", b"1"), row("a", b"2")])
    store.commit([row("c", b"\x00\xff"), row("b", b"3")])
    assert list(store.load()) == [row("b", b"3"), row("a", b"2"), row("c", b"\x00\xff")]


def test_kinds_have_keys_of_their_own(store: Store) -> None:
    rows = [row("x", b"1", "module"), row("x", b"2", "runtime")]
    store.commit(rows)
    store.commit([row("x", None, "module")])
    assert list(store.load()) == rows[1:]


def test_none_deletes_and_an_unknown_key_does_not_matter(store: Store) -> None:
    store.commit([row("a"), row("b")])
    store.commit([row("a", None), row("never", None)])
    assert list(store.load()) == [row("b")]


def test_empty_value_is_not_a_deletion(store: Store) -> None:
    store.commit([row("a", b"")])
    assert list(store.load()) == [row("a", b"")]


def test_the_last_word_on_a_key_counts_within_a_commit(store: Store) -> None:
    store.commit([row("old"), row("kept")])
    store.commit(
        [row("old", None), row("old", b"anew"), row("gone", b"1"), row("gone", None)],
    )
    assert list(store.load()) == [row("kept"), row("old", b"anew")]


def test_nothing_to_commit_is_fine(store: Store) -> None:
    store.commit([])
    assert list(store.load()) == []


def test_big_and_many_rows(store: Store) -> None:
    rows = [row(f"key-{number}", str(number).encode() * 50) for number in range(5000)]
    rows.append(row("big", bytes(5_000_000)))
    store.commit(rows)
    assert list(store.load()) == rows
