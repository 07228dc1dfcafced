"""Commands that show what flows by, as a user watches them: processes that are interrupted."""

import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cli.conftest import APPS, Cli
from tests.cli.realm_process import CHECKOUT, PATIENCE, RealmProcess
from tests.support.broker import unique


class Watcher:
    """A running ``arts`` whose lines can be waited for."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\n"))

    def until(self, text: str) -> str:
        """The next line with this text in it."""
        while text not in (line := self._lines.get(timeout=PATIENCE)):
            pass
        return line

    def interrupt(self) -> int:
        """Ctrl-C; the exit status."""
        self._process.send_signal(signal.SIGINT)
        return self.end()

    def end(self) -> int:
        """Wait for its end; the exit status."""
        return self._process.wait(PATIENCE)


@contextmanager
def watching(up: RealmProcess, *arguments: str) -> Iterator[Watcher]:
    """``arts`` with these arguments, in a terminal of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "arts", *arguments],
        cwd=CHECKOUT,
        env={"ARTS_DATA_DIR": str(up.data_dir), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Watcher(process)
        finally:
            process.kill()


@pytest.fixture
def counter(arts: Cli) -> Iterator[str]:
    """The name of a running counter."""
    name = unique("counter")
    arts.ok("run", "counter", "50", "--name", name)
    yield name
    arts("rm", "--force", name)


def test_logs_follow_a_module_that_moves(up: RealmProcess, arts: Cli, counter: str) -> None:
    with watching(up, "logs", "-f", counter) as logs:
        first = int(logs.until("count ").removeprefix("count "))
        arts.ok("migrate", counter)
        arts.ok("migrate", counter)
        for number in range(first + 1, first + 50):
            assert logs.until("count ") == f"count {number}"
        assert logs.interrupt() == 130


def test_logs_end_with_the_module(up: RealmProcess, arts: Cli, counter: str) -> None:
    with watching(up, "logs", "-f", counter) as logs:
        logs.until("count ")
        arts.ok("rm", "--force", counter)
        logs.until("deleted")
        assert logs.end() == 0


def test_events_tell_what_happens(up: RealmProcess, arts: Cli) -> None:
    name = unique("told")
    with watching(up, "events", "-f", "--json") as told, watching(up, "events", "-f") as shown:
        with watching(up, "ps", "--watch") as seen:
            for watcher in (told, shown):
                watcher.until("listening")
            seen.until("runtime-1")
            arts.ok("run", "counter", "--name", name)
            entry = json.loads(told.until('"module.started"'))
            assert entry["name"] == name
            assert name in shown.until("module.started")
            while "running" not in seen.until(name):
                pass
            arts.ok("rm", "--force", name)
            assert name in shown.until("module.deleted")
            assert seen.interrupt() == 130
        assert told.interrupt() == 130


def test_watching_goes_on_when_nothing_happens(up: RealmProcess) -> None:
    with watching(up, "ps", "--watch") as seen:
        for _ in range(4):
            seen.until("runtime-1")
        assert seen.interrupt() == 130


def test_an_interrupted_run_leaves_the_module_alone(up: RealmProcess, arts: Cli) -> None:
    name = unique("left")
    with watching(up, "run", "-f", "counter", "50", "--name", name) as follower:
        assert follower.until("count ") == "count 1"
        assert follower.interrupt() == 130
    module = json.loads(arts.ok("inspect", name, "--json"))
    assert module["state"] == "running"
    arts.ok("rm", "--force", name)


@pytest.mark.parametrize(
    ("program", "arguments", "status", "said"),
    [
        ("hello/hello.wasm", ["a", "--", "--exit", "5"], 5, "arg 0: hello"),
        ("faulty/trap.wasm", [], 134, "trapped: unreachable"),
        ("faulty/notwasm.wasm", [], 1, "error: "),
        ("faulty/nowhere.wasm", [], 3, "cannot read"),
    ],
)
def test_exec(up: RealmProcess, program: str, arguments: list[str], status: int, said: str) -> None:
    with watching(up, "exec", str(APPS / program), *arguments) as run:
        run.until(said)
        assert run.end() == status
