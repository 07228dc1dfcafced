"""Programs on disk, by sha256: bytes that never change, and what is known about them.

    blobs/{sha256}.wasm      a program as it came, or in a migratable form
    programs/{sha256}.json   by the digest of the source: its migratable forms, each by pipeline
                             and options, and how slow it was seen to pause
    names.json               name -> digest of the source

Writes are atomic: whatever the moment of a crash, a file is there in whole or not at all. Knows
no network and does not judge programs.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from arts.errors import NotFound
from arts.files import whole_file
from arts.log import get_logger
from arts.model import Program

log = get_logger(__name__)

_DIGEST: Final = re.compile("[0-9a-f]{64}")


def sha256(data: bytes) -> str:
    """The digest (hex) by which ``data`` is known."""
    return hashlib.sha256(data).hexdigest()


@dataclass
class _Entry:
    """One prepared form. ``form`` is what tells it apart from others of the same pipeline."""

    pipeline: str
    form: str
    program: Program


@dataclass
class _Sidecar:
    """What is known about a program, as it is written."""

    slowest_pause: float = 0.0
    forms: list[_Entry] = field(default_factory=list)


_SIDECAR: Final = TypeAdapter(_Sidecar)


@dataclass
class _Source:
    """What is known about a program; ``others``: its forms of other pipelines."""

    slowest_pause: float = 0.0
    forms: dict[str, Program] = field(default_factory=dict)
    others: list[_Entry] = field(default_factory=list)


class Catalogue:
    """The programs below ``directory`` (made if missing), as ``pipeline`` prepares them.

    What another pipeline prepared stays readable, because modules may still run it, but is no
    answer for new ones.
    """

    def __init__(self, directory: Path, pipeline: str) -> None:
        self._directory = directory
        self._pipeline = pipeline
        self._sources: dict[str, _Source] = {}
        self._by_digest: dict[str, Program] = {}
        self._names: dict[str, str] = {}
        for part in ("blobs", "programs"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        self._load()

    def __iter__(self) -> Iterator[tuple[Program, list[str]]]:
        """Each form of each program, with its names."""
        for digest, source in self._sources.items():
            names = sorted(name for name, to in self._names.items() if to == digest)
            for program in source.forms.values():
                yield program, names

    def put(self, form: str, program: Program, source: bytes, prepared: bytes) -> None:
        """Keep a program in one form. Its digests are those of ``source`` and ``prepared``."""
        self._write(self._blob(program.source_digest), source)
        self._write(self._blob(program.digest), prepared)
        self._sources.setdefault(program.source_digest, _Source()).forms[form] = program
        self._by_digest[program.digest] = program
        self._write_sidecar(program.source_digest)

    def form(self, source_digest: str, form: str) -> Program | None:
        """A program in one form; None if it was not prepared in it, or by another pipeline."""
        source = self._sources.get(source_digest)
        return source.forms.get(form) if source is not None else None

    def find(self, digest: str) -> Program | None:
        """The form with this digest (of what runtimes load)."""
        return self._by_digest.get(digest)

    def has_source(self, digest: str) -> bool:
        """Whether a program, as it came, is here to be prepared (again)."""
        known = digest in self._sources or digest in self._names.values()
        return known and self._blob(digest).is_file()

    def slowest_pause(self, source_digest: str) -> float:
        """What ``learn_pause`` was told; 0 if nothing was."""
        source = self._sources.get(source_digest)
        return source.slowest_pause if source is not None else 0.0

    def learn_pause(self, source_digest: str, seconds: float) -> None:
        """Remember that a program was seen to pause so slowly."""
        self._sources.setdefault(source_digest, _Source()).slowest_pause = seconds
        self._write_sidecar(source_digest)

    def name(self, source_digest: str, name: str) -> None:
        """Let ``name`` mean this program from now on."""
        if self._names.get(name) != source_digest:
            self._names[name] = source_digest
            content = json.dumps(self._names, indent=1).encode()
            self._write(self._directory / "names.json", content, replace=True)

    def named(self, name: str) -> str | None:
        """Digest of the source of the program that was given this name."""
        return self._names.get(name)

    def path(self, digest: str) -> Path:
        """The file with this sha256. Raises ``NotFound``."""
        path = self._blob(digest)
        if not _DIGEST.fullmatch(digest) or not path.is_file():
            raise NotFound(f"no program {digest}")
        return path

    def _blob(self, digest: str) -> Path:
        return self._directory / "blobs" / f"{digest}.wasm"

    def _load(self) -> None:
        for path in sorted((self._directory / "programs").glob("*.json")):
            try:
                self._take(path.stem, _SIDECAR.validate_python(_read_json(path)))
            except ValidationError as error:
                log.warning("programs.foreign_file", path=str(path), error=str(error))
        self._names = _read_json(self._directory / "names.json")

    def _take(self, digest: str, sidecar: "_Sidecar") -> None:
        source = self._sources[digest] = _Source(slowest_pause=sidecar.slowest_pause)
        for entry in sidecar.forms:
            if entry.pipeline != self._pipeline:
                source.others.append(entry)
            elif self._blob(entry.program.digest).is_file():
                source.forms[entry.form] = entry.program
                self._by_digest[entry.program.digest] = entry.program

    def _write_sidecar(self, digest: str) -> None:
        source = self._sources[digest]
        ours = [_Entry(self._pipeline, form, program) for form, program in source.forms.items()]
        sidecar = _Sidecar(source.slowest_pause, [*source.others, *ours])
        path = self._directory / "programs" / f"{digest}.json"
        self._write(path, _SIDECAR.dump_json(sidecar), replace=True)

    def _write(self, path: Path, data: bytes, *, replace: bool = False) -> None:
        if path.exists() and not replace:
            return
        with whole_file(path, prefix=".", sync=True) as file:
            file.write(data)


def _read_json(path: Path) -> dict[str, Any]:
    """An object; an empty one if the file is missing or damaged: it can be made again."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        log.warning("programs.damaged_file", path=str(path), error=str(error))
        return {}
    return value if isinstance(value, dict) else {}
