"""A broker that does wrong what real ones do right, in just enough MQTT 3.1.1 to be believed."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

CONNECT, PUBLISH, SUBSCRIBE, PINGREQ, DISCONNECT = 0x10, 0x30, 0x82, 0xC0, 0xE0


def packet(kind: int, body: bytes) -> bytes:
    """An MQTT packet."""
    length, size = b"", len(body)
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | 128 if size else digit])
        if not size:
            return bytes([kind]) + length + body


def publish(topic: bytes, payload: bytes) -> bytes:
    """A QoS 0 PUBLISH packet."""
    return packet(PUBLISH, len(topic).to_bytes(2, "big") + topic + payload)


class FakeBroker:
    """Answers everything properly, except as its attributes say. They may change at any time."""

    def __init__(self) -> None:
        self.url = ""
        self.connack_code = 0
        self.suback_code: int | None = None
        """None: grant what was asked for."""
        self.silent_about: set[int] = set()
        """Packet types (first byte without flags) that get no answer."""
        self.greeting = b""
        """Sent right behind the SUBACK."""
        self.packets: list[tuple[int, bytes]] = []
        """All that arrived: first byte without flags (but for SUBSCRIBE), and body."""
        self.reading = asyncio.Event()
        """Clear it to stop reading from all clients."""
        self.reading.set()
        self.patience = 0.0
        """Seconds between a farewell and hanging up."""
        self.left_early = 0
        """Clients that hung up within that time."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def count(self, kind: int) -> int:
        """How many packets of this type arrived."""
        return sum(received == kind for received, _ in self.packets)

    def send(self, data: bytes) -> None:
        """Send bytes to all clients."""
        for writer in self._writers:
            writer.write(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            while True:
                await self.reading.wait()
                kind, body = await _read_packet(reader)
                self.packets.append((kind, body))
                if kind == DISCONNECT:
                    await self._listen_on(reader)
                    break
                if kind not in self.silent_about:
                    writer.write(self._answer(kind, body))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass  # the streams of Python 3.11 complain of a cancelled server task
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()

    async def _listen_on(self, reader: asyncio.StreamReader) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self.patience):
                await reader.read()
                self.left_early += 1

    async def close(self) -> None:
        """Hang up on everybody."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _answer(self, kind: int, body: bytes) -> bytes:
        if kind == CONNECT:
            return packet(0x20, bytes([0, self.connack_code]))
        if kind == SUBSCRIBE:
            codes, at = b"", 2
            while at < len(body):
                at += 2 + int.from_bytes(body[at : at + 2], "big")
                codes += bytes([body[at] if self.suback_code is None else self.suback_code])
                at += 1
            return packet(0x90, body[:2] + codes) + self.greeting
        if kind == PUBLISH | 2:
            at = 2 + int.from_bytes(body[:2], "big")
            return packet(0x40, body[at : at + 2])
        return packet(0xD0, b"") if kind == PINGREQ else b""


async def _read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    kind = (await reader.readexactly(1))[0]
    size = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        size |= (digit & 127) << shift
        shift += 7
        if digit < 128:
            return kind, await reader.readexactly(size)


@asynccontextmanager
async def fake_broker(tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeBroker]:
    """A fake broker on a free port of 127.0.0.1."""
    broker = FakeBroker()
    server = await asyncio.start_server(broker.serve, "127.0.0.1", 0, ssl=tls)
    scheme = "mqtt" if tls is None else "mqtts"
    broker.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield broker
    finally:
        server.close()
        await broker.close()
