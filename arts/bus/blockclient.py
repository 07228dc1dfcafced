"""How bytes get from a socket into paho-mqtt: in blocks, and from a socket that we opened.

Everything that touches paho's private methods is in this file. It knows no session, no message
and no reconnecting.
"""

import asyncio
import socket
from typing import Any

from paho.mqtt import client as paho

_BLOCK = 64 * 1024
_MAX_BLOCK = 1024 * 1024


class BlockClient(paho.Client):
    """paho's client, fed with blocks instead of reading its socket byte by byte.

    paho asks the socket for one byte, then for one more, then for the rest: three system calls a
    packet. Here ``read_block`` makes one call a readiness event, and paho's questions are answered
    from that block. Overrides three private methods and calls a fourth; hence ``paho-mqtt <2.3``.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.paused = False
        self._adopted: socket.socket | None = None
        self._block = b""
        self._at = 0
        self._wanted = 0
        self._at_end = False

    def adopt(self, sock: socket.socket) -> None:
        """Let ``connect`` take this connected socket instead of opening one."""
        self._adopted = sock

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

    def _take(self, size: int) -> bytes:
        try:
            data = super()._sock_recv(size)
        except BlockingIOError:  # half a TLS record or websocket frame
            return b""
        self._at_end = not data
        return data

    def _pending(self) -> int:
        count = getattr(self.socket(), "pending", None)
        return count() if count else 0

    def _sock_recv(self, bufsize: int) -> bytes:
        if self.paused:
            raise BlockingIOError
        chunk = self._block[self._at : self._at + bufsize]
        if not chunk and not self._at_end:
            self._wanted = bufsize
            raise BlockingIOError
        self._at += len(chunk)
        return chunk

    def _sock_send(self, buf: bytes | bytearray) -> int:
        sent = super()._sock_send(buf)
        if sent == 0:
            # Half a websocket frame went out. paho would drop the packet now and send the other
            # half as part of the next one; this makes it keep the packet and come back.
            raise BlockingIOError
        return sent

    def _create_socket_connection(self) -> socket.socket:
        sock, self._adopted = self._adopted, None
        if sock is None:
            raise ConnectionError("no connected socket was given")
        return sock


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
