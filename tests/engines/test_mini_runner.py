"""``run_program`` is a program of this process: streams, exit codes, faults."""

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from arts.errors import ProgramError
from runtime.engines.runner import INTERRUPTED, TRAPPED, run_program

APPS = Path(__file__).resolve().parents[2] / "wasm-apps"


def run(
    name: str, *args: str, stdin: bytes = b"", env: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    out, err = io.BytesIO(), io.BytesIO()
    code = run_program(
        (APPS / name).read_bytes(), args, env, stdin=io.BytesIO(stdin), stdout=out, stderr=err
    )
    return code, out.getvalue().decode(), err.getvalue().decode()


def test_arguments_environment_and_exit_code() -> None:
    code, out, _ = run("hello/hello.wasm", "--exit", "5", env=("A=b",))
    assert code == 5
    assert "arg 2: 5\n" in out
    assert "env A=b\n" in out


def test_more_input_than_is_read_ahead() -> None:
    lines = b"".join(b"%d\n" % number for number in range(1000))
    code, out, _ = run("stdinread/stdinread.wasm", stdin=lines)
    assert code == 0
    assert out.splitlines() == [f"got: {number}" for number in range(1000)]


def test_sleeping_is_waiting() -> None:
    assert run("counter/counter.wasm", "1", "3")[:2] == (0, "count 1\ncount 2\ncount 3\n")


def test_a_trap_is_told() -> None:
    assert run("faulty/trap.wasm") == (
        TRAPPED,
        "about to trap\n",
        "trapped: unreachable executed\n",
    )


def test_not_a_program() -> None:
    with pytest.raises(ProgramError, match="not a WebAssembly module"):
        run("faulty/notwasm.wasm")


def test_an_interrupt_ends_the_program() -> None:
    """Ctrl-C is heard although the program never comes back by itself."""
    code = (
        "import sys, pathlib; from runtime.engines.runner import run_program;"
        "sys.exit(run_program(pathlib.Path(sys.argv[1]).read_bytes()))"
    )
    command = [sys.executable, "-c", code, str(APPS / "faulty/flood.wasm")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"flood 1\n"
        process.send_signal(signal.SIGINT)
        while process.stdout.read(1 << 16):
            pass
        assert process.wait() == INTERRUPTED
