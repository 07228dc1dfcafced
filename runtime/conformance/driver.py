"""What the contract's tests are made of: a driver of one module, and how programs get to tests.

Knows the protocols in ``runtime.engines.base``. Knows no promise about them.
"""

import hashlib
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final

import pytest

from arts.model import ChannelSpec
from runtime.engines.base import (
    Activity,
    ChannelWrite,
    Consumed,
    Engine,
    Instance,
    InstanceSpec,
    Outcome,
    OutputLine,
    Parked,
    Paused,
    Program,
)
from runtime.snapshot import decode, encode

ECHO_CHANNELS: Final = (ChannelSpec("/ch/in", "in", "r"), ChannelSpec("/ch/out", "out", "w"))
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


class UnderTest:
    """Says what is tested; inherited by the tests."""

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
