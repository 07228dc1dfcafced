"""Making programs migratable without standing in the way of everybody else.

It is pure computation in Python: in a thread it would make the loop of the supervisor wait for the
interpreter lock again and again. So all but small programs are prepared by a process of their own,
which also gives its memory back. Knows processes and threads. Does not know what is prepared, nor
where it is kept.
"""

import asyncio
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

from arts.errors import ProgramError
from arts.migratable import Options, Refused, prepare

SMALL: Final = 64 * 1024
"""Bytes of a program that is prepared sooner than a process starts."""
PROGRESS_EVERY: Final = 1.0
"""Seconds between two signs of progress, and until the first."""
_NICER: Final = 5
"""What runs modules and answers requests comes first."""

Progress = Callable[[int, int], None]
"""Functions done, functions in all."""

_spawn: Final = multiprocessing.get_context("spawn")


class Preparer:
    """Prepares programs, each in a process of its own. ``close`` it at the end."""

    def __init__(self) -> None:
        self._processes: set[SpawnProcess] = set()
        self._closed = False

    async def prepare(
        self, source: bytes, options: Options, progress: Progress = lambda done, total: None
    ) -> bytes:
        """The migratable form. ``progress`` is told of large programs, now and then, how many
        functions are done, and of how many.

        Raises what ``arts.migratable.prepare`` does, or ``ProgramError`` if the process dies (of
        hunger, say).
        """
        if len(source) <= SMALL:
            return await asyncio.to_thread(prepare, source, options)
        loop = asyncio.get_running_loop()

        def tell(done: int, total: int) -> None:
            loop.call_soon_threadsafe(progress, done, total)

        answer = await asyncio.to_thread(self._aside, source, options, tell)
        if isinstance(answer, Refused):
            raise answer
        return answer

    def close(self) -> None:
        """Stop what is under way."""
        self._closed = True
        for process in tuple(self._processes):
            process.kill()

    def _aside(self, source: bytes, options: Options, progress: Progress) -> bytes | Refused:
        ours, theirs = _spawn.Pipe(duplex=False)
        process = _spawn.Process(target=_work, args=(theirs, source, options), daemon=True)
        try:
            process.start()
            theirs.close()  # so that its death ends what we read
            self._processes.add(process)
            if self._closed:
                process.kill()
            answer = _listen(ours, progress)
        except (EOFError, OSError):
            process.join()
            raise ProgramError(
                f"it cannot be prepared: the process ended with {process.exitcode}"
            ) from None
        finally:
            self._processes.discard(process)
            ours.close()
        process.join()
        return answer


def _listen(news: Connection, progress: Progress) -> bytes | Refused:
    """What the process answers in the end."""
    while True:
        said: bytes | Refused | tuple[int, int] = news.recv()
        if not isinstance(said, tuple):
            return said
        progress(*said)


def _work(answers: Connection, source: bytes, options: Options) -> None:
    """What the process does."""
    os.nice(_NICER)
    due = time.monotonic() + PROGRESS_EVERY

    def progress(done: int, total: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            answers.send((done, total))
            due = time.monotonic() + PROGRESS_EVERY

    try:
        answers.send(prepare(source, options, progress))
    except Refused as refused:
        answers.send(refused)
