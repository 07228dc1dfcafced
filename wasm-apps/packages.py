"""Gets what recipes name from public registries, with their ordinary clients.

Archives with sources are checked against a SHA-256 and kept in the user's cache. Toolchains are
checked by the client that gets them.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

CACHE: Final = platformdirs.user_cache_path("arts") / "packages"


class Unavailable(Exception):
    """A registry or tool that a recipe needs is not here."""


@dataclass(frozen=True)
class Package:
    """One archive of PyPI or npm; the sources are in `folder` of it."""

    registry: str
    name: str
    version: str
    sha256: str
    folder: str = "."


@dataclass(frozen=True)
class Toolchain:
    """Packages of npm or Debian that together are a compiler."""

    registry: str
    packages: Sequence[str]


def unpack(package: Package, folder: Path) -> Path:
    """Where in `folder` its sources are now."""
    with tarfile.open(fetch(package)) as content:
        content.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top / package.folder


def fetch(package: Package) -> Path:
    """The package's archive, from the cache or else from its registry."""
    for known in CACHE.glob("*") if CACHE.is_dir() else ():
        if _digest(known) == package.sha256:
            return known
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        _run(_download(package), Path(folder))
        (archive,) = Path(folder).iterdir()
        if _digest(archive) != package.sha256:
            raise Unavailable(f"{archive.name} is not what the recipe names")
        return archive.rename(CACHE / archive.name)


def install(toolchain: Toolchain, folder: Path) -> None:
    """The toolchain, below `folder`."""
    if toolchain.registry == "npm":
        _run(["npm", "install", "--ignore-scripts", "--no-audit", *toolchain.packages], folder)
        return
    _run(["apt-get", "download", *toolchain.packages], folder)
    for archive in folder.glob("*.deb"):
        _run(["dpkg", "-x", archive.name, "."], folder)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _download(package: Package) -> list[str]:
    name, version = package.name, package.version
    if package.registry == "npm":
        return ["npm", "pack", f"{name}@{version}"]
    pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:"]
    return [*pip, f"{name}=={version}"]


def _run(command: Sequence[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Unavailable(f"cannot be had: {' '.join(command)}") from error
