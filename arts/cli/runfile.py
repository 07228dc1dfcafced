"""The note that a running ``arts up`` leaves in its data directory, so that other commands find it.

Knows the file and whether its writer is alive, nothing of the realm.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class RunFile:
    """Where a realm is, and the process that keeps it up."""

    broker: str
    realm: str
    http: str | None
    pid: int
    started: float
    """When that process did (``psutil``'s clock): a process id alone may be somebody else's."""


def _path(data_dir: Path) -> Path:
    return data_dir / "run.json"


def read_run_file(data_dir: Path) -> RunFile | None:
    """The note in ``data_dir``; None if there is none or its writer is gone."""
    try:
        running = RunFile(**json.loads(_path(data_dir).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return running if _started(running.pid) == running.started else None


def _started(pid: int) -> float | None:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


@contextmanager
def run_file(data_dir: Path, *, broker: str, realm: str, http: str | None) -> Iterator[None]:
    """Leave the note for the duration, readable by nobody else: the URL may hold a password."""
    us = psutil.Process()
    content = RunFile(broker, realm, http, us.pid, us.create_time())
    path = _path(data_dir)
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(asdict(content), file)
    fresh.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
