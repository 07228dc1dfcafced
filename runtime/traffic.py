"""What goes into and comes out of one copy of a module: lines, channel messages, its session.

Everything happens on the loop's thread except ``listen``, which the engine calls from a worker.
Once *muted*, nothing of the module gets out any more. Knows no realm and no moves.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from arts.bus.base import Closed, Delivery, Publication, Session, SessionEvent
from arts.errors import BusError
from arts.log import get_logger
from arts.model import Durability
from arts.protocol.messages import StartModule
from arts.protocol.sequence import Heard, Stamp, stamped
from arts.protocol.topics import Topics
from runtime.channels import STDIN, Inbox, Mark, Taken
from runtime.engines.base import Activity, ChannelWrite, Consumed, OutputLine, Program
from runtime.outlet import Outlet
from runtime.runner import Runner
from runtime.snapshot import TrafficState

log = get_logger(__name__)

_BURST: Final = 2000
"""Activities not yet handled here after which the module is asked to pause."""
_UNCONFIRMED: Final = 500
"""Channel writes after which the broker must confirm before the module may write more than it
reads. It may always answer: until it has read, the embedded broker may confirm nothing."""
_CONFIRM_TIMEOUT: Final = 5.0
_BREATHLESS: Final = 3.0
"""Seconds without reading the session; well within its keep-alive."""
_BREATH: Final = 0.05
"""Seconds of reading in between: time for the broker's PINGRESP."""


