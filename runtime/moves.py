"""Both ends of a move: capturing a module and sending it, receiving and rebuilding it.

Nothing waits here that need not: the snapshot travels while the broker still confirms the
module's last output, and only that confirmation makes the copy *frozen*. Knows no host: it says
how things ended through ``emit``.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Final

from arts.errors import BusError, SnapshotError
from arts.protocol.topics import Topics
from arts.protocol.transfer import Receiver
from runtime import events as ev
from runtime import snapshot as snapshots
from runtime.checkpoints import Checkpoints
from runtime.copies import Copy
from runtime.deltas import QUICK
from runtime.faults import Fault, fault_of
from runtime.lines import Lines
from runtime.precopy import WORTH_IT, Precopy
from runtime.rehearsal import Rehearsal
from runtime.settings import RuntimeSettings
from runtime.shadow import Shadow
from runtime.transfers import Transfers

_TURN: Final = 0.06
"""Seconds for a module's turn to end by itself: a little more than a turn usually has."""
_INLINE: Final = 4 * 1024 * 1024
"""Bytes of a module or snapshot that are handled at once; larger ones go to a thread, which costs
latency but keeps the loop free."""


class Moves:
    """Moves from and to one runtime."""

    def __init__(
        self,
        settings: RuntimeSettings,
        topics: Topics,
        transfers: Transfers,
        emit: Callable[[ev.Event], None],
        *,
        checkpoints: Checkpoints,
    ) -> None:
        self._settings, self._topics = settings, topics
        self._checkpoints = checkpoints
        self._transfers, self._emit = transfers, emit
        self._rehearsal = Rehearsal(settings, topics, transfers)
        self._lines = Lines(topics, transfers, settings.direct)
        self._line_of: dict[int, str] = {}
        """Copy -> move that may have a line."""
        self._precopy = Precopy(settings, topics, transfers, emit)
        self._freezing: dict[int, asyncio.Task[None]] = {}
        self._topics_of: defaultdict[int, set[str]] = defaultdict(set)
        """Copy -> topics of its move."""
        self._received: dict[int, Receiver] = {}
        self._shadows: dict[int, Shadow] = {}
        """Of modules that stand. Closing one takes longer than all else, so not on the way."""

    # ------------------------------------------------------------------------ source

    def freeze(self, copy: Copy, migration: str, *, rehearse: bool = False) -> None:
        """Stop the module and send it away. -> ModuleFrozen | FreezeFailed."""
        task = copy.do(self._freeze(copy, migration, rehearse))
        self._freezing[copy.number] = task
        task.add_done_callback(lambda _: self._freezing.pop(copy.number, None))

    def forget(self, copy: Copy) -> None:
        """Stop whatever of a move this copy is in."""
        task = self._freezing.pop(copy.number, None)
        if task is not None:
            task.cancel()
        self._received.pop(copy.number, None)
        self._precopy.forget(copy)
        if (migration := self._line_of.pop(copy.number, None)) is not None:
            self._lines.close(migration)
        shadow = self._shadows.pop(copy.number, None)
        if shadow is not None:
            asyncio.get_running_loop().run_in_executor(None, shadow.close)
        for topic in self._topics_of.pop(copy.number, ()):
            self._transfers.forget(topic)

    async def _freeze(self, copy: Copy, migration: str, rehearse: bool) -> None:
        try:
            if copy.instance is not None and copy.instance.stats().memory_bytes >= WORTH_IT:
                self._line_of[copy.number] = migration
                await self._lines.offer(migration)
            if rehearse:
                self._topics_of[copy.number] |= self._rehearsal.topics_of(migration)
                await self._rehearsal.run(copy, migration)
            shadow = await self._precopy.send(copy, migration)  # last: what it sends soon grows old
            if shadow is not None:
                self._shadows[copy.number] = shadow
            paused_at = await self._stop(copy)
            if copy.ended:
                return  # its last words are the answer
            self._checkpoints.pause(copy)
            digest, size = await self._ship(copy, migration, shadow)
        except Exception as error:
            self._emit(ev.FreezeFailed(copy.number, *fault_of(error, copy.module.uuid)))
        else:
            assert copy.instance is not None
            pause = copy.instance.stats().slowest_pause
            self._emit(ev.ModuleFrozen(copy.number, digest, size, paused_at, pause))

    async def _ship(self, copy: Copy, migration: str, shadow: Shadow | None) -> tuple[str, int]:
        """Send the snapshot; its digest and size once the broker has all that came before it."""
        carry = copy.traffic.cut()
        confirmed = asyncio.create_task(copy.traffic.confirmed(self._settings.confirm_timeout))
        try:
            await asyncio.sleep(0)  # let it speak to the broker before we are busy
            data = await self._capture(copy, carry, shadow)
            digest = self._send(copy, migration, data)
            if not await confirmed:
                raise BusError("the broker did not confirm the module's output in time")
        finally:
            confirmed.cancel()
        return digest, len(data)

    async def _stop(self, copy: Copy) -> float:
        """Pause the module; the wall time at which it stood."""
        assert copy.program is not None
        assert copy.instance is not None
        if copy.program.refusal or not copy.instance.migratable:
            raise SnapshotError(copy.program.refusal or "this instance cannot be moved")
        # At the end of a turn it mostly waits, and where it waits it has stood before: the target
        # is prepared for that, and need not make continuations while the module stands.
        await copy.runner.standstill(_TURN)
        if not await copy.pause(self._settings.pause_timeout):
            raise SnapshotError(f"no safepoint within {self._settings.pause_timeout:g} s")
        return time.time()

    async def _capture(self, copy: Copy, carry: Collection[int], shadow: Shadow | None) -> bytes:
        def capture() -> bytes:
            return snapshots.encode(copy.capture(carry, shadow), shadow.level if shadow else QUICK)

        assert copy.instance is not None
        if self._is_small(copy, copy.instance.stats().memory_bytes):
            return capture()
        return await asyncio.to_thread(capture)

    def _send(self, copy: Copy, migration: str, data: bytes) -> str:
        credit_topic = self._topics.snapshot_credit(migration)
        self._topics_of[copy.number].add(credit_topic)
        return self._transfers.send(self._topics.snapshot_data(migration), credit_topic, data)

    async def bury(self, copy: Copy) -> None:
        """Give back what is left of a copy that is silent. Keep its memory if it has moved away."""
        try:
            if copy.left:
                await asyncio.to_thread(self._precopy.remember, copy)
        finally:
            copy.runner.close()

    # ------------------------------------------------------------------------ target

    async def expect(self, copy: Copy, migration: str) -> None:
        """Be ready for the snapshot. -> SnapshotReceived | RestoreFailed, later.

        Raises ``BusError``.
        """
        data_topic = self._topics.snapshot_data(migration)
        self._topics_of[copy.number] |= {
            data_topic,
            *self._rehearsal.topics_of(migration),
            *self._precopy.topics_of(migration),
        }
        self._rehearsal.expect(copy, migration)
        self._precopy.expect(copy, migration)
        self._line_of[copy.number] = migration
        self._lines.expect(migration)
        await self._transfers.receive(
            data_topic,
            self._topics.snapshot_credit(migration),
            Receiver(max_bytes=self._settings.max_snapshot_bytes),
            lambda receiver: self._on_received(copy, receiver),
        )

    def _on_received(self, copy: Copy, receiver: Receiver) -> None:
        if receiver.failure is not None:
            self._emit(ev.RestoreFailed(copy.number, SnapshotError.code, receiver.failure))
        else:
            self._received[copy.number] = receiver
            self._emit(ev.SnapshotReceived(copy.number))

    def restore(self, copy: Copy) -> None:
        """Rebuild the module of what came. -> ModuleRestored | RestoreFailed."""
        receiver = self._received.pop(copy.number)
        if self._is_small(copy, len(receiver.data or b"")):
            self._conclude(copy, receiver, self._rebuild(copy, receiver))
        else:
            copy.do(self._restore_aside(copy, receiver))

    def _is_small(self, copy: Copy, size: int) -> bool:
        """Whether to work on the loop itself, with so many bytes of state."""
        program = copy.module.program
        return size <= _INLINE and (program is None or program.size <= _INLINE)

    async def _restore_aside(self, copy: Copy, receiver: Receiver) -> None:
        fault = await asyncio.to_thread(self._rebuild, copy, receiver)
        self._conclude(copy, receiver, fault)

    def _rebuild(self, copy: Copy, receiver: Receiver) -> Fault | None:
        assert receiver.data is not None
        try:
            snapshot = snapshots.decode(receiver.data, self._settings.max_snapshot_bytes)
            self._precopy.check(copy, snapshot.base)
            copy.restore(snapshot)
        except Exception as error:
            return fault_of(error, copy.module.uuid)
        if copy.ended:  # discarded meanwhile, and nobody else will know of this instance
            copy.runner.close()
        return None

    def _conclude(self, copy: Copy, receiver: Receiver, fault: Fault | None) -> None:
        assert receiver.data is not None
        assert receiver.digest is not None
        self.forget(copy)
        if fault is None:
            event = ev.ModuleRestored(copy.number, receiver.digest, len(receiver.data))
            self._emit(event)
        else:
            self._emit(ev.RestoreFailed(copy.number, *fault))
