"""Builds the example programs: C with the pinned toolchain's WASI target, WAT by wasmtime.

Knows which source makes which module and the one set of compiler flags. Programs of other people
or in other languages have a recipe (see `recipes.py`). The output is
reproducible: the same sources and toolchain give the same bytes, which `--check` asserts.
Refuses to know what the programs do, and touches no module that has no source beside it
(`faulty/notwasm.wasm` is plain text on purpose).
"""

import argparse
import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import recipes
import wasmtime

APPS: Final = Path(__file__).resolve().parent

ZIGLANG: Final = "0.17.0"
"""The `ziglang` package whose compiler and libc made the committed modules."""

FLAGS: Final = (
    "-target",
    "wasm32-wasi",
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    # Small memories make small snapshots. The linker puts the stack first: overflowing it traps.
    "-Wl,-z,stack-size=32768",
    "-Wl,--strip-all",
)


def sources(root: Path = APPS) -> dict[str, Path]:
    """All programs that are one file of ours, as name -> source: `hello` or `bench/nbody`.

    A program with a folder of its own is named by the folder, one of many in a folder by both.
    """
    cooked = {path.parent for path in root.glob("*/*.toml")}
    found = sorted(path for suffix in ("c", "wat") for path in root.glob(f"*/*.{suffix}"))
    return {_name(path): path for path in found if path.parent not in cooked}


def cooked(root: Path = APPS) -> dict[str, Path]:
    """All programs that have a recipe, as name -> recipe, for example `lua`."""
    return {_name(path): path for path in sorted(root.glob("*/*.toml"))}


def _name(source: Path) -> str:
    folder = source.parent.name
    return folder if folder == source.stem else f"{folder}/{source.stem}"


def build(source: Path, output: Path) -> None:
    """Compiles one `.c`, `.wat` or recipe (`.toml`) into the module `output`.

    Raises `subprocess.CalledProcessError` or `wasmtime.WasmtimeError` on a faulty source (the
    compiler says why on stderr) and `RuntimeError` when the toolchain is not the pinned one.
    """
    if source.suffix == ".wat":
        output.write_bytes(wasmtime.wat2wasm(source.read_bytes()))
        return
    _require_pinned_toolchain()
    if source.suffix == ".toml":
        recipes.build(source, output)
        return
    # Run beside the source with a bare file name, so that no path gets into the module.
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, source.name, "-o", str(output)]
    subprocess.run(command, cwd=source.parent, check=True)
    output.chmod(0o644)


def _require_pinned_toolchain() -> None:
    try:
        found = importlib.metadata.version("ziglang")
    except importlib.metadata.PackageNotFoundError:
        found = "none"
    if found != ZIGLANG:
        raise RuntimeError(f"need ziglang {ZIGLANG}, found {found}: pip install '.[apps]'")


def differs(source: Path) -> bool:
    """Whether the module beside `source` is not what `source` builds to."""
    committed = source.with_suffix(".wasm")
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / committed.name
        build(source, fresh)
        return not committed.exists() or committed.read_bytes() != fresh.read_bytes()


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds or checks the named programs, all by default. Returns the exit code."""
    known = sources() | cooked()
    parser = argparse.ArgumentParser(description="Build the example programs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument(
        "--check", action="store_true", help="build nothing; fail if a module is not up to date"
    )
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(known):
        parser.error(f"no such program: {', '.join(sorted(unknown))}")
    chosen = [known[name] for name in options.names or known]
    if options.check:
        stale = [_name(source) for source in chosen if differs(source)]
        sys.stdout.writelines(f"not up to date: {name}\n" for name in stale)
        return 1 if stale else 0
    for source in chosen:
        output = source.with_suffix(".wasm")
        build(source, output)
        sys.stdout.write(f"{output.relative_to(APPS)}: {output.stat().st_size} bytes\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
