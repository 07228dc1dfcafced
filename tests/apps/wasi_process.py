"""Runs one module under wasmtime's WASI with this process's own stdin and stdout.

For the programs that a test must talk to while they run: `wasi_process.py MODULE [ARG...]`.
"""

import sys
from pathlib import Path

import wasmtime
from plain_wasi import call_start, instantiate


def main() -> int:
    """Runs the module to its end. Returns its exit code, or 70 after a trap."""
    wasi = wasmtime.WasiConfig()
    wasi.argv = sys.argv[1:]
    wasi.inherit_stdin()
    wasi.inherit_stdout()
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    store.set_wasi(wasi)
    code, _ = call_start(store, instantiate(engine, store, Path(sys.argv[1])))
    return 70 if code is None else code


if __name__ == "__main__":
    raise SystemExit(main())
