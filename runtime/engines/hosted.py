"""What instances have in common whose host side is ours: input, output, waiting, the end.

Knows ``Wasi`` and outcomes. Does not know how a program runs.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

from arts.errors import SnapshotError
from arts.log import get_logger
from arts.migratable import ResumePoint
from runtime.engines.base import Exited, Killed, Outcome, Parked, Paused, Stats, Trapped, Wait
from runtime.wasi import calls
from runtime.wasi.host import Exit, Wasi, WouldBlock

log = get_logger(__name__)

_NOTHING: Final = Stats()


class Hosted:
    """Base of instances. ``used``: what the module used before it came here."""

    def __init__(self, wasi: Wasi, used: Stats = _NOTHING) -> None:
        self.wasi = wasi
        self._used = used
        self._memory_bytes = 0
        self._last_active = time.monotonic()
        self._wait: Wait | None = None
        """What the module waits for; None when it could go on at once."""
        self._asked: int | None = None
        """When this turn was asked to pause, on the CPU clock of its thread; 0: before it began."""
        self._slowest_pause = 0
        self._exit: Outcome | None = None
        """How the program ended, or is ending."""
        self._killed = False
        self._turn = threading.Lock()
        """Held by whoever runs the module or takes it apart."""

    # ------------------------------------------------------------------------ from any thread

    @property
    def listens(self) -> bool:
        """Whether it has the signals open."""
        return self.wasi.listens

    def deliver(self, path: str, payload: bytes, receipt: int | None) -> None:
        """Queue a message for ``"stdin"`` or a channel path."""
        self.wasi.deliver(path, payload, receipt)

    def end_input(self, path: str) -> None:
        """No more input on ``path``."""
        self.wasi.end_input(path)

    def signal(self, name: str) -> None:
        """Queue a line for readers of ``/sys/signals``."""
        self.wasi.signal(name)

    def set_writable(self, writable: bool) -> None:
        """Whether channel writes may go on."""
        self.wasi.set_writable(writable)

    def ready(self, now: float) -> bool:
        """Whether a turn would get anywhere."""
        wait = self._wait
        return wait is None or self._killed or self.wasi.ready(wait, now)

    def stats(self) -> Stats:
        """What it has used."""
        used, wasi = self._used, self.wasi
        return Stats(
            cpu_seconds=wasi.clocks.used() / 1e9,
            memory_bytes=self._memory_bytes,
            messages_in=used.messages_in + wasi.inputs.taken,
            messages_out=used.messages_out + wasi.written,
            last_active=self._last_active,
            slowest_pause=self._slowest_pause / 1e9,
        )

    # ------------------------------------------------------------------------ a turn

    def call(self, function: Callable[..., Any], arguments: tuple[int, ...]) -> int | None:
        """Serve a host call of the running program; None: the program must end."""
        while not self._killed:
            try:
                return calls.make(function, self.wasi, arguments)
            except WouldBlock as blocked:
                if self._park(blocked.wait):
                    return 0
            except Exit as exited:
                self._ended_with(exited.code)
                return None
            except Exception as error:
                log.exception("host.call_failed", call=function.__name__)
                self._exit = Trapped(f"the host failed in {function.__name__}: {error!r}")
                return None
        return None

    def _park(self, wait: Wait) -> bool:
        """A call must wait: True when the program unwinds, False when it may call again."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it for good."""
        raise NotImplementedError

    def close(self) -> None:
        """Give everything back. Should it run after all, it is killed and waited for."""
        self.kill()
        with self._turn:
            self._release()

    def points(self) -> Collection[ResumePoint]:
        """Where it last stood, if that matters."""
        return ()

    def _release(self) -> None:
        """Give back what the engine holds; called again, do nothing."""
        raise NotImplementedError

    @contextmanager
    def _standing(self) -> Iterator[None]:
        """Keep it from running. Raises ``SnapshotError`` when it has ended or runs already."""
        if not self._turn.acquire(blocking=False):
            raise SnapshotError("the module is running")
        try:
            if self._exit is not None or self._killed:
                raise SnapshotError("the module has ended")
            yield
        finally:
            self._turn.release()

    def _take_turn(self, turn: Callable[[], Outcome]) -> Outcome:
        """Run one turn and keep the books. What has ended stays ended."""
        with self._turn:
            if self._killed and self._exit is None:
                self._exit = Killed()
            if self._exit is not None:
                return self._exit
            self._wait = None
            self.wasi.clocks.begin_turn()
            outcome = turn()
            self._count_pause(outcome)
            self.wasi.clocks.end_turn()
            self._last_active = time.monotonic()
            if isinstance(outcome, Exited | Trapped):
                self.wasi.outputs.flush()
        return outcome

    def _begin_to_count(self) -> None:
        """From here on it is the program that lets a request to pause wait, not the host."""
        if self._asked is not None:
            self._asked = time.thread_time_ns()

    def _count_pause(self, outcome: Outcome) -> None:
        if self._asked is not None and isinstance(outcome, Paused | Parked):
            took = time.thread_time_ns() - self._asked
            self._slowest_pause = max(self._slowest_pause, took)

    def _ended_with(self, code: int) -> Outcome:
        """The outcome of a program that asked to end."""
        self._exit = Exited(code)
        return self._exit

    def _end(self, failure: str | None) -> Outcome:
        """The outcome of a program that came back without having unwound."""
        if self._exit is None:
            if self._killed:
                self._exit = Killed()
            else:
                self._exit = Exited(0) if failure is None else Trapped(failure)
        return self._exit
