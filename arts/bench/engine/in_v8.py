"""The same in V8: forms of a program side by side in one node process.

V8 compiles quickly first and optimizes functions that prove busy, from their next call on. So the
first run of a program in a single long function is slow to its end; the runs that count come after
V8 had the time to optimize, and the first one is reported beside them.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from arts import migratable
from arts.bench import v8
from arts.bench.engine.forms import PLAIN, RESPONSIVE, THROUGHPUT
from arts.bench.engine.optional import Missing
from arts.bench.engine.programs import Program
from arts.bench.engine.speed import Seconds
from arts.errors import NotFound
from arts.migratable import Options, Poll

COUNTDOWN: Final = "countdown"
Make = Callable[[bytes], bytes]
FORMS: Final[Mapping[str, Make]] = {
    PLAIN: bytes,
    RESPONSIVE: migratable.prepare,
    THROUGHPUT: lambda wasm: migratable.prepare(wasm, Options(nest=True)),
    COUNTDOWN: lambda wasm: migratable.prepare(wasm, Options(poll=Poll.COUNTDOWN)),
}
"""``countdown`` is the form for browsers, where nobody else can write to a program's memory."""
_FLAGS: Final = ("--experimental-wasm-exnref",)
_OPTIMIZING: Final = 0.3
"""Seconds that V8 is given to optimize in the background."""
_WARM_UPS: Final = 2


@dataclass(frozen=True)
class InV8:
    """``seconds``: of each round, optimized. ``first``: of the very first run of each form."""

    seconds: Seconds
    first: Seconds

    @property
    def first_to_steady(self) -> float:
        """How much longer the first run of the plain program takes."""
        return self.first.of[PLAIN][0] / statistics.median(self.seconds.of[PLAIN])


@cache
def version() -> str:
    """Of V8, for people. Raises Missing when there is no node, or an old one."""
    try:
        with v8.Node() as node:
            engine = node.engine
    except NotFound as missing:
        raise Missing(str(missing)) from None
    if "multiMemory" not in engine.features:
        raise Missing(f"needs node 24 or newer, found {engine.node}")
    return f"V8 {engine.v8} (node {engine.node})"


def in_turns(program: Program, rounds: int, makers: Mapping[str, Make] = FORMS) -> InV8:
    """CPU seconds of all forms in ``rounds`` rounds, each of which begins with another one."""
    version()
    world = v8.World(args=("program", *program.arguments))
    with v8.Node(flags=_FLAGS) as node:
        forms = {name: node.load(make(program.wasm)) for name, make in makers.items()}

        def run(name: str) -> float:
            runs = forms[name].time(world)
            if runs.outcome != "returned" and runs.stderr:
                raise RuntimeError(f"{program.name} failed: {runs.stderr.decode()}")
            return runs.cpu_seconds[0]

        first = Seconds({name: [run(name)] for name in forms})
        for _ in range(_WARM_UPS):
            time.sleep(_OPTIMIZING)
            for name in forms:
                run(name)
        return InV8(Seconds.in_turns(run, list(forms), rounds), first)
