"""The contract, first part: a module begins, waits, is fed, is stopped, and ends.

Knows what ``Instance`` promises while it stays where it is.
"""

import time
from contextlib import suppress
from dataclasses import replace

import pytest

from arts.errors import SnapshotError
from arts.model import Limits
from runtime.conformance.driver import ECHO_CHANNELS, Start, UnderTest
from runtime.engines.base import (
    Exited,
    Killed,
    Parked,
    Paused,
    Trapped,
)


class RunningContract(UnderTest):
    """Promises about a module that stays where it is."""

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
        module = start("echo", channels=ECHO_CHANNELS)
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
        module = start("echo", channels=ECHO_CHANNELS)
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
        wrong = tuple(replace(c, mode="w" if c.mode == "r" else "r") for c in ECHO_CHANNELS)
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
        # An engine may charge lines by more than their length: each becomes a message.
        assert 0 < sum(len(line) + 1 for line in module.lines()) < 25_000
        module.instance.close()
