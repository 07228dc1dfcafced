"""Checkpoints of the modules of one runtime: when they are taken, how, and who is told.

The module stands still while it is captured, not while the checkpoint travels. Input is
acknowledged only when the store says that a checkpoint with its effect is kept. What the module
published before it is with the broker by then, or it travels in the checkpoint: there are brokers
that confirm nothing to whoever owes them many acknowledgements, and those wait for the checkpoint.
One at a time for each module.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from arts.errors import BusError, InvalidRequest, SnapshotError
from arts.log import get_logger
from arts.model import Durability
from arts.protocol.checkpoint import Origin, encode_parcel
from arts.protocol.codec import decode_document
from arts.protocol.messages import TakeCheckpoint
from arts.protocol.topics import Topics
from runtime import events as ev
from runtime import snapshot as snapshots
from runtime.channels import Mark
from runtime.copies import Copy
from runtime.faults import fault_of
from runtime.settings import RuntimeSettings
from runtime.snapshot import Snapshot
from runtime.transfers import Transfers

log = get_logger(__name__)

_HOLD: Final = "checkpoint"
_STAND: Final = "checkpoint and stand"
_PAUSE_AFTER_FAILURE: Final = 1.0
_PATIENCE: Final = 0.25
"""Seconds for the broker to confirm what was published, before it travels in the checkpoint."""
_LEAST_PATIENCE: Final = 0.02
"""With a broker that has not: it may owe its silence to the acknowledgements that we owe it."""
_SLOWEST: Final = 1e6
"""Bytes per second that a link to the store should have."""
_TRIES: Final = 3
"""Of one checkpoint, as long as the store says what it does not have."""
_INLINE: Final = 1024 * 1024
"""Bytes of a module that are captured and cut at once; more go to a thread."""


_Cut = tuple[list[bytes | memoryview], list[bytes]]
"""Pieces and their sha256."""


class _Captured(NamedTuple):
    mark: Mark
    snapshot: Snapshot
    told: "asyncio.Future[tuple[bool, bool]]"
    """Whether the broker has confirmed what the module printed, and what it published."""
    stood: float
    """Seconds."""


class _Missing(SnapshotError):
    """The store does not have what we thought it has."""

    def __init__(self, message: str, positions: Collection[int]) -> None:
        super().__init__(message)
        self.positions = positions
        """Which pieces."""


@dataclass(eq=False)
class _Series:
    """The checkpoints of one copy."""

    interval: float | None
    """None: only when somebody asks."""
    threshold: int
    """So much taken input that is not acknowledged makes the next one due."""
    due: asyncio.Event = field(default_factory=asyncio.Event)
    asked: list[TakeCheckpoint] = field(default_factory=list)
    known: frozenset[bytes] | None = None
    """Pieces that the store should have; None: nobody here has sent any."""
    patience: float = _PATIENCE
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    task: asyncio.Task[None] | None = None
    standing: asyncio.TimerHandle | None = None
    """Ends a stand that was asked for."""


class Checkpoints:
    """``runtime``: its uuid. Failures that somebody waits for are told through ``emit``."""

    def __init__(
        self,
        settings: RuntimeSettings,
        topics: Topics,
        transfers: Transfers,
        runtime: str,
        emit: Callable[[ev.Event], None],
    ) -> None:
        self._settings, self._topics, self._transfers = settings, topics, transfers
        self._runtime, self._emit = runtime, emit
        self._series: dict[int, _Series] = {}

    # ------------------------------------------------------------------------ when

    def begin(self, copy: Copy) -> None:
        """The module runs: take its checkpoints, if it wants any."""
        if copy.module.durability is not Durability.NONE:
            self._start(copy)

    def take(self, copy: Copy, command: TakeCheckpoint) -> None:
        """Take one now. -> CheckpointFailed, or the store says that it is kept."""
        series = self._start(copy)
        self._stand(copy, series, command.hold)
        series.asked.append(command)
        series.due.set()

    def _stand(self, copy: Copy, series: _Series, seconds: float) -> None:
        """Let the module not run for so long from now on; 0: let it go on."""
        if series.standing is not None:
            series.standing.cancel()
            series.standing = None
        if seconds:
            copy.runner.hold(_STAND)
            loop = asyncio.get_running_loop()
            series.standing = loop.call_later(seconds, copy.runner.release, _STAND)
        else:
            copy.runner.release(_STAND)

    def pause(self, copy: Copy) -> None:
        """The module is held: no more of them until it runs again."""
        series = self._series.get(copy.number)
        if series is not None and series.task is not None:
            series.task.cancel()
            series.task = None

    def forget(self, copy: Copy) -> None:
        """The copy is gone."""
        self.pause(copy)
        if (series := self._series.pop(copy.number, None)) is not None:
            if series.standing is not None:
                series.standing.cancel()
            for topic in (self._credit_topic(copy), self._verdict_topic(copy)):
                self._transfers.forget(topic)

    def _start(self, copy: Copy) -> _Series:
        series = self._of(copy)
        if series.task is None:
            series.task = copy.do(self._run(copy, series))
        return series

    def _of(self, copy: Copy) -> _Series:
        series = self._series.get(copy.number)
        if series is None:
            module = copy.module
            durable = module.durability is not Durability.NONE
            always = module.durability is Durability.ALWAYS
            series = self._series[copy.number] = _Series(
                interval=module.checkpoint_interval if durable else None,
                threshold=1 if always else max(1, self._settings.receive_window // 2),
            )
            copy.traffic.on_owing = lambda owing: self._on_owing(series, owing)
        return series

    def _on_owing(self, series: _Series, owing: int) -> None:
        if owing >= series.threshold:
            series.due.set()

    async def _run(self, copy: Copy, series: _Series) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(series.interval):
                    await series.due.wait()
            series.due.clear()
            asked, series.asked = series.asked, []
            try:
                await self._attempt(copy, series)
            except Exception as error:
                code, detail = fault_of(error, copy.module.uuid)
                log.warning("checkpoint.failed", module=copy.module.uuid, reason=detail)
                for command in asked:
                    self._stand(copy, series, 0)
                    self._emit(ev.CheckpointFailed(copy.number, command, code, detail))
                await asyncio.sleep(_PAUSE_AFTER_FAILURE)

    # ------------------------------------------------------------------------ how

    async def _attempt(self, copy: Copy, series: _Series) -> None:
        async with series.turn:
            mark, snapshot, told, stood = await self._captured(copy, series.patience)
            try:
                printed, published = await told
                if not printed:
                    raise BusError("the broker did not confirm the module's lines in time")
                series.patience = (
                    min(2 * series.patience, _PATIENCE)
                    if published
                    else max(series.patience / 2, _LEAST_PATIENCE)
                )
                if published:
                    snapshot = replace(snapshot, traffic=replace(snapshot.traffic, unconfirmed=()))
                pieces, digests = await self._cut(snapshot)
            finally:
                told.cancel()
            if series.known is None:  # whoever has had the module before has sent most of it
                series.known = frozenset(digests[1:])
            for tries_left in reversed(range(_TRIES)):
                try:
                    await self._send(copy, series, snapshot.program, pieces, digests, stood)
                    break
                except _Missing as error:
                    if not tries_left:
                        raise
                    series.known -= {digests[position] for position in error.positions}
            series.known = frozenset(digests)
            copy.traffic.kept(mark)

    async def _captured(self, copy: Copy, patience: float) -> _Captured:
        assert copy.program is not None
        assert copy.instance is not None
        if copy.program.refusal or not copy.instance.migratable:
            raise SnapshotError(copy.program.refusal or "this instance cannot be captured")
        is_large = copy.instance.stats().memory_bytes > _INLINE
        if is_large:
            await asyncio.to_thread(copy.instance.make_room)
        copy.runner.hold(_HOLD)
        try:
            if not await copy.runner.standstill(self._settings.pause_timeout):
                raise SnapshotError(f"no safepoint within {self._settings.pause_timeout:g} s")
            if copy.ended or copy.instance is None:
                raise SnapshotError("the module has ended")
            began = time.monotonic()
            mark = copy.traffic.mark()
            told = asyncio.gather(
                copy.traffic.printed(self._settings.confirm_timeout),
                copy.traffic.published(patience),
            )
            try:
                if is_large:
                    snapshot = await _to_the_end(copy.capture, mark.carry)
                else:
                    snapshot = copy.capture(mark.carry)
            except BaseException:
                told.cancel()
                raise
        finally:
            copy.runner.release(_HOLD)
        return _Captured(mark, snapshot, told, time.monotonic() - began)

    async def _cut(self, snapshot: Snapshot) -> _Cut:
        def cut() -> _Cut:
            pieces = snapshots.pieces(snapshot)
            return pieces, [hashlib.sha256(piece).digest() for piece in pieces]

        if sum(len(memory.blocks) for memory in snapshot.memories) <= _INLINE:
            return cut()
        return await asyncio.to_thread(cut)

    async def _send(
        self,
        copy: Copy,
        series: _Series,
        program: str,
        pieces: Sequence[bytes | memoryview],
        digests: Sequence[bytes],
        stood: float,
    ) -> None:
        """Send what the store does not have, and wait until it says that it has it all."""
        whole = dict(zip(digests, pieces, strict=True))
        known = series.known or frozenset()
        new = {digest: piece for digest, piece in whole.items() if digest not in known}
        origin = Origin(copy.module.uuid, self._runtime, copy.generation, program, uuid.uuid4().hex)
        size = sum(map(len, pieces))
        data = await asyncio.to_thread(
            encode_parcel, origin, digests, size, tuple(new.values()), stood
        )
        verdict: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._transfers.listen(
            self._verdict_topic(copy),
            lambda payload: _judge(verdict, origin.serial, payload),
        )
        topic = self._topics.checkpoint_data(copy.module.uuid, self._runtime)
        self._transfers.send(topic, self._credit_topic(copy), data)
        try:
            async with asyncio.timeout(self._settings.checkpoint_timeout + len(data) / _SLOWEST):
                answer = await verdict
        except TimeoutError:
            raise SnapshotError("the store did not say that the checkpoint is kept") from None
        finally:
            self._transfers.forget(self._credit_topic(copy))
        if "number" not in answer:
            message = f"the store did not keep it: {answer.get('error')}"
            missing = answer.get("missing")
            raise _Missing(message, missing) if missing else SnapshotError(message)

    def _credit_topic(self, copy: Copy) -> str:
        return self._topics.checkpoint_credit(copy.module.uuid, self._runtime)

    def _verdict_topic(self, copy: Copy) -> str:
        return self._topics.checkpoint_verdict(copy.module.uuid, self._runtime)


async def _to_the_end(
    capture: Callable[[Collection[int]], Snapshot], carry: frozenset[int]
) -> Snapshot:
    """Capture in a thread. Cancelled, it waits all the same: the module must stand until then."""
    work = asyncio.ensure_future(asyncio.to_thread(capture, carry))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


def _judge(verdict: "asyncio.Future[dict[str, Any]]", serial: str, payload: bytes) -> None:
    try:
        answer = decode_document(payload)
    except InvalidRequest:
        return
    if isinstance(answer, dict) and answer.get("serial") == serial and not verdict.done():
        verdict.set_result(answer)
