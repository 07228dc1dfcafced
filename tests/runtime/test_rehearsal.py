"""Before a module freezes, the target prepares for where it stands; whatever goes wrong there, the
module moves as it would have without."""

from collections.abc import Collection

import pytest

from arts.migratable import ResumePoint
from arts.protocol import messages as m
from runtime.engines.wasmtime import MovableProgram
from tests.runtime.fleet import Fleet, Move
from tests.runtime.scripted import eventually
from tests.runtime.test_agent import counts


class Watch:
    """What programs were told to foresee, and what had to be made later nevertheless."""

    def __init__(self) -> None:
        self.foreseen: set[ResumePoint] = set()
        self.made: set[ResumePoint] = set()


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Watches all programs."""
    watch = Watch()
    foresee, make = MovableProgram.foresee, MovableProgram._make

    def watched_foresee(program: MovableProgram, points: Collection[ResumePoint]) -> None:
        watch.foreseen |= set(points)
        foresee(program, points)

    def watched_make(program: MovableProgram, points: tuple[ResumePoint, ...]) -> object:
        watch.made |= set(points) - watch.foreseen
        return make(program, points)

    monkeypatch.setattr(MovableProgram, "foresee", watched_foresee)
    monkeypatch.setattr(MovableProgram, "_make", watched_make)
    return watch


async def moving(fleet: Fleet, program: str, *args: str, **settings: float) -> Move:
    """A module on ``a`` whose move to ``b`` is prepared."""
    await fleet.runtime("a", **settings)
    await fleet.runtime("b")
    module = await fleet.start(program, args=args)
    move = Move(fleet, module, "a", "b")
    await move.prepare()
    return move


def points_of(parcel: object) -> bool:
    """Whether a message says where a module stands."""
    return parcel.topic.endswith("/points")  # type: ignore[attr-defined, no-any-return]


async def test_a_module_that_waits_is_foreseen_in_whole(fleet: Fleet, watch: Watch) -> None:
    move = await moving(fleet, "counter", "200")
    await fleet.printed(2)  # and now it sleeps for long
    watch.made.clear()
    await move.freeze(rehearse=True)
    assert watch.foreseen
    assert watch.made == set(), "the target had everything"
    await move.switch()
    seen = counts(await fleet.printed(3))
    assert seen == list(range(1, len(seen) + 1))


async def test_a_module_that_has_never_stopped_is_not_stopped_for_this(
    fleet: Fleet, watch: Watch
) -> None:
    """It would have to make continuations itself to go on: the same wait, before the move."""
    move = await moving(fleet, "queens", "13")
    await move.freeze(rehearse=True)
    assert watch.foreseen == set()
    await move.switch()
    assert (await fleet.report("exited")).exit_code == 0
    assert fleet.lines()[-1].startswith("solutions 73712 ")


async def test_without_rehearsal_nothing_is_foreseen(fleet: Fleet, watch: Watch) -> None:
    move = await moving(fleet, "counter", "1")
    await move.freeze()
    await move.switch()
    assert watch.foreseen == set()


async def test_a_target_that_does_not_answer_costs_only_time(fleet: Fleet, watch: Watch) -> None:
    move = await moving(fleet, "counter", "1", rehearsal=0.05)
    fleet.broker.drop(points_of)
    await move.freeze(rehearse=True)
    assert watch.foreseen == set()
    await move.switch()
    await fleet.printed(3)


async def test_a_move_is_called_off_while_it_rehearses(fleet: Fleet) -> None:
    move = await moving(fleet, "counter", "1", rehearsal=60.0)
    await fleet.printed(2)  # it has waited, so there is something to foresee
    fleet.broker.drop(points_of)
    move.send_freeze(rehearse=True)
    (copy,) = fleet.agents["a"]._copies.values()
    moves = fleet.agents["a"]._moves
    await eventually(lambda: copy.number in moves._freezing and copy.runner.free)
    await fleet.printed(3)
    await move.abort()
    seen = counts(await fleet.printed(3))
    assert seen == list(range(1, len(seen) + 1))
    assert len(fleet.agents["a"]._transfers._listeners) == 1, "that of plans"
    assert len(fleet.agents["b"]._transfers._listeners) == 1, "that of plans"


async def test_nonsense_is_not_foreseen(fleet: Fleet, watch: Watch) -> None:
    move = await moving(fleet, "counter", "1")
    topic = fleet.topics.snapshot_points(move.step["migration"])
    for payload in (b"", b"{", b"[[1]]", b'{"a": 1}', b"[[99999, 1], [-1, 0]]"):
        fleet.bus.publish(topic, payload, qos=1)
    await eventually(lambda: watch.foreseen)
    await move.freeze(rehearse=True)
    await move.switch()
    await fleet.printed(3)


async def test_a_module_that_ends_meanwhile_is_not_moved(fleet: Fleet) -> None:
    move = await moving(fleet, "counter", "5", "200", rehearsal=60.0)
    await fleet.printed(2)
    fleet.broker.drop(points_of)
    move.send_freeze(rehearse=True)
    assert (await fleet.report("exited")).exit_code == 0
    refused: m.Report = await fleet.report("refused")
    assert refused.detail == "the module has exited"
