"""Continuations of captured stacks, made for engines that have no transformer: tabs, devices.

Kept on disk by (program, points), because stacks are alike: a module that waits, waits at the
same points each time. Knows files and prepared programs. Does not know who asks.
"""

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from arts.errors import FailedPrecondition, InvalidRequest
from arts.files import whole_file
from arts.log import get_logger
from arts.migratable import PIPELINE_VERSION, Continuations, Refused, ResumePoint
from arts.programs.singleflight import SingleFlight

log = get_logger(__name__)

_PROGRAMS: Final = 4
"""Programs whose functions are kept at hand, parsed."""


class ContinuationStore:
    """Makes modules of continuations for the programs that ``read`` finds by their digest.

    They are kept in ``directory`` (made if missing), up to ``max_bytes``; the least recently used
    go first.
    """

    def __init__(self, directory: Path, max_bytes: int, read: Callable[[str], bytes]) -> None:
        self._directory, self._max_bytes, self._read = directory, max_bytes, read
        self._making: SingleFlight[bytes] = SingleFlight()
        self._at_hand: OrderedDict[str, Continuations] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()
        directory.mkdir(parents=True, exist_ok=True)

    async def module(self, digest: str, points: Sequence[tuple[int, int]]) -> bytes:
        """A module that exports ``c0``, ``c1``, ... for ``points``, in their order.

        Raises ``NotFound`` for an unknown program, ``FailedPrecondition`` for one that is not
        prepared (or by another version), ``InvalidRequest`` for points that it does not have.
        """
        named = ",".join(f"{function}.{resume}" for function, resume in points)
        key = hashlib.sha256(f"{PIPELINE_VERSION}/{digest}/{named}".encode()).hexdigest()
        path = self._directory / f"{key}.wasm"
        if (kept := _recall(path)) is not None:
            return kept
        return await self._making.run(key, lambda: self._make(path, digest, points))

    async def close(self) -> None:
        """Stop what is under way."""
        await self._making.close()

    async def _make(self, path: Path, digest: str, points: Sequence[tuple[int, int]]) -> bytes:
        async with self._one_at_a_time:
            data = await asyncio.to_thread(self._module, digest, points)
            await asyncio.to_thread(self._keep, path, data)
        return data

    def _module(self, digest: str, points: Sequence[tuple[int, int]]) -> bytes:
        try:
            return self._continuations(digest).module([ResumePoint(*point) for point in points])
        except Refused as refused:
            raise FailedPrecondition(str(refused)) from None
        except ValueError as error:
            raise InvalidRequest(str(error)) from None

    def _continuations(self, digest: str) -> Continuations:
        found = self._at_hand.get(digest)
        if found is None:
            found = self._at_hand[digest] = Continuations(self._read(digest))
            if len(self._at_hand) > _PROGRAMS:
                self._at_hand.popitem(last=False)
        self._at_hand.move_to_end(digest)
        return found

    def _keep(self, path: Path, data: bytes) -> None:
        """A cache that fails is no cache: what was made is good all the same."""
        try:
            with whole_file(path, prefix=".", sync=False) as file:
                file.write(data)
            self._prune()
        except OSError as error:
            log.warning("continuations.not_kept", error=str(error))

    def _prune(self) -> None:
        kept = [(path.stat(), path) for path in self._directory.glob("*.wasm")]
        total = sum(status.st_size for status, _ in kept)
        for status, path in sorted(kept, key=lambda entry: entry[0].st_mtime_ns):
            if total <= self._max_bytes:
                return
            total -= status.st_size
            path.unlink(missing_ok=True)


def _recall(path: Path) -> bytes | None:
    try:
        data = path.read_bytes()
        os.utime(path)
    except OSError:
        return None
    return data
