"""One network connection to a broker on the asyncio loop, from CONNECT to its end.

This file and ``blockclient`` alone know paho-mqtt. A connection is never reused: whoever wants
another one makes a new object, so nothing that paho remembers (in-flight messages, packet
identifiers) outlives the socket. What has to survive is kept above ``Link``.

It refuses to know: reconnecting, what to resend, what the messages mean.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from arts.bus.address import Address
from arts.bus.base import Will
from arts.bus.blockclient import BlockClient, dial
from arts.bus.link import Listener
from arts.errors import BusError
from arts.log import get_logger

log = get_logger(__name__)

_DRAIN = 64 * 1024
_AFTER_YOU = 0.1
"""Seconds for the broker to hang up first; behind TLS some wait for us to do so."""
# Linux only; elsewhere brokers without TCP_NODELAY just answer 40 ms later.
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)


class Connection:
    """``Link`` of MQTT 3.1.1 over TCP, TLS or a websocket, to ``address`` under ``client_id``.

    ``clean`` asks for a session that ends with the connection. With ``manual_ack`` the broker
    learns of consumed QoS 1 messages from ``acknowledge`` only. ``tls`` replaces the default
    trust store of encrypted schemes. ``keepalive`` is in seconds; a silent broker is noticed
    after at most twice that.
    """

    def __init__(
        self,
        address: Address,
        client_id: str,
        listener: Listener,
        *,
        clean: bool = True,
        manual_ack: bool = False,
        will: Will | None = None,
        keepalive: int = 30,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._listener = listener
        self._keepalive = keepalive
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[bool] = self._loop.create_future()
        self._ended: asyncio.Future[str] = self._loop.create_future()
        self._grants: dict[int, tuple[list[str], asyncio.Future[dict[str, int]]]] = {}
        self._fd = -1
        self._writing = False
        self._housekeeping: asyncio.TimerHandle | None = None
        self._handshake: asyncio.Future[MQTTErrorCode] | None = None
        self._tls = tls or ssl.create_default_context() if address.tls else None
        self._client = self._make_client(client_id, clean, manual_ack, will)

    def _make_client(
        self,
        client_id: str,
        clean: bool,
        manual_ack: bool,
        will: Will | None,
    ) -> BlockClient:
        address = self._address
        client = BlockClient(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=clean,
            protocol=paho.MQTTv311,
            transport=address.transport,
            reconnect_on_failure=False,
            manual_ack=manual_ack,
        )
        client.max_inflight_messages = 0  # no limit: the outbox of the owner is the limit
        if address.username is not None:
            client.username_pw_set(address.username, address.password)
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        if address.transport == "websockets":
            client.ws_set_options(address.path)
        self._listen(client)
        return client

    def _listen(self, client: BlockClient) -> None:
        client.on_connect = self._on_connack
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_suback
        client.on_delivery = self._on_delivery
        client.on_confirmed = self._on_confirmed
        client.on_socket_register_write = self._on_want_write
        client.on_socket_unregister_write = self._on_written
        client.on_socket_close = self._detach

    # -- opening and closing ------------------------------------------------------------------

    async def open(self, timeout: float) -> bool:
        """Connect and wait for the CONNACK; True if the broker still had this client's session.

        Raises ``BusError`` when refused, unreachable or silent for ``timeout`` seconds.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._connect(timeout)
                return await self._opened
        except TimeoutError:
            raise BusError(f"{self._address} did not answer within {timeout:g} s") from None
        except (OSError, ValueError) as error:
            raise BusError(f"cannot reach {self._address}: {error}") from None
        finally:
            if not _succeeded(self._opened):
                self.cut()

    async def _connect(self, timeout: float) -> None:
        client, address = self._client, self._address
        client.adopt(await dial(address.host, address.port), self._tls)
        client.connect_timeout = timeout
        arguments = (address.host, address.port, self._keepalive)
        if address.scheme == "mqtt":
            client.connect(*arguments)
        else:  # shaking hands (TLS, websocket) blocks
            self._handshake = self._loop.run_in_executor(None, client.connect, *arguments)
            try:
                await asyncio.shield(self._handshake)
            except asyncio.CancelledError:
                self._handshake.add_done_callback(self._discard)
                raise
        self._attach()

    async def close(self, timeout: float) -> None:
        """Say goodbye (no will is published) and wait until the broker has closed its end.

        What was published before goes out first. After ``timeout`` seconds the socket is closed
        anyway.
        """
        sock = self._client.socket()
        if sock is None:
            return
        # paho closes right after writing. With unread input that is a reset, which may overtake
        # the farewell: so a second descriptor keeps the line open until the broker hangs up. The
        # broker should do so first: rumqttd takes our end for that of whoever has the client id by
        # then, which in a move is the next owner.
        with socket.socket(fileno=os.dup(sock.fileno())) as line:
            line.setblocking(False)
            try:
                async with asyncio.timeout(timeout):
                    self._client.disconnect()
                    await asyncio.shield(self._ended)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(_AFTER_YOU):
                            return await self._drain(line)
                    line.shutdown(socket.SHUT_WR)
                    await self._drain(line)
            except OSError:  # includes TimeoutError: nobody is left to say goodbye to
                pass
            finally:
                self.cut()

    async def _drain(self, line: socket.socket) -> None:
        while await self._loop.sock_recv(line, _DRAIN):
            pass

    def cut(self) -> None:
        """Close the socket at once: to the broker this client has died."""
        self._end("cut off by its owner")
        if self._handshake is None or self._handshake.done():  # else its thread has the socket
            self._client.cut()

    def _discard(self, handshake: "asyncio.Future[MQTTErrorCode]") -> None:
        """A handshake that nobody waits for any more has ended."""
        handshake.exception()
        self.cut()

    def _attach(self) -> None:
        sock = self._client.socket()
        assert sock is not None, "paho connected without a socket"
        self._fd = sock.fileno()
        self._loop.add_reader(self._fd, self._on_readable)
        self._housekeeping = self._loop.call_later(self._keepalive / 4, self._keep_house)
        self._write()

    def _detach(self, *_: object) -> None:
        """paho is about to close its socket."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._fd, self._writing = -1, False

    def _end(self, reason: str) -> None:
        if self._ended.done():
            return
        self._ended.set_result(reason)
        if self._housekeeping:
            self._housekeeping.cancel()
        error = BusError(f"{self._address}: {reason}")
        _fail(self._opened, error)
        for _, future in self._grants.values():
            _fail(future, error)
        if _succeeded(self._opened):
            self._tell(self._listener.on_lost, reason)

    # -- the loop's side ----------------------------------------------------------------------

    def _on_readable(self) -> None:
        client = self._client
        if self._fd < 0 or client.paused:
            return
        try:
            self._quick_ack()
            client.read_block()
            while client.has_packets() and client.loop_read() == MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass
        except OSError as error:
            self._fail(str(error))
        except Exception as error:  # a bug, ours or paho's: this connection cannot be trusted
            log.exception("bus.unreadable", broker=str(self._address))
            self._fail(f"cannot handle what the broker sent: {error}")

    def _quick_ack(self) -> None:
        # A broker without TCP_NODELAY (iotcore) waits for the ACK that Linux would delay by 40 ms.
        sock = self._client.socket()
        if _QUICKACK is not None and isinstance(sock, socket.socket):
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def _write(self) -> None:
        if self._fd < 0:
            return
        try:
            self._client.loop_write()
        except Exception as error:
            log.exception("bus.unwritable", broker=str(self._address))
            self._fail(f"cannot send: {error}")
        if self._fd >= 0 and self._client.want_write() and not self._writing:
            self._loop.add_writer(self._fd, self._write)
            self._writing = True

    def _on_want_write(self, *_: object) -> None:
        # Once per burst: what is published until the loop comes round goes out together.
        if self._fd >= 0:
            self._loop.call_soon(self._write)

    def _on_written(self, *_: object) -> None:
        if self._writing:
            self._loop.remove_writer(self._fd)
            self._writing = False

    def _keep_house(self) -> None:
        self._housekeeping = self._loop.call_later(self._keepalive / 4, self._keep_house)
        self._client.loop_misc()

    def _fail(self, reason: str) -> None:
        self._end(reason)
        self._client.cut()

    # -- paho's side --------------------------------------------------------------------------

    def _on_connack(
        self, _client: object, _data: object, flags: Any, code: ReasonCode, _props: object
    ) -> None:
        if code.is_failure:
            _fail(self._opened, BusError(f"{self._address} refused the connection: {code}"))
        elif not self._opened.done():
            self._opened.set_result(flags.session_present)

    def _on_disconnect(
        self, _client: object, _data: object, _flags: object, code: ReasonCode, _props: object
    ) -> None:
        plain = code.getName() in ("Unspecified error", "Normal disconnection")
        self._end("the connection was closed" if plain else str(code))

    def _on_delivery(self, topic: str, payload: bytes, qos: int, retain: bool, mid: int) -> None:
        self._tell(self._listener.on_message, topic, payload, qos, retain, mid)

    def _tell(self, what: Callable[..., None], *arguments: object) -> None:
        try:
            what(*arguments)
        except Exception:  # one bad message or listener must not make the process deaf
            log.exception("bus.listener_failed", broker=str(self._address))

    def _on_confirmed(self, mid: int) -> None:
        self._tell(self._listener.on_published, mid)

    def _on_suback(
        self, _client: object, _data: object, mid: int, codes: list[ReasonCode], _props: object
    ) -> None:
        if mid not in self._grants:
            return
        filters, future = self._grants.pop(mid)
        if not future.done():
            future.set_result(dict(zip(filters, (code.value for code in codes), strict=False)))

    # -- the owner's side ---------------------------------------------------------------------

    def publish(self, topic: str, payload: bytes, qos: int, retain: bool) -> int:
        """Hand a checked publication to the socket; its packet identifier for ``on_published``.

        On a connection that has just ended it goes nowhere: ``on_lost`` tells.
        """
        return self._client.publish(topic, payload, qos, retain).mid

    def subscribe(self, filters: dict[str, int]) -> "asyncio.Future[dict[str, int]]":
        """Send one SUBSCRIBE (filter -> QoS). The future gives filter -> SUBACK code (128: no).

        It fails with ``BusError`` if the connection ends first.
        """
        future: asyncio.Future[dict[str, int]] = self._loop.create_future()
        code, mid = self._client.subscribe(list(filters.items()))
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            _fail(future, BusError(f"{self._address}: not connected"))
        else:
            self._grants[mid] = (list(filters), future)
        return future

    def unsubscribe(self, topic_filter: str) -> None:
        """Send an UNSUBSCRIBE; the answer does not matter."""
        self._client.unsubscribe(topic_filter)

    def acknowledge(self, mid: int) -> None:
        """Send the PUBACK of a received QoS 1 message (``manual_ack`` only)."""
        self._client.ack(mid, 1)

    def push(self) -> None:
        """Write what was published now. The loop does it anyway, once a turn."""
        self._write()

    def idle(self) -> bool:
        """Whether everything published has left for the operating system."""
        return not self._client.want_write()

    def pause_reading(self) -> None:
        """Leave what comes in the socket, and so at the broker. Resume well within keepalive."""
        self._client.paused = True
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)

    def resume_reading(self) -> None:
        """Read again, beginning with what was left over."""
        if self._client.paused and self._fd >= 0:
            self._loop.add_reader(self._fd, self._on_readable)
            self._loop.call_soon(self._on_readable)
        self._client.paused = False


def _succeeded(future: "asyncio.Future[Any]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _fail(future: "asyncio.Future[Any]", error: BusError) -> None:
    """Fail a future that perhaps nobody will ever look at."""
    if not future.done():
        future.set_exception(error)
        future.exception()
