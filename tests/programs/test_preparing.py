"""Large programs are prepared by a process of their own, which may say no, or die."""

import asyncio
import multiprocessing
import os
import signal

import pytest

from arts.errors import ProgramError
from arts.migratable import NotWasm, Options, Refused, prepare
from arts.migratable.binary import custom_section
from arts.programs import preparing
from arts.programs.preparing import SMALL, Preparer
from tests.programs.fake_web import APPS

PADDING = custom_section("padding", bytes(SMALL))


def large(name: str) -> bytes:
    """An example that is not small."""
    return (APPS / f"{name}.wasm").read_bytes() + PADDING


async def test_a_large_program_comes_out_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "prepare", None)  # here; the process has its own
    source = large("counter/counter")
    assert await Preparer().prepare(source, Options(nest=True)) == prepare(
        source, Options(nest=True)
    )


async def test_refusals_come_through_whole() -> None:
    with pytest.raises(Refused) as refused:
        await Preparer().prepare(large("faulty/externref"), Options())
    assert (refused.value.function, bool(refused.value.advice)) == ("function 1", True)
    with pytest.raises(NotWasm):
        await Preparer().prepare(b"no program" + PADDING, Options())


async def test_a_process_that_dies_is_an_error() -> None:
    preparer = Preparer()
    work = asyncio.create_task(preparer.prepare(large("counter/counter"), Options()))
    while not preparer._processes:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    (process,) = preparer._processes
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ProgramError, match="ended with -9"):
        await work


async def test_close_stops_what_is_under_way() -> None:
    preparer = Preparer()
    work = asyncio.create_task(preparer.prepare(large("counter/counter"), Options()))
    await asyncio.sleep(0)
    preparer.close()
    with pytest.raises(ProgramError, match="cannot be prepared"):
        await work


async def test_progress_comes_before_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "PROGRESS_EVERY", 0.0)
    monkeypatch.setattr("os.nice", lambda _: 0)
    ours, theirs = multiprocessing.Pipe(duplex=False)
    source = large("counter/counter")
    work = asyncio.to_thread(preparing._work, theirs, source, Options())
    told: list[tuple[int, int]] = []
    answer, _ = await asyncio.gather(
        asyncio.to_thread(preparing._listen, ours, lambda *news: told.append(news)), work
    )
    assert answer == prepare(source)
    assert told == sorted(told)
    assert {total for _, total in told} == {told[-1][0]}
