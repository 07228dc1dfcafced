"""The simulated engine keeps the same contract, and fails exactly as told."""

from collections.abc import Mapping
from dataclasses import fields

import pytest

from arts.errors import EngineError, ProgramError, SnapshotError
from runtime.conformance import EngineContract, Module
from runtime.engines.base import Engine, Exited, InstanceSpec, Killed, Parked, Paused, Trapped
from runtime.engines.simulated import BEHAVIOURS, Failures, SimulatedEngine, simulated


class TestSimulated(EngineContract):
    """Programs that are Python functions."""

    @classmethod
    def make_engine(cls) -> Engine:
        return SimulatedEngine()

    @classmethod
    def programs(cls) -> Mapping[str, bytes]:
        return {role: simulated(role) for role in BEHAVIOURS}

    # These need a program with memory, files or random numbers, which simulated ones have not.
    test_memory_limit_is_felt_inside = None
    test_moves_in_mid_computation = None
    test_moves_with_what_it_holds = None
    test_nonblocking_input_does_not_park = None
    test_poll_waits_for_input_or_time = None
    test_randomness_goes_on = None


SPEC = InstanceSpec("uuid", "counter", ("0", "3"))


def start(engine: SimulatedEngine, role: str = "counter") -> Module:
    return Module(engine.load(simulated(role), "digest"), SPEC)


def test_refuses_to_load() -> None:
    with pytest.raises(ProgramError, match="broken"):
        start(SimulatedEngine(Failures(load="broken")))
    for other in (b"", b"simulated ", b"counter", b"simulated \xff"):
        with pytest.raises(ProgramError, match="not a simulated program"):
            SimulatedEngine().load(other, "digest")


def test_refuses_to_start() -> None:
    with pytest.raises(EngineError, match="no room"):
        start(SimulatedEngine(Failures(start="no room")))


def test_refuses_to_be_captured_or_rebuilt_until_it_may() -> None:
    engine = SimulatedEngine(Failures(snapshot="not now"))
    module = start(engine)
    assert isinstance(module.instance.run(), Parked | Exited)
    module = start(engine)
    with pytest.raises(SnapshotError, match="not now"):
        module.move()
    engine.failures = Failures(restore="not here")
    with pytest.raises(SnapshotError, match="not here"):
        module.move()
    engine.failures = Failures()
    module.program.restore(SPEC, start(engine).instance.snapshot(()), print)


def test_traps_where_it_is_told() -> None:
    module = start(SimulatedEngine(Failures(trap="as told", trap_at=2)))
    assert module.finish() == Trapped("as told")
    assert module.lines() == ["count 1"]


def test_never_pauses_but_can_be_killed() -> None:
    module = start(SimulatedEngine(Failures(never_pauses=True)), "spin")
    asked = 0

    def ask() -> None:
        nonlocal asked
        asked += 1
        module.instance.request_pause()
        if asked > 5:
            module.instance.kill()

    assert module.interrupt(ask) == Killed()
    assert asked > 5
    assert start(SimulatedEngine(), "spin").pause() == Paused()


def test_programs_that_cannot_be_moved_block() -> None:
    module = start(SimulatedEngine(Failures(refusal="too old")), "stdinread")
    assert (module.program.refusal, module.instance.migratable) == ("too old", False)
    with pytest.raises(SnapshotError, match="too old"):
        module.instance.snapshot(())
    lines = iter([b"a", b"quit"])

    def feed() -> None:
        for line in lines:
            module.instance.deliver("stdin", line, None)

    assert module.interrupt(feed) == Exited(0)
    assert module.lines() == ["got: a"]


def test_every_failure_has_a_test() -> None:
    """This list is what the tests above cover."""
    tested = {"load", "start", "snapshot", "restore", "trap", "trap_at", "never_pauses", "refusal"}
    assert {field.name for field in fields(Failures)} == tested
