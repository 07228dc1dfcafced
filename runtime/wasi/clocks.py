"""The module's clocks: the world's time of day, and a monotonic time that moves with the module.

Knows the difference between the host's clocks and the module's. Does not know who asks.
"""

import threading
import time

from runtime.wasi.preview1 import (
    CLOCK_MONOTONIC,
    CLOCK_PROCESS_CPU,
    CLOCK_REALTIME,
    CLOCK_THREAD_CPU,
    Errno,
    WasiError,
)
from runtime.wasi.state import State

_SECOND = 1_000_000_000


class Clocks:
    """Nanoseconds. The module's monotonic clock starts near 0 and stands while it is data."""

    def __init__(self, state: State) -> None:
        self._monotonic_offset = state.monotonic - time.monotonic_ns()
        self._cpu = state.cpu
        self._turn_began: int | None = None
        self._thread_clock: int | None = None
        """The CPU clock of the thread on which the module runs."""

    def monotonic(self) -> int:
        """The module's monotonic time."""
        return time.monotonic_ns() + self._monotonic_offset

    def realtime(self) -> int:
        """Nanoseconds since the epoch."""
        return time.time_ns()

    def cpu(self) -> int:
        """CPU time the module has used; exact only on the thread that runs it."""
        if self._turn_began is None:
            return self._cpu
        return self._cpu + time.thread_time_ns() - self._turn_began

    def used(self) -> int:
        """CPU time used in the turns that have ended; from any thread."""
        return self._cpu

    def begin_turn(self) -> None:
        """The module begins to run on this thread."""
        self._turn_began = time.thread_time_ns()
        self._thread_clock = time.pthread_getcpuclockid(threading.get_ident())

    def end_turn(self) -> None:
        """The module stands again; called on the thread that ran it."""
        self._cpu = self.cpu()
        self._turn_began = self._thread_clock = None

    def running_since(self) -> int | None:
        """What ``time.thread_time_ns()`` says where the module runs; None when it stands."""
        clock = self._thread_clock
        try:
            return None if clock is None else time.clock_gettime_ns(clock)
        except OSError:  # the thread has ended since
            return None

    def host_time(self, monotonic: int) -> float:
        """When the host's ``time.monotonic()`` will be at the module's ``monotonic``; seconds."""
        return (monotonic - self._monotonic_offset) / _SECOND

    def read(self, clock: int) -> int:
        """The time on one of WASI's clocks."""
        if clock == CLOCK_REALTIME:
            return self.realtime()
        if clock == CLOCK_MONOTONIC:
            return self.monotonic()
        if clock in (CLOCK_PROCESS_CPU, CLOCK_THREAD_CPU):
            return self.cpu()
        raise WasiError(Errno.INVAL)

    def due(self, clock: int, timeout: int, absolute: bool, since: int) -> int:
        """When a time-out is over (module's monotonic).

        ``since``: when the call was first made, from which relative time-outs count.
        """
        if not absolute:
            self.read(clock)
            return since + timeout
        return self.monotonic() + timeout - self.read(clock)
