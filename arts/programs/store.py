"""The realm's programs: asked for by name, path or URL, answered with a ``Program``.

Each distinct program is verified and made migratable once for each form that is wanted, and then
kept; who asks for it while that is under way waits for the same work. Knows where to look and what
to refuse. Does not know what programs are for. A Python program is a folder, packed (``folders``).
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from arts.errors import ProgramError
from arts.log import get_logger
from arts.migratable import (
    PIPELINE_VERSION,
    NotWasm,
    Options,
    Profile,
    Refused,
    describe,
)
from arts.model import Ability, FormWish, Program
from arts.programs import forms
from arts.programs.catalogue import Catalogue, sha256
from arts.programs.continuations import ContinuationStore
from arts.programs.filestore import Bounds, fetch_folder, is_python, is_stored
from arts.programs.folders import NOT_MOVABLE, is_packed, pack
from arts.programs.preparing import Preparer
from arts.programs.singleflight import SingleFlight
from arts.programs.sources import download, find_file, is_url
from arts.programs.validity import check_valid
from arts.settings import ProgramSettings

log = get_logger(__name__)

ANY_FORM = FormWish()


class Preparing(NamedTuple):
    """How far a program is on its way to be migratable."""

    name: str
    """What it was asked for as."""
    source: str
    """Its digest as it came."""
    done: int
    """Functions..."""
    total: int
    """...of so many."""


OnProgress = Callable[[Preparing], None]


class FileVersion(NamedTuple):
    """A file as it is now."""

    path: Path
    changed_ns: int
    size: int


class ProgramStore:
    """Programs kept below ``directory``; use it from one asyncio loop, ``close`` it at the end."""

    def __init__(self, directory: Path, settings: ProgramSettings | None = None) -> None:
        self._settings = settings or ProgramSettings()
        self.on_progress: OnProgress = lambda preparing: None
        """Called every second while a program is being prepared, after the first."""
        self._catalogue = Catalogue(directory, str(PIPELINE_VERSION))
        self._preparer = Preparer()
        self._preparing: SingleFlight[Program] = SingleFlight()
        self._obtaining: SingleFlight[bytes] = SingleFlight()
        self._files: dict[str, tuple[FileVersion, str]] = {}
        """What was found on the search path, and the digest it had."""
        self._continuations = ContinuationStore(
            directory / "continuations", self._settings.continuations_bytes, self.read
        )

    @property
    def max_bytes(self) -> int:
        """The largest program that is taken."""
        return self._settings.max_bytes

    def programs(self) -> Iterator[tuple[Program, list[str]]]:
        """Every form of every program, with its names."""
        return iter(self._catalogue)

    def path(self, digest: str) -> Path:
        """The file with this sha256 (hex). Raises ``NotFound``."""
        return self._catalogue.path(digest)

    def read(self, digest: str) -> bytes:
        """The bytes with this sha256 (hex). Raises ``NotFound``."""
        return self.path(digest).read_bytes()

    def by_name(self, name: str, form: FormWish = ANY_FORM) -> Program | None:
        """The program that was added under this name, with or without ``.wasm``."""
        source = self._named(name)
        return self._prepared(source, form) if source is not None else None

    # ------------------------------------------------------------------ in

    async def add(
        self, data: bytes, *, name: str | None = None, form: FormWish = ANY_FORM
    ) -> Program:
        """Keep a program, and let ``name`` mean it. Raises ``ProgramError`` if it is none.

        One that cannot be made migratable is kept as it is; ``Program.refusal`` has the reason.
        """
        self._check_size(len(data))
        program = await self._in_form(sha256(data), form, data, name)
        if name:
            self._catalogue.name(program.source_digest, name)
        return program

    def known(self, filename: str, digest: str | None, form: FormWish = ANY_FORM) -> Program | None:
        """What ``resolve`` would answer, if it is at hand without waiting."""
        source = self._at_hand(filename, digest)
        if source is not None:
            return self._prepared(source, form)
        return self._catalogue.find(digest) if digest is not None else None

    async def resolve(
        self, filename: str, digest: str | None, form: FormWish = ANY_FORM
    ) -> Program:
        """The program that ``filename`` means: a name, a file on the search path, or a URL.

        ``digest`` is the sha256 (hex) it must have, if the asker insists: as it came, or in a form
        that was prepared before, which is then the answer. Raises ``ProgramError``.
        """
        program = self.known(filename, digest, form)
        if program is None:
            program = await self._resolve(filename, digest, form)
        if digest not in (None, program.source_digest, program.digest):
            raise ProgramError(f"{filename} has the sha256 {program.source_digest}, not {digest}")
        return program

    def learn_pause(self, digest: str, seconds: float) -> None:
        """A module that ran the form with this digest took so long to pause (CPU time).

        A program that was slow once is prepared ``responsive`` from then on, unless the asker says
        otherwise. What runs goes on as it is. Programs that count their polls prove nothing:
        they pause at the end of a slice.
        """
        program = self._catalogue.find(digest)
        if program is None or program.profile != Profile.THROUGHPUT.value:
            return
        if Ability.ATOMICS not in program.needs:
            return
        source, bound = program.source_digest, self._settings.pause_bound
        if seconds > bound >= self._catalogue.slowest_pause(source):
            log.info("program.slow_to_pause", source=source, seconds=seconds, bound=bound)
            self._catalogue.learn_pause(source, seconds)

    async def continuations(self, digest: str, points: Sequence[tuple[int, int]]) -> bytes:
        """What continues the prepared program with this sha256 (hex) at these points.

        A module that exports ``c0``, ``c1``, ... in their order. Raises ``NotFound``,
        ``FailedPrecondition`` for what is not prepared, ``InvalidRequest`` for impossible points.
        """
        return await self._continuations.module(digest, points)

    async def close(self) -> None:
        """Stop what is under way."""
        await self._continuations.close()
        await self._obtaining.close()
        self._preparer.close()
        await self._preparing.close()

    # ------------------------------------------------------------------ where sources are

    def _at_hand(self, filename: str, digest: str | None) -> str | None:
        """Digest of the source that is meant, if it is here."""
        source: str | None
        if digest is not None:
            source = digest
        elif is_url(filename):
            return None
        else:
            version, found = self._files.get(filename, (None, None))
            current = found if version and version == _version(version.path) else None
            source = self._named(filename) or current
        return source if source is not None and self._catalogue.has_source(source) else None

    def _named(self, name: str) -> str | None:
        return self._catalogue.named(name) or self._catalogue.named(f"{name}.wasm")

    async def _resolve(self, filename: str, digest: str | None, form: FormWish) -> Program:
        source = self._at_hand(filename, digest)
        if source is not None:
            return await self._in_form(source, form, None, filename)
        data = await self._obtaining.run(filename, lambda: self._obtain(filename))
        return await self._in_form(sha256(data), form, data, filename)

    async def _obtain(self, filename: str) -> bytes:
        if is_url(filename) and is_python(filename):
            return await self._obtain_folder(filename)
        if is_url(filename):
            return await download(
                filename,
                max_bytes=self._settings.max_bytes,
                timeout=self._settings.fetch_timeout,
                attempts=self._settings.fetch_attempts,
                redirects=not is_stored(filename),
            )
        path = self._find(filename)
        version = _version(path) if path else None
        if version is None:
            raise ProgramError(f"no program {filename!r}: {self._where()}")
        self._check_size(version.size)
        data = await asyncio.to_thread(version.path.read_bytes)
        self._files[filename] = version, sha256(data)
        return data

    async def _obtain_folder(self, url: str) -> bytes:
        bounds = Bounds(
            self._settings.max_bytes, self._settings.fetch_timeout, self._settings.fetch_attempts
        )
        return await asyncio.to_thread(pack, await fetch_folder(url, bounds))

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

    # ------------------------------------------------------------------ forms

    def _options(self, source: str, form: FormWish) -> Options:
        """How to prepare a program, after what is known of it."""
        profile = forms.decide(
            form.profile or self._settings.profile,
            self._catalogue.slowest_pause(source),
            self._settings.pause_bound,
        )
        return forms.options_for(profile, form.abilities)

    def _prepared(self, source: str, form: FormWish) -> Program | None:
        return self._catalogue.form(source, forms.name_of(self._options(source, form)))

    async def _in_form(
        self, source: str, form: FormWish, data: bytes | None, title: str | None
    ) -> Program:
        """The program in this form; ``data`` is its source, where it is not in the catalogue."""
        options = self._options(source, form)
        name = forms.name_of(options)
        return self._catalogue.form(source, name) or await self._preparing.run(
            (source, name), lambda: self._prepare(source, options, data, title or source)
        )

    async def _prepare(
        self, source: str, options: Options, data: bytes | None, title: str
    ) -> Program:
        def progress(done: int, total: int) -> None:
            log.info("program.preparing", filename=title, source=source, done=done, total=total)
            self.on_progress(Preparing(title, source, done, total))

        if data is None:
            data = await asyncio.to_thread(self.read, source)
        try:
            if is_packed(data):
                raise Refused(NOT_MOVABLE)
            await asyncio.to_thread(check_valid, data)
            prepared = await self._preparer.prepare(data, options, progress)
        except NotWasm as error:
            raise ProgramError(str(error)) from None
        except Refused as error:
            prepared = data
            program = Program(source, len(data), source, refusal=str(error))
        else:
            program = Program(
                sha256(prepared),
                len(prepared),
                source,
                profile=options.profile.value,
                needs=forms.needs(describe(prepared)),
            )
        self._catalogue.put(forms.name_of(options), program, data, prepared)
        log.info(
            "program.added",
            digest=program.digest,
            size=program.size,
            profile=program.profile,
            refusal=program.refusal,
        )
        return program


def _version(path: Path) -> FileVersion | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return FileVersion(path, status.st_mtime_ns, status.st_size)
