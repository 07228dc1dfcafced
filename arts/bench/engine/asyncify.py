"""Asyncify by Binaryen, the known way to make a program stop and go on: to compare ours with.

Asyncify by itself adds no safepoints: only host calls can unwind. To compare like with like, it is
applied to the program with the same polls in its loops as ours (``polls``); the host calls that may
unwind are those that may with us, and Binaryen optimizes the result, as its manual advises.

Knows Binaryen's C interface; needs the package `icpp-binaryen`. Binaryen prints to stderr and ends
the process when it meets what it does not know, so each program has a process of its own.
"""

import ctypes
import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Final

from arts.bench.engine.optional import Missing
from arts.bench.engine.polls import with_polls
from arts.migratable import abi

PACKAGE: Final = "icpp_binaryen"
_FEATURES: Final = (
    "Atomics",
    "BulkMemory",
    "ExtendedConst",
    "MultiMemory",
    "Multivalue",
    "MutableGlobals",
    "NontrappingFPToInt",
    "ReferenceTypes",
    "SIMD128",
    "SignExt",
)
_OPTIMIZE_LEVEL: Final = 2


def asyncified(wasm: bytes) -> bytes:
    """The program with polls in its loops, by Asyncify. Raises Missing."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise Missing("needs the package icpp-binaryen")
    command = [sys.executable, "-m", __name__]
    result = subprocess.run(
        command, input=with_polls(wasm, calling=True), capture_output=True, check=False
    )
    if result.returncode or not result.stdout:
        why = result.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise Missing(f"Binaryen refuses it: {why[0]}")
    return result.stdout


class _Written(ctypes.Structure):
    _fields_ = (
        ("binary", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
        ("source_map", ctypes.c_void_p),
    )


def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "lib"
    library = ctypes.CDLL(str(next(folder.glob("libbinaryen.*"))))
    library.BinaryenModuleRead.restype = ctypes.c_void_p
    library.BinaryenModuleRead.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
    library.BinaryenModuleSetFeatures.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    library.BinaryenModuleOptimize.argtypes = (ctypes.c_void_p,)
    library.BinaryenModuleRunPasses.argtypes = (
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_char_p),
        ctypes.c_uint32,
    )
    library.BinaryenModuleAllocateAndWrite.restype = _Written
    library.BinaryenModuleAllocateAndWrite.argtypes = (ctypes.c_void_p, ctypes.c_char_p)
    return library


def _transformed(wasm: bytes) -> bytes:
    binaryen = _library()
    module = binaryen.BinaryenModuleRead(wasm, len(wasm))
    features = 0
    for name in _FEATURES:
        features |= getattr(binaryen, f"BinaryenFeature{name}")()
    binaryen.BinaryenModuleSetFeatures(module, features)
    blocking = ",".join(sorted(f"{where}.{what}" for where, what in abi.BLOCKING_IMPORTS))
    binaryen.BinaryenSetPassArgument(b"asyncify-imports", blocking.encode())
    binaryen.BinaryenSetOptimizeLevel(_OPTIMIZE_LEVEL)
    binaryen.BinaryenModuleRunPasses(module, (ctypes.c_char_p * 1)(b"asyncify"), 1)
    binaryen.BinaryenModuleOptimize(module)
    written = binaryen.BinaryenModuleAllocateAndWrite(module, None)
    return ctypes.string_at(written.binary, written.size)


if __name__ == "__main__":
    sys.stdout.buffer.write(_transformed(sys.stdin.buffer.read()))
