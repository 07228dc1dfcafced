"""Memory goes ahead of a module that moves; and whatever goes wrong with that, the move goes on."""

import asyncio
from collections.abc import Callable

import pytest

from arts.errors import SnapshotError
from arts.protocol import messages as m
from runtime import precopy
from runtime.agent import Agent
from runtime.copies import Copy
from runtime.shadow import Change, Shadow
from tests.runtime.fleet import Fleet, Move
from tests.support.ballast import PAGES

MIB = 1 << 20


@pytest.fixture
async def pair(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    """Runtimes ``a`` and ``b``, which have all the time that a busy machine may need."""
    monkeypatch.setattr(precopy, "_CONFIRMED", 20.0)
    await fleet.runtime("a", precopy=20.0)
    await fleet.runtime("b", precopy=20.0)
    return fleet


async def dirty(fleet: Fleet, mebibytes: int = 16, rate: int = 1000) -> m.StartModule:
    """A module that runs and has filled its memory."""
    module = await fleet.start("dirty", args=(str(mebibytes * 1024), str(rate)))
    await fleet.printed(1)
    return module


async def ticks_on(fleet: Fleet) -> None:
    """It runs on, its memory is undamaged, and it repeated or skipped nothing."""
    seen = await fleet.printed(30)
    assert seen == [f"tick {number + 1}" for number in range(len(seen))]


def nothing_is_under_way(fleet: Fleet) -> None:
    """No transfer is left, and nobody listens for one."""
    for agent in fleet.agents.values():
        assert not agent._transfers._senders
        assert not agent._transfers._receivers
        assert len(agent._transfers._listeners) == 1, "that of plans"


def copy_in(agent: Agent) -> Copy:
    (copy,) = agent._copies.values()
    return copy


async def test_little_is_left_for_when_the_module_stands(pair: Fleet) -> None:
    module = await dirty(pair)
    for source, target in (("a", "b"), ("b", "a")):
        module, moved = await pair.move(module, source, target)
        assert moved.frozen.size is not None
        assert moved.frozen.size < 2 * MIB
        await ticks_on(pair)
    assert len(pair.agents["a"]._copies) == 1
    nothing_is_under_way(pair)


def named_in(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pages each parcel from now on names."""
    named, encode = list[int](), precopy.encode_parcel

    def noted(change: Change, level: int) -> bytes:
        named.append(change.named)
        return encode(change, level)

    monkeypatch.setattr(precopy, "encode_parcel", noted)
    return named


class Everything:
    """Names of whatever page there may be."""

    def __contains__(self, name: object) -> bool:
        return True


async def remembered(fleet: Fleet, name: str, mebibytes: int) -> None:
    """Wait until a runtime keeps the memory of a module that has left it."""
    pages = fleet.agents[name]._moves._precopy._pages
    async with asyncio.timeout(20):
        while pages.size < mebibytes * MIB:  # noqa: ASYNC110 - it works in a thread
            await asyncio.sleep(0.01)


async def test_what_a_runtime_still_has_does_not_travel_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the module comes back by a detour."""
    for name in ("a", "b", "c"):
        await fleet.runtime(name)
    module = await dirty(fleet)
    named = named_in(monkeypatch)
    for source, target in (("a", "b"), ("b", "c")):
        module, _ = await fleet.move(module, source, target)
        assert not any(named)
    await remembered(fleet, "a", 15)
    module, _ = await fleet.move(module, "c", "a")
    assert sum(named) > 16 * 16 * 3 / 4
    await ticks_on(fleet)


async def test_a_runtime_that_keeps_no_pages_gets_them_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        await fleet.runtime(name, kept_page_bytes=0)
    module, named = await dirty(fleet), named_in(monkeypatch)
    for source, target in (("a", "b"), ("b", "a")):
        module, _ = await fleet.move(module, source, target)
    assert named
    assert not any(named)
    await ticks_on(fleet)


async def test_a_page_that_was_promised_and_is_not_there_costs_only_time(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precopy, "split_names", lambda names: Everything())
    _, moved = await pair.move(await dirty(pair), "a", "b")
    assert moved.frozen.size is not None
    assert moved.frozen.size > 15 * MIB
    await ticks_on(pair)


async def test_what_a_program_begins_with_does_not_travel(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = await pair.start("ballast")
    await pair.printed(1)
    named = named_in(monkeypatch)
    await pair.move(module, "a", "b")
    assert sum(named) >= PAGES - 3, "all but what was sent before the names came"
    await pair.printed(3)


async def test_it_says_now_and_then_how_far_it_is(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precopy, "_TELL", 0.0)
    module = await dirty(pair)
    moving = Move(pair, module, "a", "b")
    await moving.prepare()
    moving.send_freeze()
    report = await pair.report("ahead")
    assert (report.runtime, report.migration) == ("a", moving.step["migration"])
    assert report.size is not None
    assert report.size >= precopy.SMALL_PARCEL
    await moving.abort()
    await ticks_on(pair)


async def test_a_module_that_writes_faster_than_the_link_moves_too(pair: Fleet) -> None:
    module = await dirty(pair, 24, 400_000)
    module, _ = await pair.move(module, "a", "b")
    await ticks_on(pair)


async def test_a_small_module_sends_nothing_ahead(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precopy, "Shadow", None)
    module = await pair.start("counter", args=("1",))
    module, _ = await pair.move(module, "a", "b")
    await pair.printed(3)


async def test_it_can_be_turned_off(fleet: Fleet) -> None:
    await fleet.runtime("a", precopy=0.0)
    await fleet.runtime("b")
    _, moved = await fleet.move(await dirty(fleet), "a", "b")
    assert moved.frozen.size is not None
    assert moved.frozen.size > 15 * MIB
    await ticks_on(fleet)


async def test_when_its_time_is_over_the_rest_goes_with_the_snapshot(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first round takes what it takes; of those that follow, only what it has time for."""
    await fleet.runtime("a", precopy=1e-9)
    await fleet.runtime("b")
    asked = []
    monkeypatch.setattr(precopy, "another_round", lambda rounds: asked.append(len(rounds)) or True)
    await fleet.move(await dirty(fleet, 24, 400_000), "a", "b")
    assert asked == [1]
    await ticks_on(fleet)


def refuse(self: Copy, change: Change) -> None:
    raise SnapshotError("no room")


def nothing(*_: object) -> None:
    """Not a word."""


async def test_a_target_that_keeps_nothing_gets_everything(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Copy, "receive", refuse)
    _, moved = await pair.move(await dirty(pair), "a", "b")
    assert moved.frozen.size is not None
    assert moved.frozen.size > 15 * MIB
    await ticks_on(pair)


async def test_a_target_that_does_not_know_of_it_gets_everything(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precopy, "_CONFIRMED", 0.1)
    monkeypatch.setattr(precopy.Precopy, "_on_parcel", nothing)
    await pair.move(await dirty(pair), "a", "b")
    await ticks_on(pair)


@pytest.mark.parametrize("damage", [lambda parcel: parcel[:-9], lambda parcel: b"nonsense"])
async def test_damaged_parcels_cost_no_more_than_time(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch, damage: Callable[[bytes], bytes]
) -> None:
    encode = precopy.encode_parcel
    monkeypatch.setattr(precopy, "encode_parcel", lambda *made: damage(encode(*made)))
    await pair.move(await dirty(pair), "a", "b")
    await ticks_on(pair)


async def test_a_snapshot_that_builds_on_something_else_is_refused(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = await dirty(pair)
    rest = Shadow.rest

    def lie(self: Shadow, *arguments: object) -> object:
        self.identity = bytes(32)
        return rest(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Shadow, "rest", lie)
    moving = Move(pair, module, "a", "b")
    await moving.prepare()
    moving.send_freeze()
    report = await pair.report("refused")
    assert "memory that is not here" in (report.detail or "")
    await moving.abort()
    await ticks_on(pair)


async def test_called_off_in_the_middle_of_a_round_it_runs_on(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = await dirty(pair)
    on_the_way = asyncio.Event()
    send = precopy.Precopy._send

    async def slow(self: precopy.Precopy, *arguments: object) -> None:
        await send(self, *arguments)  # type: ignore[arg-type]
        on_the_way.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(precopy.Precopy, "_send", slow)
    moving = Move(pair, module, "a", "b")
    await moving.prepare()
    moving.send_freeze()
    await on_the_way.wait()
    nest = copy_in(pair.agents["b"]).nest
    assert nest is not None
    await moving.abort()
    with pytest.raises(SnapshotError, match="no memory any more"):
        nest.receive(Change(0, 0, b"", b""))
    await ticks_on(pair)
    assert not pair.agents["b"]._copies
    nothing_is_under_way(pair)


async def test_a_target_that_dies_in_the_middle_leaves_the_source_unharmed(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precopy, "_CONFIRMED", 0.1)
    module = await dirty(pair)
    moving = Move(pair, module, "a", "b")
    await moving.prepare()
    await pair.stop_runtime("b")
    moving.send_freeze()
    await pair.report("frozen")
    pair.send("a", m.AbortMigration(**moving.step))
    await pair.report("aborted")
    await ticks_on(pair)
