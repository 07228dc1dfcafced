"""Before a module freezes: the target makes what it will need to continue it, while it still runs.

The source tells the target where the module last stood; the target makes the continuations of those
points and says so. Nobody stops the module for that: to go on, it would need continuations itself,
and where the source has not made them yet that is the very wait which is to be spared. Nothing here
can fail a move: what was not made ahead is made when the snapshot has come. Knows no snapshots.
"""

import asyncio
from collections.abc import Collection
from contextlib import suppress

from arts.errors import InvalidRequest
from arts.log import get_logger
from arts.migratable import ResumePoint
from arts.protocol import codec
from arts.protocol.points import MAX_POINTS, parse_points
from arts.protocol.topics import Topics
from runtime.copies import Copy
from runtime.settings import RuntimeSettings
from runtime.transfers import Transfers

log = get_logger(__name__)


class Rehearsal:
    """Rehearsals of moves from and to one runtime."""

    def __init__(self, settings: RuntimeSettings, topics: Topics, transfers: Transfers) -> None:
        self._settings, self._topics, self._transfers = settings, topics, transfers

    def topics_of(self, migration: str) -> set[str]:
        """What to forget when the move is over."""
        return {self._topics.snapshot_points(migration), self._topics.snapshot_foreseen(migration)}

    # ------------------------------------------------------------------------ source

    async def run(self, copy: Copy, migration: str) -> None:
        """Let the target prepare for where the module last stood.

        The module runs on meanwhile: a target that does not answer delays the move, by
        ``RuntimeSettings.rehearsal`` at most, and not the module.
        """
        if copy.instance is None or not (points := copy.instance.points()):
            return
        foreseen = asyncio.Event()
        answer = self._topics.snapshot_foreseen(migration)
        self._transfers.listen(answer, lambda _: foreseen.set())
        document = codec.encode_document(sorted(points)[:MAX_POINTS])
        self._transfers.say(self._topics.snapshot_points(migration), document)
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.rehearsal):
                await foreseen.wait()

    # ------------------------------------------------------------------------ target

    def expect(self, copy: Copy, migration: str) -> None:
        """Hear where the module stands, and prepare for that."""
        self._transfers.listen(
            self._topics.snapshot_points(migration),
            lambda payload: self._on_points(copy, migration, payload),
        )

    def _on_points(self, copy: Copy, migration: str, payload: bytes) -> None:
        try:
            points = parse_points(codec.decode_document(payload))
        except InvalidRequest as error:
            log.warning("rehearsal.malformed", migration=migration, error=str(error))
        else:
            copy.do(self._foresee(copy, migration, [ResumePoint(*point) for point in points]))

    async def _foresee(self, copy: Copy, migration: str, points: Collection[ResumePoint]) -> None:
        assert copy.program is not None  # it is loaded before anybody is told to freeze
        await asyncio.to_thread(copy.program.foresee, points)
        self._transfers.say(self._topics.snapshot_foreseen(migration), b"")
