"""What every engine must do, as tests: inherit ``EngineContract`` and say what to test.

    class TestMyEngine(EngineContract):
        @classmethod
        def make_engine(cls): return MyEngine()          # fresh each time

        @classmethod
        def programs(cls): return {"counter": ..., }     # role -> program bytes

Roles (the example programs of the same names, and what the tests' ``probe`` does): ``hello``,
``counter``, ``stdinread``, ``poll``, ``echo``, ``queens``, ``spin``, ``trap``, ``signals``,
``flood``, ``hog``, ``probe``. Tests whose role is missing are skipped.

Knows the promises in ``runtime.engines.base``. Knows no engine. Needs pytest.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Final

import pytest

from arts.errors import SnapshotError
from arts.model import ChannelSpec, Limits
from runtime.engines.base import (
    Activity,
    ChannelWrite,
    Consumed,
    Engine,
    Exited,
    Instance,
    InstanceSpec,
    Killed,
    Outcome,
    OutputLine,
    Parked,
    Paused,
    Program,
    Trapped,
)
from runtime.snapshot import decode, encode

_ECHO_CHANNELS: Final = (ChannelSpec("/ch/in", "in", "r"), ChannelSpec("/ch/out", "out", "w"))
_PATIENCE: Final = 30.0


class Module:
    """A module under test: drives its instance, notes what it does, moves it."""

    def __init__(self, program: Program, spec: InstanceSpec) -> None:
        self.program, self.spec = program, spec
        self.activities: list[Activity] = []
        self.instance: Instance = program.start(spec, self.activities.append)

    def lines(self, stream: str = "stdout") -> list[str]:
        """Lines it has printed."""
        found = [a for a in self.activities if isinstance(a, OutputLine) and a.stream == stream]
        return [activity.line.decode() for activity in found]

    def written(self) -> list[bytes]:
        """Messages it has written to channels."""
        return [a.payload for a in self.activities if isinstance(a, ChannelWrite)]

    def receipts(self) -> list[int]:
        """Receipts of messages it has taken."""
        return [a.receipt for a in self.activities if isinstance(a, Consumed)]

    def move(self, program: Program | None = None, carry: Collection[int] = ()) -> None:
        """Snapshot, through bytes, to another instance (of another program object)."""
        data = encode(self.instance.snapshot(carry))
        self.instance.close()
        self.program = program or self.program
        self.instance = self.program.restore(self.spec, decode(data), self.activities.append)

    def await_ready(self) -> None:
        """Wait until a turn would get anywhere."""
        give_up = time.monotonic() + _PATIENCE
        while not self.instance.ready(time.monotonic()):
            assert time.monotonic() < give_up, "it never became ready"
            time.sleep(0.0002)

    def finish(self, between: Callable[[], None] = lambda: None) -> Outcome:
        """Run to the end; ``between`` is called after every turn that is not the last."""
        while True:
            outcome = self.instance.run()
            if not isinstance(outcome, Parked | Paused):
                return outcome
            between()
            self.await_ready()

    def interrupt(self, ask: Callable[[], None]) -> Outcome:
        """One turn on a thread, while ``ask`` is called again and again."""
        outcomes: list[Outcome] = []
        thread = threading.Thread(target=lambda: outcomes.append(self.instance.run()))
        thread.start()
        while thread.is_alive():
            ask()
            thread.join(0.001)
        return outcomes[0]

    def pause(self) -> Outcome:
        """One turn that is asked to pause."""
        return self.interrupt(lambda: self.instance.request_pause())


Start = Callable[..., Module]
Load = Callable[..., Program]


class EngineContract:
    """The promises of ``Engine``, ``Program`` and ``Instance``."""

    @classmethod
    def make_engine(cls) -> Engine:
        """A fresh engine to test."""
        raise NotImplementedError("say what to test")

    @classmethod
    def programs(cls) -> Mapping[str, bytes]:
        """Role -> program bytes to test it with."""
        raise NotImplementedError("say with what to test")

    @pytest.fixture(scope="class")
    @classmethod
    def load(cls) -> Load:
        """Load a role; with ``fresh=True`` on an engine of its own, like on another machine."""
        shared, programs = cls.make_engine(), cls.programs()
        loaded: dict[str, Program] = {}

        def load(role: str, fresh: bool = False) -> Program:
            if role not in programs:
                pytest.skip(f"no program {role!r} for this engine")
            digest = hashlib.sha256(programs[role]).hexdigest()
            if fresh:
                return cls.make_engine().load(programs[role], digest)
            if role not in loaded:
                loaded[role] = shared.load(programs[role], digest)
            return loaded[role]

        return load

    @pytest.fixture
    def start(self, load: Load) -> Start:
        """Start a role: ``start("counter", "1", "3", limits=..., ...)``."""

        def start(role: str, *args: str, **fields: object) -> Module:
            spec = replace(InstanceSpec("uuid", role, args), **fields)  # type: ignore[arg-type]
            return Module(load(role), spec)

        return start

    # ------------------------------------------------------------------------ start and end

    def test_arguments_environment_and_exit_code(self, start: Start) -> None:
        """A program sees what it was given, and its exit code is seen."""
        module = start("hello", "--exit", "7", "größe", env=("A=1", "B="))
        assert module.finish() == Exited(7)
        assert module.lines() == [
            "hello",
            "arg 0: hello",
            "arg 1: --exit",
            "arg 2: 7",
            "arg 3: größe",
            "env A=1",
            "env B=",
        ]

    def test_what_has_ended_stays_ended(self, start: Start) -> None:
        """No further turn and no snapshot; the outcome stands."""
        module = start("hello")
        assert module.finish() == Exited(0)
        lines = module.lines()
        assert module.instance.run() == Exited(0)
        assert module.lines() == lines
        with pytest.raises(SnapshotError):
            module.instance.snapshot(())

    def test_trap(self, start: Start) -> None:
        """What the program said before comes out, and the reason is readable."""
        module = start("trap")
        assert module.finish() == Trapped("unreachable executed")
        assert module.lines() == ["about to trap"]

    def test_close_is_idempotent(self, start: Start) -> None:
        """And asking for anything later is harmless."""
        module = start("counter", "1000")
        module.instance.run()
        module.instance.close()
        module.instance.close()
        module.instance.request_pause()
        module.instance.deliver("stdin", b"late", None)
        module.instance.kill()
        assert module.instance.run() == Killed()

    # ------------------------------------------------------------------------ parking

    def test_parks_on_sleep_until_its_deadline(self, start: Start) -> None:
        """A wait has a deadline, is not ready before, and is ready then."""
        module = start("counter", "100", "2")
        before = time.monotonic()
        outcome = module.instance.run()
        assert isinstance(outcome, Parked)
        assert outcome.wait.deadline is not None
        assert before + 0.1 <= outcome.wait.deadline <= time.monotonic() + 0.1
        assert not module.instance.ready(outcome.wait.deadline - 0.001)
        assert module.instance.ready(outcome.wait.deadline + 0.001)

    def test_a_repeated_wait_keeps_its_deadline(self, start: Start) -> None:
        """Looking again too early does not lengthen a sleep."""
        module = start("counter", "60000")
        waits = [module.instance.run() for _ in range(3)]
        assert all(isinstance(outcome, Parked) for outcome in waits)
        deadlines = [outcome.wait.deadline for outcome in waits if isinstance(outcome, Parked)]
        assert max(d or 0 for d in deadlines) - min(d or 0 for d in deadlines) < 1e-6
        assert module.lines() == ["count 1"]

    def test_parks_on_stdin_and_wakes(self, start: Start) -> None:
        """Input makes it ready; each message is a line; the end of the input is the end."""
        module = start("stdinread")
        outcome = module.instance.run()
        assert isinstance(outcome, Parked)
        assert outcome.wait.inputs == {"stdin"}
        assert not module.instance.listens
        assert not module.instance.ready(time.monotonic())
        module.instance.deliver("stdin", b"one", 1)
        module.instance.deliver("stdin", b"two\n", 2)
        assert module.instance.ready(time.monotonic())
        assert isinstance(module.instance.run(), Parked)
        assert module.lines() == ["got: one", "got: two"]
        assert module.receipts() == [1, 2]
        module.instance.end_input("stdin")
        assert module.finish() == Exited(0)

    def test_poll_waits_for_input_or_time(self, start: Start) -> None:
        """Both wake it, whichever comes first."""
        module = start("poll", "1")
        outcome = module.instance.run()
        assert isinstance(outcome, Parked)
        assert outcome.wait.inputs == {"stdin"}
        assert outcome.wait.deadline is not None
        module.await_ready()
        module.instance.run()
        assert module.lines() == ["tick 1"]
        module.instance.deliver("stdin", b"quit", None)
        assert module.finish() == Exited(0)

    def test_nonblocking_input_does_not_park(self, start: Start) -> None:
        """EAGAIN instead."""
        module = start("probe", "nonblock")
        assert module.finish() == Exited(0)
        assert module.lines() == ["again"]

    # ------------------------------------------------------------------------ channels, signals

    def test_a_message_in_a_message_out(self, start: Start) -> None:
        """Messages keep their borders; one without content does not look like the end."""
        module = start("echo", channels=_ECHO_CHANNELS)
        outcome = module.instance.run()
        assert isinstance(outcome, Parked)
        assert outcome.wait.inputs == {"/ch/in"}
        for receipt, payload in enumerate((b"one", b"", b"three\n")):
            module.instance.deliver("/ch/in", payload, receipt)
        assert isinstance(module.instance.run(), Parked)
        assert module.written() == [b"one", b"three\n"]
        assert sorted(module.receipts()) == [0, 1, 2]
        stats = module.instance.stats()
        assert (stats.messages_in, stats.messages_out) == (2, 2)
        module.instance.end_input("/ch/in")
        assert module.finish() == Exited(0)

    def test_back_pressure_parks_writers(self, start: Start) -> None:
        """While the outbox is full nothing is written, and nothing is lost."""
        module = start("echo", channels=_ECHO_CHANNELS)
        module.instance.set_writable(False)
        module.instance.deliver("/ch/in", b"one", None)
        outcome = module.instance.run()
        assert isinstance(outcome, Parked)
        assert outcome.wait.output
        assert not module.instance.ready(time.monotonic())
        assert module.written() == []
        module.instance.set_writable(True)
        assert module.instance.ready(time.monotonic())
        module.instance.run()
        assert module.written() == [b"one"]

    def test_a_channel_is_opened_as_its_mode_allows(self, start: Start) -> None:
        """Reading what may only be written fails inside the module."""
        wrong = tuple(replace(c, mode="w" if c.mode == "r" else "r") for c in _ECHO_CHANNELS)
        module = start("echo", channels=wrong)
        assert module.finish() == Exited(1)
        assert module.lines("stderr")

    def test_signals(self, start: Start) -> None:
        """Lines of the signals file."""
        module = start("signals")
        outcome = module.instance.run()
        assert module.instance.listens
        assert isinstance(outcome, Parked)
        assert outcome.wait.inputs == {"/sys/signals"}
        module.instance.signal("HUP")
        module.instance.signal("TERM")
        assert module.finish() == Exited(0)
        assert module.lines() == ["signal: HUP", "bye"]

    # ------------------------------------------------------------------------ stopping

    def test_pauses_an_endless_loop_and_goes_on(self, start: Start) -> None:
        """Again and again."""
        module = start("spin")
        for _ in range(3):
            assert module.pause() == Paused()
        assert module.instance.stats().cpu_seconds > 0
        module.instance.close()

    def test_a_pause_asked_of_a_parked_instance_is_harmless(self, start: Start) -> None:
        """Its next turn is a turn."""
        module = start("counter", "0", "1")
        module.instance.request_pause()
        assert module.finish() == Exited(0)

    def test_kill_ends_an_endless_loop(self, start: Start) -> None:
        """And it stays ended."""
        module = start("spin")
        assert module.interrupt(lambda: module.instance.kill()) == Killed()
        assert module.instance.run() == Killed()
        with pytest.raises(SnapshotError):
            module.instance.snapshot(())

    def test_a_running_instance_can_be_closed_but_not_captured(self, start: Start) -> None:
        """Closing kills it and waits; nothing is taken from under it."""
        module = start("spin")
        refusals = 0

        def ask() -> None:
            nonlocal refusals
            with suppress(SnapshotError):
                module.instance.snapshot(())
                return  # its turn had not begun
            refusals += 1
            module.instance.close()

        assert module.interrupt(ask) == Killed()
        assert refusals

    def test_kill_ends_a_parked_instance(self, start: Start) -> None:
        """It is ready to be told."""
        module = start("stdinread")
        assert isinstance(module.instance.run(), Parked)
        module.instance.kill()
        assert module.instance.ready(time.monotonic())
        assert module.instance.run() == Killed()

    # ------------------------------------------------------------------------ limits

    def test_memory_limit_is_felt_inside(self, start: Start) -> None:
        """Growing beyond it fails as wasm allows; it does not trap."""
        module = start("hog", limits=Limits(memory_bytes=8 << 20))
        assert module.finish() == Exited(1)
        assert "malloc failed" in module.lines()[-1]
        assert module.instance.stats().memory_bytes <= 8 << 20

    def test_output_rate_parks(self, start: Start) -> None:
        """A flood stops after about one second's worth, and waits for time to pass."""
        module = start("flood", limits=Limits(output_bytes_per_second=10_000))
        outcome = module.instance.run()
        assert isinstance(outcome, Parked)
        assert outcome.wait.deadline is not None
        assert 5_000 < sum(len(line) + 1 for line in module.lines()) < 25_000
        module.instance.close()

    # ------------------------------------------------------------------------ moving

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
        module = start("echo", channels=_ECHO_CHANNELS)
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
