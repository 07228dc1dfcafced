"""The realm's programs: asked for by name, path or URL, answered with a ``Program``.

Each distinct program is verified and made migratable once, and then kept; who asks for it while
that is under way waits for the same work. Knows where to look and what to refuse. Does not know
what programs are for: Python files and the like never come here.
"""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from arts.errors import ProgramError
from arts.log import get_logger
from arts.migratable import PIPELINE_VERSION, NotWasm, Refused, ResumePoint, prepare
from arts.model import Program
from arts.programs.catalogue import Catalogue, sha256
from arts.programs.continuations import ContinuationStore
from arts.programs.singleflight import SingleFlight
from arts.programs.sources import download, find_file, is_url
from arts.programs.validity import check_valid
from arts.settings import ProgramSettings

log = get_logger(__name__)


class FileVersion(NamedTuple):
    """A file as it is now."""

    path: Path
    changed_ns: int
    size: int


class ProgramStore:
    """Programs kept below ``directory``; use it from one asyncio loop, ``close`` it at the end."""

    def __init__(self, directory: Path, settings: ProgramSettings | None = None) -> None:
        self._settings = settings or ProgramSettings()
        self._catalogue = Catalogue(directory, str(PIPELINE_VERSION))
        self._preparing: SingleFlight[Program] = SingleFlight()
        self._resolving: SingleFlight[Program] = SingleFlight()
        self._files: dict[str, tuple[FileVersion, Program]] = {}
        self._continuations = ContinuationStore(
            directory / "continuations", self._settings.continuations_bytes, self.read
        )

    @property
    def max_bytes(self) -> int:
        """The largest program that is taken."""
        return self._settings.max_bytes

    def programs(self) -> Iterator[tuple[Program, list[str]]]:
        """Every program with its names."""
        return iter(self._catalogue)

    def path(self, digest: str) -> Path:
        """The file with this sha256 (hex). Raises ``NotFound``."""
        return self._catalogue.path(digest)

    def read(self, digest: str) -> bytes:
        """The bytes with this sha256 (hex). Raises ``NotFound``."""
        return self.path(digest).read_bytes()

    def by_name(self, name: str) -> Program | None:
        """The program that was added under this name, with or without ``.wasm``."""
        return self._catalogue.named(name) or self._catalogue.named(f"{name}.wasm")

    async def add(self, data: bytes, *, name: str | None = None) -> Program:
        """Keep a program, and let ``name`` mean it. Raises ``ProgramError`` if it is none.

        One that cannot be made migratable is kept as it is; ``Program.refusal`` has the reason.
        """
        self._check_size(len(data))
        digest = sha256(data)
        program = self._catalogue.find(digest)
        if program is None:
            program = await self._preparing.run(digest, lambda: self._prepare(data))
        if name:
            self._catalogue.name(program, name)
        return program

    def known(self, filename: str, digest: str | None) -> Program | None:
        """What ``resolve`` would answer, if it is at hand without waiting."""
        if digest is not None:
            return self._catalogue.find(digest)
        if is_url(filename):
            return None
        if program := self.by_name(filename):
            return program
        version, found = self._files.get(filename, (None, None))
        return found if version and version == _version(version.path) else None

    async def resolve(self, filename: str, digest: str | None) -> Program:
        """The program that ``filename`` means: a name, a file on the search path, or a URL.

        ``digest`` is the sha256 (hex) it must have, if the asker insists. Raises ``ProgramError``.
        """
        program = self.known(filename, digest)
        if program is None:
            program = await self._resolving.run(filename, lambda: self._obtain(filename))
        if digest not in (None, program.source_digest, program.digest):
            raise ProgramError(f"{filename} has the sha256 {program.source_digest}, not {digest}")
        return program

    async def continuations(self, digest: str, points: Sequence[ResumePoint]) -> bytes:
        """What continues the prepared program with this sha256 (hex) at these points.

        A module that exports ``c0``, ``c1``, ... in their order. Raises ``NotFound``,
        ``FailedPrecondition`` for what is not prepared, ``InvalidRequest`` for impossible points.
        """
        return await self._continuations.module(digest, points)

    async def close(self) -> None:
        """Stop what is under way."""
        await self._continuations.close()
        await self._resolving.close()
        await self._preparing.close()

    async def _obtain(self, filename: str) -> Program:
        if is_url(filename):
            return await self.add(
                await download(
                    filename,
                    max_bytes=self._settings.max_bytes,
                    timeout=self._settings.fetch_timeout,
                    attempts=self._settings.fetch_attempts,
                )
            )
        path = self._find(filename)
        version = _version(path) if path else None
        if version is None:
            raise ProgramError(f"no program {filename!r}: {self._where()}")
        self._check_size(version.size)
        program = await self.add(await asyncio.to_thread(version.path.read_bytes))
        self._files[filename] = version, program
        return program

    def _find(self, filename: str) -> Path | None:
        return find_file(
            filename, self._settings.search_path, allow_absolute=self._settings.allow_absolute
        )

    def _where(self) -> str:
        places = ", ".join(str(directory) for directory in self._settings.search_path)
        return f"nobody uploaded it, and it is not in {places or 'the search path, which is empty'}"

    def _check_size(self, size: int) -> None:
        if size > self._settings.max_bytes:
            raise ProgramError(
                f"a program of {size} bytes; the limit is {self._settings.max_bytes}"
            )

    async def _prepare(self, source: bytes) -> Program:
        try:
            await asyncio.to_thread(check_valid, source)
            prepared, refusal = await asyncio.to_thread(prepare, source), None
        except NotWasm as error:
            raise ProgramError(str(error)) from None
        except Refused as error:
            prepared, refusal = source, str(error)
        program = self._catalogue.put(source, prepared, refusal)
        log.info("program.added", digest=program.digest, size=program.size, refusal=refusal)
        return program


def _version(path: Path) -> FileVersion | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return FileVersion(path, status.st_mtime_ns, status.st_size)
