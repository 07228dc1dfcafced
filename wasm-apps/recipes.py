"""Builds the programs whose sources are not ours, or whose language is not C: by their recipes.

A recipe is a `.toml` file beside the module that it makes. It names a package of a public registry
(PyPI, npm or Debian) with the sources, how much of it is compiled, and the flags. Downloads are
checked against the recipe's SHA-256 and kept in the user's cache. Refuses to know what the
programs do. The same recipe and toolchain give the same bytes.
"""

import fnmatch
import hashlib
import importlib.util
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import platformdirs

CACHE: Final = platformdirs.user_cache_path("arts") / "packages"


class Unavailable(Exception):
    """A registry or tool that the recipe needs is not here."""


@dataclass(frozen=True)
class Package:
    """One archive of a registry; the sources are in `folder` of it."""

    registry: str
    name: str
    version: str
    sha256: str
    folder: str = "."


@dataclass(frozen=True)
class Recipe:
    """How one program is made."""

    sources: Sequence[str]
    """Patterns relative to the recipe; `{package}` is the folder of the package, `{zig}` the
    compiler's library, which holds the sources of the C++ library."""
    flags: Sequence[str]
    without: Sequence[str] = ()
    stack: int = 65536
    language: str = "c"
    package: Package | None = field(default=None)


def read(path: Path) -> Recipe:
    """The recipe in a file; raises `TypeError` for unknown fields."""
    content: dict[str, Any] = tomllib.loads(path.read_text())
    package = Package(**content["package"]) if "package" in content else None
    return Recipe(package=package, **content["build"])


def build(path: Path, output: Path) -> None:
    """Makes the module of a recipe. Raises `Unavailable` or `subprocess.CalledProcessError`."""
    recipe = read(path)
    with tempfile.TemporaryDirectory() as unpacked:
        names = {"zig": str(_zig() / "lib")}
        if recipe.package is not None:
            archive = fetch(recipe.package)
            names["package"] = str(_unpack(archive, Path(unpacked)) / recipe.package.folder)
        command = _command(recipe, path.parent, names)
        subprocess.run([*command, "-o", str(output.absolute())], cwd=path.parent, check=True)
    output.chmod(0o644)


def _command(recipe: Recipe, folder: Path, names: dict[str, str]) -> list[str]:
    return [
        sys.executable,
        *("-m", "ziglang", recipe.language.replace("c", "cc", 1)),
        *("-target", "wasm32-wasi"),
        *(flag.replace("{package}", names.get("package", "")) for flag in recipe.flags),
        f"-Wl,-z,stack-size={recipe.stack}",
        "-Wl,--strip-all",
        *_sources(recipe, folder, names),
    ]


def _sources(recipe: Recipe, folder: Path, names: dict[str, str]) -> Iterator[str]:
    for pattern in recipe.sources:
        for name, place in names.items():
            pattern = pattern.replace(f"{{{name}}}", place)
        if "*" not in pattern:
            yield pattern
            continue
        root, _, last = pattern.rpartition("/")
        for found in sorted((folder / root).glob(last)):
            if not any(fnmatch.fnmatch(found.name, other) for other in recipe.without):
                yield str(found)


def _zig() -> Path:
    spec = importlib.util.find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise Unavailable("ziglang is not installed: pip install '.[apps]'")
    return Path(spec.origin).parent


def fetch(package: Package) -> Path:
    """The package's archive, from the cache or else from its registry."""
    for known in CACHE.glob("*") if CACHE.is_dir() else ():
        if _digest(known) == package.sha256:
            return known
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        try:
            subprocess.run(_download(package), cwd=folder, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise Unavailable(f"cannot download {package.name} {package.version}") from error
        (archive,) = Path(folder).iterdir()
        if _digest(archive) != package.sha256:
            raise Unavailable(f"{archive.name} is not what the recipe names")
        return archive.rename(CACHE / archive.name)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _download(package: Package) -> list[str]:
    name, version = package.name, package.version
    if package.registry == "npm":
        return ["npm", "pack", f"{name}@{version}"]
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    return [*pip, f"{name}=={version}"]


def _unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top
