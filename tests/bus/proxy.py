"""A TCP proxy that misbehaves on request: how a test cuts or stalls one client's connection."""

import asyncio
import ssl
from collections.abc import Callable


class Proxy:
    """Forwards connections from ``port`` (on 127.0.0.1) to ``target_port``; ends TLS if given."""

    def __init__(self, target_port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self._tls = tls
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._pairs: list[tuple[_Side, _Side]] = []
        self._accepting = True
        self._dialling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Side(self._pair), "127.0.0.1", 0, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        await asyncio.gather(*self._dialling)
        self.cut()
        for _ in range(3):  # let the transports notice that they are closed
            await asyncio.sleep(0)

    def refuse(self) -> None:
        """Cut all connections and hang up on new ones, until ``accept``."""
        self._accepting = False
        self.cut()

    def accept(self) -> None:
        """Forward new connections again."""
        self._accepting = True

    def cut(self) -> None:
        """Reset all connections, at both ends: for the broker the client has died."""
        for pair in self._pairs:
            for side in pair:
                side.abort()
        self._pairs.clear()

    def stall_answers(self) -> None:
        """Let nothing from the broker through any more; requests still get there."""
        for _, to_broker in self._pairs:
            to_broker.stalled = True

    def flow(self) -> None:
        """End ``stall_answers``: what was held back comes now."""
        for _, to_broker in self._pairs:
            to_broker.resume()

    def _pair(self, to_client: "_Side") -> None:
        if not self._accepting:
            to_client.abort()
            return
        to_broker = _Side(lambda side: None)
        to_client.peer, to_broker.peer = to_broker, to_client
        self._pairs.append((to_client, to_broker))
        task = asyncio.get_running_loop().create_task(self._dial(to_broker))
        self._dialling.add(task)
        task.add_done_callback(self._dialling.discard)

    async def _dial(self, to_broker: "_Side") -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: to_broker, "127.0.0.1", self._target_port)
        except OSError:
            assert to_broker.peer is not None
            to_broker.peer.abort()


class _Side(asyncio.Protocol):
    """One end of a forwarded connection: what it receives, its peer sends."""

    def __init__(self, opened: Callable[["_Side"], None]) -> None:
        self._opened = opened
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._held: list[bytes] = []
        self.peer: _Side | None = None
        self.stalled = False
        self._aborted = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._aborted:
            transport.abort()
            return
        transport.writelines(self._unsent)
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        if self.stalled:
            self._held.append(data)
        elif self.peer is not None:
            self.peer.send(data)

    def eof_received(self) -> bool:
        # Only half of the line ends: closing it all could reset what is still on its way.
        to = self.peer._transport if self.peer is not None else None
        if to is not None and to.can_write_eof():
            to.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self.peer is not None and self.peer._transport is not None:
            self.peer._transport.close()

    def send(self, data: bytes) -> None:
        if self._transport is None:
            self._unsent.append(data)
        else:
            self._transport.write(data)

    def resume(self) -> None:
        self.stalled = False
        for data in self._held:
            self.data_received(data)
        self._held.clear()

    def abort(self) -> None:
        self.stalled = self._aborted = True
        if self._transport is not None:
            self._transport.abort()
