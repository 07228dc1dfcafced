"""What prepared code weighs: bytes, compile time, and memory of a process that runs it.

``python -m arts.bench.engine.footprint FILE ARGUMENTS...`` is the process whose memory is measured:
it takes compiled code and runs it, so that the compiler's own memory is not in the figure.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import psutil
import wasmtime

from arts.bench.engine.forms import Compiled, configuration, run_once
from arts.migratable.binary import sections
from arts.migratable.module import CODE

_CHILD: Final = "arts.bench.engine.footprint"


def code_size(wasm: bytes) -> int:
    """Bytes of the code section: what an engine compiles."""
    return sum(reader.end - reader.at for number, reader in sections(wasm) if number == CODE)


def resident_mb(compiled: Compiled, arguments: tuple[str, ...]) -> float:
    """Memory of a process in which an instance has just ended."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "compiled"
        file.write_bytes(compiled.module.serialize())
        command = [sys.executable, "-m", _CHILD, str(file), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    return round(int(result.stdout) / 1e6, 1)


def _main(file: str, *arguments: str) -> None:
    engine = wasmtime.Engine(configuration())
    store = wasmtime.Store(engine)
    run_once(store, wasmtime.Module.deserialize_file(engine, file), arguments)
    sys.stdout.write(str(psutil.Process().memory_info().rss))


if __name__ == "__main__":
    _main(*sys.argv[1:])
