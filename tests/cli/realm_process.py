"""``arts up`` as a process, and everything below it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

CHECKOUT = Path(__file__).parents[2]
PATIENCE = 30.0
_UP = (sys.executable, "-m", "arts", "up", "--port", "0")


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.05)


class RealmProcess:
    """A running ``arts up``."""

    def __init__(self, process: subprocess.Popen[str], data_dir: Path, output: Path) -> None:
        self.process = process
        self.data_dir = data_dir
        self._output = output

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text()

    @property
    def run_file(self) -> dict[str, object]:
        """The note that it left for other commands."""
        note: dict[str, object] = json.loads((self.data_dir / "run.json").read_text())
        return note

    def wait_until_up(self) -> None:
        """Wait until it says that everything runs."""
        until(lambda: "Ctrl-C" in self.output or self.process.poll() is not None, "up")
        assert self.process.poll() is None, self.output

    def family(self) -> list[psutil.Process]:
        """Every process below it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, word: str) -> psutil.Process:
        """The one process below it whose command line has this word."""
        (found,) = [p for p in self.family() if word in " ".join(p.cmdline())]
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait for its end; the exit status."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


@contextmanager
def realm_process(data_dir: Path, *options: str) -> Iterator[RealmProcess]:
    """``arts up`` on free ports; whatever is left of it at the end is killed."""
    output = data_dir / "up.out"
    with output.open("w") as file:
        process = subprocess.Popen(
            [*_UP, "--data-dir", str(data_dir), *options],
            cwd=CHECKOUT,
            env={name: value for name, value in os.environ.items() if name[:5] != "ARTS_"},
            stdout=file,
            stderr=file,
            text=True,
        )
    realm = RealmProcess(process, data_dir, output)
    try:
        yield realm
    finally:
        family = realm.family() if process.poll() is None else []
        if process.poll() is None:
            realm.stop()
        for member in family:
            if member.is_running():
                member.kill()
