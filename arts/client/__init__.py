"""A client of a realm: ask the supervisor, watch what happens, talk to modules.

    async with Client.connect("mqtt://localhost:1883", "realm") as client:
        module = await client.create("counter", name="c1")
        async with client.output(module["uuid"]) as lines:
            async for stream, line in lines:
                print(line)

Everything here is plain MQTT (and HTTP for uploads): it needs no access to the supervisor's
process. Documents are dicts, as docs/reference describes them. What the supervisor refuses is
raised as the class of ``arts.errors`` that it names; silence is raised as ``BusError`` that says
who is missing, the broker or the supervisor.
"""

import asyncio
import io
import re
import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from arts.bus.address import parse_address
from arts.bus.base import Received
from arts.bus.mqtt import MqttBus
from arts.client import exports
from arts.client.connection import RealmConnection, answered
from arts.client.modulefile import ModuleFile
from arts.client.sequenced import SequencedWriter, unrepeated
from arts.errors import BusError, FailedPrecondition, InvalidRequest, NotFound, ProgramError
from arts.model import ModuleState
from arts.protocol import codec
from arts.protocol.messages import (
    CheckpointModule,
    CloneModule,
    CreateModule,
    DeleteModule,
    MoveModule,
    Query,
    RestoreModule,
    SupervisorNotice,
)
from arts.protocol.topics import Topics

Document = dict[str, Any]

_ANSWER = 10.0
_MOVE = 120.0
_UPLOAD = 120.0
_CHECKPOINT = 30.0


class Change(NamedTuple):
    """A runtime or module as it is now."""

    kind: str
    """"runtime" or "module"."""
    uuid: str
    document: Document | None
    """None: it is gone."""


class OutputLine(NamedTuple):
    """A line that a module wrote."""

    stream: str
    """"stdout" or "stderr"."""
    line: str
    """Without its newline."""


