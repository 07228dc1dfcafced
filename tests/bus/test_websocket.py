"""The websocket bridge: what a browser sends through it, and who may not."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from arts.bus.base import Connected, Disconnected, Publication, Received, SessionEvent
from arts.bus.broker import Broker
from arts.bus.mqtt import MqttBus
from arts.bus.session import MqttSession
from arts.bus.websocket import Handler, websocket_bridge
from arts.errors import BusError
from tests.bus.certificate import make_certificate
from tests.bus.fake_broker import fake_broker
from tests.bus.network import event_of, eventually, messages
from tests.support.broker import OpenBroker, unique


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The URL of a bridge."""
    app = web.Application()
    app.router.add_get("/mqtt", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"ws://127.0.0.1:{runner.addresses[0][1]}/mqtt"
    finally:
        await runner.cleanup()


async def test_messages_of_any_size_go_both_ways(broker: Broker) -> None:
    topic = unique()
    async with serving(websocket_bridge(broker.url)) as url:
        ours, browser = MqttBus(broker.url, unique()), MqttBus(url, unique())
        for bus, name in ((ours, "ours"), (browser, "browser")):
            bus.subscribe(f"{topic}/{name}", 1)
            await bus.start()
            await event_of(bus, Connected)
        for size in (0, 300, 70_000, 262_144, 1_000_000):
            ours.publish(f"{topic}/browser", b"x" * size, qos=1)
            assert [len(m.payload) for m in await messages(browser, 1)] == [size]
            browser.publish(f"{topic}/ours", b"x" * size, qos=1)
            assert [len(m.payload) for m in await messages(ours, 1)] == [size]
        for number in range(300):
            ours.publish(f"{topic}/browser", b"%d" % number + bytes(16_000), qos=1)
        received = await messages(browser, 300)
        assert [int(m.payload.rstrip(b"\0")) for m in received] == list(range(300))
        await browser.stop()
        await ours.stop()


async def test_takeover_reaches_through_the_bridge(broker: Broker) -> None:
    name, topic = unique(), unique()
    events: list[SessionEvent] = []
    async with serving(websocket_bridge(broker.url)) as url:
        browser, server = MqttSession(url, name), MqttSession(broker.url, name)
        await browser.connect(events.append, 5)
        await browser.subscribe({topic: 1}, 5)
        assert await server.connect(lambda event: None, 5) is True
        await eventually(lambda: len(events) == 1)
        await server.close()
        assert await browser.connect(events.append, 5) is True
        browser.publish(Publication(topic, b"1"))
        assert await browser.flush(5)
        await browser.purge()


async def test_clients_hear_of_a_broker_that_goes(own_broker: OpenBroker) -> None:
    broker = await own_broker("embedded")
    async with serving(websocket_bridge(broker.url)) as url:
        bus = MqttBus(url, "browser")
        bus.subscribe("x")
        await bus.start()
        await event_of(bus, Connected)
        broker.kill()
        await event_of(bus, Disconnected)
        async with aiohttp.ClientSession() as http, http.get(url.replace("ws:", "http:")) as answer:
            assert answer.status == 502
        await broker.restart()
        await event_of(bus, Connected)
        bus.publish("x", b"1", qos=1)
        assert [type(event) for event in await messages(bus, 1)] == [Received]
        await bus.stop()


async def test_encrypted_brokers_are_reached_too(tmp_path: Path) -> None:
    server, client = await asyncio.to_thread(make_certificate, tmp_path)
    async with (
        fake_broker(server) as fake,
        serving(websocket_bridge(fake.url, tls=client)) as url,
    ):
        bus = MqttBus(url, "browser")
        await bus.start()
        assert await event_of(bus, Connected) == [Connected(False)]
        await bus.stop()


@pytest.mark.parametrize(
    ("origins", "origin", "expected"),
    [
        ((), None, 101),
        ((), "http://127.0.0.1:{port}", 101),
        ((), "http://evil.example", 403),
        ((), "null", 403),
        (("http://good.example",), "http://good.example", 101),
        (("http://good.example",), "http://evil.example", 403),
        (("*",), "http://anybody.example", 101),
    ],
)
async def test_strange_pages_are_kept_out(
    embedded: Broker, origins: tuple[str, ...], origin: str | None, expected: int
) -> None:
    async with (
        serving(websocket_bridge(embedded.url, origins=origins)) as url,
        aiohttp.ClientSession() as http,
    ):
        port = url.split(":")[2].split("/")[0]
        headers = {} if origin is None else {"Origin": origin.format(port=port)}
        try:
            async with http.ws_connect(url, headers=headers, protocols=("mqtt",)) as websocket:
                status = 101
                assert websocket.protocol == "mqtt"
        except aiohttp.WSServerHandshakeError as error:
            status = error.status
        assert status == expected


def _text(websocket: aiohttp.ClientWebSocketResponse) -> object:
    return websocket.send_str("hello")


def _huge(websocket: aiohttp.ClientWebSocketResponse) -> object:
    return websocket.send_bytes(bytes(2000))


@pytest.mark.parametrize(("send", "code"), [(_text, 1003), (_huge, 1009)])
async def test_what_is_not_mqtt_ends_the_connection(
    embedded: Broker, send: Callable[[aiohttp.ClientWebSocketResponse], object], code: int
) -> None:
    async with (
        serving(websocket_bridge(embedded.url, max_frame=1000)) as url,
        aiohttp.ClientSession() as http,
        http.ws_connect(url) as websocket,
    ):
        await send(websocket)  # type: ignore[misc]
        message = await websocket.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, code)


def test_a_websocket_cannot_be_bridged() -> None:
    with pytest.raises(BusError, match="a websocket already"):
        websocket_bridge("ws://host")
