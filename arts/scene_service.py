"""The imperative shell around scenes: a bus connection of their own, a clock and a disk.

A client of the realm like any other: it asks the supervisor over MQTT and reads what the realm
shows, so neither knows the other's state. What scenes remember is committed before anything is
said; if anything in a batch fails, nothing of it is said and the scenes are rebuilt from the store.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from arts.bus.base import Bus, BusEvent, Connected, Received, SubscriptionRefused
from arts.bus.mqtt import MqttBus
from arts.errors import ArtsError, BusError, InvalidRequest
from arts.log import get_logger
from arts.protocol import codec
from arts.protocol.messages import ModuleStats
from arts.protocol.topics import Topics
from arts.scenes import model, wire
from arts.scenes.events import (
    Answer,
    Answered,
    Ask,
    Keep,
    Linked,
    ModuleChanged,
    RuntimeChanged,
    SceneEffect,
    SceneEvent,
    SceneNote,
    StatsHeard,
    Tell,
)
from arts.scenes.model import SceneSettings
from arts.scenes.scenes import Scenes
from arts.scenes.topics import ME, SceneTopics
from arts.store.base import Row, Store

log = get_logger(__name__)

_RECOVER = 1.0


def iso(wall: float) -> str:
    """Wall time as ARENA writes it."""
    text = datetime.fromtimestamp(wall, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


@asynccontextmanager
async def serve(settings: SceneSettings, broker_url: str, store: Store) -> AsyncIterator[None]:
    """Run the programs of scenes for the duration. A broker that is down is waited for."""
    bus = MqttBus(broker_url, f"{settings.realm}-scenes")
    await bus.start()
    serving = asyncio.create_task(SceneService(settings, bus, store).run(), name="scenes")
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.wait([serving])
        await bus.stop()


class SceneService:
    """The scenes of one realm. ``run`` until cancelled; start and stop ``bus`` around it."""

    def __init__(
        self,
        settings: SceneSettings,
        bus: Bus,
        store: Store,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._bus = bus
        self._store = store
        self._clock = clock
        self._topics = Topics(settings.realm)
        self._scene_topics = SceneTopics(settings.realm)
        self._reply_topic = self._topics.reply(ME)
        self._modules = self._topics.module_state("+").removesuffix("/+")
        self._runtimes_shown = self._topics.runtime_state("+").removesuffix("/+")
        self._supervisor = ""
        self._runtimes: dict[str, Any] = {}
        self._watched: set[str] = set()
        """Modules whose state we listen to: ours, and not all of a large realm."""
        self._timer: asyncio.TimerHandle | None = None
        self._rebuilding = False
        self.scenes = Scenes(settings, iso=iso)

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Restore what is known, then serve until cancelled; take the panels away at the end."""
        self._restore()
        for topic_filter, qos in self._subscriptions():
            self._bus.subscribe(topic_filter, qos)
        try:
            while True:
                self._process(self._decode(await self._bus.receive()))
        finally:
            if self._timer:
                self._timer.cancel()
            self._say(self.scenes.farewell())

    def _subscriptions(self) -> Iterator[tuple[str, int]]:
        for topic_filter in self._scene_topics.filters():
            yield topic_filter, 0 if "/u/" in topic_filter else 1  # cameras: the next one does
        yield self._topics.scene("+/+"), 1
        yield self._reply_topic, 1
        yield self._topics.runtime_state("+"), 1
        yield self._topics.supervisor_state, 1  # the last: what it sets off finds the rest in force

    def _restore(self) -> None:
        self.scenes = Scenes(self._settings, iso=iso)
        records = []
        for row in self._store.load():
            if row.value is not None:
                try:
                    records.append(model.decode(row.kind, row.value))
                except InvalidRequest as error:
                    log.error("scenes.record_unreadable", key=row.key, error=str(error))
        self.scenes.restore(records, self._clock())
        self._watch({r.uuid for r in records if isinstance(r, model.Instance)})
        log.info("scenes.restored", records=len(records))

    # ------------------------------------------------------------------ in

    def _decode(self, happened: Iterable[BusEvent]) -> list[SceneEvent]:
        events = []
        for event in happened:
            match event:
                case Received():
                    try:
                        decoded = self._decode_message(event)
                    except Exception as error:  # a bug of ours; the others are innocent
                        log.error("scenes.message_failed", topic=event.topic, exc_info=error)
                        continue
                    if decoded is not None:
                        events.append(decoded)
                case Connected():
                    self._supervisor = ""  # its retained notice follows, and means: ask again
                case SubscriptionRefused(topic_filter, code):
                    log.error("broker.subscription_refused", topic=topic_filter, code=code)
        return events

    def _decode_message(self, message: Received) -> SceneEvent | None:
        topic, topics = message.topic, self._topics
        if not topic.startswith(topics.proc + "/"):
            return self._decode_scene(message)
        if topic == self._reply_topic:
            answer = codec.decode_response(message.payload)
            return Answered(*answer) if answer else None
        if topic == topics.supervisor_state:
            return self._on_notice(message.payload)
        if (uuid := topics.last_level(topic, self._modules)) is not None:
            return ModuleChanged(uuid, _object(message.payload))
        if (uuid := topics.last_level(topic, self._runtimes_shown)) is not None:
            self._runtimes[uuid] = document = _object(message.payload)
            return RuntimeChanged(uuid, document)
        if topics.last_level(topic, topics.keepalive) is not None:
            return self._decode_stats(message.payload)
        scene = self._scene_topics.requested(topic)
        if scene is None or message.retain:
            return None
        return wire.decode_request(scene, message.payload)

    def _decode_scene(self, message: Received) -> SceneEvent | None:
        place = self._scene_topics.place(message.topic)
        if place is None or (message.retain and place.kind != "o"):
            return None
        return wire.decode(place, message.payload, self.scenes.knows, retained=message.retain)

    def _decode_stats(self, payload: bytes) -> SceneEvent | None:
        """What a keepalive says about modules of ours; most keepalives say nothing about any."""
        data = (_object(payload) or {}).get("data")
        children = data.get("children") if isinstance(data, dict) else None
        found = []
        for child in children if isinstance(children, list) else ():
            if isinstance(child, dict) and child.get("uuid") in self._watched:
                try:
                    found.append(ModuleStats.model_validate(child))
                except ValidationError:
                    continue  # the supervisor complains
        return StatsHeard(tuple(found)) if found else None

    def _on_notice(self, payload: bytes) -> SceneEvent | None:
        notice = codec.decode_notice(payload)
        instance = notice.instance if notice and notice.online else ""
        before, self._supervisor = self._supervisor, instance
        return Linked() if instance and instance != before else None

    # ------------------------------------------------------------------ the batch

    def _process(self, events: list[SceneEvent]) -> None:
        """Handle, commit, speak. Never awaits: nothing can come in between."""
        try:
            self._handle(events)
        except Exception as error:
            self._rebuild()
            if len(events) > 1:  # one of them is to blame; the others are innocent
                for event in events:
                    self._process([event])
                return
            log.error("scenes.event_failed", event_type=_names(events), exc_info=error)
        self._arm()

    def _handle(self, events: list[SceneEvent]) -> None:
        effects: list[SceneEffect] = []
        for event in events:
            effects += self.scenes.handle(event, self._clock(), time.time())
        due = self.scenes.next_deadline()
        if due is not None and due <= self._clock():
            effects += self.scenes.tick(self._clock(), time.time())
        kept = {(e.kind, e.key): e for e in effects if isinstance(e, Keep)}
        if kept:
            self._store.commit([_row(keep) for keep in kept.values()])
            ours = {key: keep.value for (kind, key), keep in kept.items() if kind == "instance"}
            self._watch(self._watched.difference(ours) | {key for key, v in ours.items() if v})
        self._say(effects)

    def _watch(self, modules: set[str]) -> None:
        """Listen to the state of these modules, and to keepalives while there are any."""
        before, self._watched = self._watched, modules
        for uuid in modules - before:
            self._bus.subscribe(self._topics.module_state(uuid), 1)
        for uuid in before - modules:
            self._bus.unsubscribe(self._topics.module_state(uuid))
        keepalives = self._topics.keepalive_of("+")
        if modules and not before:
            self._bus.subscribe(keepalives, 0)
        if before and not modules:
            self._bus.unsubscribe(keepalives)

    def _rebuild(self) -> None:
        """As after a crash, minus the crash. What was under way is taken up in a moment: if it is
        the disk that fails, it fails more than once."""
        self._restore()
        for uuid, document in self._runtimes.items():
            self.scenes.handle(RuntimeChanged(uuid, document), self._clock(), time.time())
        if not self._rebuilding:
            self._rebuilding = True
            asyncio.get_running_loop().call_later(_RECOVER, self._take_up)

    def _take_up(self) -> None:
        self._rebuilding = False
        self._process([Linked()])

    def _arm(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        when = self.scenes.next_deadline()
        if when is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, when - self._clock()), self._process, [])

    # ------------------------------------------------------------------ out

    def _say(self, effects: Iterable[SceneEffect]) -> None:
        journal = []
        for effect in effects:
            match effect:
                case Ask(request):
                    payload = codec.encode_request(request, reply_to=self._reply_topic)
                    self._publish(self._topics.control, payload)
                case Tell(topic, message):
                    self._publish(topic, codec.encode_document(message))
                case Answer(to, response):
                    self._publish(to.topic, codec.encode_response(to, response))
                case SceneNote(event, fields):
                    log.info(event, **fields)
                    journal.append({"at": time.time(), "event": event, **fields})
        if journal:
            self._publish(self._topics.journal, codec.encode_document(journal), qos=0)

    def _publish(self, topic: str, payload: bytes, *, qos: int = 1) -> None:
        try:
            self._bus.publish(topic, payload, qos=qos)
        except (BusError, ArtsError) as error:
            # Requests are repeated, and what a scene is told soon changes again.
            log.warning("publish.dropped", topic=topic, error=str(error))


def _object(payload: bytes) -> dict[str, Any] | None:
    """An object, or None for anything else; empty payloads are None on purpose."""
    if not payload:
        return None
    try:
        document = codec.decode_document(payload)
    except InvalidRequest:
        return None
    return document if isinstance(document, dict) else None


def _row(keep: Keep) -> Row:
    return Row(keep.kind, keep.key, None if keep.value is None else model.encode(keep.value))


def _names(events: Iterable[SceneEvent]) -> str:
    return ", ".join(type(event).__name__ for event in events)
