"""The contract, second part: a module moves, and nothing of it is lost, repeated or changed.

Knows what ``snapshot`` and ``restore`` promise.
"""

from dataclasses import replace

import pytest

from arts.errors import SnapshotError
from arts.migratable import ResumePoint
from runtime.conformance.driver import ECHO_CHANNELS, Load, Module, Start, UnderTest
from runtime.engines.base import (
    Exited,
    Parked,
    Paused,
)
from runtime.snapshot import decode, encode


class MovingContract(UnderTest):
    """Promises about a module that moves."""

    def test_moves_before_the_first_instruction(self, start: Start) -> None:
        """A module that has not begun begins elsewhere."""
        module = start("counter", "0", "2")
        module.move()
        assert module.finish() == Exited(0)
        assert module.lines() == ["count 1", "count 2"]

    def test_moves_while_it_sleeps(self, start: Start, load: Load) -> None:
        """To another engine and back, at every sleep: nothing is lost or repeated."""
        module = start("counter", "1", "12")
        programs = [load("counter", fresh=True), load("counter")]

        def hop() -> None:
            programs.reverse()
            module.move(programs[0])

        assert module.finish(between=hop) == Exited(0)
        assert module.lines() == [f"count {number}" for number in range(1, 13)]

    def test_moves_in_mid_computation(self, start: Start, load: Load) -> None:
        """A chain of moves at arbitrary points changes nothing of the result."""
        reference = start("queens", "11")
        assert reference.finish() == Exited(0)
        module = start("queens", "11")
        other = load("queens", fresh=True)
        outcome, hops = module.pause(), 0
        while isinstance(outcome, Paused):
            hops += 1
            module.move(other if hops % 2 else load("queens"))
            outcome = module.pause()
        assert outcome == Exited(0)
        assert module.lines() == reference.lines()
        assert hops > 0

    def test_what_is_foreseen_changes_nothing(self, start: Start, load: Load) -> None:
        """A program that was told where the module stands continues it as any other does."""
        reference = start("queens", "10")
        assert reference.finish() == Exited(0)
        module = start("queens", "10")
        assert module.pause() == Paused()
        other = load("queens", fresh=True)
        other.foresee([ResumePoint(10**6, 1)])  # nobody stands there
        other.foresee(module.instance.points())
        module.move(other)
        assert module.finish() == Exited(0)
        assert module.lines() == reference.lines()

    def test_what_has_never_stopped_stands_nowhere(self, start: Start) -> None:
        """There is nothing to prepare for."""
        assert not start("counter", "0", "1").instance.points()

    def test_the_source_can_go_on_after_a_snapshot(self, start: Start) -> None:
        """A move that is called off leaves the module as it was."""
        module = start("counter", "1", "3")
        snapshots: list[bytes] = []
        outcome = module.finish(
            between=lambda: snapshots.append(encode(module.instance.snapshot(())))
        )
        assert outcome == Exited(0)
        assert len(snapshots) >= 3
        assert module.lines() == ["count 1", "count 2", "count 3"]

    def test_snapshots_of_the_same_state_are_the_same(self, start: Start) -> None:
        """But for the time that has passed; and encoding is deterministic."""
        module = start("stdinread")
        module.instance.run()
        snapshot = module.instance.snapshot(())
        assert encode(snapshot) == encode(snapshot)
        assert decode(encode(snapshot)) == snapshot
        again = module.instance.snapshot(())
        assert (again.memories, again.globals, again.frames) == (
            snapshot.memories,
            snapshot.globals,
            snapshot.frames,
        )

    def test_input_goes_along_if_nobody_sends_it_again(self, start: Start) -> None:
        """Without receipt or with one in ``carry``: yes. Otherwise the broker has it."""
        module = start("stdinread")
        assert isinstance(module.instance.run(), Parked)
        for receipt, line in ((None, b"a"), (1, b"b"), (2, b"c"), (None, b"d")):
            module.instance.deliver("stdin", line, receipt)
        module.move(carry={2})
        module.move()
        assert isinstance(module.instance.run(), Parked)
        assert module.lines() == ["got: a", "got: c", "got: d"]
        assert module.receipts() == []

    def test_the_end_of_input_goes_along(self, start: Start) -> None:
        """What was closed stays closed."""
        module = start("stdinread")
        assert isinstance(module.instance.run(), Parked)
        module.instance.end_input("stdin")
        module.move()
        assert module.finish() == Exited(0)

    def test_usage_goes_along(self, start: Start) -> None:
        """CPU time and message counts are the module's, not the instance's."""
        module = start("echo", channels=ECHO_CHANNELS)
        module.instance.deliver("/ch/in", b"one", None)
        module.instance.run()
        before = module.instance.stats()
        module.move()
        after = module.instance.stats()
        assert after.cpu_seconds >= before.cpu_seconds > 0
        assert (after.messages_in, after.messages_out) == (1, 1)
        assert after.memory_bytes == before.memory_bytes

    @pytest.mark.parametrize(
        ("subject", "expected"),
        [
            ("files", ["less 28", "line 1", "line 2", "line 3", "line 4"]),
            ("clock", ["forward"] * 4),
            ("partial", ["1,2,3,4,end"]),
        ],
    )
    def test_moves_with_what_it_holds(
        self, start: Start, subject: str, expected: list[str]
    ) -> None:
        """Files (open, renamed, nameless), time, and lines that are not complete."""
        module = start("probe", subject, "4")
        assert module.finish(between=module.move) == Exited(0)
        assert module.lines() == expected
        assert module.lines("stderr") == (["no newline"] if subject == "partial" else [])

    def test_randomness_goes_on(self, start: Start) -> None:
        """The stream continues where it was: the same with and without the move."""
        module = start("probe", "random", "2")
        assert isinstance(module.instance.run(), Parked)
        data = encode(module.instance.snapshot(()))
        twin = Module(module.program, module.spec)
        twin.instance = twin.program.restore(twin.spec, decode(data), twin.activities.append)
        assert module.finish() == twin.finish() == Exited(0)
        assert len(set(module.lines())) == 2
        assert module.lines()[1:] == twin.lines()

    def test_refuses_the_snapshot_of_another_program(self, start: Start, load: Load) -> None:
        """And of another ABI, and one whose parts do not fit."""
        module = start("counter", "1000")
        module.instance.run()
        snapshot = module.instance.snapshot(())
        program = load("counter")
        for wrong in (
            replace(snapshot, program="0" * 64),
            replace(snapshot, abi=snapshot.abi + 1),
            replace(snapshot, frames=b"\xff" * 24),
            replace(snapshot, wasi=b"\xc1"),
        ):
            with pytest.raises(SnapshotError):
                program.restore(module.spec, wrong, module.activities.append)