class Client:
    """One client of one realm; make it with ``connect``. Time-outs are seconds."""

    def __init__(self, connection: RealmConnection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, broker_url: str, realm: str = "realm", *, timeout: float = 5.0
    ) -> "AsyncIterator[Client]":
        """A client for the duration. Raises ``BusError`` if the broker does not let us in."""
        client_id = f"arts-client-{uuid.uuid4().hex[:16]}"
        bus = MqttBus(broker_url, client_id, connect_timeout=timeout)
        where = f"the broker at {parse_address(broker_url)}"
        connection = RealmConnection(bus, realm, client_id=client_id, where=where)
        async with connection.running(timeout=timeout):
            yield cls(connection)

    @property
    def topics(self) -> Topics:
        """The topics of the realm."""
        return self._connection.topics

    async def supervisor(self, *, timeout: float = 3.0) -> SupervisorNotice:
        """Who supervises the realm. Raises ``BusError`` if nobody does."""
        return await self._connection.supervisor(timeout=timeout)

    # ------------------------------------------------------------------ ask

    async def create(self, filename: str, *, timeout: float = _ANSWER, **fields: Any) -> Document:
        """Start a module; the answer is its document, whatever its state is by then.

        ``fields`` are those of ``CreateModule``: name, args, env, channels, parent, program, ...
        """
        fields.setdefault("uuid", str(uuid.uuid4()))
        try:
            request = CreateModule(filename=filename, **fields)
        except ValidationError as error:
            raise InvalidRequest(_explain(error)) from None
        return await self._connection.request(request, timeout=timeout)

    async def delete(self, key: str, *, force: bool = False, timeout: float = 30.0) -> Document:
        """Stop a module and forget it. ``key``: uuid, unique prefix, or unique name."""
        return await self._connection.request(DeleteModule(uuid=key, force=force), timeout=timeout)

    async def move(self, key: str, to: str | None = None, *, timeout: float = _MOVE) -> Document:
        """Move a running module, to ``to`` (uuid or name) or where the realm thinks best.

        The answer: ``{"module", "from", "to", "downtime_ms", "bytes"}``.
        """
        return await self._connection.request(MoveModule(uuid=key, target=to), timeout=timeout)

    async def checkpoint(
        self, key: str, *, hold: float = 0.0, timeout: float = _CHECKPOINT
    ) -> Document:
        """Have a checkpoint of a running module taken and kept.

        With ``hold`` the module stands still for so many seconds then, or until the next one.
        The answer: ``{"module", "name", "number", "bytes", "taken_at", "sent_bytes", "stood_ms"}``:
        of what it unfolds to, what was sent, and how long the module could not run for it.
        """
        return await self._connection.request(
            CheckpointModule(uuid=key, hold=hold), timeout=timeout
        )

    async def restore(
        self, key: str, at: int | None = None, *, timeout: float = _CHECKPOINT
    ) -> Document:
        """Let a module go on from checkpoint ``at``, or the newest that is good.

        The answer is its document, as soon as it starts.
        """
        return await self._connection.request(RestoreModule(uuid=key, number=at), timeout=timeout)

    async def clone(
        self, key: str, name: str | None = None, *, timeout: float = _CHECKPOINT
    ) -> Document:
        """Another module, as this one was at its newest good checkpoint; its document."""
        request = CloneModule(uuid=key, clone=str(uuid.uuid4()), name=name)
        return await self._connection.request(request, timeout=timeout)

    async def export(
        self, key: str, at: int | None = None, *, timeout: float = _CHECKPOINT
    ) -> ModuleFile:
        """A module as it was at checkpoint ``at``, or the newest that is good, with its program."""
        module, checkpoint, snapshot = await exports.fetch_checkpoint(
            self._connection, key, at, timeout
        )
        digests = module["program"]["source_digest"], module["program"]["digest"]
        source, form = [await self.download(digest) for digest in digests]
        return exports.packed(module, checkpoint, snapshot, source, form)

    async def import_module(self, file: ModuleFile, *, timeout: float = 10.0, **fields: Any) -> str:
        """Start an exported module here, with some ``fields`` changed (as in ``create``); its uuid.

        Raises ``AlreadyExists`` if it lives here, ``SnapshotError`` if its state does not fit.
        """
        manifest = file.manifest
        exports.check_pipeline(manifest)
        program = await self.upload(
            file.program, profile=manifest.form.profile, abilities=manifest.abilities
        )
        exports.check_form(manifest, program["digest"])
        return await exports.send_checkpoint(self._connection, file, fields, timeout)

    async def query(
        self, what: str, key: str = "", *, timeout: float = _ANSWER, **more: str | None
    ) -> Document:
        """What the supervisor knows: ``what`` is realm, runtime, module, why, snapshots or plan."""
        request = Query.model_validate({"what": what, "key": key} | more)
        return await self._connection.request(request, timeout=timeout)

    async def scene(
        self, scene: str, action: str = "get", program: str = "", *, timeout: float = _ANSWER
    ) -> Document:
        """A scene (``namespace/name``) and its programs, after ``action``.

        ``action``: get; show or hide the panel; start, stop, restart or move ``program``, which is
        an object_id or a unique name.
        """
        if not re.fullmatch("[^/+#]+/[^/+#]+", scene):
            raise InvalidRequest(f"a scene is NAMESPACE/SCENE, and {scene!r} is not")
        topic = self.topics.scene(scene)
        return await self._connection.ask(topic, action, {"program": program}, timeout=timeout)

    async def upload(
        self,
        program: Path | bytes,
        *,
        name: str | None = None,
        profile: str | None = None,
        abilities: Collection[str] | None = None,
    ) -> Document:
        """Give the supervisor a program; the answer says what was made of it.

        ``profile``: in which form it will be wanted, as in ``create``; ``abilities``: of the
        engines that will run it, as runtimes say them.

        Raises ``ProgramError`` if it refuses it, ``BusError`` if it cannot be reached over HTTP.
        """
        url = (await self.supervisor()).http_url
        if url is None:
            raise BusError("the supervisor takes no uploads: it serves no HTTP")
        data = program if isinstance(program, bytes) else await asyncio.to_thread(_read, program)
        query = {"name": name, "profile": profile}
        query["abilities"] = None if abilities is None else ",".join(abilities) or "none"
        document = await _post(f"{url}/programs", data, {k: v for k, v in query.items() if v})
        if "error" in document:
            raise ProgramError(document["error"])
        return document

    async def download(self, digest: str) -> bytes:
        """A program, prepared or as it came, by its sha256 (hex). Raises ``NotFound``."""
        url = (await self.supervisor()).http_url
        if url is None:
            raise BusError("the supervisor serves no programs: it serves no HTTP")
        return await _bytes("GET", f"{url}/programs/{digest}")

    async def continuations(self, program: str, points: Sequence[tuple[int, int]]) -> bytes:
        """What continues a prepared program (sha256) at these (function id, resume) points.

        A module that exports ``c0``, ``c1``, ... in their order. Raises ``NotFound`` for an unknown
        program, ``FailedPrecondition`` for one that is not prepared, ``InvalidRequest`` for points
        that it does not have, ``BusError`` if the supervisor cannot be reached over HTTP.
        """
        url = (await self.supervisor()).http_url
        if url is None:
            raise BusError("the supervisor makes no continuations: it serves no HTTP")
        body = codec.encode_document([list(point) for point in points])
        return await _bytes("POST", f"{url}/programs/{program}/continuations", body)

    # ------------------------------------------------------------------ watch

    @asynccontextmanager
    async def changes(self) -> "AsyncIterator[AsyncIterator[Change]]":
        """Every runtime and module as it is, and then whenever it changes."""

        async def decode(messages: AsyncIterator[Received]) -> AsyncIterator[Change]:
            async for message in messages:
                *_, kind, key = message.topic.split("/")
                yield Change(kind, key, _document(message.payload))

        topics = self.topics
        async with self._connection.listen(
            topics.runtime_state("+"), topics.module_state("+")
        ) as messages:
            yield decode(messages)

    @asynccontextmanager
    async def journal(self) -> "AsyncIterator[AsyncIterator[Document]]":
        """What happens in the realm: ``{"at": wall time, "event": "module.placed", ...}``."""

        async def decode(messages: AsyncIterator[Received]) -> AsyncIterator[Document]:
            async for message in messages:
                for entry in codec.decode_document(message.payload):
                    yield entry

        async with self._connection.listen(self.topics.journal) as messages:
            yield decode(messages)

    @asynccontextmanager
    async def output(
        self, module: str, streams: Collection[str] = ("stdout", "stderr")
    ) -> "AsyncIterator[AsyncIterator[OutputLine]]":
        """What a module (uuid) writes, line by line, from now on."""

        async def decode(messages: AsyncIterator[Received]) -> AsyncIterator[OutputLine]:
            async for message in messages:
                yield _line(message)

        async with self._connection.listen(
            *(self.topics.stdio(s, module) for s in streams)
        ) as messages:
            yield decode(messages)

    @asynccontextmanager
    async def messages(
        self, *topic_filters: str, sequenced: bool = False
    ) -> "AsyncIterator[AsyncIterator[Received]]":
        """Whatever is published on any topics, from now on and retained messages first.

        ``sequenced``: those of sequenced channels come without their numbers, and not twice.
        """
        async with self._connection.listen(*topic_filters) as messages:
            yield unrepeated(messages) if sequenced else messages

    def sequenced_writer(self, topic: str) -> SequencedWriter:
        """Somebody who writes to a topic that modules read with a sequenced channel."""
        return SequencedWriter(self.publish, topic)

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish anything, QoS 1. Raises ``BusError`` if too much is unsent."""
        self._connection.bus.publish(topic, payload, qos=1)

    @asynccontextmanager
    async def follow(self, module: str) -> "AsyncIterator[AsyncIterator[OutputLine | Change]]":
        """A module's (uuid) lines and its own changes, in the order in which they happened."""

        async def decode(messages: AsyncIterator[Received]) -> AsyncIterator[OutputLine | Change]:
            async for message in messages:
                if message.topic == state:
                    yield Change("module", module, _document(message.payload))
                else:
                    yield _line(message)

        state = self.topics.module_state(module)
        streams = (self.topics.stdio(stream, module) for stream in ("stdout", "stderr"))
        async with self._connection.listen(state, *streams) as messages:
            yield decode(messages)

    def write_stdin(self, module: str, line: bytes) -> None:
        """Give a module (uuid) a line of input. Raises ``BusError`` if too much is unsent."""
        self._connection.bus.publish(self.topics.stdio("stdin", module), line, qos=1)

    async def wait_state(
        self,
        module: str,
        states: Collection[str],
        *,
        timeout: float = 30.0,
        since_generation: int = 0,
    ) -> Document:
        """The document of a module (uuid) as soon as it is in one of ``states``.

        ``since_generation``: what is said of earlier ones does not count.

        Raises ``NotFound`` if it is deleted, ``FailedPrecondition`` if it ends otherwise or time
        runs out.
        """
        document: Document = {}
        topic = self.topics.module_state(module)
        try:
            async with asyncio.timeout(timeout), self._connection.listen(topic) as messages:
                async for message in messages:
                    document = _document(message.payload) or {}
                    if not document:
                        raise NotFound(f"module {module} is gone")
                    if document.get("generation", 0) < since_generation:
                        continue
                    if document["state"] in states:
                        return document
                    if ModuleState(document["state"]).is_final:
                        break
        except TimeoutError:
            raise FailedPrecondition(
                f"{_described(document, module)} after {timeout:g} s"
            ) from None
        raise FailedPrecondition(_described(document, module))


