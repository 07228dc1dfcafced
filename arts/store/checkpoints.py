"""Checkpoints of modules on disk: content-addressed pieces, and one manifest for each checkpoint.

    pieces/{ab}/{sha256}        a piece, packed with zstd; shared by all checkpoints that have it
    modules/{module}/{number}   the manifest: what it is of, and the sha256 of its pieces in order

Whatever the moment of a crash, a checkpoint is there in whole or not at all: pieces come first,
the manifest last, each by a temporary file that is renamed. Everything read is checked against its
digest. Knows no module, no snapshot format and no network; not for several threads at once.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec
import zstandard

from arts.errors import NotFound, SnapshotError, StoreError
from arts.files import whole_file

_DIGEST: Final = 32
_TEMPORARY: Final = ".part-"


class Checkpoint(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a manifest says. Numbers ascend with time, for each module on its own."""

    number: Annotated[int, msgspec.Meta(ge=1)]
    generation: int
    taken_at: float
    """Wall time."""
    program: str
    """sha256 (hex) of the form whose state it is."""
    size: int
    """Bytes, unpacked."""
    digests: bytes
    """sha256 of each piece, one after the other."""

    def pieces(self) -> Iterator[bytes]:
        """The sha256 of each piece."""
        for begin in range(0, len(self.digests), _DIGEST):
            yield self.digests[begin : begin + _DIGEST]


class MissingPieces(StoreError):
    """A checkpoint refers to pieces that are not here."""

    def __init__(self, message: str, positions: Sequence[int]) -> None:
        super().__init__(message)
        self.positions = positions
        """Which, in the order of the checkpoint."""


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Checkpoint)


