"""Programs on disk, by sha256: bytes that never change, and what is known about them.

    blobs/{sha256}.wasm      a program as it came, or in its migratable form
    programs/{sha256}.json   by the digest of the source: its migratable form, and who made it
    names.json               name -> digest of the source

Writes are atomic: whatever the moment of a crash, a file is there in whole or not at all. Knows
no network and does not judge programs.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from arts.errors import NotFound
from arts.log import get_logger
from arts.model import Program

log = get_logger(__name__)

_DIGEST: Final = re.compile("[0-9a-f]{64}")


def sha256(data: bytes) -> str:
    """The digest (hex) by which ``data`` is known."""
    return hashlib.sha256(data).hexdigest()


class Catalogue:
    """The programs below ``directory`` (made if missing), as ``pipeline`` prepares them.

    What another pipeline prepared stays readable, because modules may still run it, but is no
    answer for new ones.
    """

    def __init__(self, directory: Path, pipeline: str) -> None:
        self._directory = directory
        self._pipeline = pipeline
        self._by_source: dict[str, Program] = {}
        self._by_digest: dict[str, Program] = {}
        self._names: dict[str, str] = {}
        for part in ("blobs", "programs"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        self._load()

    def __iter__(self) -> Iterator[tuple[Program, list[str]]]:
        """Each program with its names."""
        for source, program in self._by_source.items():
            yield program, sorted(name for name, to in self._names.items() if to == source)

    def put(self, source: bytes, prepared: bytes, refusal: str | None) -> Program:
        """Keep a program. ``prepared`` is ``source`` itself if there is a ``refusal``."""
        program = Program(sha256(prepared), len(prepared), sha256(source), refusal)
        self._write(self._blob(program.source_digest), source)
        self._write(self._blob(program.digest), prepared)
        sidecar = asdict(program) | {"pipeline": self._pipeline}
        path = self._directory / "programs" / f"{program.source_digest}.json"
        self._write(path, json.dumps(sidecar).encode(), replace=True)
        self._remember(program)
        return program

    def find(self, digest: str) -> Program | None:
        """The program with this digest, of its source or of its migratable form."""
        return self._by_source.get(digest) or self._by_digest.get(digest)

    def name(self, program: Program, name: str) -> None:
        """Let ``name`` mean this program from now on."""
        if self._names.get(name) != program.source_digest:
            self._names[name] = program.source_digest
            content = json.dumps(self._names, indent=1).encode()
            self._write(self._directory / "names.json", content, replace=True)

    def named(self, name: str) -> Program | None:
        """The program that was given this name."""
        return self._by_source.get(self._names.get(name, ""))

    def path(self, digest: str) -> Path:
        """The file with this sha256. Raises ``NotFound``."""
        path = self._blob(digest)
        if not _DIGEST.fullmatch(digest) or not path.is_file():
            raise NotFound(f"no program {digest}")
        return path

    def _blob(self, digest: str) -> Path:
        return self._directory / "blobs" / f"{digest}.wasm"

    def _remember(self, program: Program) -> None:
        self._by_source[program.source_digest] = program
        self._by_digest[program.digest] = program

    def _load(self) -> None:
        for path in sorted((self._directory / "programs").glob("*.json")):
            sidecar = _read_json(path)
            if sidecar.pop("pipeline", None) != self._pipeline:
                continue
            program = Program(**sidecar)
            if self._blob(program.digest).is_file():
                self._remember(program)
        self._names = _read_json(self._directory / "names.json")

    def _write(self, path: Path, data: bytes, *, replace: bool = False) -> None:
        if path.exists() and not replace:
            return
        with tempfile.NamedTemporaryFile(dir=self._directory, suffix=".part", delete=False) as file:
            try:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise


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