async def _post(url: str, data: bytes, query: dict[str, str]) -> Document:
    import aiohttp  # a tenth of a second that only uploads should pay

    headers = {"Content-Type": "application/wasm"}
    limit = aiohttp.ClientTimeout(total=_UPLOAD)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit, headers=headers) as session,
            session.post(url, params=query, data=io.BytesIO(data)) as response,
        ):
            document: Document = await response.json()
            return document
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise BusError(f"cannot upload to {url}: {error}") from None


async def _bytes(method: str, url: str, body: bytes | None = None) -> bytes:
    import aiohttp

    limit = aiohttp.ClientTimeout(total=_UPLOAD)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.request(method, url, data=body) as response,
        ):
            if response.status == 200:
                return await response.read()
            document = await response.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise BusError(f"cannot ask {url}: {error}") from None
    raise answered(document.get("code"), str(document.get("error", response.reason)))


def _line(message: Received) -> OutputLine:
    stream = message.topic.split("/")[-2]
    return OutputLine(stream, message.payload.decode(errors="replace"))


def _document(payload: bytes) -> Document | None:
    if not payload:
        return None
    document: Document = codec.decode_document(payload)
    return document


def _described(document: Document, module: str) -> str:
    if not document:
        return f"nothing is known of module {module}"
    detail = document.get("detail") or "; ".join(
        f"{name}: {reason}" for name, reason in document.get("reasons", {}).items()
    )
    return f"module {document['name']} is {document['state']}" + (f" ({detail})" if detail else "")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}") from None


def _explain(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in problems)
