"""What a host does once it has decided: the steps that several decisions share.

PURE. Each step changes a record, asks for effects and sees to it that whoever is owed a report
gets it.
"""

from dataclasses import replace

from arts.model import Limits
from arts.protocol import messages as m
from runtime import effects as do
from runtime.held import Condition, Held
from runtime.ledger import Ledger, Timeouts, merged


class Steps(Ledger):
    """The shared steps of a ``Host``, on its clock and its timeouts."""

    def __init__(
        self,
        runtime: str,
        instance: str,
        *,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(runtime, instance)
        self._timeouts = timeouts or Timeouts()
        self._limits = limits or Limits()
        self._online = False
        self._serial = 0
        self._announce_at: float | None = None
        self._now = 0.0

    def _admit(
        self,
        module: m.StartModule,
        command: m.StartModule | m.PrepareModule,
        condition: Condition,
    ) -> Held:
        self._copies += 1
        held = Held(
            copy=self._copies,
            module=module,
            generation=command.generation,
            condition=condition,
            limits=merged(module.limits, self._limits),
            migration=getattr(command, "migration", None),
            owed=command,
            deadline=self._now + self._timeouts.load,
            origin=command.object_id,
        )
        self._put(held)
        return held

    def _go_on(self, held: Held) -> None:
        """Run, as soon as the module's session is ours."""
        if held.session and not held.connected:
            self._put(held.to(Condition.OPENING))
            self._do(do.Connect(held.copy))
        else:
            self._run(held.to(Condition.RUNNING))

    def _run(self, held: Held) -> None:
        self._do(do.Run(held.copy, held.generation))
        if isinstance(held.owed, m.StartModule):
            held = self._answer(held, "started")
        elif held.owed is not None:
            held = self._answer(held, "resumed")
        self._put(replace(held, patience=None))

    def _detach(self, held: Held) -> None:
        self._put(held.to(Condition.DETACHED))
        self._serial += 1  # an answer that is under way knows nothing of this loss
        self._announce_at = self._now if self._online else None

    def _unfreeze(self, held: Held, code: str, detail: str) -> None:
        """The source goes on: it still has everything."""
        if held.condition is Condition.FREEZING:
            self._refuse(held.debt, code, detail)
        self._do(do.Thaw(held.copy))
        frozen = held.condition is Condition.FROZEN
        held = replace(held.without_migration(), owed=None)
        if held.session and not held.connected and not frozen:
            self._detach(held)
        else:
            self._go_on(held)

    def _supersede(self, held: Held) -> None:
        """Something newer takes its place: it owes its last answer and is gone."""
        self._refuse_freeze(held, "the module lives on elsewhere")
        if held.condition is Condition.STOPPING:
            self._report(held.debt, "stopped")
        self._drop(held)

    def _give_up(self, held: Held, code: str, detail: str) -> None:
        """The target forgets."""
        self._drop(held)
        self._tell(held, "refused", code=code, detail=detail)

    def _fail(self, held: Held, code: str, detail: str) -> None:
        self._end(held, self._tell(held, "failed", code=code, detail=detail))

    def _stopped(self, held: Held, exit_code: int | None = None) -> None:
        report = self._report(held.debt, "stopped", exit_code=exit_code)
        self._drop(held)
        self._remember(held.uuid, report.generation, report)

    def _refuse_freeze(self, held: Held, detail: str) -> None:
        if held.condition is Condition.FREEZING:
            self._refuse(held.debt, "failed_precondition", detail)

    def _end(self, held: Held, report: m.Report) -> None:
        self._drop(held)
        self._remember(held.uuid, held.generation, report)
        self._tell_again(self._serial, report)

    def _hearing_deadline(self) -> float | None:
        """Silence counts only while somebody could be heard."""
        return self._now + self._timeouts.hear if self._online else None

    def _announce(self) -> None:
        modules = tuple(held.announcement for held in self._held.values())
        ended = tuple(report for _, report in self._untold.values())
        self._do(do.Announce(self._serial, modules, ended))
        self._announce_at = self._now + self._timeouts.register
