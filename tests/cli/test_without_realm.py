"""What ``arts`` does where no realm is, and what it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import arts as package
from arts.migratable import describe
from tests.cli.conftest import APPS, Cli
from tests.support.foreign import foreign_broker


def test_help_and_version(lonely: Cli) -> None:
    text = lonely.ok("--help")
    for command in ("up", "run", "ps", "migrate", "logs", "doctor"):
        assert command in text
    assert "Exit status" in text
    assert package.__version__ in lonely.ok("--version")
    assert lonely("nonsense").exit_code == 2
    assert lonely().exit_code == 2


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, arts.cli; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "arts.cli.up" in loaded
    assert {"pydantic", "aiohttp", "paho", "wasmtime", "numpy"}.isdisjoint(loaded)


@pytest.mark.parametrize(
    "command",
    [["ps"], ["run", "counter"], ["inspect", "x"], ["logs", "x"], ["rm", "x"], ["events"]],
)
def test_no_realm(lonely: Cli, command: list[str]) -> None:
    result = lonely(*command)
    assert result.exit_code == 5
    assert "start one with `arts up`" in result.stderr
    assert result.stdout == ""


def test_no_broker(lonely: Cli) -> None:
    result = lonely("ps", "--broker", "mqtt://127.0.0.1:1")
    assert result.exit_code == 5
    assert "cannot reach the broker at mqtt://127.0.0.1:1" in result.stderr


def test_passwords_are_not_shown(lonely: Cli) -> None:
    result = lonely("ps", "--broker", "mqtt://me:secret@127.0.0.1:1")
    assert result.exit_code == 5
    assert "secret" not in result.output


def test_a_broker_url_that_is_none(lonely: Cli) -> None:
    assert lonely("ps", "--broker", "http://127.0.0.1").exit_code == 5


def test_a_run_file_that_makes_no_sense(lonely: Cli, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    somebody_else = {"broker": "mqtt://h", "realm": "r", "http": None, "pid": 1, "started": 0.5}
    nobody = somebody_else | {"pid": 1 << 22}
    for content in ("", "{}", "[]", json.dumps(somebody_else), json.dumps(nobody)):
        (tmp_path / "data" / "run.json").write_text(content)
        assert lonely("ps").exit_code == 5


def test_configuration_errors(lonely: Cli, tmp_path: Path) -> None:
    file = tmp_path / "arts.toml"
    file.write_text("[http]\nprt = 1\n")
    for command in ("up", "serve", "doctor"):
        result = lonely(command, "--config", str(file))
        assert result.exit_code == 2
        assert "http.prt" in result.stderr
    runtime = lonely("runtime", "--broker", "mqtt://127.0.0.1:1", "--label", "nonsense")
    assert runtime.exit_code == 2
    assert "KEY=VALUE" in runtime.stderr


def test_doctor_without_a_realm(lonely: Cli) -> None:
    findings = {f["check"]: f for f in json.loads(lonely.ok("doctor", "--json"))}
    assert findings["wasm engine"]["verdict"] == "ok"
    assert findings["data directory"]["verdict"] == "ok"
    assert findings["realm"]["verdict"] == "warning"
    assert "wasm engine" in lonely.ok("doctor")


def test_doctor_finds_what_is_wrong(lonely: Cli, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where a directory should be")
    result = lonely("doctor", "--json", "--broker", "mqtt://127.0.0.1:1")
    assert result.exit_code == 1
    findings = {f["check"]: f for f in json.loads(result.stdout)}
    assert findings["data directory"]["verdict"] == "error"
    assert findings["realm"]["verdict"] == "error"
    assert findings["sessions"]["verdict"] == "warning"


def test_doctor_finds_a_broker_that_cannot_hand_sessions_over(lonely: Cli, tmp_path: Path) -> None:
    with foreign_broker("nats", tmp_path) as url:
        result = lonely("doctor", "--json", "--broker", url)
    assert result.exit_code == 1
    findings = {f["check"]: f for f in json.loads(result.stdout)}
    assert findings["sessions"]["verdict"] == "error"
    assert "did not come again" in findings["sessions"]["detail"]


def test_migratable(lonely: Cli, tmp_path: Path) -> None:
    source, output = APPS / "counter" / "counter.wasm", tmp_path / "out.wasm"
    facts = json.loads(lonely.ok("migratable", str(source), "-o", str(output), "--json"))
    assert facts["output"]["size"] == len(output.read_bytes())
    assert facts["source"]["digest"] == describe(output.read_bytes()).source_digest
    assert "functions can be suspended" in lonely.ok("migratable", str(source), "-o", str(output))


def test_migratable_profiles(lonely: Cli, tmp_path: Path) -> None:
    output = tmp_path / "out.wasm"

    def profile(program: str, *options: str) -> dict[str, str]:
        file = str(APPS / f"{program}.wasm")
        facts = json.loads(lonely.ok("migratable", file, "-o", str(output), "--json", *options))
        chosen = describe(output.read_bytes()).options.profile
        assert facts["profile"]["name"] == chosen
        return facts["profile"]

    assert profile("counter/counter", "--profile", "blocking-only")["name"] == "blocking-only"
    echo = profile("echo/echo")
    assert (echo["name"], "does not run long enough" in echo["why"]) == ("responsive", True)
    assert lonely("migratable", "x", "-o", "y", "--profile", "quick").exit_code == 2


@pytest.mark.parametrize(
    ("words", "form"),
    [
        ((), ("flag", "own", False)),
        (("--frames", "primary"), ("countdown", "primary", False)),
        (("--frames", "primary", "--twins"), ("countdown", "primary", True)),
    ],
)
def test_migratable_forms(
    lonely: Cli, tmp_path: Path, words: tuple[str, ...], form: tuple[str, str, bool]
) -> None:
    source, output = str(APPS / "hello" / "hello.wasm"), str(tmp_path / "out.wasm")
    facts = json.loads(lonely.ok("migratable", source, "-o", output, "--json", *words))
    assert tuple(facts["options"].values()) == form
    chosen = describe(Path(output).read_bytes()).options
    assert (chosen.poll, chosen.frames, chosen.twins) == form


def test_migratable_of_what_only_others_can_run(lonely: Cli, tmp_path: Path) -> None:
    source, output = str(APPS / "faulty" / "badimport.wasm"), str(tmp_path / "out.wasm")
    profile = json.loads(lonely.ok("migratable", source, "-o", output, "--json"))["profile"]
    assert (profile["name"], "cannot be measured here" in profile["why"]) == ("responsive", True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "chosen"), [("bench/sieve", "responsive"), ("bench/nbody", "throughput")]
)
def test_migratable_measures(lonely: Cli, tmp_path: Path, program: str, chosen: str) -> None:
    file, output = str(APPS / f"{program}.wasm"), str(tmp_path / "out.wasm")
    facts = json.loads(lonely.ok("migratable", file, "-o", output, "--json"))
    assert facts["profile"]["name"] == chosen
    assert "2 ms" in facts["profile"]["why"]


def test_migratable_report(lonely: Cli, tmp_path: Path) -> None:
    file, output = str(APPS / "echo" / "echo.wasm"), str(tmp_path / "out.wasm")
    words = ("migratable", file, "-o", output, "--report", "--profile", "responsive")
    text = lonely.ok(*words)
    for word in ("27 of 50", "fd_read, fd_write", "as asked for", "largest frames"):
        assert word in text
    facts = json.loads(lonely.ok(*words, "--json"))["report"]
    assert sum(facts["points"].values()) == sum(describe(Path(output).read_bytes()).points)
    assert facts["polled"] + facts["blocking"] + facts["callers"] == facts["suspendable"]


def test_migratable_of_what_cannot(lonely: Cli, tmp_path: Path) -> None:
    output = tmp_path / "out.wasm"
    result = lonely("migratable", str(APPS / "faulty" / "externref.wasm"), "-o", str(output))
    assert result.exit_code == 1
    assert "externref" in result.stderr
    assert "where: function 1" in result.stderr
    assert "what to do: keep references in tables" in result.stderr
    assert not output.exists()
    assert lonely("migratable", str(tmp_path / "none.wasm"), "-o", str(output)).exit_code == 3


def test_migratable_of_what_is_invalid(lonely: Cli, tmp_path: Path) -> None:
    file, output = tmp_path / "in.wasm", tmp_path / "out.wasm"
    # A function that returns a global which the module does not have.
    file.write_bytes(bytes.fromhex("0061736d010000000105016000017f030201000a0601040023000b"))
    result = lonely("migratable", str(file), "-o", str(output))
    assert result.exit_code == 1
    assert "not a valid program" in result.stderr
