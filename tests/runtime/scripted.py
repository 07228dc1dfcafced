"""An instance that does exactly what a test says: for the machinery around engines."""

import asyncio
import threading
from collections.abc import Callable, Collection
from typing import NoReturn

from runtime.engines.base import Outcome, Paused, Stats
from runtime.shadow import Change, Shadow
from runtime.snapshot import Snapshot


async def eventually(predicate: Callable[[], object]) -> None:
    """Wait until ``predicate()`` holds; it must within 10 s."""
    for _ in range(10_000):
        if predicate():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came true")


class Scripted:
    """``script(instance)`` is one turn; it may wait for ``asked`` as a busy module does."""

    def __init__(self, script: Callable[["Scripted"], Outcome], *, migratable: bool = True) -> None:
        self.migratable = migratable
        self.listens = False
        self.script = script
        self.asked = threading.Event()
        self.turns = 0
        self.ready_when: Callable[[float], bool] = lambda now: False
        self.killed = False
        self.closed = False

    def run(self) -> Outcome:
        self.turns += 1
        return self.script(self)

    def busy(self) -> Outcome:
        """What a module does that never stops by itself."""
        assert self.asked.wait(10)
        self.asked.clear()
        return Paused()

    def request_pause(self) -> None:
        self.asked.set()

    def kill(self) -> None:
        self.killed = True
        self.asked.set()

    def ready(self, now: float) -> bool:
        return self.ready_when(now)

    def close(self) -> None:
        self.closed = True

    def deliver(self, path: str, payload: bytes, receipt: int | None) -> None:
        """Nothing reads here."""

    def end_input(self, path: str) -> None:
        """Nothing reads here."""

    def signal(self, name: str) -> None:
        """Nothing listens here."""

    def set_writable(self, writable: bool) -> None:
        """Nothing writes here."""

    def changes(self, shadow: Shadow) -> Change | None:
        """Nothing moves here."""
        self._never()

    def snapshot(self, carry: Collection[int], shadow: Shadow | None = None) -> Snapshot:
        """Nothing moves here."""
        self._never()

    def stats(self) -> Stats:
        return Stats()

    def _never(self) -> NoReturn:
        raise NotImplementedError
