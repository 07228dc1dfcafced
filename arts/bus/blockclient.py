"""How bytes get from a socket into paho-mqtt and back: in blocks, over a socket that we opened.

Everything that touches paho's private methods is in this file. It knows no session, no message
and no reconnecting.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Final, Literal

from paho.mqtt import client as paho
from paho.mqtt.enums import MQTTErrorCode

_BLOCK = 64 * 1024
_MAX_BLOCK = 1024 * 1024
_DISCONNECT: Final = 0xE0


class BlockClient(paho.Client):
    """paho's client, fed with blocks instead of reading its socket byte by byte.

    paho asks the socket for one byte, then for one more, then for the rest: three system calls a
    packet. Here ``read_block`` makes one call a readiness event, and paho's questions are answered
    from that block. What is to be sent goes out in blocks too. The two packets that come by the
    thousand, PUBLISH and PUBACK, are taken apart here: without a lock, a condition variable and a
    property list of MQTT 5 for each. Overrides six private methods and calls two more; hence
    ``paho-mqtt <2.3``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.paused = False
        self._line: socket.socket | None = None
        self._tls: ssl.SSLContext | None = None
        self._block = b""
        self._at = 0
        self._wanted = 0
        self._at_end = False
        self._unsent = bytearray()
        self.on_delivery: Callable[[str, bytes, int, bool, int], None] = lambda *_: None
        """Called with topic, payload, QoS, retain flag and packet identifier of each message."""
        self.on_confirmed: Callable[[int], None] = lambda mid: None
        """Called with the packet identifier of each QoS 1 publish that the broker confirms."""

    def adopt(self, sock: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Let ``connect`` take this connected socket, and encrypt it with ``tls`` if given."""
        self._line, self._tls = sock, tls

    def read_block(self) -> None:
        """Take what the socket has, about one block. Raises ``OSError``."""
        parts = [self._block[self._at :], self._take(min(max(_BLOCK, self._wanted), _MAX_BLOCK))]
        # A TLS layer may hold decrypted bytes of which no selector will ever tell.
        while not self._at_end and (pending := self._pending()):
            parts.append(self._take(pending))
        self._block, self._at = b"".join(parts), 0

    def has_packets(self) -> bool:
        """Whether ``loop_read`` has something to do without touching the socket."""
        return not self.paused and (self._at < len(self._block) or self._at_end)

    def cut(self) -> None:
        """Close the socket at once, without a farewell."""
        self._sock_close()
        if self._line is not None:  # paho forgets a socket whose handshake fails
            self._line.close()

    def _take(self, size: int) -> bytes:
        try:
            data = super()._sock_recv(size)
        except BlockingIOError:  # half a TLS record or websocket frame
            return b""
        self._at_end = not data
        return data

    def _pending(self) -> int:
        return self._line.pending() if isinstance(self._line, ssl.SSLSocket) else 0

    def _sock_recv(self, bufsize: int) -> bytes:
        if self.paused:
            raise BlockingIOError
        chunk = self._block[self._at : self._at + bufsize]
        if not chunk and not self._at_end:
            self._wanted = bufsize
            raise BlockingIOError
        self._at += len(chunk)
        return chunk

    def want_write(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._unsent) or super().want_write()

    def _packet_write(self) -> MQTTErrorCode:
        while self._gather():
            try:
                sent = self._sock_send(self._unsent)
            except BlockingIOError:
                return MQTTErrorCode.MQTT_ERR_AGAIN
            except (OSError, AttributeError):
                return MQTTErrorCode.MQTT_ERR_CONN_LOST
            del self._unsent[:sent]
            self._last_msg_out = time.monotonic()
        # What is left is a farewell: paho has to see that one go.
        return super()._packet_write()

    def _gather(self) -> bool:
        """Join queued packets to one block; False when there is none."""
        queue = self._out_packet
        while queue and len(self._unsent) < _BLOCK and queue[0]["command"] & 0xF0 != _DISCONNECT:
            self._unsent += queue.popleft()["packet"]
        return bool(self._unsent)

    def _handle_publish(self) -> MQTTErrorCode:
        flags, packet = self._in_packet["command"], self._in_packet["packet"]
        qos = flags >> 1 & 3
        at = 2 + int.from_bytes(packet[:2], "big")
        body = at + 2 if qos else at
        if len(packet) < body or qos > 1:  # we never subscribe with QoS 2
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        topic, mid = packet[2:at].decode(errors="replace"), int.from_bytes(packet[at:body], "big")
        self.on_delivery(topic, bytes(packet[body:]), qos, bool(flags & 1), mid)
        if qos and not self._manual_ack:
            return self._send_puback(mid)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_pubackcomp(self, cmd: Literal["PUBACK", "PUBCOMP"]) -> MQTTErrorCode:
        mid = int.from_bytes(self._in_packet["packet"][:2], "big")
        if self._out_messages.pop(mid, None) is not None:
            self._inflight_messages -= 1
            self.on_confirmed(mid)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _sock_send(self, buf: bytes | bytearray) -> int:
        sent = super()._sock_send(buf)
        if sent == 0:
            # Half a websocket frame went out. paho would drop the packet now and send the other
            # half as part of the next one; this makes it keep the packet and come back.
            raise BlockingIOError
        return sent

    def _create_socket_connection(self) -> socket.socket:
        if self._line is None:
            raise ConnectionError("no connected socket was given")
        if self._tls is not None:
            self._line.settimeout(self.connect_timeout)
            self._line = self._tls.wrap_socket(self._line, server_hostname=self.host)
        return self._line


async def dial(host: str, port: int) -> socket.socket:
    """Open a connected, non-blocking socket with TCP_NODELAY. Raises ``OSError``."""
    loop = asyncio.get_running_loop()
    failure: OSError = OSError("no address")
    for family, kind, protocol, _, where in await _resolve(host, port):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, where)
        except OSError as error:
            failure = error
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


async def _resolve(host: str, port: int) -> list[tuple[Any, Any, int, str, Any]]:
    try:  # a numeric address needs no resolver thread
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        loop = asyncio.get_running_loop()
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
