"""One program, run to its end by this process: its standard streams are ours, nobody moves it.

Knows the wasmtime engine and threads. Knows no realm, no channels and no limits.
"""

import hashlib
import sys
import threading
from collections.abc import Sequence
from typing import BinaryIO, Final

from runtime.engines.base import (
    Activity,
    Consumed,
    Exited,
    Instance,
    InstanceSpec,
    Killed,
    Outcome,
    OutputLine,
    Trapped,
)
from runtime.engines.wasmtime import WasmtimeEngine

TRAPPED: Final = 134
"""Exit code of a program that trapped: what shells show for an abort."""
INTERRUPTED: Final = 130
_READ_AHEAD: Final = 256


def run_program(
    program: bytes,
    args: Sequence[str] = (),
    env: Sequence[str] = (),
    *,
    name: str = "program",
    stdin: BinaryIO | None = None,
    stdout: BinaryIO | None = None,
    stderr: BinaryIO | None = None,
) -> int:
    """Run a program (WebAssembly, as it came) and return its exit code.

    ``env``: ``NAME=value`` each. Streams are those of the process unless given; what is read and
    written are lines. A trap is told on ``stderr``. Raises ``ProgramError`` and ``EngineError``.
    """
    run = _Run(stdin or sys.stdin.buffer, stdout or sys.stdout.buffer, stderr or sys.stderr.buffer)
    loaded = WasmtimeEngine().load(program, hashlib.sha256(program).hexdigest())
    spec = InstanceSpec(uuid=name, name=name, args=tuple(args), env=tuple(env))
    instance = loaded.start(spec, run.on_activity)
    try:
        return run.exit_code(run.to_the_end(instance, loaded.reads_stdin))
    finally:
        instance.close()


class _Run:
    def __init__(self, stdin: BinaryIO, stdout: BinaryIO, stderr: BinaryIO) -> None:
        self._stdin = stdin
        self._outputs = {"stdout": stdout, "stderr": stderr}
        self._ahead = threading.Semaphore(_READ_AHEAD)

    def on_activity(self, activity: Activity) -> None:
        if isinstance(activity, OutputLine):
            stream = self._outputs[activity.stream]
            stream.write(activity.line + b"\n")
            stream.flush()
        elif isinstance(activity, Consumed):
            self._ahead.release()

    def to_the_end(self, instance: Instance, reads_stdin: bool) -> Outcome:
        """Run on a thread of its own, so that this one hears Ctrl-C."""
        outcomes: list[Outcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(instance.run()), daemon=True)
        if reads_stdin:
            threading.Thread(target=self._feed, args=(instance,), daemon=True).start()
        try:
            thread.start()
            thread.join()
        except KeyboardInterrupt:
            instance.close()
        return outcomes[0] if outcomes else Killed()

    def _feed(self, instance: Instance) -> None:
        for number, line in enumerate(self._stdin):
            self._ahead.acquire()
            instance.deliver("stdin", line, number)
        instance.end_input("stdin")

    def exit_code(self, outcome: Outcome) -> int:
        if isinstance(outcome, Exited):
            return outcome.code & 0xFF
        if isinstance(outcome, Trapped):
            self._outputs["stderr"].write(f"trapped: {outcome.reason}\n".encode())
            return TRAPPED
        return INTERRUPTED
