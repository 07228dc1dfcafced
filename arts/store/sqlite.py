"""``Store`` in one SQLite file: write-ahead log, one transaction a commit. Knows rows, no realm.

``synchronous`` NORMAL survives ``kill -9`` of the process (the log is in the kernel's hands before
``commit`` returns); FULL survives a power cut too, at the price of one fsync a commit.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

from arts.errors import StoreError
from arts.store.base import Row

SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE rows (
    sequence INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    UNIQUE (kind, key)
) STRICT
"""
_WRITE: Final = (
    "INSERT INTO rows (kind, key, value) VALUES (?, ?, ?) "
    "ON CONFLICT (kind, key) DO UPDATE SET value = excluded.value"
)
_DELETE: Final = "DELETE FROM rows WHERE kind = ? AND key = ?"

_MIGRATIONS: Final[Mapping[int, Callable[[sqlite3.Connection], object]]] = {
    0: lambda connection: connection.execute(_SCHEMA),
}
"""Schema version -> what turns it into the next one."""


class SqliteStore:
    """The rows in ``path``. One process at a time: a second one is refused with ``StoreError``."""

    def __init__(self, path: Path, *, synchronous: Literal["normal", "full"] = "normal") -> None:
        self._path = path
        with self._errors("open"):
            path.parent.mkdir(parents=True, exist_ok=True)
            # The one thread of the loop uses it; a short patience covers a predecessor's exit.
            self._connection = sqlite3.connect(path, timeout=2.0, isolation_level=None)
        try:
            self._prepare(synchronous)
        except BaseException:
            self._connection.close()
            raise

    def load(self) -> Iterator[Row]:
        """Every row as of the last commit, in the order in which the keys were first written."""
        with self._errors("read"):
            rows = self._connection.execute("SELECT kind, key, value FROM rows ORDER BY sequence")
            yield from (Row(kind, key, value) for kind, key, value in rows.fetchall())

    def commit(self, rows: Sequence[Row]) -> None:
        """Write all rows in one transaction, or none. Raises ``StoreError``."""
        deleted: dict[tuple[str, str], None] = {}
        written: dict[tuple[str, str], Row] = {}
        for row in rows:  # the last word on a key counts, and a key written anew is a new one
            key = (row.kind, row.key)
            if row.value is None:
                deleted[key] = None
                written.pop(key, None)
            else:
                written[key] = row
        with self._errors("write"), self._transaction():
            self._connection.executemany(_DELETE, deleted)
            self._connection.executemany(_WRITE, written.values())

    def close(self) -> None:
        """Give the files back. Idempotent."""
        self._connection.close()

    # ------------------------------------------------------------------

    def _prepare(self, synchronous: str) -> None:
        with self._errors("open"):
            # Exclusive: two supervisors on one file would overwrite each other's realm. It also
            # spares the shared-memory index, and so a few system calls at each commit.
            self._connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute(f"PRAGMA synchronous = {synchronous.upper()}")
            with self._transaction():
                self._migrate()

    def _migrate(self) -> None:
        version = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self._path} has schema {version}, this ARTS knows {SCHEMA_VERSION}: "
                "use the newer ARTS, or another data directory"
            )
        for step in range(version, SCHEMA_VERSION):
            _MIGRATIONS[step](self._connection)
        self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # SQLite itself rolls back when the disk is full
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot {doing} {self._path}: {_advice(error)}") from error


def _advice(error: Exception) -> str:
    text = str(error)
    if "locked" in text:
        return f"{text}: another supervisor uses it"
    if "not a database" in text or "malformed" in text:
        return f"{text}: it is damaged; move it away to start with an empty realm"
    return text
