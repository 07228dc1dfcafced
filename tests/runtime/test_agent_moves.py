"""Two runtimes and a hand in place of the realm: moving modules, calling off, failing, in each
phase. Whatever happens, the module goes on in exactly one place and nothing is lost or doubled."""

import random
import threading

import pytest

from arts.model import Limits
from arts.protocol import messages as m
from runtime import copies, moves
from runtime import snapshot as snapshots
from runtime.copies import Copy
from runtime.engines.base import Outcome
from runtime.engines.wasmtime_instance import MovableInstance
from runtime.runner import Runner
from tests.runtime.fleet import ECHO, TOPICS, Fleet, Move
from tests.runtime.scripted import eventually
from tests.runtime.test_agent import counts


@pytest.fixture
async def pair(fleet: Fleet) -> Fleet:
    """Runtimes ``a`` and ``b``."""
    await fleet.runtime("a")
    await fleet.runtime("b")
    return fleet


async def counts_on(fleet: Fleet, more: int = 5) -> None:
    """The counter goes on, and never skipped or repeated a step."""
    seen = counts(await fleet.printed(more))
    assert seen == list(range(1, len(seen) + 1))


async def test_a_counter_counts_on_across_moves(pair: Fleet) -> None:
    module = await pair.start("counter", args=("1",))
    for hop in range(6):
        source, target = ("a", "b") if hop % 2 == 0 else ("b", "a")
        await pair.printed(3)
        module, moved = await pair.move(module, source, target)
        assert moved.downtime < 5.0
    await counts_on(pair)
    assert len(pair.agents["a"]._copies) == 1
    assert len(pair.agents["b"]._copies) == 0


async def test_a_spinning_module_is_moved_and_spins_on(pair: Fleet) -> None:
    module = await pair.start("faulty/spin")
    module, _ = await pair.move(module, "a", "b")
    await pair.stop("b", generation=module.generation, force=True)


async def test_messages_are_handled_exactly_once_across_moves(pair: Fleet) -> None:
    module = await pair.start("echo", channels=ECHO)
    sent: list[bytes] = []

    async def feed() -> None:
        for _ in range(20):
            sent.append(b"%d" % len(sent))
            pair.bus.publish("echo/in", sent[-1], qos=1)

    for hop in range(6):
        source, target = ("a", "b") if hop % 2 == 0 else ("b", "a")
        await feed()
        module, _ = await pair.move(module, source, target, before_freeze=feed)
        await feed()
    await pair.until(lambda: len(pair.messages["echo/out"]) >= len(sent))
    assert pair.messages["echo/out"] == sent


async def test_a_life_time_is_not_renewed_by_moving(pair: Fleet) -> None:
    module = await pair.start("counter", args=("1",), limits=Limits(wall_seconds=0.3))
    await pair.printed(3)
    module, _ = await pair.move(module, "a", "b")
    (copy,) = pair.agents["b"]._copies.values()
    assert await copy.pause(5.0)
    assert copy.capture(()).lived_seconds > 0.0
    copy.run()
    report = await pair.report("failed")
    assert (report.runtime, report.code) == ("b", "limit_exceeded")


async def test_standard_input_follows_the_module(pair: Fleet) -> None:
    module = await pair.start("stdinread")
    topic = TOPICS.stdio("stdin", "m")
    pair.bus.publish(topic, b"here", qos=1)
    module, _ = await pair.move(module, "a", "b")
    pair.bus.publish(topic, b"there", qos=1)
    await pair.until(lambda: len(pair.lines()) == 2)
    assert pair.lines() == ["got: here", "got: there"]


async def test_a_move_that_is_called_off_when_ready_changes_nothing(pair: Fleet) -> None:
    module = await pair.start("counter", args=("1",))
    move = Move(pair, module, "a", "b")
    await move.prepare()
    await move.abort()
    await counts_on(pair)
    assert not pair.agents["b"]._copies


async def test_a_move_that_is_called_off_when_frozen_runs_on_at_the_source(pair: Fleet) -> None:
    module = await pair.start("echo", channels=ECHO)
    for n in range(5):
        pair.bus.publish("echo/in", b"%d" % n, qos=1)
    move = Move(pair, module, "a", "b", "move-1")
    await move.prepare()
    await move.freeze()
    for n in range(5, 10):
        pair.bus.publish("echo/in", b"%d" % n, qos=1)
    await move.abort()
    await pair.until(lambda: len(pair.messages["echo/out"]) == 10)
    assert pair.messages["echo/out"] == [b"%d" % n for n in range(10)]
    assert not pair.agents["b"]._copies
    again = Move(pair, module, "a", "b", "move-2")
    await again.prepare()
    await again.freeze()
    await again.switch()
    pair.bus.publish("echo/in", b"10", qos=1)
    await pair.until(lambda: len(pair.messages["echo/out"]) == 11)


async def test_commands_said_twice_do_no_harm(pair: Fleet) -> None:
    pair.broker.duplicate(lambda parcel: parcel.topic.startswith(TOPICS.control))
    module = await pair.start("counter", args=("1",))
    await pair.printed(3)
    module, _ = await pair.move(module, "a", "b")
    await counts_on(pair)


