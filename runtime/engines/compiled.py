"""Compiled code on disk: found again by key, believed only when it is whole.

Knows files and checksums. Does not know what is compiled, nor by whom.
"""

import hashlib
import os
from pathlib import Path
from typing import Final

from arts.files import whole_file
from arts.log import get_logger

log = get_logger(__name__)

_MAX_BYTES: Final = 1 << 30
_DIGEST_SIZE: Final = 32


class CompiledCache:
    """Files in ``directory``, the longest unused of which go when it is opened with too many.

    Nobody else may be able to write there: what it returns is executed.
    """

    def __init__(self, directory: Path, max_bytes: int = _MAX_BYTES) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._prune(max_bytes)

    def get(self, key: str) -> bytes | None:
        """What was put under ``key``; None when it is not there, or no longer whole."""
        path = self._path(key)
        try:
            content = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.warning("compiled.unreadable", key=key, error=str(error))
            return None
        code = content[_DIGEST_SIZE:]
        if hashlib.sha256(code).digest() == content[:_DIGEST_SIZE]:
            return code
        log.warning("compiled.damaged", key=key)
        return None

    def put(self, key: str, code: bytes | bytearray) -> None:
        """Keep ``code``, at once and whole, or not at all: a cache that fails is no cache."""
        try:
            with whole_file(self._path(key), prefix=".", sync=False) as file:
                file.write(hashlib.sha256(code).digest())
                file.write(code)
        except OSError as error:
            log.warning("compiled.not_kept", key=key, error=str(error))

    def _path(self, key: str) -> Path:
        return self._directory / f"{hashlib.sha256(key.encode()).hexdigest()}.compiled"

    def _prune(self, max_bytes: int) -> None:
        found = []
        for path in self._directory.iterdir():
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= max_bytes:
                return
            total -= size
            path.unlink(missing_ok=True)
