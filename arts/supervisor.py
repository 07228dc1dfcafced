"""The imperative shell around the realm: bus in, store, bus out. The only place where they meet.

One batch at a time, without a single ``await`` in between: handle every event, write all records
in one transaction, and only then say anything to anybody. So what was acknowledged survives
``kill -9``, and one commit serves as many requests as were waiting.

If anything in a batch fails, nothing of it is said, and the realm is rebuilt from the store: the
same way as after a crash, minus the crash. One bad message cannot make the supervisor deaf.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Final

import arts
from arts.bus.base import Bus, BusEvent, Connected, Disconnected, Received, SubscriptionRefused
from arts.errors import ArtsError, BusError, InvalidRequest, NotFound, StoreError
from arts.log import Allowance, get_logger
from arts.model import Module, Runtime
from arts.protocol import codec
from arts.protocol.dialects.base import Malformed, Outgoing
from arts.protocol.dialects.registry import Dialects
from arts.protocol.messages import Request, Response, SupervisorNotice
from arts.protocol.topics import Topics
from arts.realm.effects import (
    Command,
    Discarded,
    Effect,
    Event,
    ExportSnapshot,
    FetchProgram,
    FindSnapshot,
    ForgetSnapshots,
    KeeperEffect,
    LearnPause,
    LinkLost,
    LinkRestored,
    ListSnapshots,
    NoSnapshot,
    Note,
    ProgramFetched,
    ProgramUnavailable,
    Record,
    Reply,
    SendSnapshot,
)
from arts.realm.realm import Realm
from arts.realm.state import RealmSettings
from arts.services import Keeper, Programs
from arts.store.base import Row, Store

log = get_logger(__name__)

_KINDS: Final[dict[str, type[Runtime] | type[Module]]] = {"runtime": Runtime, "module": Module}
_SHOWN: Final = 200
"""Characters that are logged of what strangers say."""
_SHOW_DELAY: Final = 0.01
"""Seconds that the retained read model may lag behind."""


class Supervisor:
    """One realm, supervised. ``run`` until cancelled."""

    def __init__(
        self,
        settings: RealmSettings,
        bus: Bus,
        store: Store,
        programs: Programs,
        *,
        http_url: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``http_url``: where runtimes fetch programs, if anywhere. ``clock``: seconds."""
        self._settings = settings
        self._bus = bus
        self._store = store
        self._programs = programs
        self._clock = clock
        self._topics = Topics(settings.name)
        self._dialects = Dialects(self._topics)
        self._complaints = Allowance(lines=10, seconds=10, clock=clock)
        self._heard: set[str] = set()
        """Topics that are listened to for the sake of one runtime each."""
        self._notice = SupervisorNotice(
            instance=uuid.uuid4().hex, http_url=http_url, version=arts.__version__
        )
        self._timer: asyncio.TimerHandle | None = None
        self._stale: dict[tuple[str, str], None] = {}
        self._works: set[asyncio.Task[None]] = set()
        self.realm = Realm(settings)
        self.keeper: Keeper | None = None
        """None: nothing is kept, and modules start from their beginning."""

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Restore the realm, then serve it until cancelled; say farewell on the way out."""
        self._restore()
        for topic_filter, qos in self._dialects.subscriptions():
            self._bus.subscribe(topic_filter, qos)
        try:
            while True:
                self._process(self._decode(await self._bus.receive()))
        finally:
            if self._timer:
                self._timer.cancel()
            for task in self._works:
                task.cancel()
            self._show_stale()
            self._announce(online=False)

    def note(self, event: str, **fields: Any) -> None:
        """Tell the journal of something that is no business of the realm itself."""
        entry = {"at": time.time(), "event": event, **fields}
        self._publish(self._topics.journal, codec.encode_document([entry]))

    def tell(self, event: Event) -> None:
        """Something has happened that did not come over the bus."""
        self._process([event])

    def _restore(self) -> None:
        now = self._clock()
        self.realm = Realm(self._settings, wall_offset=time.time() - now)
        records = [
            codec.decode_record(_KINDS[row.kind], row.value)
            for row in self._store.load()
            if row.value is not None
        ]
        # Runtimes first: a module's place is counted on a runtime that is there.
        records.sort(key=lambda record: isinstance(record, Module))
        self._listen_to(Record("runtime", r.uuid, r) for r in records if isinstance(r, Runtime))
        self._settle(self.realm.restore(records, now))
        if not self._bus.connected:
            self._settle(self.realm.handle(LinkLost(), now))
        if self.keeper is not None:
            self.keeper.forget_all_but({r.uuid for r in records if isinstance(r, Module)})
        log.info("realm.restored", records=len(records))

    # ------------------------------------------------------------------ in

    def _decode(self, happened: Iterable[BusEvent]) -> Iterator[Event]:
        """What the bus brought, as events of the realm. Complaints are answered right here."""
        for event in happened:
            match event:
                case Received():
                    yield from self._decode_message(event)
                case Connected():
                    self._announce(online=True)
                    yield LinkRestored()
                case Disconnected(reason):
                    log.warning("broker.lost", reason=reason)
                    yield LinkLost()
                case SubscriptionRefused(topic_filter, code):
                    log.error("broker.subscription_refused", topic=topic_filter, code=code)

    def _decode_message(self, message: Received) -> Sequence[Event]:
        """Whatever the bytes are, this does not fail."""
        if message.retain:  # said before we listened, and perhaps by somebody long gone
            return [Discarded("retained")]
        try:
            if message.topic.startswith(self._topics.events_of("")):
                return [codec.decode_report(message.payload)]
            return self._dialects.decode(
                message.topic, message.payload, new_id=lambda: str(uuid.uuid4()), wall=time.time()
            )
        except Malformed as error:
            if error.reply:
                self._say(Reply(error.reply, _refused(error)))
            return self._discard(message, str(error))
        except InvalidRequest as error:
            return self._discard(message, str(error))
        except Exception as error:
            log.error("message.failed", topic=message.topic[:_SHOWN], exc_info=error)
            return [Discarded("malformed")]

    def _discard(self, message: Received, why: str) -> Sequence[Event]:
        """Count what made no sense, and do not let strangers fill the log."""
        unsaid = self._complaints.take()
        if unsaid is not None:
            topic = message.topic[:_SHOWN]
            log.info("message.malformed", topic=topic, error=why[:_SHOWN], unsaid=unsaid)
        return [Discarded("malformed")]

    # ------------------------------------------------------------------ the batch

    def _process(self, events: Iterable[Event]) -> None:
        """Handle, commit, speak. Never awaits: nothing can come in between."""
        batch = list(events)
        try:
            self._handle(batch)
        except Exception as error:
            self._restore()
            if len(batch) > 1:  # one of them is to blame; the others are innocent
                for event in batch:
                    self._process([event])
                return
            self._give_up(error, batch[0] if batch else None)
        self._arm()

    def _handle(self, batch: list[Event]) -> None:
        effects: list[Effect] = []
        for event in batch:
            effects += self._with_programs(self.realm.handle(event, self._clock()))
        effects += self._with_programs(self.realm.tick(self._clock()))
        self._settle(effects)

    def _give_up(self, error: Exception, event: Event | None) -> None:
        """Nothing of this event was said, and the realm is as if it had never come."""
        log.error("event.failed", event_type=type(event).__name__, exc_info=error)
        if isinstance(event, Request) and event.reply:
            self._say(Reply(event.reply, _refused(error)))

    def _with_programs(self, effects: list[Effect]) -> Iterator[Effect]:
        """Answer ``FetchProgram`` at once where the program is at hand: no need to come back."""
        for effect in effects:
            if isinstance(effect, FetchProgram) and (
                program := self._programs.known(effect.filename, effect.digest, effect.form)
            ):
                fetched = ProgramFetched(effect.module, effect.generation, program)
                yield from self.realm.handle(fetched, self._clock())
            else:
                yield effect

    def _settle(self, effects: list[Effect]) -> None:
        """Make it durable, then make it known."""
        records = {(e.kind, e.key): e for e in effects if isinstance(e, Record)}
        if records:
            self._store.commit([_row(record) for record in records.values()])
        journal = []
        commands = sum(isinstance(effect, Command) for effect in effects)
        for effect in effects:
            match effect:
                case Command():
                    self._say(effect)
                    commands -= 1
                    if not commands:
                        self._bus.push()  # runtimes wait for these; the rest can take its time
                case Reply():
                    self._say(effect)
                case FetchProgram():
                    self._fetch(effect)
                case FindSnapshot() | SendSnapshot() | ForgetSnapshots():
                    self._ask_keeper(effect)
                case ListSnapshots():
                    self._do(self._list_snapshots(effect), "list snapshots")
                case ExportSnapshot():
                    self._do(self._export(effect), f"export {effect.module}")
                case LearnPause(program, seconds):
                    self._programs.learn_pause(program, seconds)
                case Note(event, fields):
                    journal.append({"at": time.time(), "event": event, **fields})
        self._listen_to(records.values())
        self._show_soon(records)
        if journal:
            self._publish(self._topics.journal, codec.encode_document(journal))
            _log_journal(journal)

    def _listen_to(self, records: Iterable[Record]) -> None:
        """Runtimes of some dialects say something on topics of their own."""
        for record in records:
            if isinstance(record.value, Runtime):
                topic = self._dialects.control_of(record.value)
                if topic is not None and topic not in self._heard:
                    self._heard.add(topic)
                    self._bus.subscribe(topic)

    def _arm(self) -> None:
        """One timer for whatever runs out next."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        when = self.realm.next_deadline()
        if when is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, when - self._clock()), self._process, ())

    # ------------------------------------------------------------------ out

    def _say(self, effect: Command | Reply) -> None:
        try:
            said = self._rendered(effect)
        except Exception as error:  # one thing that cannot be said must not silence the rest
            log.error("effect.failed", effect_type=type(effect).__name__, exc_info=error)
            return
        for topic, payload in said:
            self._publish(topic, payload, qos=1)

    def _rendered(self, effect: Command | Reply) -> Sequence[Outgoing]:
        if isinstance(effect, Reply):
            return self._dialects.answer(effect.to, effect.response)
        runtime = self.realm.runtime(effect.runtime)
        dialect = runtime.dialect if runtime else "native"
        return self._dialects.forward(effect.runtime, dialect, effect.message)

    def _show_soon(self, changed: Iterable[tuple[str, str]]) -> None:
        """The read model may lag a little: a module that starts at once is shown once."""
        if not self._stale:
            asyncio.get_running_loop().call_later(_SHOW_DELAY, self._show_stale)
        self._stale.update(dict.fromkeys(changed))

    def _show_stale(self) -> None:
        stale, self._stale = self._stale, {}
        for kind, key in stale:
            self._show(kind, key)

    def _show(self, kind: str, key: str) -> None:
        """Bring the retained read model up to date; empty removes it."""
        document = self.realm.document(kind, key)
        if kind == "runtime":
            topic = self._topics.runtime_state(key)
            # Who is placed where stands in the modules' documents; here it would always be late.
            for field in ("children", "nmodules"):
                (document or {}).pop(field, None)
        else:
            topic = self._topics.module_state(key)
        payload = codec.encode_document(document) if document else b""
        self._publish(topic, payload, retain=True)

    def _announce(self, *, online: bool) -> None:
        notice = self._notice.model_copy(update={"online": online})
        payload = codec.encode_document(notice)
        self._publish(self._topics.supervisor_state, payload, qos=1, retain=True)
        if online:
            state = self.realm.documents()
            for kind in ("runtime", "module"):
                for document in state[f"{kind}s"]:
                    self._show(kind, document["uuid"])

    def _publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        try:
            self._bus.publish(topic, payload, qos=qos, retain=retain)
        except BusError as error:
            # Deadlines repeat commands, clients repeat requests: log, do not stop.
            log.warning("publish.dropped", topic=topic, error=str(error))

    # ------------------------------------------------------------------ checkpoints

    def _ask_keeper(self, effect: KeeperEffect) -> None:
        keeper = self.keeper
        match effect:
            case FindSnapshot(module, generation) if keeper is None:
                nothing = NoSnapshot(module, generation, "no checkpoints are kept here")
                asyncio.get_running_loop().call_soon(self.tell, nothing)
            case FindSnapshot() if keeper is not None:
                keeper.find(effect)
            case SendSnapshot() if keeper is not None:
                keeper.send(effect)
            case ForgetSnapshots() if keeper is not None:
                keeper.forget(effect)

    async def _list_snapshots(self, wanted: ListSnapshots) -> None:
        found = await self.keeper.snapshots(wanted.module) if self.keeper else []
        details = {"uuid": wanted.module, "name": wanted.name, "snapshots": found}
        self._say(Reply(wanted.to, Response(ok=True, details=details)))

    async def _export(self, wanted: ExportSnapshot) -> None:
        try:
            if self.keeper is None:
                raise NotFound("no checkpoints are kept here")
            found = await self.keeper.export(wanted.module, wanted.number, wanted.transfer)
        except ArtsError as error:
            self._say(Reply(wanted.to, _refused(error)))
        else:
            details = {"module": wanted.document, "checkpoint": found}
            self._say(Reply(wanted.to, Response(ok=True, details=details)))

    # ------------------------------------------------------------------ programs

    def _fetch(self, wanted: FetchProgram) -> None:
        self._do(self._fetch_program(wanted), f"fetch {wanted.filename}")

    def _do(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._works.add(task)
        task.add_done_callback(self._works.discard)

    async def _fetch_program(self, wanted: FetchProgram) -> None:
        event: Event
        try:
            program = await self._programs.resolve(wanted.filename, wanted.digest, wanted.form)
            event = ProgramFetched(wanted.module, wanted.generation, program)
        except ArtsError as error:
            event = ProgramUnavailable(wanted.module, wanted.generation, str(error))
        except Exception as error:
            log.error("program.failed", filename=wanted.filename, exc_info=error)
            event = ProgramUnavailable(wanted.module, wanted.generation, f"internal error: {error}")
        self._process([event])


def _row(record: Record) -> Row:
    value = None if record.value is None else codec.encode_record(record.value)
    return Row(record.kind, record.key, value)


def _refused(error: Exception) -> Response:
    if isinstance(error, Malformed):
        return Response(ok=False, details=str(error), code=error.code, subject=error.subject)
    if isinstance(error, StoreError):
        return Response(ok=False, details=f"cannot be made durable: {error}", code=error.code)
    if isinstance(error, ArtsError):
        return Response(ok=False, details=str(error), code=error.code)
    return Response(ok=False, details=f"internal error: {error}", code="internal")


def _log_journal(journal: list[dict[str, Any]]) -> None:
    verbose = log.isEnabledFor(logging.DEBUG)
    for entry in journal:
        event = entry["event"]
        fields = {key: value for key, value in entry.items() if key not in ("at", "event")}
        if event.startswith("runtime.") or event == "migration.done":
            log.info(event, **fields)
        elif verbose:
            log.debug(event, **fields)