async def test_without_the_brokers_word_the_module_is_not_moved(fleet: Fleet) -> None:
    await fleet.runtime("a", confirm_timeout=0.02)
    await fleet.runtime("b")
    module = await fleet.start("echo", channels=ECHO)
    (copy,) = fleet.agents["a"]._copies.values()
    move = Move(fleet, module, "a", "b")
    await move.prepare()
    assert await copy.pause(5.0)
    for n in range(3):
        fleet.bus.publish("echo/in", b"%d" % n, qos=1)
    await eventually(lambda: len(copy.traffic._inbox._untaken) == 3)
    fleet.broker.hold("realm-module-m")
    copy.run()
    await eventually(lambda: not copy.traffic._inbox._untaken)
    move.send_freeze()
    report = await fleet.report("refused")
    assert report.detail == "the broker did not confirm the module's output in time"
    fleet.broker.heal()
    await move.abort()
    await fleet.until(lambda: len(fleet.messages["echo/out"]) == 3)


async def test_a_damaged_snapshot_is_refused_by_the_target(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = await pair.start("counter", args=("1",))
    move = Move(pair, module, "a", "b")
    await move.prepare()
    monkeypatch.setattr("runtime.moves.snapshots.encode", lambda *_: b"nonsense")
    move.send_freeze()
    report = await pair.report("refused")
    assert (report.runtime, report.code) == ("b", "snapshot_error")
    await move.abort()
    await counts_on(pair)


async def test_a_snapshot_that_is_too_large_is_refused_by_the_target(fleet: Fleet) -> None:
    await fleet.runtime("a")
    await fleet.runtime("b", max_snapshot_bytes=10)
    module = await fleet.start("counter", args=("1",))
    move = Move(fleet, module, "a", "b")
    await move.prepare()
    move.send_freeze()
    report = await fleet.report("refused")
    assert (report.runtime, report.code) == ("b", "snapshot_error")
    await move.abort()
    await counts_on(fleet)


async def test_a_target_without_the_program_refuses(pair: Fleet) -> None:
    module = await pair.start("counter", args=("1",))
    move = Move(pair, module, "a", "b")
    move.moved = move.moved.model_copy(update={"program": None})
    pair.send("b", m.PrepareModule(module=move.moved, source="a", **move.step))
    assert (await pair.report("refused")).code == "program_error"


async def test_a_module_that_exits_first_is_not_moved(pair: Fleet) -> None:
    module = await pair.start("stdinread")
    move = Move(pair, module, "a", "b")
    await move.prepare()
    pair.bus.publish(TOPICS.stdio("stdin", "m"), b"quit", qos=1)
    await pair.report("exited")
    move.send_freeze()
    assert (await pair.report("refused")).code == "not_found"


async def test_the_source_gets_the_module_back_when_the_target_dies(pair: Fleet) -> None:
    module = await pair.start("echo", channels=ECHO)
    move = Move(pair, module, "a", "b")
    await move.prepare()
    await move.freeze()
    pair.send("a", m.ReleaseModule(**move.step))
    await pair.report("released")
    pair.broker.partition("realm-runtime-b")
    pair.bus.publish("echo/in", b"meanwhile", qos=1)
    pair.send("a", m.ResumeModule(**(move.step | {"generation": 3})))
    assert (await pair.report("resumed")).generation == 3
    await pair.until(lambda: pair.messages["echo/out"] == [b"meanwhile"])


async def test_a_new_owner_fences_the_old_one(pair: Fleet) -> None:
    """The source is cut off from the realm but not from the module's session: it must stop."""
    module = await pair.start("echo", channels=ECHO)
    newer = module.model_copy(update={"generation": 2, "parent": "b"})
    pair.accept = False
    pair.send("b", newer)
    await pair.report("started")
    await pair.until(lambda: len(pair.registrations) == 3)  # ``a`` lost the session and asks
    pair.bus.publish("echo/in", b"once", qos=1)
    await pair.until(lambda: pair.messages["echo/out"])
    await pair.stop("a", forget_session=False)
    assert pair.messages["echo/out"] == [b"once"]


async def test_large_snapshots_move_too(pair: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    """In several chunks, and aside: on a thread at both ends."""
    monkeypatch.setattr("runtime.moves._INLINE", 0)
    module = await pair.start("echo", channels=ECHO)
    move = Move(pair, module, "a", "b")
    await move.prepare()
    (copy,) = pair.agents["a"]._copies.values()
    assert await copy.pause(5.0)
    big = [random.Random(n).randbytes(60_000) for n in range(40)]
    for message in big:
        pair.bus.publish("echo/in", message, qos=0)
    await eventually(lambda: len(copy.traffic._inbox._untaken) == len(big))
    frozen, _ = await move.freeze()
    assert frozen.size is not None
    assert frozen.size > 2_000_000
    await move.switch()
    await pair.until(lambda: len(pair.messages["echo/out"]) == len(big))
    assert pair.messages["echo/out"] == big


async def test_a_target_that_is_called_off_while_it_rebuilds_forgets(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilding, go_on = threading.Event(), threading.Event()
    decode = snapshots.decode

    def slow(*arguments: object) -> snapshots.Snapshot:
        rebuilding.set()
        assert go_on.wait(10)
        return decode(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("runtime.moves._INLINE", 0)
    monkeypatch.setattr("runtime.moves.snapshots.decode", slow)
    module = await pair.start("counter", args=("1",))
    move = Move(pair, module, "a", "b")
    await move.prepare()
    move.send_freeze()
    await pair.report("frozen")
    await eventually(rebuilding.is_set)
    await move.abort()
    go_on.set()
    await counts_on(pair)
    assert not pair.agents["b"]._copies


async def test_a_program_that_cannot_be_moved_says_why(pair: Fleet) -> None:
    module = await pair.start("counter, not prepared", args=("1",))
    move = Move(pair, module, "a", "b")
    await move.prepare()
    move.send_freeze()
    report = await pair.report("refused")
    assert report.code == "snapshot_error"
    assert report.detail
    await counts_on(pair)
    await pair.stop("a", force=True)


async def test_without_a_safepoint_the_module_is_not_moved(fleet: Fleet) -> None:
    await fleet.runtime("a", pause_timeout=0.0)
    await fleet.runtime("b")
    module = await fleet.start("faulty/spin")
    move = Move(fleet, module, "a", "b")
    await move.prepare()
    move.send_freeze()
    assert (await fleet.report("refused")).detail == "no safepoint within 0 s"
    await fleet.stop("a", force=True)


async def test_a_turn_under_way_may_end_by_itself(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module had best stand where it waits: it is not asked to pause where it computes, unless
    its turn has lasted too long."""
    assert copies._DEFAULT_SLICE < moves._TURN
    monkeypatch.setattr("runtime.moves._TURN", 30.0)
    slow = Limits(slice_seconds=30.0)  # others that wait for a worker do not end its turn either
    module = await pair.start("echo", channels=ECHO, limits=slow)
    move = Move(pair, module, "a", "b")
    await move.prepare()
    pair.bus.publish("echo/in", b"first", qos=1)
    await pair.until(lambda: pair.messages["echo/out"])
    (copy,) = pair.agents["a"]._copies.values()
    await eventually(lambda: copy.runner._turn is None)
    computing, go_on, stopping = threading.Event(), threading.Event(), threading.Event()
    asked: list[str] = []
    run, request_pause, standstill = (
        MovableInstance.run,
        MovableInstance.request_pause,
        Runner.standstill,
    )

    def long_turn(instance: MovableInstance) -> Outcome:
        computing.set()
        assert go_on.wait(10)
        return run(instance)

    def counted_request(instance: MovableInstance) -> None:
        asked.append("to pause")
        request_pause(instance)

    async def watched_standstill(runner: Runner, timeout: float) -> bool:
        stopping.set()
        return await standstill(runner, timeout)

    monkeypatch.setattr(MovableInstance, "run", long_turn)
    monkeypatch.setattr(MovableInstance, "request_pause", counted_request)
    monkeypatch.setattr(Runner, "standstill", watched_standstill)
    pair.bus.publish("echo/in", b"work", qos=1)
    await eventually(computing.is_set)
    move.send_freeze()
    await eventually(stopping.is_set)
    go_on.set()
    await pair.report("frozen")
    assert not asked
    await pair.report("restored")
    await move.switch()
    await pair.until(lambda: pair.messages["echo/out"] == [b"first", b"work"])


async def test_a_module_that_ends_while_it_is_frozen_is_not_moved(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def end_instead(copy: Copy, timeout: float) -> bool:
        copy._fail("engine_error", "it trapped on its last step")
        return True

    module = await pair.start("counter", args=("1",))
    move = Move(pair, module, "a", "b")
    await move.prepare()
    monkeypatch.setattr(Copy, "pause", end_instead)
    move.send_freeze()
    await pair.report("refused")
    assert (await pair.report("failed")).detail == "it trapped on its last step"


async def test_a_target_that_cannot_listen_refuses(
    pair: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.transfers._SUBSCRIBE_TIMEOUT", 0.02)
    module = await pair.start("counter", args=("1",))
    move = Move(pair, module, "a", "b")
    pair.broker.hold("realm-runtime-b-transfers")
    pair.send("b", m.PrepareModule(module=move.moved, source="a", **move.step))
    assert (await pair.report("refused")).code == "bus_error"


async def test_a_full_inbox_does_not_hold_up_a_move(pair: Fleet) -> None:
    module = await pair.start("echo", channels=ECHO)
    (copy,) = pair.agents["a"]._copies.values()
    assert await copy.pause(5.0)
    for number in range(500):  # more than an inbox takes: the rest stays unread
        pair.bus.publish("echo/in", b"%d" % number, qos=1)
    await pair.until(lambda: copy.traffic._breath is not None)
    module, _ = await pair.move(module, "a", "b")
    await pair.until(lambda: len(pair.messages["echo/out"]) >= 500)
    assert pair.messages["echo/out"] == [b"%d" % number for number in range(500)]
