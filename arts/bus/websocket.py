"""MQTT over a websocket for browsers, in front of a broker that is reached over TCP.

mosquitto 2.0's own websocket listener stops in the middle of messages above some 64 KiB until the
client happens to send something, and is slow below; iotcore's ends at 16 MiB. This carries bytes
between the two and knows nothing of MQTT.

    app.router.add_get("/mqtt", websocket_bridge(broker.url))
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Collection
from urllib.parse import urlsplit

from aiohttp import WSMsgType, web

from arts.bus.address import Address, parse_address
from arts.errors import BusError
from arts.log import get_logger

log = get_logger(__name__)

_BLOCK = 256 * 1024
_PROTOCOLS = ("mqtt", "mqttv3.1")
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def websocket_bridge(
    broker_url: str,
    *,
    origins: Collection[str] = (),
    max_frame: int = 64 * 1024 * 1024,
    tls: ssl.SSLContext | None = None,
) -> Handler:
    """An aiohttp handler that connects each websocket to the broker at ``broker_url``.

    A page may connect if it was served by this host or by one of ``origins`` ("*": by anybody):
    otherwise any web site could talk to the broker on its visitor's machine. Frames above
    ``max_frame`` bytes end the connection. Raises ``BusError`` for a URL that is not
    ``mqtt(s)://``; the user and password in it are not used, clients bring their own.
    """
    address = parse_address(broker_url)
    if address.transport != "tcp":
        raise BusError(f"{address} is a websocket already")
    context = tls or ssl.create_default_context() if address.tls else None

    async def handle(request: web.Request) -> web.StreamResponse:
        if not _may_connect(request, origins):
            raise web.HTTPForbidden(text="this page may not talk to the broker")
        try:
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=context, limit=_BLOCK
            )
        except OSError as error:
            raise web.HTTPBadGateway(text=f"cannot reach {address}: {error}") from None
        try:
            return await _carry(request, reader, writer, max_frame, address)
        finally:
            writer.close()

    return handle


def _may_connect(request: web.Request, origins: Collection[str]) -> bool:
    origin = request.headers.get("Origin")
    if origin is None or "*" in origins:  # not a page in a browser
        return True
    return origin in origins or urlsplit(origin).netloc == request.host


async def _carry(
    request: web.Request,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    max_frame: int,
    address: Address,
) -> web.WebSocketResponse:
    client = web.WebSocketResponse(protocols=_PROTOCOLS, max_msg_size=max_frame, compress=False)
    await client.prepare(request)
    answers = asyncio.create_task(_to_client(reader, writer, client), name=f"websocket {address}")
    try:
        async for message in client:
            if message.type is not WSMsgType.BINARY:
                await client.close(code=1003, message=b"MQTT is binary")
                break
            writer.write(message.data)
            await writer.drain()
    except ConnectionError:
        log.debug("websocket.broker_gone", broker=str(address))
    finally:
        answers.cancel()
        await asyncio.wait([answers])
    return client


async def _to_client(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, client: web.WebSocketResponse
) -> None:
    """Until the broker hangs up: then the client is hung up on, too."""
    line = writer.get_extra_info("socket")
    try:
        while data := await reader.read(_BLOCK):
            if _QUICKACK is not None:  # see connection.py
                line.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
            await client.send_bytes(data)
    except ConnectionError:
        pass
    await client.close()
