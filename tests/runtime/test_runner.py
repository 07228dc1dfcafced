"""When an instance runs: what wakes it, what holds it, how it is stopped."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from runtime.engines.base import Exited, Outcome, Parked, Paused, Wait
from runtime.runner import Runner
from runtime.workers import Workers
from tests.runtime.scripted import Scripted, eventually

FOREVER = Parked(Wait())


class Stage:
    """A runner on one worker, with a scripted instance and all its outcomes."""

    def __init__(self) -> None:
        self.workers = Workers(1)
        self.outcomes: list[Outcome] = []
        self.runner = Runner(self.workers, 0.05, self.outcomes.append)
        self.instance = Scripted(lambda _: FOREVER)

    def begin(self) -> None:
        """Give the runner its instance and let it go."""
        self.runner.instance = self.instance
        self.runner.wake()

    async def until(self, turns: int) -> None:
        """Wait until so many turns have ended."""
        await eventually(lambda: len(self.outcomes) >= turns)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    stage = Stage()
    yield stage
    stage.runner.close()
    await stage.runner.standstill(5.0)
    stage.workers.close()


async def test_without_an_instance_nothing_happens(stage: Stage) -> None:
    stage.runner.wake()
    assert await stage.runner.standstill(0.0)


async def test_a_parked_instance_runs_when_it_is_ready(stage: Stage) -> None:
    stage.begin()
    await stage.until(1)
    stage.runner.wake()
    assert await stage.runner.standstill(0.0)
    stage.instance.ready_when = lambda now: stage.instance.turns == 1
    stage.runner.wake()
    await stage.until(2)


async def test_a_parked_instance_runs_when_its_time_has_come(stage: Stage) -> None:
    due = time.monotonic() + 0.02
    stage.instance.script = lambda _: Parked(Wait(deadline=due))
    stage.instance.ready_when = lambda now: now >= due and stage.instance.turns == 1
    stage.begin()
    await stage.until(1)
    stage.runner.wake()  # sets the same alarm again, not another
    await stage.until(2)
    assert time.monotonic() >= due


async def test_a_paused_instance_goes_on_unless_it_is_held(stage: Stage) -> None:
    stage.instance.script = Scripted.busy
    stage.begin()
    stage.runner.ask()
    await stage.until(1)
    stage.runner.hold("test")
    assert await stage.runner.standstill(5.0)
    ended = len(stage.outcomes)
    stage.runner.wake()
    assert await stage.runner.standstill(0.0)
    stage.runner.release("test")
    stage.runner.ask()
    await stage.until(ended + 1)


async def test_it_runs_when_the_last_hold_is_released(stage: Stage) -> None:
    stage.runner.hold("one")
    stage.runner.hold("two")
    stage.begin()
    stage.runner.release("one")
    assert stage.instance.turns == 0
    stage.runner.release("two")
    await stage.until(1)


async def test_a_turn_that_has_not_begun_is_taken_back(stage: Stage) -> None:
    other = Scripted(Scripted.busy)
    stage.workers.submit(other, 60.0, lambda _: None)
    await eventually(lambda: other.turns)
    stage.begin()
    stage.runner.hold("test")
    assert await stage.runner.standstill(0.0)
    assert stage.instance.turns == 0
    other.request_pause()


async def test_a_request_that_went_unnoticed_is_repeated(stage: Stage) -> None:
    def deaf_at_first(instance: Scripted) -> Outcome:
        assert instance.asked.wait(5)
        instance.asked.clear()  # as an engine does when its turn begins
        assert instance.asked.wait(5)
        return Paused()

    stage.instance.script = deaf_at_first
    stage.begin()
    stage.runner.hold("test")
    assert await stage.runner.standstill(5.0)
    assert stage.outcomes[-1:] in ([Paused()], [])


async def test_what_does_not_stop_in_time_is_said(stage: Stage) -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stubborn(instance: Scripted) -> Outcome:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(5)
        return Exited(0)

    stage.instance.script = stubborn
    stage.begin()
    await eventually(lambda: stage.instance.turns)
    stage.runner.hold("test")
    assert not await stage.runner.standstill(0.02)
    release.set()
    assert await stage.runner.standstill(5.0)


async def test_a_closed_instance_is_killed_and_given_back_when_it_stands(stage: Stage) -> None:
    stage.instance.script = Scripted.busy
    stage.begin()
    await eventually(lambda: stage.instance.turns)
    stage.runner.close()
    assert stage.instance.killed
    await stage.runner.standstill(5.0)
    assert stage.instance.closed
    assert stage.runner.instance is None
    stage.runner.wake()
    assert stage.instance.turns == 1
