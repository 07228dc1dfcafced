"""Turns on worker threads: in order, fair, cancellable, and none left behind."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from runtime.engines.base import Exited, Outcome, Paused, Trapped
from runtime.workers import Turn, Workers
from tests.runtime.scripted import Scripted, eventually

Make = Callable[[int], Workers]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[Workers] = []

    def make(threads: int) -> Workers:
        made.append(Workers(threads))
        return made[-1]

    before = threading.active_count()
    yield make
    for workers in made:
        workers.close()
    assert threading.active_count() == before


def submit(
    workers: Workers, instance: Scripted, slice_seconds: float = 60.0
) -> tuple[Turn, "asyncio.Future[Outcome]"]:
    outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    return workers.submit(instance, slice_seconds, outcome.set_result), outcome


async def test_turns_run_in_order_and_outcomes_come_back_on_the_loop(make: Make) -> None:
    workers, order = make(1), list[int]()

    def script(number: int) -> Callable[[Scripted], Outcome]:
        def turn(_: Scripted) -> Outcome:
            order.append(number)
            return Exited(number)

        return turn

    outcomes = [submit(workers, Scripted(script(n)))[1] for n in range(5)]
    assert await asyncio.gather(*outcomes) == [Exited(n) for n in range(5)]
    assert order == list(range(5))


async def test_a_busy_module_makes_room_after_its_slice(make: Make) -> None:
    workers = make(1)
    busy, other = Scripted(Scripted.busy), Scripted(lambda _: Exited(0))
    _, first = submit(workers, busy, 0.02)
    _, second = submit(workers, other)
    assert await asyncio.wait_for(second, 5) == Exited(0)
    assert first.result() == Paused()


async def test_nobody_is_interrupted_while_there_is_room(make: Make) -> None:
    workers = make(2)
    busy = Scripted(Scripted.busy)
    _, first = submit(workers, busy, 0.0)
    _, second = submit(workers, Scripted(lambda _: Exited(0)))
    await asyncio.wait_for(second, 5)
    await asyncio.sleep(0.02)
    assert not first.done()
    busy.request_pause()
    assert await asyncio.wait_for(first, 5) == Paused()


async def test_busy_modules_share_one_thread_in_turns(make: Make) -> None:
    workers, spinners = make(1), [Scripted(Scripted.busy) for _ in range(3)]
    going = True

    def again(instance: Scripted) -> None:
        if going:
            workers.submit(instance, 0.002, lambda _: again(instance))

    for instance in spinners:
        again(instance)
    await eventually(lambda: min(instance.turns for instance in spinners) >= 5)
    going = False
    turns = [instance.turns for instance in spinners]
    assert max(turns) - min(turns) <= 1
    for instance in spinners:
        instance.request_pause()


async def test_a_waiting_turn_can_be_taken_back(make: Make) -> None:
    workers = make(1)
    busy, other = Scripted(Scripted.busy), Scripted(lambda _: Exited(0))
    turn, first = submit(workers, busy)
    await eventually(lambda: busy.turns)
    waiting, second = submit(workers, other)
    assert workers.cancel(waiting)
    assert not workers.cancel(waiting)
    assert not workers.cancel(turn)
    busy.request_pause()
    await asyncio.wait_for(first, 5)
    assert not second.done()
    assert other.turns == 0


async def test_an_engine_that_breaks_is_a_trap(make: Make) -> None:
    def broken(_: Scripted) -> Outcome:
        raise RuntimeError("the engine is broken")

    _, outcome = submit(make(1), Scripted(broken))
    assert await outcome == Trapped("the engine failed: the engine is broken")


async def test_an_instance_that_blocks_takes_nobodys_place(make: Make) -> None:
    workers = make(1)
    blocking = Scripted(Scripted.busy, migratable=False)
    _, first = submit(workers, blocking, 0.0)
    _, second = submit(workers, Scripted(lambda _: Exited(0)))
    assert await asyncio.wait_for(second, 5) == Exited(0)
    assert not first.done()
    blocking.request_pause()
    assert await asyncio.wait_for(first, 5) == Paused()


async def test_closing_forgets_what_waits_and_says_what_is_stuck(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("runtime.workers._JOIN_TIMEOUT", 0.01)
    workers = make(1)
    busy, other = Scripted(Scripted.busy), Scripted(lambda _: Exited(0))
    _, first = submit(workers, busy)
    await eventually(lambda: busy.turns)
    _, second = submit(workers, other)
    workers.close()
    assert "worker.stuck" in caplog.text
    busy.request_pause()
    monkeypatch.undo()
    workers.close()
    await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
