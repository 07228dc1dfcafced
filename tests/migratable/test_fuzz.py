"""A fixed part of the generated programs of ``make soak``: plain, prepared, paused and moved.

Even seeds are programs of our generator, odd ones of wasm-smith.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from arts.bench import v8

from .proof import fuzz, fuzz_v8
from .proof.contract import Guest

BATCH = 20
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def node() -> Iterator[v8.Node]:
    """V8, from a Python package that the tests depend on: without it they fail."""
    with v8.Node() as process:
        yield process


@pytest.mark.parametrize("first", range(0, 200, BATCH))
def test_generated_programs_on_wasmtime(first: int) -> None:
    total = fuzz.Tally()
    for seed in range(first, first + BATCH):
        total.add(fuzz.check(seed))
    assert total.outcomes["modules"] + total.outcomes["refused"] == BATCH
    assert total.outcomes["modules"] > BATCH // 2
    assert total.pauses > BATCH
    assert total.moves > 0


@pytest.mark.parametrize("first", range(5_000_000, 5_000_080, BATCH))
def test_generated_programs_on_v8(node: v8.Node, first: int) -> None:
    total = fuzz.Tally()
    for seed in range(first, first + BATCH):
        total.add(fuzz_v8.check(node, seed))
    assert total.outcomes["modules"] > BATCH // 2
    assert total.pauses > BATCH
    assert total.outcomes["moves from V8 to wasmtime"] > 0


def test_differences_are_seen(monkeypatch: pytest.MonkeyPatch, node: v8.Node) -> None:
    """A host that mistakes a bit of the stack is found out, in either engine."""
    restore = Guest.restore.__func__  # type: ignore[attr-defined]

    def mistaken(kind: Any, program: Any, snapshot: Any, imports: Any) -> Any:
        stack = bytearray(snapshot.stack)
        if len(stack) > 8:
            stack[0] ^= 1
        snapshot.stack = bytes(stack)
        return restore(kind, program, snapshot, imports)

    monkeypatch.setattr(Guest, "restore", classmethod(mistaken))
    seen: Counter[str] = Counter()
    for seed in range(0, BATCH, 2):
        for name, check in (("wasmtime", fuzz.check), ("v8", lambda it: fuzz_v8.check(node, it))):
            try:
                check(seed)
            except Exception:
                seen[name] += 1
    assert min(seen["wasmtime"], seen["v8"]) > 1
