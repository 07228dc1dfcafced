"""What being movable costs a real program while it runs: time, and how soon it stops when asked.

``arts bench engine`` measures the same of benchmarks, in more forms.
"""

from dataclasses import dataclass
from typing import Final

import wasmtime

from arts.bench.engine import in_v8, pauses
from arts.bench.engine.forms import FORMS, PLAIN, RESPONSIVE, Compiled
from arts.bench.engine.optional import Missing
from arts.bench.engine.pauses import Pause
from arts.bench.engine.programs import Program
from arts.bench.engine.speed import Seconds

_FORMS: Final = {form.name: form for form in FORMS if form.name in (PLAIN, RESPONSIVE)}


@dataclass(frozen=True)
class Running:
    """``overhead``: 1 is as fast as the plain program; None where that does not run there."""

    overhead: float | None
    v8_overhead: float | None
    pauses: list[Pause]


def measure(program: Program, prepared: bytes, rounds: int, requests: int) -> Running:
    """Run both forms ``rounds`` times in turns, and ask for ``requests`` pauses."""
    return Running(
        overhead_of(program, prepared, rounds),
        _v8_overhead(program, prepared, rounds),
        pauses.ask_at_random(prepared, program, requests),
    )


def overhead_of(program: Program, prepared: bytes, rounds: int) -> float | None:
    """Median over ``rounds`` of the prepared over the plain form; None where that does not run."""
    made = {PLAIN: program.wasm, RESPONSIVE: prepared}
    try:
        compiled = {name: Compiled(_FORMS[name], wasm) for name, wasm in made.items()}
    except wasmtime.WasmtimeError:  # legacy exceptions: this engine runs the prepared form only
        return None
    return Seconds.in_turns(
        lambda name: compiled[name].run(program.arguments), list(compiled), rounds
    ).ratio(RESPONSIVE)


def _v8_overhead(program: Program, prepared: bytes, rounds: int) -> float | None:
    forms = {PLAIN: bytes, RESPONSIVE: lambda _: prepared}
    try:
        return in_v8.in_turns(program, rounds, forms).seconds.ratio(RESPONSIVE)
    except Missing:
        return None