class Traffic:
    """Input and output of the copy that ``runner`` runs.

    ``on_lost`` hears when the session is cut, ``on_fault`` when the module writes what no broker
    takes (in words).
    """

    def __init__(
        self,
        module: StartModule,
        generation: int,
        runner: Runner,
        *,
        topics: Topics,
        outlet: Outlet,
        on_lost: Callable[[], None],
        on_fault: Callable[[str], None],
    ) -> None:
        self._module, self._runner = module, runner
        self._topics, self._outlet = topics, outlet
        self._on_lost, self._on_fault = on_lost, on_fault
        self._loop = asyncio.get_running_loop()
        self._written = {spec.path: spec for spec in module.channels if "w" in spec.mode}
        self._inbox = Inbox(())
        self.generation = self._origin = generation  # unless it goes on from a snapshot
        self._messages = 0
        """How many it has written to channels, in all its copies since it began from nothing."""
        self.state = TrafficState()
        """As of the last ``cut`` or ``mark``, or of the snapshot that this copy was made of."""
        self._session: Session | None = None
        self._open = False
        self._cut_off = False
        self._breath: asyncio.TimerHandle | None = None
        """Set while the backlog is left at the broker."""
        self._activities: deque[Activity] = deque()
        self._drain_due = False
        self._unconfirmed = 0
        """Channel writes, less the messages read, since the broker had last confirmed all."""
        self._confirming: asyncio.Task[None] | None = None
        self.muted = False
        self._hearing = 0
        """How many wait for the broker's word, so that it must be heard."""
        self.on_owing: Callable[[int], None] = lambda owing: None
        """Hears how many taken messages wait for a checkpoint to be kept."""

    def equip(self, program: Program, first_receipt: int) -> bool:
        """Find out what the module can read; whether it needs a session."""
        stdin = self._topics.stdio(STDIN, self._module.uuid) if program.reads_stdin else None
        durable = self._module.durability is not Durability.NONE
        self._inbox = Inbox(
            self._module.channels, stdin, first_receipt=first_receipt, durable=durable
        )
        return bool(self._inbox.filters or self._written)

    def restore(self, state: TrafficState) -> None:
        """Go on where another copy stood."""
        self.state = state
        if state.origin >= self._module.origin:
            self._origin, self._messages = state.origin, state.written
        self._inbox.remember(state.heard, state.taken)

    # ------------------------------------------------------------------------ out

    def listen(self, activity: Activity) -> None:
        """Called by the engine, on whatever thread the module runs, in order."""
        self._activities.append(activity)
        if not self._drain_due:
            self._drain_due = True
            self._loop.call_soon_threadsafe(self.drain)
        if len(self._activities) > _BURST:
            self._runner.ask()

    def drain(self) -> None:
        """Handle all that the module has done so far."""
        self._drain_due = False
        while self._activities:
            activity = self._activities.popleft()
            if self.muted:
                continue
            match activity:
                case OutputLine(stream, line):
                    topic = self._topics.stdio(stream, self._module.uuid)
                    self._outlet.write(self, topic, line)
                case ChannelWrite(path, payload):
                    self._write(path, payload)
                case Consumed(receipt):
                    self._inbox.taken(receipt)
                    if self._confirming is not None:
                        self._unconfirmed -= 1
                        self._writable()
        self._settle()

    def choke(self, choked: bool) -> None:
        """Hold the module while it prints faster than the broker takes."""
        if choked:
            self._runner.hold("output")
        else:
            self._runner.release("output")

    async def confirmed(self, timeout: float) -> bool:
        """Wait until the broker has all that came out, and knows all that was acknowledged."""
        return all(await asyncio.gather(self.printed(timeout), self.published(timeout)))

    async def printed(self, timeout: float) -> bool:
        """Wait until the broker has all lines that came out."""
        return await self._outlet.confirmed(self, timeout)

    async def published(self, timeout: float) -> bool:
        """Wait until the broker has what was written to channels, and what was acknowledged."""
        if self._session is None:
            return True
        # Confirmations come the same way as the input that a full inbox leaves unread.
        self._hearing += 1
        self._read_on()
        self._session.resume_reading()
        try:
            return await self._session.flush(timeout)
        finally:
            self._hearing -= 1

    def _write(self, path: str, payload: bytes) -> None:
        spec, session = self._written[path], self._session
        assert session is not None
        self._messages += 1
        if spec.sequenced:
            stamp = Stamp(self._module.uuid, self._origin, self.generation, self._messages)
            payload = stamped(stamp, payload)
        try:
            session.publish(Publication(spec.topic, payload, min(spec.qos, 1)))
        except BusError as error:
            self._on_fault(f"{path}: {error}")
            return
        self._unconfirmed += 1
        if self._unconfirmed >= _UNCONFIRMED:
            self._writable()
            if self._confirming is None:
                self._confirming = asyncio.create_task(self._confirm())

    async def _confirm(self) -> None:
        try:
            while self._open and not await self.published(_CONFIRM_TIMEOUT):
                pass
            self._unconfirmed = 0
        finally:
            self._confirming = None
            self._writable()

    def _writable(self) -> None:
        instance = self._runner.instance
        if instance is not None:
            instance.set_writable(self._open and self._unconfirmed < _UNCONFIRMED)
            self._runner.wake()

    # ------------------------------------------------------------------------ in

    def _on_session_event(self, event: SessionEvent) -> None:
        if isinstance(event, Closed):
            self._on_closed(event)
        elif not self.muted:
            self._on_delivery(event)

    def _on_delivery(self, delivery: Delivery) -> None:
        instance = self._runner.instance
        assert instance is not None
        for path, payload, receipt in self._inbox.take(delivery):
            instance.deliver(path, payload, receipt)
        self._settle()
        self._runner.wake()

    def _settle(self) -> None:
        settled = self._inbox.settle()
        if self._session is None or self.muted:
            return
        for delivery in settled:
            self._session.acknowledge(delivery)
        if self._inbox.owing:
            self.on_owing(self._inbox.owing)
        if self._breath is None and self._inbox.full:
            if not self._hearing:
                self._hold_breath(self._session)
        elif self._breath is not None and not self._inbox.full:
            self._read_on()
            self._session.resume_reading()

    def _hold_breath(self, session: Session) -> None:
        """Leave the backlog at the broker, but not for so long that it takes us for dead."""
        session.pause_reading()
        self._breath = self._loop.call_later(_BREATHLESS, self._breathe, session)

    def _breathe(self, session: Session) -> None:
        session.resume_reading()
        self._breath = self._loop.call_later(_BREATH, self._hold_breath, session)

    def _read_on(self) -> None:
        if self._breath is not None:
            self._breath.cancel()
            self._breath = None

    def cut(self) -> frozenset[int]:
        """Divide the input of the paused module for a move: receipts the snapshot must carry."""
        self.drain()
        cut = self._inbox.cut()
        self.state = self._state(cut.heard, taken=cut.taken)
        if self._session is not None:
            for delivery in cut.acknowledge:
                self._session.acknowledge(delivery)
        return cut.carry

    def mark(self) -> Mark:
        """Divide the input of the paused module for a checkpoint."""
        self.drain()
        unconfirmed = self._session.unacknowledged() if self._session is not None else ()
        mark = self._inbox.mark()
        self.state = self._state(mark.heard, unconfirmed)
        return mark

    def _state(
        self,
        heard: tuple[Heard, ...],
        unconfirmed: tuple[Publication, ...] = (),
        taken: tuple[Taken, ...] = (),
    ) -> TrafficState:
        return TrafficState(unconfirmed, self._origin, self._messages, heard, taken)

    def kept(self, mark: Mark) -> None:
        """The checkpoint is kept: what it includes the effect of is acknowledged."""
        self._inbox.keep(mark)
        self._settle()

    # ------------------------------------------------------------------------ the session

    async def connect(self, session: Session, timeout: float) -> None:
        """Take the module's session (the one it had, or ``session``). Raises ``BusError``."""
        if self._session is None:
            self._session = session
            for publication in self.state.unconfirmed:
                session.publish(publication)
        session = self._session
        self._cut_off = False
        try:
            if not await session.connect(self._on_session_event, timeout):
                self._inbox.expect_nothing()
                await session.subscribe(self._inbox.filters, timeout)
        except BusError:
            await session.close()
            raise
        if self._cut_off:
            raise BusError("the session was cut while it was taken")
        self._open = True
        self._writable()

    def _on_closed(self, event: Closed) -> None:
        was_open, self._open, self._cut_off = self._open, False, True
        self._read_on()
        self._inbox.detach()
        if was_open and not self.muted:
            log.warning("session.lost", module=self._module.uuid, reason=event.reason)
            self._writable()
            self._on_lost()

    async def leave(self) -> None:
        """Disconnect; the broker keeps the session for the next owner."""
        self._open = False
        if self._session is not None:
            await self._session.close()

    async def purge(self) -> None:
        """Disconnect and make the broker forget the session: the module is gone for good."""
        session, self._session, self._open = self._session, None, False
        self.muted = True
        if session is None:
            return
        try:
            await session.purge()
        except BusError as error:
            log.warning("session.not_purged", module=self._module.uuid, error=str(error))

    def mute(self) -> None:
        """From now on nothing of the module gets out."""
        self.muted = True
        self._activities.clear()
        self._outlet.forget(self)
        self._read_on()
        if self._confirming is not None:
            self._confirming.cancel()
