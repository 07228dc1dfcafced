"""The shell around a ``Host``: one asyncio process that performs effects and reports events.

It decides nothing about modules. Commands and news become events of the host, the host's effects
become work of copies, moves and programs; every expected failure comes back as an event with a
name. Anything unexpected ends the agent, loudly.
"""

import asyncio
import time
import uuid
from collections.abc import Callable, Coroutine
from typing import Any, Final, assert_never

from arts.bus.base import (
    Bus,
    Connected,
    Disconnected,
    Received,
    Session,
    SubscriptionRefused,
    Will,
)
from arts.errors import BusError, InvalidRequest
from arts.log import get_logger
from arts.protocol import codec
from arts.protocol import messages as m
from arts.protocol.topics import Topics
from runtime import effects as do
from runtime import events as ev
from runtime.checkpoints import Checkpoints
from runtime.copies import Copy
from runtime.engines.base import Engine
from runtime.faults import fault_of
from runtime.host import Host
from runtime.identity import claim
from runtime.measuring import Measuring
from runtime.moves import Moves
from runtime.outlet import Outlet
from runtime.presence import Presence
from runtime.programs import ProgramCache, Programs, ProgramSource
from runtime.settings import RuntimeSettings
from runtime.transfers import Transfers
from runtime.trust import Probe, Trust
from runtime.workers import Workers

log = get_logger(__name__)

_STANDSTILL: Final = 2.0
"""Seconds for modules to stop running when the runtime ends."""

MakeBus = Callable[[str, Will | None], Bus]
"""(client id, last will) -> a bus, not yet started."""
MakeSession = Callable[[str], Session]
"""Client id -> a session, not yet connected."""


