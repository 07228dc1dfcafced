"""What a host keeps: the copies it holds, what it remembers of those that ended, what it reports.

PURE, and without decisions: those are the ``Host``'s. Here is only the bookkeeping that must stay
consistent whatever is decided.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from arts.errors import InvariantError
from arts.model import Limits
from arts.protocol import messages as m
from runtime import effects as do
from runtime.held import SOURCE, TARGET, Condition, Held, answer_key

_REMEMBERED: Final = 1024
"""Ended modules and moves whose repetitions are still recognised."""

_TIMED: Final = (
    Condition.LOADING,
    Condition.PREPARING,
    Condition.FREEZING,
    Condition.STOPPING,
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each phase may take, in seconds."""

    load: float = 60.0
    """Fetch and compile a program."""
    freeze: float = 15.0
    hear: float = 60.0
    """What a target waits for the snapshot, and then for the word to go on."""
    stop: float = 10.0
    open: float = 20.0
    """Take the session of a module that starts; one that moves or comes back never gives up."""
    reconnect: float = 0.5
    """Between attempts to take a module's session."""
    register: float = 2.0
    """Between announcements until the realm answers."""
    refused: float = 10.0
    """Between announcements when the realm says no."""


class Ledger:
    """Records, memory, reports and the effects still to be handed over."""

    def __init__(self, runtime: str, instance: str) -> None:
        self._runtime, self._instance = runtime, instance
        self._held: dict[str, Held] = {}
        self._uuids: dict[int, str] = {}
        self._ended: OrderedDict[str, tuple[int, m.Report]] = OrderedDict()
        self._untold: OrderedDict[str, tuple[int, m.Report]] = OrderedDict()
        self._called_off: OrderedDict[str, None] = OrderedDict()
        self._copies = 0
        self._effects: list[do.Effect] = []

    def held(self) -> tuple[Held, ...]:
        """Everything that is here, in whatever condition."""
        return tuple(self._held.values())

    def validate(self) -> None:
        """Raise ``InvariantError`` if the host is in a state that must not exist."""
        for uuid, held in self._held.items():
            problem = self._problem(uuid, held)
            if problem:
                raise InvariantError(f"{problem}: {held}")
        if len(self._uuids) != len(self._held):
            raise InvariantError(f"copies without a module: {self._uuids}")

    def _problem(self, uuid: str, held: Held) -> str | None:
        if held.uuid != uuid or self._uuids.get(held.copy) != uuid:
            return "filed under a wrong name"
        if held.condition in SOURCE | TARGET and held.migration is None:
            return "one end of no migration"
        if held.condition is Condition.RUNNING and held.session and not held.connected:
            return "runs without its session"
        if held.condition in _TIMED and held.deadline is None:
            return "waits without a deadline"
        if held.condition in _TIMED and held.owed is None:
            return "does what nobody asked for"
        return None

    # ------------------------------------------------------------------------ bookkeeping

    def _put(self, held: Held) -> None:
        self._held[held.uuid] = held
        self._uuids[held.copy] = held.uuid

    def _drop(self, held: Held) -> None:
        del self._held[held.uuid], self._uuids[held.copy]
        self._call_off(held.migration)  # a command of that move that comes again comes too late
        self._do(do.Discard(held.copy))

    def _remember(self, uuid: str, generation: int, report: m.Report) -> None:
        self._ended[uuid] = (generation, report)
        self._ended.move_to_end(uuid)
        if len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)

    def _tell_again(self, serial: int, report: m.Report) -> None:
        """Let registrations after ``serial`` repeat how a module ended, until one is accepted."""
        self._untold[report.uuid] = (serial, report)
        if len(self._untold) > _REMEMBERED:
            self._untold.popitem(last=False)

    def _told(self, serial: int) -> None:
        """The registration ``serial`` was accepted, with all that had ended before it."""
        for uuid, (before, _) in list(self._untold.items()):
            if before < serial:
                del self._untold[uuid]

    def _call_off(self, migration: str | None) -> None:
        if migration is not None:
            self._called_off[migration] = None
            if len(self._called_off) > _REMEMBERED:
                self._called_off.popitem(last=False)

    def _do(self, effect: do.Effect) -> None:
        self._effects.append(effect)

    def _take_effects(self) -> list[do.Effect]:
        effects, self._effects = self._effects, []
        return effects

    # ------------------------------------------------------------------------ reports

    def _report(self, command: m.AnyCommand, kind: m.ReportKind, **fields: Any) -> m.Report:
        """Report on ``command``."""
        return self._publish(
            object_id=command.object_id,
            kind=kind,
            uuid=command.uuid,
            generation=command.generation,
            migration=getattr(command, "migration", None),
            **fields,
        )

    def _refuse(self, command: m.AnyCommand, code: str, detail: str) -> None:
        self._report(command, "refused", code=code, detail=detail)

    def _answer(self, held: Held, kind: m.ReportKind, **fields: Any) -> Held:
        """Report on the command that ``held`` owes an answer to, and remember it."""
        return held.answered(held.debt, self._report(held.debt, kind, **fields))

    def _repeat(self, held: Held, command: m.AnyCommand) -> None:
        """Say again what was said, unless it is still to be said for the first time."""
        report = held.answers.get(answer_key(command))
        if report is not None:
            self._do(do.Publish(report))

    def _tell(self, held: Held, kind: m.ReportKind, **fields: Any) -> m.Report:
        """Report what has become of a copy, unasked."""
        return self._publish(
            object_id=held.origin,
            kind=kind,
            uuid=held.uuid,
            generation=held.generation,
            migration=held.migration if held.condition in TARGET else None,
            **fields,
        )

    def _publish(self, **fields: Any) -> m.Report:
        report = m.Report(runtime=self._runtime, instance=self._instance, **fields)
        self._do(do.Publish(report))
        return report


def merged(asked: Limits, defaults: Limits) -> Limits:
    """The limits of one module: what it asks for, else what this runtime gives everybody."""
    return Limits(
        memory_bytes=asked.memory_bytes or defaults.memory_bytes,
        wall_seconds=asked.wall_seconds or defaults.wall_seconds,
        slice_seconds=asked.slice_seconds or defaults.slice_seconds,
        output_bytes_per_second=asked.output_bytes_per_second or defaults.output_bytes_per_second,
    )
