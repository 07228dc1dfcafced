"""A TCP proxy that misbehaves on request: how a test cuts, stalls or slows one client's connection.

Knows bytes and time; does not know what they mean.
"""

import asyncio
import math
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

_FULL: Final = 0.5
"""So many seconds of bytes are under way at most."""


class Proxy:
    """Forwards connections from ``port`` (on 127.0.0.1) to ``target_port``; ends TLS if given."""

    def __init__(self, target_port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self._tls = tls
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._pairs: list[tuple[_Side, _Side]] = []
        self._accepting = True
        self._partitioned = False
        self._link = _Link()
        self._dialling: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Side(self._pair, self._link), "127.0.0.1", 0, ssl=self._tls
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

    def partition(self) -> None:
        """Let nothing through, either way, and nobody is told; until ``heal``."""
        self._partitioned = True
        for pair in self._pairs:
            for side in pair:
                side.stalled = True

    def heal(self) -> None:
        """End ``partition``: as TCP does, what was sent meanwhile comes now."""
        self._partitioned = False
        for pair in self._pairs:
            for side in pair:
                side.resume()

    def slow(self, *, latency: float = 0.0, bytes_per_second: float = math.inf) -> None:
        """Make the line slow, each way, from now on."""
        self._link.latency, self._link.rate = latency, bytes_per_second

    def _pair(self, to_client: "_Side") -> None:
        if not self._accepting:
            to_client.abort()
            return
        to_broker = _Side(lambda side: None, self._link)
        to_client.peer, to_broker.peer = to_broker, to_client
        to_client.stalled = to_broker.stalled = self._partitioned
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


class _Link:
    """How long bytes are under way."""

    def __init__(self) -> None:
        self.latency = 0.0
        self.rate = math.inf


class _Side(asyncio.Protocol):
    """One end of a forwarded connection: what it receives, its peer sends."""

    def __init__(self, opened: Callable[["_Side"], None], link: _Link) -> None:
        self._opened = opened
        self._link = link
        self._free_at = 0.0
        """When all that it received has entered the line."""
        self._last_arrival = 0.0
        self._line: deque[Callable[[_Side], None]] = deque()
        """What is under way, oldest first: timers of one moment keep no order."""
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._held: list[Callable[[_Side], None]] = []
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
        self._under_way(lambda peer: peer.send(data), len(data))

    def eof_received(self) -> bool:
        # Only half of the line ends: closing it all could reset what is still on its way.
        self._under_way(_Side.end)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._under_way(_Side.close)

    def _under_way(self, what: Callable[["_Side"], None], size: int = 0) -> None:
        """Let it happen at the other end when it is through the line."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._free_at = max(self._free_at, now) + size / self._link.rate
        arrival = max(self._last_arrival, self._free_at + self._link.latency)  # TCP keeps order
        self._last_arrival = arrival
        if arrival <= now and not self._line:
            self._arrive(what)
            return
        self._line.append(what)
        loop.call_at(arrival, self._next)
        if size and arrival - now > _FULL and self._transport is not None:
            self._transport.pause_reading()  # or the sender would think that it has arrived
            loop.call_at(arrival - _FULL, self._read_on)

    def _next(self) -> None:
        self._arrive(self._line.popleft())

    def _read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def _arrive(self, what: Callable[["_Side"], None]) -> None:
        if self.stalled:
            self._held.append(what)
        elif self.peer is not None:
            what(self.peer)

    def send(self, data: bytes) -> None:
        if self._transport is None:
            self._unsent.append(data)
        elif not self._transport.is_closing():
            self._transport.write(data)

    def resume(self) -> None:
        self.stalled = False
        held, self._held = self._held, []
        for what in held:
            self._arrive(what)

    def end(self) -> None:
        if self._transport is not None and self._transport.can_write_eof():
            with suppress(OSError):  # it is gone already
                self._transport.write_eof()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self.stalled = self._aborted = True
        if self._transport is not None:
            self._transport.abort()
