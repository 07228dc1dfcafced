"""Direct TCP lines between the two ends of a move, beside the broker.

A line carries the same frames as the broker, so whatever it loses is asked for again and comes
the other way: a line that breaks, or never comes about, costs time only. The source listens, and
says through the broker where, and a token that opens the line once; so who may read the
realm's topics may dial, and nobody else. A line is not encrypted.
"""

import asyncio
import contextlib
import hmac
import secrets
import struct
from typing import Annotated, Final

import msgspec

from arts.log import get_logger
from arts.protocol.topics import Topics
from runtime.transfers import Transfers

log = get_logger(__name__)

_TOKEN_BYTES: Final = 32
_PATIENCE: Final = 0.5
"""Seconds for a line to come about; then the move goes on without."""
_SIZES: Final = struct.Struct("!HI")
"""Bytes of the topic's last level, bytes of the frame."""
_LONGEST: Final = 16 * 1024 * 1024
_WAITING: Final = 4 * 1024 * 1024
"""Bytes on their way into the line, after which frames take the other one."""


class _Offer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    host: str
    port: Annotated[int, msgspec.Meta(gt=0, lt=65536)]
    token: Annotated[bytes, msgspec.Meta(min_length=_TOKEN_BYTES, max_length=_TOKEN_BYTES)]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Offer)


class Lines:
    """Of one runtime. ``address``: its own, where the others can reach it; empty: no lines."""

    def __init__(self, topics: Topics, transfers: Transfers, address: str) -> None:
        self._topics, self._transfers, self._address = topics, transfers, address
        self._tasks: dict[str, asyncio.Task[None]] = {}

    # ------------------------------------------------------------------------ source

    async def offer(self, migration: str) -> bool:
        """Let the target of a move dial; whether it has. What is sent for this move from now on
        takes the line, until ``close``."""
        if not self._address or migration in self._tasks:
            return migration in self._tasks
        token, opened = secrets.token_bytes(_TOKEN_BYTES), asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            proven = await _has_token(reader, token)
            if not proven or opened.is_set() or not server.is_serving():
                writer.close()
                return
            task = asyncio.current_task()
            assert task is not None
            self._tasks[migration] = task
            opened.set()
            await self._carry(migration, reader, writer)

        try:
            server = await asyncio.start_server(answer, self._address, 0)
        except OSError as error:
            log.warning("line.not_offered", address=self._address, error=str(error))
            return False
        try:
            offer = _Offer(self._address, server.sockets[0].getsockname()[1], token)
            self._transfers.say(self._topics.snapshot_line(migration), _encoder.encode(offer))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(opened.wait(), _PATIENCE)
        finally:
            server.close()  # to newcomers
        return opened.is_set()

    # ------------------------------------------------------------------------ target

    def expect(self, migration: str) -> None:
        """Dial when the source of a move says where."""
        if self._address:
            topic = self._topics.snapshot_line(migration)
            self._transfers.listen(topic, lambda offer: self._on_offer(migration, offer))

    def _on_offer(self, migration: str, said: bytes) -> None:
        try:
            offer = _decoder.decode(said)
        except msgspec.MsgspecError as error:
            log.warning("line.offer_malformed", migration=migration, error=str(error))
            return
        if migration not in self._tasks:
            self._tasks[migration] = asyncio.create_task(self._dial(migration, offer))

    async def _dial(self, migration: str, offer: _Offer) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                reader, writer = await asyncio.open_connection(offer.host, offer.port)
        except (OSError, TimeoutError) as error:
            log.info("line.not_reached", host=offer.host, error=str(error) or "no answer")
            return
        writer.write(offer.token)
        await self._carry(migration, reader, writer)

    # ------------------------------------------------------------------------ both

    def close(self, migration: str) -> None:
        """The move is over."""
        self._transfers.forget(self._topics.snapshot_line(migration))
        task = self._tasks.pop(migration, None)
        if task is not None:
            task.cancel()

    async def _carry(
        self, migration: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry the frames of a move until the line ends."""
        prefix = self._topics.snapshot_line(migration).rpartition("/")[0]

        def send(topic: str, frame: bytes) -> bool:
            if writer.is_closing() or writer.transport.get_write_buffer_size() > _WAITING:
                return False
            level = topic.removeprefix(f"{prefix}/").encode()
            writer.write(_SIZES.pack(len(level), len(frame)) + level + frame)
            return True

        self._transfers.reroute(prefix, send)
        log.info("line.open", migration=migration)
        try:
            while True:
                level_size, size = _SIZES.unpack(await reader.readexactly(_SIZES.size))
                if size > _LONGEST:
                    raise ConnectionError(f"a frame of {size} bytes")
                level = (await reader.readexactly(level_size)).decode(errors="replace")
                self._transfers.arrived(f"{prefix}/{level}", await reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            log.info("line.ended", migration=migration, reason=str(error))
        finally:
            self._transfers.reroute(prefix, None)
            writer.close()


async def _has_token(reader: asyncio.StreamReader, token: bytes) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            return hmac.compare_digest(await reader.readexactly(_TOKEN_BYTES), token)
    except (asyncio.IncompleteReadError, ConnectionError, TimeoutError):
        return False
