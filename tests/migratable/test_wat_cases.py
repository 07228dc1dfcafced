"""Programs that went wrong once (regressions), or that were made to (nasty), in all variants.

Each file says in its first lines what it is, and what its calls give; ``=`` is followed by results
in hexadecimal, or by how the call fails. The plain engine must agree, if it can run the file.
"""

import itertools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import wasmtime

from arts.bench import v8
from arts.migratable import Frames, Refused

from .proof import fuzz, fuzz_v8
from .proof.contract import Program
from .proof.machine import Value, compiled

HERE = Path(__file__).parent
FILES = sorted([*HERE.glob("regressions/*.wat"), *HERE.glob("nasty/*.wat")])
LEGACY = [path for path in FILES if path.stem.startswith("legacy")]
"""Only V8 has legacy exceptions itself."""
CALL = re.compile(r"^;; (\w+)\((.*?)\) = (.*)$", re.MULTILINE)
VARIANTS = [
    fuzz.Variant(0, density, small_loop, False, 1.0, frames, twins)
    for density, (small_loop, twins), frames in itertools.product(
        (None, 1.0), ((256, False), (0, False), (0, True)), Frames
    )
]


class Steady(fuzz.Pace):
    """A pause at every so manyth poll, and a move each time."""

    def __init__(self, variant: fuzz.Variant, distance: int) -> None:
        super().__init__(variant)
        self.distance = distance

    def next(self) -> int:
        """Always the same, but not for ever."""
        return self.distance if self.pauses < 40 else 0


@cache
def assembled(path: Path) -> bytes:
    """The module of a file."""
    return bytes(wasmtime.wat2wasm(path.read_text()))


def values(text: str) -> list[Value]:
    """Arguments, as ``i32:7 i64:ff``."""
    return [Value(part[:3], int(part[4:], 16)) for part in text.split()]


@pytest.mark.parametrize(
    "path", [path for path in FILES if path not in LEGACY], ids=lambda path: path.stem
)
def test_files_say_what_the_engine_does(path: Path) -> None:
    module = compiled(assembled(path))
    calls = CALL.findall(path.read_text())
    assert calls, "a file without calls"
    for name, arguments, expected in calls:
        plain = fuzz.plainly(module, name, values(arguments))
        assert plain.startswith(f"{expected} "), (name, plain)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_pauses_change_nothing(path: Path, variant: fuzz.Variant) -> None:
    try:
        program: Program = variant.program(assembled(path))
    except Refused as refused:
        # Only where points were added, and only because a reference is on the stack there.
        if variant.density is None or "is needed after a safepoint" not in refused.reason:
            raise
        return
    tally = fuzz.Tally()
    for name, arguments, expected in CALL.findall(path.read_text()):
        given = values(arguments)
        straight = fuzz.prepared_run(program, name, given, tally, fuzz.Pace())
        assert straight[0].startswith(f"{expected} "), (name, straight)
        for distance in (1, 3):
            paused = fuzz.prepared_run(program, name, given, tally, Steady(variant, distance))
            assert paused == straight, (name, distance)
    assert tally.pauses or path.parent.name == "regressions"


@pytest.fixture(scope="module")
def node() -> Iterator[v8.Node]:
    """V8, from a Python package that the tests depend on: without it they fail."""
    with v8.Node() as process:
        yield process


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_v8_agrees(node: v8.Node, path: Path, variant: fuzz.Variant) -> None:
    wasm = assembled(path)
    try:
        program = variant.program(wasm)
    except Refused:
        return  # as above
    calls = [(name, values(given)) for name, given, _ in CALL.findall(path.read_text())]
    found, tally = fuzz.Subject(wasm, calls, frozenset()), fuzz.Tally()
    subject = fuzz_v8.Subject(node, node.load(wasm), program, variant, tally)
    for call in fuzz_v8.calls(found):
        assert subject.compare(call).startswith("a call")