class Agent:
    """A runtime. ``run`` it once; ``stop`` ends it from the same thread.

    ``make_bus`` and ``make_session`` make its connections, so that it knows no broker;
    ``probe`` tells whether theirs can hand a module's session over (None: it is trusted).
    """

    def __init__(
        self,
        settings: RuntimeSettings,
        *,
        make_bus: MakeBus,
        make_session: MakeSession,
        engine: Engine,
        probe: Probe | None = None,
    ) -> None:
        self._settings = settings
        self._trust = Trust(probe)
        self._make_bus, self._make_session = make_bus, make_session
        self._engine = engine
        self._topics = Topics(settings.realm)
        self._stopping = asyncio.Event()
        self.instance = uuid.uuid4().hex
        self.uuid = settings.uuid or ""
        """The runtime's uuid; known from the start of ``run`` on."""

    def stop(self) -> None:
        """Take leave and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Be a runtime until stopped. Raises ``SettingsError`` when its place is taken."""
        with claim(self._settings.data_dir, self._settings.uuid) as self.uuid:
            self._assemble()
            async with asyncio.TaskGroup() as group:
                self._group = group
                loops = [
                    group.create_task(work)
                    for work in (
                        self._listen(),
                        self._transfers.run(),
                        self._outlet.run(),
                        self._keepalive(),
                    )
                ]
                try:
                    await self._bus.start()
                    await self._transfer_bus.start()
                    await self._stopping.wait()
                finally:
                    for task in loops:  # nothing begins any more
                        task.cancel()
                    await self._shut_down()

    def _assemble(self) -> None:
        settings, topics = self._settings, self._topics
        name = f"{settings.realm}-runtime-{self.uuid}"
        self._presence = Presence(settings, self.uuid, self.instance, self._engine)
        self._bus = self._make_bus(name, self._last_will())
        self._transfer_bus = self._make_bus(f"{name}-transfers", None)
        for topic in (
            topics.control_of(self.uuid),
            topics.reply(self.uuid),
            topics.supervisor_state,
        ):
            self._bus.subscribe(topic)
        self._loop = asyncio.get_running_loop()
        self._outlet = Outlet(self._bus)
        self._transfers = Transfers(self._transfer_bus)
        self._source = ProgramSource(
            self.uuid, topics, self._bus, self._transfers, settings.max_program_bytes
        )
        cache = ProgramCache(settings.data_dir / "programs", settings.program_cache_bytes)
        self._programs = Programs(self._engine, cache, self._source)
        self._checkpoints = Checkpoints(settings, topics, self._transfers, self.uuid, self._emit)
        self._moves = Moves(
            settings, topics, self._transfers, self._emit, checkpoints=self._checkpoints
        )
        self._measuring = Measuring(settings, self.uuid, topics, self._transfers, self._running)
        self._workers = Workers(settings.workers)
        self._host = Host(
            self.uuid, self.instance, timeouts=settings.timeouts, limits=settings.limits
        )
        self._copies: dict[int, Copy] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._events: list[ev.Event] = []
        self._handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._supervisor: str | None = None

    async def _shut_down(self) -> None:
        """Leave nothing behind: modules stand, connections close, the realm knows."""
        if self._timer is not None:
            self._timer.cancel()
        copies = list(self._copies.values())
        for copy in copies:
            self._perform(do.Discard(copy.number))
        await asyncio.gather(*(copy.runner.standstill(_STANDSTILL) for copy in copies))
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=_STANDSTILL)
        self._transfers.close()
        await self._programs.close()
        farewell = self._presence.farewell("shutdown")
        self._bus.publish(self._topics.registry, codec.encode_request(farewell), qos=1)
        await self._bus.stop()
        await self._transfer_bus.stop()
        await asyncio.to_thread(self._workers.close)

    # ------------------------------------------------------------------------ events and effects

    def _emit(self, event: ev.Event) -> None:
        """Tell the host, and do what it wants done; also what follows from that, in order."""
        self._events.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._events:
                for effect in self._host.handle(self._events.pop(0), self._loop.time()):
                    self._perform(effect)
        finally:
            self._handling = False
        self._arm()

    def _tick(self) -> None:
        for effect in self._host.tick(self._loop.time()):
            self._perform(effect)
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._host.next_deadline()
        self._timer = None
        if deadline is not None and not self._stopping.is_set():
            self._timer = self._loop.call_at(deadline, self._tick)

    def _perform(self, effect: do.Effect) -> None:
        match effect:
            case do.Publish(report):
                self._report(report)
            case do.Announce():
                self._announce(effect)
            case do.Load():
                copy = self._make(effect)
                copy.do(self._load(copy))
            case do.Prepare(migration=migration):
                copy = self._make(effect)
                copy.do(self._prepare(copy, migration))
            case _:
                self._perform_on(self._copies[effect.copy], effect)

    def _perform_on(self, copy: Copy, effect: do.CopyEffect) -> None:
        match effect:
            case do.Run(generation=generation):
                copy.own(generation)
                copy.run()
                self._checkpoints.begin(copy)
            case do.Hold():
                self._checkpoints.pause(copy)
                copy.hold()
            case do.Checkpoint(command=command):
                self._checkpoints.take(copy, command)
            case do.Connect():
                copy.do(self._connect(copy))
            case do.Release():
                copy.do(self._release(copy))
            case do.Freeze(migration=migration, rehearse=rehearse):
                self._moves.freeze(copy, migration, rehearse=rehearse)
            case do.Thaw():
                self._moves.forget(copy)
            case do.Restore():
                self._moves.restore(copy)
            case do.Terminate(force=force):
                self._checkpoints.pause(copy)
                copy.do(copy.terminate(0.0 if force else self._settings.stop_grace))
            case do.Discard():
                self._discard(copy)
            case _:
                assert_never(effect)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        return self._group.create_task(work)

    # ------------------------------------------------------------------------ copies

    def _make(self, effect: do.Load | do.Prepare) -> Copy:
        copy = self._copies[effect.copy] = Copy(
            effect.copy,
            effect.generation,
            effect.module,
            effect.limits,
            topics=self._topics,
            workers=self._workers,
            outlet=self._outlet,
            spawn=self._spawn,
            emit=self._emit,
        )
        return copy

    async def _load(self, copy: Copy) -> None:
        try:
            session = await self._equip(copy)
            copy.start()
        except Exception as error:
            self._emit(ev.LoadFailed(copy.number, *fault_of(error, copy.module.uuid)))
        else:
            self._emit(ev.ModuleLoaded(copy.number, session))

    async def _prepare(self, copy: Copy, migration: str) -> None:
        try:
            session = await self._equip(copy)
            await self._moves.expect(copy, migration)
        except Exception as error:
            self._emit(ev.LoadFailed(copy.number, *fault_of(error, copy.module.uuid)))
        else:
            self._emit(ev.ModuleLoaded(copy.number, session))

    async def _equip(self, copy: Copy) -> bool:
        needs_session = copy.equip(await self._programs.load(copy.module.program))
        if needs_session:
            await self._trust.require()
        return needs_session

    async def _connect(self, copy: Copy) -> None:
        session = self._make_session(f"{self._settings.realm}-module-{copy.module.uuid}")
        try:
            await copy.traffic.connect(session, self._settings.session_timeout)
        except BusError as error:
            self._emit(ev.SessionFailed(copy.number, str(error)))
        else:
            self._emit(ev.SessionOpened(copy.number))

    async def _release(self, copy: Copy) -> None:
        await copy.traffic.leave()
        copy.left = True
        self._emit(ev.SessionReleased(copy.number))

    def _running(self, module: str) -> Copy | None:
        """The copy of a module that may run here."""
        copies = (copy for copy in self._copies.values() if copy.module.uuid == module)
        return next((copy for copy in copies if copy.runner.free), None)

    def _discard(self, copy: Copy) -> None:
        del self._copies[copy.number]
        self._presence.forget(copy.number)
        self._moves.forget(copy)
        self._checkpoints.forget(copy)
        copy.silence()
        for work in (copy.traffic.leave(), self._moves.bury(copy)):
            leaving = asyncio.create_task(work)  # also while the agent ends
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)

    # ------------------------------------------------------------------------ the bus

    async def _listen(self) -> None:
        while True:
            for event in await self._bus.receive():
                match event:
                    case Received(topic, payload):
                        self._on_message(topic, payload)
                    case Connected():
                        log.info("bus.connected", runtime=self.uuid)
                        self._emit(ev.BusConnected())
                    case Disconnected(reason):
                        log.warning("bus.disconnected", runtime=self.uuid, reason=reason)
                        self._emit(ev.BusDisconnected())
                    case SubscriptionRefused(topic_filter):
                        raise BusError(f"the broker does not let us listen to {topic_filter}")

    def _on_message(self, topic: str, payload: bytes) -> None:
        if topic == self._topics.control_of(self.uuid):
            self._on_command(payload)
        elif topic == self._topics.reply(self.uuid):
            self._on_reply(payload)
        elif topic == self._topics.supervisor_state:
            self._on_notice(payload)

    def _on_command(self, payload: bytes) -> None:
        try:
            command = codec.decode_command(payload)
        except InvalidRequest as error:
            log.warning("command.malformed", runtime=self.uuid, error=str(error))
            return
        if command is not None:
            self._emit(command)

    def _on_reply(self, payload: bytes) -> None:
        answer = codec.decode_response(payload)
        if answer is None:
            return
        object_id, response = answer
        instance, _, serial = object_id.rpartition("/")
        if instance != self.instance or not serial.isdecimal():
            return
        if response.ok:
            self._emit(ev.RegistrationAccepted(int(serial)))
        else:
            log.error("registration.refused", runtime=self.uuid, reason=response.details)
            self._emit(ev.RegistrationRefused(int(serial)))

    def _on_notice(self, payload: bytes) -> None:
        notice = codec.decode_notice(payload)
        if notice is None or not notice.online:
            return
        self._source.http_url = notice.http_url
        if notice.instance != self._supervisor:
            self._supervisor = notice.instance
            self._emit(ev.SupervisorChanged())

    # ------------------------------------------------------------------------ what we say

    def _report(self, report: m.Report) -> None:
        if not report.at:
            report = report.model_copy(update={"at": time.time()})
        self._bus.publish(self._topics.events_of(self.uuid), codec.encode_report(report), qos=1)
        log.info(
            "module.reported",
            kind=report.kind,
            module=report.uuid,
            generation=report.generation,
            migration=report.migration,
            detail=report.detail,
        )

    def _announce(self, effect: do.Announce) -> None:
        request = self._presence.registration(effect)
        payload = codec.encode_request(request, reply_to=self._topics.reply(self.uuid))
        self._bus.publish(self._topics.registry, payload, qos=1)

    def _last_will(self) -> Will:
        farewell = self._presence.farewell("last_will")
        return Will(self._topics.registry, codec.encode_request(farewell), qos=1)

    async def _keepalive(self) -> None:
        topic = self._topics.keepalive_of(self.uuid)
        while True:
            await asyncio.sleep(self._settings.keepalive)
            holding = ((held, self._copies[held.copy].instance) for held in self._host.held())
            stats = [(held, found.stats()) for held, found in holding if found is not None]
            message = self._presence.sign_of_life(stats)
            self._bus.publish(topic, codec.encode_request(message))