class CheckpointStore:
    """Checkpoints below ``directory`` (made if missing).

    ``max_bytes``: of all pieces, as they are on disk. ``keep``: newest ones of each module.
    ``sync``: survive a power cut too, not only ``kill -9``. Raises ``StoreError`` when the disk
    does not want.
    """

    def __init__(
        self, directory: Path, *, max_bytes: int, keep: int = 3, sync: bool = False
    ) -> None:
        self._pieces, self._modules = directory / "pieces", directory / "modules"
        self._max_bytes, self._keep, self._sync = max_bytes, keep, sync
        self._index: dict[str, dict[int, Checkpoint | None]] = {}
        """Module -> number -> manifest, oldest first; None for one that is damaged."""
        self._used: Counter[bytes] = Counter()
        """Piece -> how many checkpoints have it."""
        self._sizes: dict[bytes, int] = {}
        """Piece -> bytes on disk, of every piece that is here."""
        try:
            for part in (self._pieces, self._modules):
                part.mkdir(parents=True, exist_ok=True)
            self._load()
        except OSError as error:
            raise StoreError(f"cannot open the checkpoints in {directory}: {error}") from None

    # ------------------------------------------------------------------ look

    @property
    def bytes_used(self) -> int:
        """What all pieces take."""
        return sum(self._sizes.values())

    def modules(self) -> list[str]:
        """Whoever has checkpoints."""
        return list(self._index)

    def numbers(self, module: str) -> list[int]:
        """The checkpoints of a module, oldest first, damaged ones too."""
        return list(self._index.get(module, ()))

    def checkpoints(self, module: str) -> list[Checkpoint]:
        """Those whose manifest is sound, oldest first."""
        return [found for found in self._index.get(module, {}).values() if found is not None]

    def get(self, module: str, number: int) -> Checkpoint:
        """One manifest. Raises ``NotFound``, and ``SnapshotError`` when it is damaged."""
        try:
            checkpoint = self._index[module][number]
        except KeyError:
            raise NotFound(f"module {module} has no checkpoint {number}") from None
        if checkpoint is None:
            raise SnapshotError(f"checkpoint {number} is damaged: its manifest is")
        return checkpoint

    def read(self, module: str, number: int) -> bytes:
        """A checkpoint, checked. Raises ``NotFound``, and ``SnapshotError`` when it is damaged.

        Damaged pieces count as missing from then on, so that they can come again.
        """
        pieces, problems = [], []
        for digest in self.get(module, number).pieces():
            try:
                pieces.append(self._read_piece(digest))
            except SnapshotError as error:
                problems.append(str(error))
        if problems:
            raise SnapshotError(f"checkpoint {number} is damaged: {problems[0]}")
        return b"".join(pieces)

    def _read_piece(self, digest: bytes) -> bytes:
        try:
            piece = zstandard.ZstdDecompressor().decompress(self._path(digest).read_bytes())
        except (OSError, zstandard.ZstdError) as error:
            self._drop_piece(digest)
            why = error.strerror if isinstance(error, OSError) else error
            raise SnapshotError(f"piece {digest.hex()[:12]} cannot be read: {why}") from None
        if hashlib.sha256(piece).digest() != digest:
            self._drop_piece(digest)
            raise SnapshotError(f"piece {digest.hex()[:12]} has another digest")
        return piece

    # ------------------------------------------------------------------ change

    def save(
        self,
        module: str,
        digests: Sequence[bytes],
        pieces: Mapping[bytes, bytes],
        *,
        generation: int,
        program: str,
        size: int,
        taken_at: float,
    ) -> Checkpoint:
        """Keep a checkpoint of these pieces, in order; ``pieces``: those that may not be here yet.

        Raises ``MissingPieces``, and ``StoreError`` when the disk or the store is full. May drop
        old checkpoints to make room, never the newest of a module.
        """
        missing = [
            position
            for position, digest in enumerate(digests)
            if digest not in self._sizes and digest not in pieces
        ]
        if missing:
            message = f"{len(missing)} of {len(digests)} pieces are not here"
            raise MissingPieces(message, missing)
        packed = {
            digest: zstandard.ZstdCompressor(level=1).compress(pieces[digest])
            for digest in dict.fromkeys(digests)
            if digest not in self._sizes
        }
        self._used.update(set(digests))  # what it builds on must not be dropped to make room for it
        try:
            checkpoint = self._add(
                module,
                packed,
                Checkpoint(
                    number=max(self._index.get(module, (0,))) + 1,
                    generation=generation,
                    taken_at=taken_at,
                    program=program,
                    size=size,
                    digests=b"".join(digests),
                ),
            )
        finally:
            self._release(set(digests))
        for number in self.numbers(module)[: -self._keep]:
            self._drop(module, number)
        return checkpoint

    def _add(
        self, module: str, packed: Mapping[bytes, bytes], checkpoint: Checkpoint
    ) -> Checkpoint:
        self._make_room(sum(map(len, packed.values())))
        try:
            for digest, data in packed.items():
                self._sizes[digest] = len(data)
                self._write(self._path(digest), data)
            self._write_manifest(module, checkpoint)
        except OSError as error:
            raise StoreError(f"cannot keep a checkpoint: {error}") from None
        self._enter(module, checkpoint)
        return checkpoint

    def adopt(self, module: str, source: str, number: int) -> Checkpoint:
        """Give ``module`` a checkpoint of its own that equals one of ``source``."""
        found = self.get(source, number)
        return self.save(
            module,
            list(found.pieces()),
            {},
            generation=0,
            program=found.program,
            size=found.size,
            taken_at=found.taken_at,
        )

    def forget(self, module: str) -> None:
        """Drop all checkpoints of a module. Harmless if there are none."""
        for number in self.numbers(module):
            self._drop(module, number)
        self._index.pop(module, None)
        with suppress(OSError):
            (self._modules / module).rmdir()

    # ------------------------------------------------------------------ room

    def _make_room(self, wanted: int) -> None:
        """Drop what is oldest until so many bytes more fit."""
        while self.bytes_used + wanted > self._max_bytes:
            droppable = [
                (found.taken_at if found else 0.0, module, number)
                for module, numbers in self._index.items()
                for number, found in list(numbers.items())[:-1]
            ]
            if not droppable:
                raise StoreError(
                    f"no room for a checkpoint of {wanted} bytes: "
                    f"{self.bytes_used} of {self._max_bytes} are taken"
                )
            _, module, number = min(droppable)
            self._drop(module, number)

    def _drop(self, module: str, number: int) -> None:
        with suppress(OSError):
            self._manifest(module, number).unlink()
        checkpoint = self._index[module].pop(number)
        if checkpoint is not None:
            self._release(set(checkpoint.pieces()))

    def _release(self, digests: Iterable[bytes]) -> None:
        for digest in digests:
            self._used[digest] -= 1
            if not self._used[digest]:
                del self._used[digest]
                self._drop_piece(digest)

    def _drop_piece(self, digest: bytes) -> None:
        self._sizes.pop(digest, None)
        with suppress(OSError):
            self._path(digest).unlink()

    # ------------------------------------------------------------------ disk

    def _path(self, digest: bytes) -> Path:
        name = digest.hex()
        return self._pieces / name[:2] / name

    def _manifest(self, module: str, number: int) -> Path:
        return self._modules / module / f"{number:09d}"

    def _write_manifest(self, module: str, checkpoint: Checkpoint) -> None:
        content = _encoder.encode(checkpoint)
        data = hashlib.sha256(content).digest() + content
        self._write(self._manifest(module, checkpoint.number), data)

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        with whole_file(path, prefix=_TEMPORARY, sync=self._sync) as file:
            file.write(data)

    def _enter(self, module: str, checkpoint: Checkpoint) -> None:
        self._index.setdefault(module, {})[checkpoint.number] = checkpoint
        self._used.update(set(checkpoint.pieces()))

    def _load(self) -> None:
        """Read the manifests; drop what a crash left half done."""
        for path in sorted(self._modules.glob("*/*")):
            if path.name.startswith(_TEMPORARY):
                path.unlink()
            elif (checkpoint := _parsed(path.read_bytes())) is not None:
                self._enter(path.parent.name, checkpoint)
            elif path.name.isdecimal():
                self._index.setdefault(path.parent.name, {})[int(path.name)] = None
        for path in self._pieces.glob("*/*"):
            digest = _digest(path.name)
            if digest in self._used:
                self._sizes[digest] = path.stat().st_size
            else:
                path.unlink()


def _parsed(data: bytes) -> Checkpoint | None:
    if hashlib.sha256(data[_DIGEST:]).digest() != data[:_DIGEST]:
        return None
    try:
        return _decoder.decode(data[_DIGEST:])
    except msgspec.MsgspecError:
        return None


def _digest(name: str) -> bytes:
    try:
        return bytes.fromhex(name)
    except ValueError:
        return b""
