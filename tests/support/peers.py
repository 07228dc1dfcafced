"""Runtime processes on a ``Network``: what they hear, say and can be asked, and the world around
them."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from arts.protocol.messages import AnyCommand, RegisterRuntime, Report


class SupervisorChanged(NamedTuple):
    """Another supervisor is in charge."""


class Registered(NamedTuple):
    """The realm's answer to a registration."""

    object_id: str


Incoming = AnyCommand | SupervisorChanged | Registered
Outgoing = RegisterRuntime | Report


class Peer(Protocol):
    """A runtime process: its decisions, and an engine that works when it is told to."""

    uuid: str
    instance: str
    outgoing: list[Outgoing]

    def connected(self, now: float) -> None:
        """The broker is there (again)."""

    def disconnected(self, now: float) -> None:
        """The broker is gone."""

    def receive(self, message: Incoming, now: float) -> None:
        """A command or an answer has come."""

    def tick(self, now: float) -> None:
        """Time has passed."""

    def progress(self, now: float) -> bool:
        """Let the engine finish one thing; False when it has nothing to do."""
        ...

    def end(self, uuid: str, failed: bool, now: float) -> None:
        """A running module ends by itself."""

    def acting(self) -> dict[str, int]:
        """Generation of every module that may act here and now."""
        ...

    def holding(self) -> dict[str, int]:
        """Generation of every copy, acting or not."""
        ...

    def count(self) -> None:
        """Every module that runs takes one more input."""

    def values(self) -> dict[str, int]:
        """How many inputs every module has taken of which a checkpoint could be taken here."""
        ...


@dataclass
class World:
    """What exists outside of any one process: snapshots on their way, and what goes wrong."""

    snapshots: dict[str, str] = field(default_factory=dict)
    """Per migration: the digest of the snapshot that was sent."""
    sessions: dict[str, tuple[Any, int]] = field(default_factory=dict)
    """Per module: which peer has its MQTT session, for which copy."""
    said: dict[str, list[int]] = field(default_factory=dict)
    """Per module: what it said, in order."""
    failing: dict[str, str] = field(default_factory=dict)
    """Per runtime: the error code with which it fails whatever it is told to do next."""
    garbling: set[str] = field(default_factory=set)
    """Runtimes that will rebuild something else than what they are sent next."""
    unfit: set[str] = field(default_factory=set)
    """Migrations whose snapshot somebody could make nothing of."""
