"""Put a supervisor together from its settings and run it. The composition root; no decisions."""

import asyncio
import gc
import signal
from contextlib import AsyncExitStack

from arts.api.http import serve as serve_http
from arts.api.legacy import LegacyRest
from arts.api.mqtt import serve as serve_programs_over_mqtt
from arts.bus.address import parse_address
from arts.bus.base import Will
from arts.bus.broker import open_broker
from arts.bus.mqtt import MqttBus
from arts.keeper import keeping
from arts.log import get_logger
from arts.programs.store import ProgramStore
from arts.protocol import codec
from arts.protocol.messages import SupervisorNotice
from arts.protocol.topics import Topics
from arts.realm.state import RealmSettings
from arts.scene_service import serve as serve_scenes
from arts.scenes.model import SceneSettings
from arts.settings import Settings
from arts.store.checkpoints import CheckpointStore
from arts.store.sqlite import SqliteStore
from arts.supervisor import Supervisor

log = get_logger(__name__)


def realm_settings(settings: Settings) -> RealmSettings:
    """The numbers a realm decides with."""
    return RealmSettings(
        name=settings.realm,
        policy=settings.policy,
        pause_bound=settings.programs.pause_bound,
        **settings.liveness.model_dump(),
    )


def scene_settings(settings: Settings, broker_url: str) -> SceneSettings:
    """The numbers that scenes are decided with."""
    chosen = settings.scenes.model_dump(exclude={"enabled", "mqtt_host", "web_host"})
    mqtt_host = settings.scenes.mqtt_host or parse_address(broker_url).host
    web_host = settings.scenes.web_host or mqtt_host
    return SceneSettings(settings.realm, mqtt_host=mqtt_host, web_host=web_host, **chosen)


async def run_supervisor(settings: Settings) -> None:
    """Supervise one realm until cancelled, SIGTERM or SIGINT; then leave in order.

    Raises ``StoreError`` when another supervisor has the data directory, ``BusError`` when a broker
    of our own cannot be started. A foreign broker that is down is waited for.
    """
    async with AsyncExitStack() as stack:
        store = SqliteStore(
            settings.data_dir / "realm.sqlite", synchronous=settings.store.synchronous
        )
        stack.callback(store.close)
        broker = await stack.enter_async_context(
            open_broker(
                settings.broker,
                settings.data_dir / "broker",
                port=settings.listen.port,
                ws_port=settings.listen.ws_port,
                host=settings.listen.host,
            )
        )
        programs = ProgramStore(settings.data_dir / "programs", settings.programs)
        stack.push_async_callback(programs.close)
        supervisors: list[Supervisor] = []
        legacy = LegacyRest(
            lambda: supervisors[0].realm.documents(), broker.url, settings.listen.ws_port
        )
        http_url = await stack.enter_async_context(
            serve_http(
                programs,
                settings.http.host,
                settings.http.port,
                broker_url=broker.url,
                origins=settings.http.origins,
                legacy=legacy,
            )
        )
        await stack.enter_async_context(
            serve_programs_over_mqtt(programs, broker.url, settings.realm)
        )
        if settings.scenes.enabled:
            known = SqliteStore(
                settings.data_dir / "scenes.sqlite", synchronous=settings.store.synchronous
            )
            stack.callback(known.close)
            scenes = scene_settings(settings, broker.url)
            await stack.enter_async_context(serve_scenes(scenes, broker.url, known))
        bus = MqttBus(broker.url, f"{settings.realm}-supervisor", will=_will(settings.realm))
        await bus.start()
        stack.push_async_callback(bus.stop)
        supervisor = Supervisor(
            realm_settings(settings),
            bus,
            store,
            programs,
            http_url=settings.http.public_url or http_url,
        )
        checkpoints = CheckpointStore(
            settings.data_dir / "checkpoints",
            max_bytes=settings.checkpoints.max_bytes,
            keep=settings.checkpoints.keep,
            sync=settings.store.synchronous == "full",
        )
        supervisor.keeper = await stack.enter_async_context(
            keeping(
                broker.url,
                settings.realm,
                checkpoints,
                max_bytes=settings.checkpoints.max_module_bytes,
                may_keep=lambda origin: supervisor.realm.refuses_checkpoint(
                    origin.module, origin.runtime, origin.generation
                ),
                tell=supervisor.tell,
            )
        )
        programs.on_progress = lambda preparing: supervisor.note(
            "program.preparing",
            filename=preparing.name,
            source=preparing.source,
            done=preparing.done,
            total=preparing.total,
        )
        supervisors.append(supervisor)
        where = str(parse_address(broker.url))  # without the password
        log.info("supervisor.started", realm=settings.realm, broker=where, http=http_url)
        _calm_the_collector()
        await _run_until_told(supervisor)
        log.info("supervisor.stopped", realm=settings.realm)


def _will(realm: str) -> Will:
    """What the world reads when this process dies: nobody supervises."""
    notice = SupervisorNotice(instance="", online=False)
    return Will(Topics(realm).supervisor_state, codec.encode_document(notice), retain=True)


def _calm_the_collector() -> None:
    """What is loaded by now stays; and a batch makes more objects than the default counts on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


async def _run_until_told(supervisor: Supervisor) -> None:
    running = asyncio.create_task(supervisor.run(), name="supervisor")
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        if not running.cancelled():  # somebody cancelled us, not the signal
            running.cancel()
            raise
