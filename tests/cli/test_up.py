"""``arts up`` and what becomes of it when parts of it die. Nothing may be left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from arts.cli import app
from tests.cli.conftest import Cli
from tests.cli.realm_process import CHECKOUT, RealmProcess, realm_process, until


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RealmProcess]:
    """A small realm that the test may break."""
    with realm_process(tmp_path, "--runtimes", "1") as realm:
        realm.wait_until_up()
        yield realm


def arts_in(realm: RealmProcess) -> Cli:
    """``arts`` in a second terminal."""
    return Cli({"ARTS_DATA_DIR": str(realm.data_dir)})


def gone(processes: list[psutil.Process]) -> None:
    """Every one of these ends."""
    until(lambda: not any(alive(process) for process in processes), f"all of {processes} gone")


def alive(process: psutil.Process) -> bool:
    """Whether it runs (a zombie does not)."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_up_shows_what_is_where_and_what_to_try(up: RealmProcess) -> None:
    for word in (str(up.run_file["broker"]), str(up.run_file["http"]), "runtime-2", "arts run"):
        assert word in up.output
    assert (up.data_dir / "run.json").stat().st_mode & 0o077 == 0


def test_a_second_realm_needs_another_directory(up: RealmProcess) -> None:
    result = CliRunner().invoke(app, ["up", "--data-dir", str(up.data_dir)])
    assert result.exit_code == 4
    assert "already" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_everything_in_order(tmp_path: Path, number: int) -> None:
    with realm_process(tmp_path, "--runtimes", "1") as realm:
        realm.wait_until_up()
        family = realm.family()
        assert len(family) >= 3
        assert realm.stop(number) == 0
        gone(family)
        assert "Stopping" in realm.output
        assert not (tmp_path / "run.json").exists()
        log = (tmp_path / "logs" / "supervisor.log").read_text()
        assert "supervisor.stopped" in log
        assert "runtime.removed" in log or "runtime.left" in log


def test_kill_leaves_nothing_behind(own: RealmProcess) -> None:
    family = own.family()
    own.process.kill()
    own.process.wait()
    gone(family)
    result = arts_in(own)("ps")
    assert result.exit_code == 5
    assert "arts up" in result.stderr


def test_a_runtime_that_dies_is_started_again(own: RealmProcess) -> None:
    arts = arts_in(own)
    before = json.loads(arts.ok("inspect", "runtime-1", "--json"))
    own.child("runtime-1").kill()
    until(lambda: "runtime-1 died (signal 9)" in own.output, "reported")

    def back() -> bool:
        result = arts("inspect", "runtime-1", "--json")
        return (
            result.exit_code == 0 and json.loads(result.stdout)["instance"] != (before["instance"])
        )

    until(back, "runtime-1 is back")
    after = json.loads(arts.ok("inspect", "runtime-1", "--json"))
    assert after["uuid"] == before["uuid"]


def test_without_its_supervisor_everything_stops(own: RealmProcess) -> None:
    family = own.family()
    own.child(" serve ").kill()
    assert own.process.wait(30) == 1
    assert "supervisor ended (signal 9)" in own.output
    gone(family)


def test_a_broker_that_dies_is_started_again(own: RealmProcess) -> None:
    arts = arts_in(own)
    name = "survivor"
    arts.ok("run", "counter", "50", "--name", name)
    broker = own.child("mosquitto" if "(mosquitto)" in own.output else "iotcore")
    broker.kill()
    until(lambda: "the broker died; starting it again" in own.output, "reported")
    until(lambda: arts("inspect", name).exit_code == 0, "the realm answers")
    # Its runtime comes back in its own time.
    until(lambda: len(arts.ok("logs", name, "--for", "0.5").splitlines()) > 1, "it counts on")


def test_up_with_a_broker_of_somebody_else(up: RealmProcess, tmp_path: Path) -> None:
    broker = str(up.run_file["broker"]).replace("//", "//me:secret@")
    options = ("--runtimes", "0", "--realm", "other", "--broker", broker)
    with realm_process(tmp_path, *options) as realm:
        realm.wait_until_up()
        assert realm.run_file["broker"] == broker
        (supervisor,) = realm.family()
        assert "secret" not in " ".join(supervisor.cmdline())
        assert "secret" not in realm.output
        arts = arts_in(realm)
        assert json.loads(arts.ok("ps", "--json"))["realm"] == "other"
        assert arts("run", "hello").exit_code == 4


def test_up_that_cannot(tmp_path: Path) -> None:
    nowhere = ["--data-dir", str(tmp_path), "--broker", "mqtt://127.0.0.1:1"]
    result = CliRunner().invoke(app, ["up", *nowhere])
    assert result.exit_code in (1, 5)
    assert result.stderr.strip() != ""
    assert "Traceback" not in result.output


def test_a_supervisor_ends_with_its_stdin(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "arts", "serve", "--data-dir", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--exit-with-parent"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "ARTS_LOG__FORMAT": "json"},
    ) as process:
        assert process.stderr is not None
        while b"realm.restored" not in process.stderr.readline():
            assert process.poll() is None
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


def test_a_signal_while_starting_leaves_nothing_behind(tmp_path: Path) -> None:
    with realm_process(tmp_path, "--runtimes", "2") as realm:
        until(lambda: len(realm.family()) >= 3, "half of it runs")
        family = realm.family()
        assert realm.stop() == 0
        gone(family)


def test_programs_reach_a_runtime_without_http(tmp_path: Path) -> None:
    config = tmp_path / "arts.toml"
    config.write_text('[http]\npublic_url = "http://127.0.0.1:1"\n')
    with realm_process(tmp_path, "--runtimes", "1", "--config", str(config)) as realm:
        realm.wait_until_up()
        assert arts_in(realm)("run", "--follow", "hello").exit_code == 0
        log = (tmp_path / "logs" / "runtime-1.log").read_text()
        assert "program.no_http" in log
