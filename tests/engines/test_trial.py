"""A program that is tried for a moment shows how soon it pauses, or that nobody can tell."""

from pathlib import Path

import pytest
import wasmtime

from arts.migratable import Options, Profile, prepare
from runtime.engines import trial
from runtime.engines.trial import Pauses, try_out

APPS = Path(__file__).parents[2] / "wasm-apps"
NEST = """(module (memory (export "memory") 1)
  (func (export "_start") (local $i i32) (local $n i64)
    (loop $outer
      (local.set $i (i32.const 6000000))
      (loop $inner
        (local.set $n (i64.add (i64.mul (local.get $n) (local.get $n)) (i64.const 7)))
        (br_if $inner (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (i64.store (i32.const 0) (local.get $n))
      (br $outer))))"""
"""Each iteration of the outer loop takes milliseconds."""


def measured(wasm: bytes, profile: Profile, seconds: float = 0.5) -> Pauses:
    """How a program pauses with a profile."""
    return try_out(prepare(wasm, Options.of(profile)), seconds)


def test_a_nest_of_loops_is_slow_to_pause_unless_its_inner_loops_poll() -> None:
    nest = bytes(wasmtime.wat2wasm(NEST))
    slow = measured(nest, Profile.THROUGHPUT)
    quick = measured(nest, Profile.RESPONSIVE)
    assert slow.number > 2
    assert quick.number > 2
    assert slow.slowest > 0.002 > quick.slowest > 0


def test_a_program_that_does_not_pause_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_PATIENCE", 0.05)
    nest = bytes(wasmtime.wat2wasm(NEST.replace("6000000", "400000000")))
    assert measured(nest, Profile.THROUGHPUT, 0.05) == (1, 0.05)


@pytest.mark.parametrize("name", ["echo/echo", "faulty/trap", "hello/hello", "counter/counter"])
def test_nothing_can_be_said_of_what_waits_or_ends(name: str) -> None:
    wasm = (APPS / f"{name}.wasm").read_bytes()
    assert measured(wasm, Profile.RESPONSIVE, 0.2).number < 10


def test_nothing_can_be_said_of_what_cannot_be_instantiated() -> None:
    segment = '(module (memory 1) (data (i32.const 65536) "x") (func (export "_start")))'
    assert measured(bytes(wasmtime.wat2wasm(segment)), Profile.RESPONSIVE, 0.1) == (0, 0)
