"""The hooks of the store in memory."""

import pytest

from arts.errors import StoreError
from arts.store.base import Row
from arts.store.memory import MemoryStore


def test_failing_commits_write_nothing() -> None:
    store = MemoryStore()
    store.fail_next = 2
    for _ in range(2):
        with pytest.raises(StoreError):
            store.commit([Row("module", "a", b"1")])
    assert list(store.load()) == []
    store.commit([Row("module", "a", b"2")])
    assert list(store.load()) == [Row("module", "a", b"2")]
    assert store.commits == 1


def test_rows_outlive_closing_as_they_do_on_disk() -> None:
    store = MemoryStore()
    store.commit([Row("module", "a", b"1")])
    store.close()
    assert list(store.load()) == [Row("module", "a", b"1")]
