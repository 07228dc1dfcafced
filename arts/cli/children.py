"""Child processes that write to a log file, end when we do, and can be started again.

Knows processes, nothing of what they do.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_TAIL = 2000


class Child:
    """``python -m arts`` with ``arguments``; ``log`` has what it said since its first start.

    It gets a process group of its own, so that Ctrl-C reaches only us and we can stop things in
    order, and our end of its stdin, so that it notices when we are gone.
    """

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], log: Path
    ) -> None:
        """``environment`` is added to ours: it is the place for what others must not read."""
        self.name = name
        self.environment = dict(environment)
        self._arguments = [*arguments, "--exit-with-parent"]
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """Its process id; None before the first start."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start it (again)."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab" if self._process else "wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "arts",
                *self._arguments,
                env={**os.environ, **self.environment},
                stdin=asyncio.subprocess.PIPE,
                stdout=log,
                stderr=log,
                process_group=0,
            )

    async def wait(self) -> int:
        """Wait until it ends; its exit status, or minus the signal that ended it."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self, patience: float = 10.0) -> None:
        """End it: asked first, forced after ``patience`` seconds. Idempotent."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._process is None or self._process.returncode is not None:
                return
            with suppress(ProcessLookupError):
                self._process.send_signal(number)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), patience)

    def log_tail(self) -> str:
        """The end of what it said."""
        try:
            return self._log.read_text(errors="replace")[-_TAIL:].strip()
        except OSError:
            return ""
