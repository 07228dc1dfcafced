"""One module as its runtime sees it: the record, its conditions and which may follow which.

PURE and without decisions: those are the ``Host``'s. The realm knows *states*; a *condition* is
the finer step that one copy of a module on one runtime is in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Literal

from arts.errors import InvariantError
from arts.model import Limits
from arts.protocol.messages import AnyCommand, HeldModule, Report, StartModule


class Condition(StrEnum):
    """The step a copy of a module is in."""

    LOADING = "loading"
    """Its program is fetched and compiled, its instance made."""
    OPENING = "opening"
    """Its MQTT session is being taken; it runs as soon as we have it."""
    RUNNING = "running"
    DETACHED = "detached"
    """Held, because its session was cut: the realm must first say that it is still ours."""
    FREEZING = "freezing"
    """It is stopped and captured to be moved away."""
    FROZEN = "frozen"
    """Captured. It goes on, here or elsewhere, only at the realm's word."""
    RELEASED = "released"
    """The realm has given it to another runtime; kept until told to forget it."""
    PREPARING = "preparing"
    """As a target: the program is fetched and compiled."""
    READY = "ready"
    """As a target: waiting for the snapshot."""
    RESTORING = "restoring"
    """As a target: the instance is made of the snapshot."""
    RESTORED = "restored"
    """As a target: complete and held until the realm gives it to us."""
    STOPPING = "stopping"
    """It was asked to end."""


_C = Condition

SUCCESSORS: Final[Mapping[Condition, frozenset[Condition]]] = {
    _C.LOADING: frozenset({_C.OPENING, _C.RUNNING, _C.STOPPING}),
    _C.OPENING: frozenset({_C.RUNNING, _C.DETACHED, _C.STOPPING}),
    _C.RUNNING: frozenset({_C.FREEZING, _C.DETACHED, _C.STOPPING}),
    _C.DETACHED: frozenset({_C.OPENING, _C.RUNNING, _C.STOPPING}),
    _C.FREEZING: frozenset({_C.FROZEN, _C.RUNNING, _C.DETACHED, _C.STOPPING}),
    _C.FROZEN: frozenset({_C.RELEASED, _C.RUNNING, _C.OPENING, _C.STOPPING}),
    _C.RELEASED: frozenset({_C.RUNNING, _C.OPENING, _C.STOPPING}),
    _C.PREPARING: frozenset({_C.READY, _C.STOPPING}),
    _C.READY: frozenset({_C.RESTORING, _C.STOPPING}),
    _C.RESTORING: frozenset({_C.RESTORED, _C.STOPPING}),
    _C.RESTORED: frozenset({_C.RUNNING, _C.OPENING, _C.STOPPING}),
    _C.STOPPING: frozenset(),
}
"""Which condition may follow which. From each of them the copy may also be dropped."""

SOURCE: Final = frozenset({_C.FREEZING, _C.FROZEN, _C.RELEASED})
"""One end of a move: where the module was."""
TARGET: Final = frozenset({_C.PREPARING, _C.READY, _C.RESTORING, _C.RESTORED})
"""The other end: where it will be. Nothing is lost when such a copy is dropped."""

_ANNOUNCED: Final[Mapping[Condition, Literal["running", "frozen", "restored"]]] = {
    _C.LOADING: "running",
    _C.OPENING: "running",
    _C.RUNNING: "running",
    _C.DETACHED: "running",
    _C.FREEZING: "running",
    _C.STOPPING: "running",
    _C.FROZEN: "frozen",
    _C.RELEASED: "frozen",
    _C.PREPARING: "restored",
    _C.READY: "restored",
    _C.RESTORING: "restored",
    _C.RESTORED: "restored",
}

AnswerKey = tuple[str, str]
"""(action, migration or "") of a command."""


def answer_key(command: AnyCommand) -> AnswerKey:
    """What makes two commands to one copy repetitions of each other."""
    return command.action, getattr(command, "migration", "")


@dataclass(frozen=True, slots=True)
class Held:
    """One copy of a module. Replaced, never edited."""

    copy: int
    """Number given by the host, never reused."""
    module: StartModule
    generation: int
    condition: Condition
    limits: Limits
    session: bool = False
    """Whether it needs an MQTT session."""
    connected: bool = False
    """Whether that session is ours at the moment."""
    migration: str | None = None
    owed: AnyCommand | None = None
    """The command whose report is still to come."""
    answers: Mapping[AnswerKey, Report] = field(default_factory=lambda: MappingProxyType({}))
    """What was reported, to be said again when asked again."""
    deadline: float | None = None
    """When this condition has lasted too long."""
    patience: float | None = None
    """When taking the session of a starting module has failed for good."""
    origin: str = ""
    """object_id of the command that brought it here."""

    @property
    def uuid(self) -> str:
        """The module's identity."""
        return self.module.uuid

    @property
    def debt(self) -> AnyCommand:
        """The command whose report is still to come; only asked where there must be one."""
        if self.owed is None:
            raise InvariantError(f"module {self.uuid}: {self.condition}, but nobody asked for it")
        return self.owed

    @property
    def announcement(self) -> HeldModule:
        """How a registration tells the realm: a target says "restored" from its first step on,
        so that the realm does not take it for one that forgot."""
        state = _ANNOUNCED[self.condition]
        return HeldModule(
            uuid=self.uuid,
            generation=self.generation,
            migration=self.migration if state != "running" else None,
            state=state,
        )

    def to(self, condition: Condition, **changes: Any) -> "Held":
        """The record in its next condition; ``InvariantError`` when that may not follow."""
        if condition not in SUCCESSORS[self.condition]:
            raise InvariantError(
                f"module {self.uuid} generation {self.generation}: "
                f"{condition} cannot follow {self.condition}"
            )
        fields: dict[str, Any] = {"condition": condition, "deadline": None} | changes
        return replace(self, **fields)

    def answered(self, command: AnyCommand, report: Report) -> "Held":
        """The record with the report on ``command`` remembered and no longer owed."""
        answers = dict(self.answers) | {answer_key(command): report}
        owed = None if self.owed is command else self.owed
        return replace(self, answers=MappingProxyType(answers), owed=owed)

    def saying(self, action: str, report: Report) -> "Held":
        """The record with another report to repeat when its move's ``action`` is asked again."""
        answers = dict(self.answers) | {(action, self.migration or ""): report}
        return replace(self, answers=MappingProxyType(answers))

    def without_migration(self) -> "Held":
        """The record after a move that did not happen."""
        kept = {key: report for key, report in self.answers.items() if key[1] != self.migration}
        return replace(self, migration=None, answers=MappingProxyType(kept))
