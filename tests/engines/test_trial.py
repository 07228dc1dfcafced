"""A program that is tried for a moment shows how soon it pauses, or that nobody can tell."""

from pathlib import Path

import pytest
import wasmtime

from arts.migratable import Options, Profile, prepare
from runtime.engines import trial
from runtime.engines.trial import Pauses, try_out
from tests.support.nest import nest

APPS = Path(__file__).parents[2] / "wasm-apps"


def measured(wasm: bytes, profile: Profile, seconds: float = 0.5) -> Pauses:
    """How a program pauses with a profile."""
    return try_out(prepare(wasm, Options.of(profile)), seconds)


def test_a_nest_of_loops_is_slow_to_pause_unless_its_inner_loops_poll() -> None:
    slow = measured(nest(), Profile.THROUGHPUT)
    quick = measured(nest(), Profile.RESPONSIVE)
    assert slow.number > 2
    assert quick.number > 2
    assert slow.slowest > 0.002 > quick.slowest > 0


def test_a_program_that_does_not_pause_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_PATIENCE", 0.05)
    assert measured(nest(400_000_000), Profile.THROUGHPUT, 0.05) == (1, 0.05)


@pytest.mark.parametrize("name", ["echo/echo", "faulty/trap", "hello/hello", "counter/counter"])
def test_nothing_can_be_said_of_what_waits_or_ends(name: str) -> None:
    wasm = (APPS / f"{name}.wasm").read_bytes()
    assert measured(wasm, Profile.RESPONSIVE, 0.2).number < 10


def test_nothing_can_be_said_of_what_cannot_be_instantiated() -> None:
    segment = '(module (memory 1) (data (i32.const 65536) "x") (func (export "_start")))'
    assert measured(bytes(wasmtime.wat2wasm(segment)), Profile.RESPONSIVE, 0.1) == (0, 0)
