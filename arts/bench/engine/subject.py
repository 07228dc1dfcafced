"""All measurements of one program, and what was left out of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from arts.bench.engine import footprint, in_v8, pauses, resumed
from arts.bench.engine.forms import FORMS, PLAIN, RESPONSIVE, THROUGHPUT, Compiled, Form
from arts.bench.engine.in_v8 import InV8
from arts.bench.engine.optional import Missing
from arts.bench.engine.pauses import Pause
from arts.bench.engine.programs import Program
from arts.bench.engine.resumed import Moved
from arts.bench.engine.speed import Seconds
from arts.migratable import Refused

POLLED: Final = (RESPONSIVE, THROUGHPUT)
"""The forms that stop when asked."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int
    requests: int
    """Pauses asked for, of each form that stops when asked."""
    moves: int
    forms: Sequence[Form] = FORMS
    v8: bool = True


@dataclass
class Found:
    """What was measured of one program. Form -> figure, where there are several forms."""

    program: Program
    missing: list[str] = field(default_factory=list)
    seconds: Seconds = field(default_factory=lambda: Seconds({}))
    bytes: dict[str, int] = field(default_factory=dict)
    code_bytes: dict[str, int] = field(default_factory=dict)
    compile_seconds: dict[str, float] = field(default_factory=dict)
    rss_mb: dict[str, float] = field(default_factory=dict)
    pauses: dict[str, list[Pause]] = field(default_factory=dict)
    moved: Moved | None = None
    v8: InV8 | None = None


def measure(program: Program, effort: Effort, progress: Callable[[str], None]) -> Found:
    """Run, weigh, pause, move and run elsewhere."""
    found = Found(program)
    made: dict[str, bytes] = {}
    compiled: dict[str, Compiled] = {}
    for form in effort.forms:
        progress(f"{form.name} is compiled")
        try:
            made[form.name] = form.make(program.wasm)
        except (Missing, Refused) as reason:
            found.missing.append(f"{program.name} {form.name}: {reason}")
            continue
        compiled[form.name] = Compiled(form, made[form.name])
    progress("runs")
    found.seconds = Seconds.in_turns(
        lambda form: compiled[form].run(program.arguments), list(compiled), effort.rounds
    )
    for form_name, wasm in made.items():
        found.bytes[form_name] = len(wasm)
        found.code_bytes[form_name] = footprint.code_size(wasm)
        found.compile_seconds[form_name] = compiled[form_name].compiling
    for form_name in (PLAIN, RESPONSIVE):
        found.rss_mb[form_name] = footprint.resident_mb(compiled[form_name], program.arguments)
    compiled.clear()
    for form_name in POLLED:
        if form_name in made:
            progress(f"{form_name} is paused")
            found.pauses[form_name] = pauses.ask_at_random(
                made[form_name], program, effort.requests
            )
    progress("is moved")
    found.moved = resumed.measure(made[RESPONSIVE], program, effort.moves)
    if effort.v8:
        progress("runs in V8")
        found.v8 = in_v8.in_turns(program, effort.rounds)
    return found
