"""The threads on which modules run: turns in order of arrival, and nobody starves.

Knows instances only as something that runs and can be asked to pause. Everything but ``run``
itself happens on the loop's thread; outcomes come back there.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable

from arts.log import get_logger
from runtime.engines.base import Instance, Outcome, Trapped

log = get_logger(__name__)

_JOIN_TIMEOUT = 5.0


class Turn:
    """One call of ``Instance.run``: waiting for a thread, or on one."""

    __slots__ = ("asked", "done", "instance", "slice_seconds", "started")

    def __init__(
        self, instance: Instance, slice_seconds: float, done: Callable[[Outcome], None]
    ) -> None:
        self.instance = instance
        self.slice_seconds = slice_seconds
        self.done = done
        self.started = 0.0
        self.asked = False
        """Whether it was asked to make room for others."""


class Workers:
    """A pool of ``threads`` worker threads, and a thread of its own for each instance that blocks.

    Make it, use it and ``close`` it on the loop's thread.
    """

    def __init__(self, threads: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Turn] = deque()
        self._running: set[Turn] = set()
        self._changed = threading.Condition()
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._threads = [
            threading.Thread(target=self._work, name=f"module-{n}", daemon=True)
            for n in range(threads)
        ]
        self._size = threads
        for thread in self._threads:
            thread.start()

    def submit(
        self, instance: Instance, slice_seconds: float, done: Callable[[Outcome], None]
    ) -> Turn:
        """Run ``instance`` when its turn comes; ``done(outcome)`` is called on the loop's thread.

        While others wait, it is asked to pause after ``slice_seconds``.
        """
        turn = Turn(instance, slice_seconds, done)
        if instance.migratable:
            with self._changed:
                self._waiting.append(turn)
                self._changed.notify()
            self._arm()
        else:
            thread = threading.Thread(
                target=self._run, args=(turn,), name="module-alone", daemon=True
            )
            self._threads = [t for t in self._threads if t.is_alive()]
            self._threads.append(thread)
            thread.start()
        return turn

    def cancel(self, turn: Turn) -> bool:
        """Take back a turn that has not begun; False when it has (``done`` will be called)."""
        with self._changed:
            try:
                self._waiting.remove(turn)
            except ValueError:
                return False
        return True

    def close(self) -> None:
        """End the threads; what still runs must have been killed or asked to pause."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            self._changed.notify_all()
        if self._timer is not None:
            self._timer.cancel()
        deadline = time.monotonic() + _JOIN_TIMEOUT
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.error("worker.stuck", thread=thread.name)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait()
                turn = self._waiting.popleft()
                turn.started = time.monotonic()
                self._running.add(turn)
            self._run(turn)

    def _run(self, turn: Turn) -> None:
        try:
            outcome = turn.instance.run()
        except Exception as error:
            log.exception("engine.failed")
            outcome = Trapped(f"the engine failed: {error}")
        with self._changed:
            self._running.discard(turn)
            closing = self._closing
        if not closing:
            self._loop.call_soon_threadsafe(self._finished, turn, outcome)

    def _finished(self, turn: Turn, outcome: Outcome) -> None:
        turn.done(outcome)
        self._arm()

    def _arm(self) -> None:
        """See to it that the longest turn ends when others have waited long enough."""
        if self._timer is not None:
            return
        with self._changed:
            if len(self._waiting) + len(self._running) <= self._size:
                return
            ends = [turn.started + turn.slice_seconds for turn in self._running if not turn.asked]
            ends = ends or [time.monotonic() + self._waiting[0].slice_seconds]
        self._timer = self._loop.call_at(min(ends), self._make_room)

    def _make_room(self) -> None:
        self._timer = None
        now = time.monotonic()
        with self._changed:
            over = [t for t in self._running if not t.asked and now >= t.started + t.slice_seconds]
            for turn in over[: len(self._waiting)]:
                turn.asked = True
                turn.instance.request_pause()
        self._arm()
