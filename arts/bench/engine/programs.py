"""The programs that are measured, and sizes that make each run for about a tenth of a second.

Knows where programs are found. Does not know what is measured.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arts.bench.engine import interpreters
from arts.bench.engine.optional import Missing
from arts.errors import NotFound

COMPILED: Final = {
    "bench/nbody": ("1500000",),
    "bench/sha256": ("14000",),
    "bench/fannkuch": ("10",),
    "bench/sort": ("900000",),
    "bench/matmul": ("450",),
    "bench/queens": ("14",),
    "bench/sieve": ("20000000",),
    "bench/mandelbrot": ("1000",),
    "bench/binary-trees": ("18",),
    "bench/linpack": ("950",),
    "polybench/2mm": ("350",),
    "polybench/3mm": ("380",),
    "polybench/atax": ("1000", "48"),
    "polybench/bicg": ("1000", "90"),
    "polybench/cholesky": ("800",),
    "polybench/correlation": ("460",),
    "polybench/covariance": ("700",),
    "polybench/doitgen": ("100",),
    "polybench/durbin": ("10000",),
    "polybench/floyd-warshall": ("360",),
    "polybench/gemm": ("480",),
    "polybench/gemver": ("1000", "30"),
    "polybench/gramschmidt": ("420",),
    "polybench/jacobi-2d": ("500", "90"),
    "polybench/lu": ("600",),
    "polybench/mvt": ("1000", "32"),
    "polybench/nussinov": ("720",),
    "polybench/seidel-2d": ("500", "40"),
    "polybench/syrk": ("580",),
    "polybench/trisolv": ("1200", "100"),
}
"""Program, as folder and name -> arguments."""

QUICK: Final = ("nbody", "sha256", "sort", "queens", "gemm", "nussinov", "lua", "micropython")
"""A choice that shows the extremes in a minute."""


@dataclass(frozen=True)
class Program:
    """One program with arguments that make it compute for a while and end with code 0."""

    name: str
    wasm: bytes
    arguments: tuple[str, ...]
    interpreter: bool = False


def find(folder: Path, chosen: Collection[str] = ()) -> tuple[list[Program], list[str]]:
    """The programs under ``folder`` (``wasm-apps``), all or those chosen by name, and what is
    missing of the optional ones. Raises ``NotFound``."""
    names = {path.rpartition("/")[2]: path for path in COMPILED}
    _require(chosen, {*names, *interpreters.SCRIPTS})
    programs, missing = [], []
    for name, path in names.items():
        if not chosen or name in chosen:
            programs.append(Program(name, read(folder / f"{path}.wasm"), COMPILED[path]))
    for name, arguments in interpreters.SCRIPTS.items():
        if not chosen or name in chosen:
            try:
                wasm = interpreters.load(name, folder)
                programs.append(Program(name, wasm, arguments, interpreter=True))
            except Missing as reason:
                missing.append(f"{name}: {reason}")
    return programs, missing


def read(path: Path) -> bytes:
    """A file of the checkout."""
    if not path.is_file():
        raise NotFound(f"no {path}: run this from a checkout, or name the folder of the programs")
    return path.read_bytes()


def _require(chosen: Iterable[str], known: Collection[str]) -> None:
    unknown = sorted(set(chosen) - set(known))
    if unknown:
        raise NotFound(f"no program {', '.join(unknown)}; there are {', '.join(sorted(known))}")
