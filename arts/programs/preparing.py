"""Making programs migratable without standing in the way of everybody else.

It is pure computation in Python: in a thread it would make the loop of the supervisor wait for the
interpreter lock again and again. So all but small programs are prepared by a process of their own,
which also gives its memory back. Knows processes and threads. Does not know what is prepared, nor
where it is kept.
"""

import asyncio
import multiprocessing
import os
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

from arts.errors import ProgramError
from arts.migratable import Options, Refused, prepare

SMALL: Final = 64 * 1024
"""Bytes of a program that is prepared sooner than a process starts."""
_NICER: Final = 5
"""What runs modules and answers requests comes first."""

_spawn: Final = multiprocessing.get_context("spawn")


class Preparer:
    """Prepares programs, each in a process of its own. ``close`` it at the end."""

    def __init__(self) -> None:
        self._processes: set[SpawnProcess] = set()
        self._closed = False

    async def prepare(self, source: bytes, options: Options) -> bytes:
        """The migratable form. Raises what ``arts.migratable.prepare`` does, or ``ProgramError`` if
        the process dies (of hunger, say)."""
        if len(source) <= SMALL:
            return await asyncio.to_thread(prepare, source, options)
        answer = await asyncio.to_thread(self._aside, source, options)
        if isinstance(answer, Refused):
            raise answer
        return answer

    def close(self) -> None:
        """Stop what is under way."""
        self._closed = True
        for process in tuple(self._processes):
            process.kill()

    def _aside(self, source: bytes, options: Options) -> bytes | Refused:
        ours, theirs = _spawn.Pipe(duplex=False)
        process = _spawn.Process(target=_work, args=(theirs, source, options), daemon=True)
        try:
            process.start()
            theirs.close()  # so that its death ends what we read
            self._processes.add(process)
            if self._closed:
                process.kill()
            answer: bytes | Refused = ours.recv()
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


def _work(answers: Connection, source: bytes, options: Options) -> None:
    """What the process does."""
    os.nice(_NICER)
    try:
        answers.send(prepare(source, options))
    except Refused as refused:
        answers.send(refused)
