"""What being movable costs: speed, size, pauses and moves of real programs, in wasmtime and in V8.

Each program runs in several forms side by side (``forms``, ``in_v8``): as it came, prepared in all
profiles, and with what others offer for the same purpose. Optional tools that are not here leave
their column out and are named under ``missing``.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from arts.bench.engine import figures, in_v8, programs, startup, subject
from arts.bench.engine.forms import FORMS, PLAIN, RESPONSIVE
from arts.bench.engine.optional import Missing
from arts.bench.engine.subject import Effort
from arts.errors import NotFound

FULL: Final = Effort(rounds=7, requests=200, moves=7)
QUICK: Final = Effort(rounds=3, requests=40, moves=2)
QUICK_PROGRAMS: Final = programs.QUICK
_ALWAYS: Final = (PLAIN, RESPONSIVE)


def measure(
    folder: Path,
    *,
    chosen: Collection[str] = (),
    forms: Collection[str] = (),
    effort: Effort = FULL,
    parked: int = 1000,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run the benchmark with the programs under ``folder`` (``wasm-apps``).

    ``chosen`` and ``forms`` are names; none are all. Raises ``NotFound`` for unknown ones.
    """
    found_programs, missing = programs.find(folder, chosen)
    counter = programs.read(folder / "counter" / "counter.wasm")
    effort = _with_forms(effort, forms)
    v8 = None
    if effort.v8:
        try:
            v8 = in_v8.version()
        except Missing as reason:
            missing.append(f"V8: {reason}")
            effort = replace(effort, v8=False)
    found = []
    for number, program in enumerate(found_programs, 1):
        title = f"{program.name} ({number} of {len(found_programs)})"
        measured = subject.measure(program, effort, _under(title, progress))
        missing += measured.missing
        found.append(measured)
    progress("starting and parking counters")
    return {
        "benchmark": "engine",
        "engine": f"wasmtime {version('wasmtime')}",
        "v8": v8,
        "runs": effort.rounds,
        **figures.flat(found),
        **startup.measure(counter, parked),
        "missing": missing,
    }


def _under(title: str, progress: Callable[[str], None]) -> Callable[[str], None]:
    return lambda what: progress(f"{title}: {what}")


def _with_forms(effort: Effort, names: Collection[str]) -> Effort:
    known = {form.name for form in FORMS} | {"v8"}
    if unknown := sorted(set(names) - known):
        raise NotFound(f"no form {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    if not names:
        return effort
    forms = [form for form in FORMS if form.name in {*_ALWAYS, *names}]
    return replace(effort, forms=forms, v8="v8" in names)
