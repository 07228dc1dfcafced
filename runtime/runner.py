"""When one instance runs: its turns on the workers, what it waits for, and what holds it.

Used on the loop's thread. Knows nothing of input, output, sessions and moves.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from runtime.engines.base import Instance, Outcome, Parked, Paused, Wait
from runtime.workers import Turn, Workers

_ASK_AGAIN: Final = 0.01
"""Seconds after which a held instance that still runs is asked to pause once more; then twice as
many each time, up to 1. Asked while its turn was about to begin, it may not have noticed."""


class Runner:
    """Turns of one instance. It runs while it has an ``instance`` and nothing holds it.

    ``on_outcome`` hears how each turn ended, before anything else happens to the instance. After
    an outcome other than parked or paused there are no more turns.
    """

    def __init__(
        self,
        workers: Workers,
        slice_seconds: float,
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        self.instance: Instance | None = None
        self._workers, self._slice_seconds = workers, slice_seconds
        self._on_outcome = on_outcome
        self._loop = asyncio.get_running_loop()
        self._holds: set[str] = set()
        self._turn: Turn | None = None
        self._stands = asyncio.Event()
        self._stands.set()
        self._wait: Wait | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._insisting: asyncio.TimerHandle | None = None
        self._over = False
        self._closed = False

    @property
    def free(self) -> bool:
        """Whether nothing holds it."""
        return not self._holds

    def hold(self, reason: str) -> None:
        """Let it not run until ``release(reason)``; a turn under way ends at a safepoint."""
        self._holds.add(reason)
        if self._turn is not None and self._workers.cancel(self._turn):
            self._stand()
        if self._insisting is None:
            self._insist(_ASK_AGAIN)

    def release(self, reason: str) -> None:
        """End a hold; when it was the last, it goes on."""
        self._holds.discard(reason)
        self.wake()

    def ask(self) -> None:
        """Ask it to pause if it runs. It gets another turn unless something holds it."""
        if self._turn is not None:
            self._turn.instance.request_pause()

    async def standstill(self, timeout: float) -> bool:
        """Wait until a held instance stands; False if that takes longer than ``timeout``."""
        try:
            async with asyncio.timeout(timeout):
                await self._stands.wait()
        except TimeoutError:
            return False
        return True

    def wake(self) -> None:
        """Look again: give it a turn if it can use one, or see to it that it gets one in time."""
        if self._turn is not None or self._holds or self.instance is None or self._over:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._wait is None or self.instance.ready(time.monotonic()):
            self._stands.clear()
            self._turn = self._workers.submit(self.instance, self._slice_seconds, self._ended)
        elif self._wait.deadline is not None:
            delay = max(0.0, self._wait.deadline - time.monotonic())
            self._timer = self._loop.call_later(delay, self.wake)

    def close(self) -> None:
        """End it for good: it is killed, gets no more turns, and is given back when it stands."""
        self._over = self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self.instance is not None:
            self.instance.kill()
        if self._turn is None or self._workers.cancel(self._turn):
            self._stand()

    def _insist(self, patience: float) -> None:
        self._insisting = None
        if self._turn is not None and self._holds:
            self.ask()
            self._insisting = self._loop.call_later(patience, self._insist, min(2 * patience, 1.0))

    def _ended(self, outcome: Outcome) -> None:
        self._wait = outcome.wait if isinstance(outcome, Parked) else None
        self._over = not isinstance(outcome, Parked | Paused)
        self._on_outcome(outcome)
        self._stand()
        self.wake()

    def _stand(self) -> None:
        self._turn = None
        self._stands.set()
        if self._insisting is not None:
            self._insisting.cancel()
            self._insisting = None
        if self._closed and self.instance is not None:
            self.instance.close()
            self.instance = None
