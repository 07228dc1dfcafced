"""Builds the programs whose sources are not ours, or whose language is not C: by their recipes.

A recipe is a `.toml` file beside the module that it makes. It says what is compiled, from which
package if the sources are not here, by which toolchain, and how. Refuses to know what the programs
do. The same recipe and toolchain give the same bytes.
"""

import fnmatch
import importlib.util
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packages import Package, Toolchain, Unavailable, install, unpack

TARGET = ("-target", "wasm32-wasi")


@dataclass(frozen=True)
class Recipe:
    """How one program is made."""

    sources: Sequence[str]
    """Patterns relative to the recipe; `{package}` is the folder of the package, `{zig}` the
    compiler's library, which has the sources of the C++ library."""
    flags: Sequence[str]
    without: Sequence[str] = ()
    """File names that the patterns leave out."""
    stack: int = 65536
    language: str = "c"
    """`c`, `c++`, `zig`, `rust` or `assemblyscript`."""
    package: Package | None = None
    toolchain: Toolchain | None = None


@dataclass(frozen=True)
class Kitchen:
    """A recipe with all that it needs, in place."""

    recipe: Recipe
    folder: Path
    """Of the recipe."""
    scratch: Path
    names: Mapping[str, str]

    @property
    def flags(self) -> list[str]:
        """The recipe's."""
        return [_filled(flag, self.names) for flag in self.recipe.flags]

    @property
    def linking(self) -> list[str]:
        """Flags of every program that clang links."""
        return [f"-Wl,-z,stack-size={self.recipe.stack}", "-Wl,--strip-all"]

    def sources(self) -> Iterator[str]:
        """Those of the recipe, in a fixed order."""
        for pattern in self.recipe.sources:
            path = _filled(pattern, self.names)
            root, _, last = path.rpartition("/")
            found = sorted((self.folder / root).glob(last)) if "*" in last else [Path(path)]
            for source in found:
                if not any(fnmatch.fnmatch(source.name, name) for name in self.recipe.without):
                    yield str(source)

    def run(self, *command: str, **environment: str) -> None:
        """One command beside the recipe, so that no path gets into a module."""
        subprocess.run(command, cwd=self.folder, check=True, env=os.environ | environment)


def read(path: Path) -> Recipe:
    """The recipe in a file; raises `TypeError` for unknown fields."""
    content: dict[str, Any] = tomllib.loads(path.read_text())
    package = Package(**content["package"]) if "package" in content else None
    toolchain = Toolchain(**content["toolchain"]) if "toolchain" in content else None
    return Recipe(package=package, toolchain=toolchain, **content["build"])


def build(path: Path, output: Path) -> None:
    """Makes the module of a recipe. Raises `Unavailable` or `subprocess.CalledProcessError`."""
    recipe = read(path)
    with tempfile.TemporaryDirectory() as scratch:
        folders = [Path(scratch) / name for name in ("package", "toolchain", "objects")]
        for folder in folders:
            folder.mkdir()
        names = {"zig": str(_zig()), "toolchain": str(folders[1])}
        if recipe.package is not None:
            names["package"] = str(unpack(recipe.package, folders[0]))
        if recipe.toolchain is not None:
            install(recipe.toolchain, folders[1])
        kitchen = Kitchen(recipe, path.parent, folders[2], names)
        COMPILERS[recipe.language](kitchen, str(output.absolute()))
    output.chmod(0o644)


def _c(kitchen: Kitchen, output: str) -> None:
    command = _ziglang("cc", *TARGET, *kitchen.flags, *kitchen.linking)
    kitchen.run(*command, *kitchen.sources(), "-o", output)


def _cxx(kitchen: Kitchen, output: str) -> None:
    """One by one, because only linking must not see the compiler's own C++ library."""
    objects = []
    for number, source in enumerate(kitchen.sources()):
        objects.append(str(kitchen.scratch / f"{number}.o"))
        flags = kitchen.flags if source.endswith(".cpp") else ["-mexception-handling"]
        kitchen.run(*_ziglang("c++", *TARGET, *flags, "-c", source, "-o", objects[-1]))
    command = _ziglang("c++", *TARGET, "-O2", "-nostdlib++", "-mexception-handling")
    kitchen.run(*command, *kitchen.linking, *objects, "-o", output)


def _zig_language(kitchen: Kitchen, output: str) -> None:
    stack = str(kitchen.recipe.stack)
    command = _ziglang("build-exe", *TARGET, "-fstrip", "--stack", stack, *kitchen.flags)
    kitchen.run(*command, *kitchen.sources(), f"-femit-bin={output}")


def _rust(kitchen: Kitchen, output: str) -> None:
    root = Path(kitchen.names["toolchain"])
    (linker,) = root.glob("usr/lib/llvm-*/bin/wasm-ld")
    kitchen.run(
        str(root / "usr/bin/rustc"),
        *("--sysroot", str(root / "usr"), "--target", "wasm32-wasi"),
        *("-C", f"linker={linker}", "-C", "linker-flavor=wasm-ld", "-C", "link-self-contained=yes"),
        *("-C", f"link-arg=-zstack-size={kitchen.recipe.stack}"),
        *kitchen.flags,
        *kitchen.sources(),
        *("-o", output),
        LD_LIBRARY_PATH=f"{root}/usr/lib/x86_64-linux-gnu:{linker.parents[1]}/lib",
    )


def _assemblyscript(kitchen: Kitchen, output: str) -> None:
    """Beside its packages, where the shim's settings expect it."""
    root = Path(kitchen.names["toolchain"])
    (source,) = kitchen.sources()
    program = root / source
    program.write_bytes((kitchen.folder / source).read_bytes())
    config = "node_modules/@assemblyscript/wasi-shim/asconfig.json"
    command = ["npx", "--no-install", "asc", source, "--config", config, *kitchen.flags]
    subprocess.run([*command, "--outFile", output], cwd=root, check=True)


COMPILERS = {
    "c": _c,
    "c++": _cxx,
    "zig": _zig_language,
    "rust": _rust,
    "assemblyscript": _assemblyscript,
}


def _ziglang(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ziglang", *arguments]


def _zig() -> Path:
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise Unavailable("ziglang is not installed: pip install '.[apps]'")
    return Path(spec.origin).parent / "lib"


def _filled(text: str, names: Mapping[str, str]) -> str:
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", value)
    return text
