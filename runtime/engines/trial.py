"""A program, run for a moment to see how soon it pauses: without input, output thrown away.

Knows the wasmtime engine and threads. Does not know what follows from the result.
"""

import hashlib
import threading
import time
from typing import Final, NamedTuple

from arts.errors import EngineError
from runtime.engines.base import Instance, InstanceSpec, Parked, Paused, Wait
from runtime.engines.wasmtime import WasmtimeEngine

_RUN: Final = 0.005
"""Seconds between two requests to pause."""
_PATIENCE: Final = 1.0
"""Seconds that the last pause may take before the program is left to itself."""


class Pauses(NamedTuple):
    """How often the program paused because it was asked, and the slowest (CPU seconds)."""

    number: int
    slowest: float


def try_out(prepared: bytes, seconds: float = 1.0) -> Pauses:
    """Run a program for up to ``seconds``, asking it to pause again and again.

    Few pauses come about when it ends, fails, or waits for something that does not come. Raises
    ``ProgramError`` for what this engine cannot run.
    """
    program = WasmtimeEngine().load(prepared, hashlib.sha256(prepared).hexdigest())
    try:
        instance = program.start(InstanceSpec(uuid="trial", name="trial"), lambda _: None)
    except EngineError:
        return Pauses(0, 0.0)
    instance.end_input("stdin")
    trial = _Trial(instance, time.monotonic() + seconds)
    if not trial.run(seconds + _PATIENCE):  # lost in some loop: its thread ends with us
        return Pauses(trial.pauses + 1, _PATIENCE)
    slowest = instance.stats().slowest_pause
    instance.close()
    return Pauses(trial.pauses, slowest)


class _Trial:
    def __init__(self, instance: Instance, until: float) -> None:
        self.pauses = 0
        self._instance, self._until = instance, until
        self._thread = threading.Thread(target=self._take_turns, daemon=True)

    def run(self, patience: float) -> bool:
        """Whether the program came back."""
        self._thread.start()
        give_up = time.monotonic() + patience
        while self._thread.is_alive() and time.monotonic() < give_up:
            self._thread.join(_RUN)
            self._instance.request_pause()
        return not self._thread.is_alive()

    def _take_turns(self) -> None:
        while time.monotonic() < self._until:
            outcome = self._instance.run()
            if isinstance(outcome, Paused):
                self.pauses += 1
            elif not isinstance(outcome, Parked) or not self._wait(outcome.wait):
                break

    def _wait(self, wait: Wait) -> bool:
        """Whether what a parked program waits for comes by itself; True when it has come."""
        if wait.deadline is not None and wait.deadline < self._until:
            time.sleep(max(0.0, wait.deadline - time.monotonic()))
        return self._instance.ready(time.monotonic())
