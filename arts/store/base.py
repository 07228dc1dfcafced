"""What the supervisor asks of durable storage: rows in, rows out, one transaction at a time.

The store knows no realm and no message: a row is a kind, a key and bytes. Whoever writes rows
encodes them. Nothing may be acknowledged or forwarded before its rows are committed.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol


class Row(NamedTuple):
    """One record. ``value`` None deletes it."""

    kind: str
    key: str
    value: bytes | None


class Store(Protocol):
    """Durable rows, keyed by (kind, key)."""

    def load(self) -> Iterable[Row]:
        """Every row as of the last commit, in the order in which the keys were first written."""
        ...

    def commit(self, rows: Sequence[Row]) -> None:
        """Write all rows in one transaction, or none. Raises ``StoreError``."""
        ...

    def close(self) -> None:
        """Give the files back. Idempotent."""
        ...
