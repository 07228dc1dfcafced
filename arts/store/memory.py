"""The twin of the SQLite store for tests: the same promises, no disk, and failures on demand."""

from collections.abc import Iterator, Sequence

from arts.errors import StoreError
from arts.store.base import Row


class MemoryStore:
    """Rows in a dict. ``fail_next`` makes so many of the next commits fail, writing nothing."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], bytes] = {}
        self.commits = 0
        self.fail_next = 0

    def load(self) -> Iterator[Row]:
        """Every row as of the last commit, in the order in which the keys were first written."""
        return iter([Row(kind, key, value) for (kind, key), value in self.rows.items()])

    def commit(self, rows: Sequence[Row]) -> None:
        """Write all rows, or none and raise ``StoreError``."""
        if self.fail_next:
            self.fail_next -= 1
            raise StoreError("cannot write: this failure was asked for")
        for kind, key, value in rows:
            if value is None:
                self.rows.pop((kind, key), None)
            else:
                self.rows[kind, key] = value
        self.commits += 1

    def close(self) -> None:
        """Nothing to give back."""
