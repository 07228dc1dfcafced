"""Modules to files and back: what ``Client.export`` and ``Client.import_module`` do.

The checkpoint travels as it does for runtimes, to and from the supervisor's store; the program over
HTTP.
"""

import hashlib
import uuid
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from arts.bus.base import Received
from arts.client.connection import RealmConnection
from arts.client.modulefile import Checkpoint, Manifest, ModuleFile, parts_of
from arts.client.transfers import receive, send
from arts.errors import InvalidRequest, ProgramError, SnapshotError
from arts.migratable import PIPELINE_VERSION, Options, describe
from arts.migratable.options import Frames
from arts.model import Ability, Program
from arts.protocol import codec
from arts.protocol.checkpoint import Origin, encode_parcel
from arts.protocol.messages import CreateModule, ExportModule, ImportModule

Document = dict[str, Any]

_MAX_BYTES: Final = 1 << 30
_PIECE: Final = 64 * 1024
_TRAVEL: Final = 600.0
"""Seconds for a checkpoint to travel."""
_LEFT_BEHIND: Final = frozenset({"parent"})
"""What means nothing in another realm."""


async def fetch_checkpoint(
    connection: RealmConnection, key: str, number: int | None, timeout: float
) -> tuple[Document, Document, bytes]:
    """A module's document, the checkpoint (with its digest) and its bytes."""
    transfer = uuid.uuid4().hex
    data, credit = (
        connection.topics.snapshot_data(transfer),
        connection.topics.snapshot_credit(transfer),
    )
    async with connection.listen(data) as messages:
        request = ExportModule(uuid=key, number=number, transfer=transfer)
        answer = await connection.request(request, timeout=timeout)
        module, checkpoint = answer["module"], answer["checkpoint"]
        snapshot = await receive(
            connection,
            data,
            credit,
            checkpoint["digest"],
            _MAX_BYTES,
            messages,
            timeout=_TRAVEL,
        )
    return module, checkpoint, snapshot


def packed(
    module: Document, checkpoint: Document, snapshot: bytes, source: bytes, form: bytes
) -> ModuleFile:
    """The file of a module. Raises ``ProgramError`` if these are not its programs."""
    program = msgspec.convert(module["program"], Program)
    for wanted, data in ((program.source_digest, source), (program.digest, form)):
        if hashlib.sha256(data).hexdigest() != wanted:
            raise ProgramError(f"what came is not the program {wanted}")
    if checkpoint["program"] != program.digest:
        raise SnapshotError(f"checkpoint {checkpoint['number']} is of another program")
    described = describe(form)
    fields = {
        name: module[name]
        for name in CreateModule.model_fields
        if name in module and name not in {*_LEFT_BEHIND, "program"}
    }
    manifest = Manifest(
        module=fields,
        generation=module["generation"],
        form=program,
        abilities=_abilities(described.options),
        pipeline=described.pipeline_version,
        checkpoint=Checkpoint(checkpoint["number"], checkpoint["taken_at"]),
        parts=parts_of(source, snapshot),
    )
    return ModuleFile(manifest, source, snapshot)


def _abilities(options: Options) -> list[str]:
    """With which abilities of its engines a program gets this form."""
    has = {
        Ability.MULTI_MEMORY: options.frames is Frames.OWN,
        Ability.ATOMICS: options.poll.value == "flag",
        Ability.LINKING: not options.twins,
    }
    return sorted(str(ability) for ability, wanted in has.items() if wanted)


def check_pipeline(manifest: Manifest) -> None:
    """Raise ``SnapshotError`` for a module of another version of the transformer."""
    if manifest.pipeline != PIPELINE_VERSION:
        raise SnapshotError(
            f"the module's program was prepared by pipeline {manifest.pipeline}; here is pipeline "
            f"{PIPELINE_VERSION}, to which its state means nothing"
        )


def check_form(manifest: Manifest, digest: str) -> None:
    """Raise ``SnapshotError`` unless the realm made this form of the program."""
    if digest != manifest.form.digest:
        raise SnapshotError(
            "the realm prepares the program otherwise than where the module comes from: "
            f"{digest[:12]}, not {manifest.form.digest[:12]}"
        )


async def send_checkpoint(
    connection: RealmConnection, file: ModuleFile, changes: Document, timeout: float
) -> str:
    """Announce the module, with ``changes`` to its fields, and have its checkpoint kept; its uuid.

    From then on it starts.
    """
    importer = f"import-{uuid.uuid4().hex}"
    manifest = file.manifest
    fields = manifest.module | changes
    try:
        request = ImportModule(
            **fields,
            importer=importer,
            form=manifest.form,
            size=len(file.snapshot),
            generation=manifest.generation,
        )
    except ValueError as error:
        raise InvalidRequest(f"the file's module makes no sense: {error}") from None
    topics, key = connection.topics, request.uuid
    verdict_topic, credit = (
        topics.checkpoint_verdict(key, importer),
        topics.checkpoint_credit(key, importer),
    )
    data, serial = _parcel(file, request, importer)

    def hear(message: Received) -> Document | None:
        answer = codec.decode_document(message.payload)
        return answer if isinstance(answer, dict) and answer.get("serial") == serial else None

    async with connection.listen(credit, verdict_topic) as messages:
        await connection.request(request, timeout=timeout)
        topic = topics.checkpoint_data(key, importer)
        verdict = await send(connection, topic, credit, data, messages, hear, timeout=_TRAVEL)
    if "number" not in verdict:
        raise SnapshotError(f"the store did not keep the checkpoint: {verdict.get('error')}")
    return key


def _parcel(file: ModuleFile, request: ImportModule, importer: str) -> tuple[bytes, str]:
    pieces = _cut(file.snapshot)
    digests = [hashlib.sha256(piece).digest() for piece in pieces]
    serial = uuid.uuid4().hex
    program = file.manifest.form.digest
    origin = Origin(request.uuid, importer, request.generation, program, serial)
    whole = dict(zip(digests, pieces, strict=True))
    return encode_parcel(origin, digests, len(file.snapshot), tuple(whole.values())), serial


def _cut(data: bytes) -> Sequence[bytes]:
    return [data[begin : begin + _PIECE] for begin in range(0, len(data), _PIECE)]
