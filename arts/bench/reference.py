"""The programs whose moves others publish: what a capture holds and takes, restoring it, and how
fast the rest runs. ``published`` has what they say.

The programs and their sizes are those of ``arts bench engine``, and SQLite that of ``arts bench
programs``; each is moved as there, a quarter of its run after its start.
"""

from collections.abc import Callable, Collection
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from arts.bench.engine import figures, programs, resumed
from arts.bench.programs import catalogue
from arts.bench.programs.running import overhead_of
from arts.errors import NotFound
from arts.migratable import prepare

_ENGINE: Final = (
    *("nbody", "fannkuch", "mandelbrot", "binary-trees", "linpack"),
    *("3mm", "correlation", "floyd-warshall", "lua", "quickjs"),
)
_REAL: Final = ("sqlite",)
PROGRAMS: Final = (*_ENGINE, *_REAL)


def measure(
    folder: Path,
    *,
    chosen: Collection[str] = (),
    moves: int = 7,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Run the benchmark with the programs under ``folder`` (``wasm-apps``). Figures are medians;
    ``moves`` is also the number of runs for the overhead.

    Raises ``NotFound`` for unknown names.
    """
    if unknown := sorted(set(chosen) - set(PROGRAMS)):
        raise NotFound(f"no program {', '.join(unknown)}; there are {', '.join(PROGRAMS)}")
    moved, overheads = {}, {}
    for program in _find(folder, chosen or PROGRAMS):
        progress(f"{program.name} is prepared")
        prepared = prepare(program.wasm)
        progress(f"{program.name} runs")
        overhead = overhead_of(program, prepared, moves)
        overheads[program.name] = overhead and round(overhead, 3)
        progress(f"{program.name} is moved")
        moved[program.name] = resumed.measure(prepared, program, moves)
    return {
        "benchmark": "reference",
        "engine": f"wasmtime {version('wasmtime')}",
        "moves": moves,
        "overhead": overheads,
        **figures.of_moves(moved),
    }


def _find(folder: Path, names: Collection[str]) -> list[programs.Program]:
    """In the order of ``PROGRAMS``; all of them are in the checkout."""
    engine = [name for name in _ENGINE if name in names]
    real = [name for name in _REAL if name in names]
    found = {
        program.name: program
        for find, wanted in ((programs.find, engine), (catalogue.find, real))
        if wanted
        for program in find(folder, wanted)[0]
    }
    return [found[name] for name in PROGRAMS if name in found]
