"""Which one is meant? Finds things by uuid, by name, or by the beginning of a uuid. PURE."""

from collections.abc import Mapping
from typing import Generic, Literal, Protocol, TypeVar

from arts.errors import InvalidRequest, NotFound

SHORTEST_PREFIX = 4


class Named(Protocol):
    """Anything with a name for people."""

    @property
    def name(self) -> str:
        """Not necessarily unique."""
        ...


T = TypeVar("T", bound=Named)


class Names(Generic[T]):
    """An index by name over a table by uuid that somebody else keeps. ``kind``: of what, in one
    word for people."""

    def __init__(self, table: Mapping[str, T], kind: Literal["runtime", "module"]) -> None:
        self._table = table
        self._kind = kind
        self._uuids: dict[str, dict[str, None]] = {}

    def add(self, uuid: str, name: str) -> None:
        """``uuid`` is now called ``name``."""
        self._uuids.setdefault(name, {})[uuid] = None

    def remove(self, uuid: str, name: str) -> None:
        """``uuid`` is no longer called ``name``."""
        namesakes = self._uuids[name]
        del namesakes[uuid]
        if not namesakes:
            del self._uuids[name]

    def the(self, key: str) -> T:
        """The one that is meant. ``NotFound`` if there is none, ``InvalidRequest`` if several."""
        found = self.find(key)
        if not found:
            raise NotFound(f"no {self._kind} {key!r}", kind=self._kind, key=key)
        if len(found) > 1:
            raise InvalidRequest(
                f"{len(found)} {self._kind}s are meant by {key!r}; say which by uuid"
            )
        return found[0]

    def find(self, key: str) -> list[T]:
        """Everything that ``key`` may mean; a uuid means one, a name goes before a prefix."""
        if key in self._table:
            return [self._table[key]]
        if key in self._uuids:
            return [self._table[uuid] for uuid in self._uuids[key]]
        if len(key) < SHORTEST_PREFIX:
            return []
        return [found for uuid, found in self._table.items() if uuid.startswith(key)]
