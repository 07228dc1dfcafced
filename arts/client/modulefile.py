"""A module as a file: what it is, its program and its state, to be carried to another realm.

A zip archive (any tool opens it) of three parts: ``manifest.json``, ``program.wasm`` (as its author
made it) and ``snapshot``. The manifest has the sha256 of the other two. The same module at the same
checkpoint gives the same bytes. What is read is checked in whole before anybody sees it. Knows no
realm and no snapshot format.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from arts.errors import InvalidRequest, NotFound, SnapshotError, StoreError
from arts.files import whole_file
from arts.model import Program

FORMAT: Final = "arts-module"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
PROGRAM: Final = "program.wasm"
SNAPSHOT: Final = "snapshot"

_MAX_MANIFEST: Final = 1 << 20
_MAX_PART: Final = 1 << 30
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_DAMAGE: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OSError)
"""What zipfile raises at nonsense; NotImplementedError is a RuntimeError."""


class Part(msgspec.Struct, frozen=True):
    """What a part must be."""

    sha256: str
    bytes: int


class Checkpoint(msgspec.Struct, frozen=True):
    """When its state was captured."""

    number: int
    taken_at: float


class Manifest(msgspec.Struct, frozen=True):
    """What the file is of."""

    module: dict[str, Any]
    """As a request to create it would have it."""
    generation: int
    form: Program
    """The form of the program whose state it is, which is made of ``program.wasm``..."""
    abilities: list[str]
    """...for engines that can do this..."""
    pipeline: int
    """...by this version of the transformer."""
    checkpoint: Checkpoint
    parts: dict[str, Part]
    format: str = FORMAT
    version: int = VERSION


class ModuleFile(msgspec.Struct, frozen=True):
    """A module, whole."""

    manifest: Manifest
    program: bytes
    snapshot: bytes


def parts_of(program: bytes, snapshot: bytes) -> dict[str, Part]:
    """How a manifest describes them."""
    return {
        name: Part(hashlib.sha256(data).hexdigest(), len(data))
        for name, data in ((PROGRAM, program), (SNAPSHOT, snapshot))
    }


def write(module: ModuleFile, path: Path) -> None:
    """Write the file, in whole or not at all, and onto the disk. Raises ``StoreError``."""
    manifest = msgspec.json.format(msgspec.json.encode(module.manifest, order="sorted"))
    parts = {MANIFEST: manifest, PROGRAM: module.program, SNAPSHOT: module.snapshot}
    try:
        with (
            whole_file(path, prefix=f".{path.name}-", sync=True) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            for name, data in parts.items():
                archive.writestr(_entry(name), data, zipfile.ZIP_DEFLATED, 1)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from None


def read(path: Path) -> ModuleFile:
    """What ``write`` wrote. Raises ``NotFound``, ``InvalidRequest`` for what is no such file or one
    of another version, ``SnapshotError`` for one that is damaged."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}") from None
    with file:
        try:
            archive = zipfile.ZipFile(file)
            names = set(archive.namelist())
        except _DAMAGE:
            raise InvalidRequest(f"{path} is no exported module, or it is cut off") from None
        if MANIFEST not in names:
            raise InvalidRequest(f"{path} is no exported module: it has no {MANIFEST}")
        manifest = _manifest(path, _content(path, archive, MANIFEST, _MAX_MANIFEST))
        program, snapshot = (
            _part(path, archive, name, manifest.parts) for name in (PROGRAM, SNAPSHOT)
        )
    return ModuleFile(manifest, program, snapshot)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.external_attr = 0o600 << 16
    return entry


def _manifest(path: Path, data: bytes) -> Manifest:
    try:
        head = msgspec.json.decode(data)
        kind, version = head["format"], head["version"]
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        raise InvalidRequest(f"{path} is no exported module: its manifest is none") from None
    if kind != FORMAT:
        raise InvalidRequest(f"{path} is no exported module, but {kind!r}")
    if version != VERSION:
        raise InvalidRequest(f"{path} has version {version}; here is version {VERSION}")
    try:
        return msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, ValueError) as error:
        raise SnapshotError(f"{path} is damaged: its manifest is malformed: {error}") from None


def _part(path: Path, archive: zipfile.ZipFile, name: str, parts: Mapping[str, Part]) -> bytes:
    if name not in parts:
        raise SnapshotError(f"{path} is damaged: its manifest says nothing of {name}")
    data = _content(path, archive, name, _MAX_PART)
    if Part(hashlib.sha256(data).hexdigest(), len(data)) != parts[name]:
        raise SnapshotError(f"{path} is damaged: {name} is not what its manifest says")
    return data


def _content(path: Path, archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    try:
        size = archive.getinfo(name).file_size
        if size > limit:
            raise SnapshotError(f"{path} has a {name} of {size} bytes; the limit is {limit}")
        return archive.read(name)
    except KeyError:
        raise SnapshotError(f"{path} is damaged: it has no {name}") from None
    except _DAMAGE as error:
        raise SnapshotError(f"{path} is damaged: {name} cannot be read ({error})") from None
