"""Runs a program under wasmtime's own WASI, and says how it ended.

Knows wasmtime and files. Refuses to know ARTS: what the programs do here is what every other
runtime has to reproduce.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import wasmtime

APPS = Path(__file__).resolve().parents[2] / "wasm-apps"
PLENTY_OF_FUEL = 10**12
NO_LIMIT = -1


@dataclass(frozen=True)
class Run:
    """How a run ended: `code` is the exit code, or None after a trap, which `trap` then names."""

    code: int | None
    trap: wasmtime.TrapCode | None
    out: str
    err: str
    files: Path
    """The folder that the program saw as `/`."""
    memory: bytes
    """The linear memory as the program left it."""

    @property
    def lines(self) -> list[str]:
        """The lines of the output; the last may be cut short by a trap."""
        return self.out.splitlines()


def module_path(program: str) -> Path:
    """The committed module of `hello` (its own folder) or `bench/nbody` (one of many)."""
    folder, _, name = program.rpartition("/")
    return APPS / (folder or program) / f"{name}.wasm"


def new_engine() -> wasmtime.Engine:
    """An engine that counts fuel, so that endless programs end at a reproducible instruction."""
    config = wasmtime.Config()
    config.consume_fuel = True
    return wasmtime.Engine(config)


def run_program(
    engine: wasmtime.Engine,
    folder: Path,
    program: str | Path,
    *arguments: object,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    files: Mapping[str, bytes] | None = None,
    fuel: int = PLENTY_OF_FUEL,
    memory_bytes: int = NO_LIMIT,
) -> Run:
    """Runs a committed program (by name) or any module (by path) to its end.

    `files` (path -> content) are what it finds below `/`. All its files go into `folder`.
    """
    path = program if isinstance(program, Path) else module_path(program)
    root = folder / "root"
    root.mkdir(exist_ok=True)
    for name, content in (files or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (folder / "stdin").write_text(stdin)

    wasi = wasmtime.WasiConfig()
    wasi.argv = [path.stem, *map(str, arguments)]
    wasi.env = list((env or {}).items())
    wasi.preopen_dir(str(root), "/")
    wasi.stdin_file = str(folder / "stdin")
    wasi.stdout_file = str(folder / "stdout")
    wasi.stderr_file = str(folder / "stderr")
    store = wasmtime.Store(engine)
    store.set_fuel(fuel)
    store.set_limits(memory_size=memory_bytes)
    store.set_wasi(wasi)
    instance = instantiate(engine, store, path)
    code, trap = call_start(store, instance)
    memory = instance.exports(store)["memory"]
    assert isinstance(memory, wasmtime.Memory)
    out, err = ((folder / name).read_text() for name in ("stdout", "stderr"))
    return Run(code, trap, out, err, root, bytes(memory.read(store)))


def instantiate(engine: wasmtime.Engine, store: wasmtime.Store, path: Path) -> wasmtime.Instance:
    """Links a module with WASI. Raises `wasmtime.WasmtimeError` when that is impossible."""
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    return linker.instantiate(store, wasmtime.Module(engine, path.read_bytes()))


def call_start(
    store: wasmtime.Store, instance: wasmtime.Instance
) -> tuple[int | None, wasmtime.TrapCode | None]:
    """Runs `_start` to its end. Returns (exit code, None) or (None, trap)."""
    start = instance.exports(store)["_start"]
    assert isinstance(start, wasmtime.Func)
    try:
        start(store)
    except wasmtime.ExitTrap as ending:
        return ending.code, None
    except wasmtime.Trap as ending:
        return None, ending.trap_code
    return 0, None
