"""Every command that talks to a realm, against a real one."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import APPS, Cli
from tests.support.broker import unique


@pytest.fixture
def counter(arts: Cli) -> Iterator[str]:
    """The name of a running counter."""
    name = unique("counter")
    arts.ok("run", "counter", "50", "--name", name)
    yield name
    arts("rm", "--force", name)


def document(arts: Cli, name: str) -> dict[str, object]:
    """A module as ``arts inspect`` shows it to programs."""
    value: dict[str, object] = json.loads(arts.ok("inspect", name, "--json"))
    return value


# ---- run


def test_run_follows_a_program_to_its_exit_code(arts: Cli) -> None:
    result = arts("run", "--follow", "hello", "a b", "-e", "GREETING=hi", "--args", "'c d' e")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[:1] == ["hello"]
    for line in ("arg 1: a b", "arg 2: c d", "arg 3: e", "GREETING=hi"):
        assert line in result.stdout
    assert arts("run", "-f", "faulty/exit-code").exit_code == 3


def test_run_says_where_it_runs(arts: Cli, counter: str) -> None:
    assert document(arts, counter)["state"] == "running"
    result = arts("run", "counter", "50", "--name", f"{counter}-2", "--parent", "runtime-2")
    assert f"{counter}-2" in result.stdout
    assert "is running on runtime-2" in result.stdout
    arts.ok("rm", "--force", f"{counter}-2")


def test_run_uploads_a_file_that_is_here(arts: Cli, tmp_path: Path) -> None:
    file = tmp_path / f"{unique('mine')}.wasm"
    file.write_bytes((APPS / "hello" / "hello.wasm").read_bytes())
    module = json.loads(arts.ok("run", str(file), "--json"))
    assert module["name"] == file.stem
    assert module["program"]["refusal"] is None
    file.unlink()
    assert arts("run", "--follow", file.stem).exit_code == 0


def test_run_with_a_profile(arts: Cli) -> None:
    words = ("run", "counter", "50", "--name", unique("counter"), "--json")
    module = json.loads(arts.ok(*words, "--profile", "blocking-only"))
    assert module["program"]["profile"] == module["profile"] == "blocking-only"
    arts.ok("rm", "--force", module["uuid"])


def test_run_says_so_if_a_program_cannot_move(arts: Cli) -> None:
    result = arts("run", str(APPS / "faulty" / "externref.wasm"))
    assert result.exit_code == 0
    assert "cannot be moved" in result.stderr


def test_run_of_what_is_no_program(arts: Cli) -> None:
    result = arts("run", str(APPS / "faulty" / "notwasm.wasm"))
    assert result.exit_code == 1
    assert "not WebAssembly" in result.stderr
    unknown = arts("run", "no-such-program")
    assert unknown.exit_code == 1
    assert "no-such-program" in unknown.stderr


def test_run_of_a_program_that_fails(arts: Cli) -> None:
    result = arts("run", "--follow", "faulty/trap")
    assert result.exit_code == 1
    assert "failed: unreachable" in result.stderr


def test_run_on_a_runtime_that_does_not_exist(arts: Cli) -> None:
    result = arts("run", "hello", "--parent", "runtime-99")
    assert result.exit_code == 3
    assert "runtime-99" in result.stderr


def test_run_with_channels(arts: Cli) -> None:
    topic, name = unique("echo"), unique("echo")
    arts.ok("run", "echo", "-c", f"/ch/in={topic}/in:r", "-c", f"/ch/out={topic}/out:w",
            "--name", name)  # fmt: skip
    channels = document(arts, name)["channels"]
    assert channels == [
        {"path": "/ch/in", "topic": f"{topic}/in", "mode": "r", "qos": 1, "sequenced": False},
        {"path": "/ch/out", "topic": f"{topic}/out", "mode": "w", "qos": 1, "sequenced": False},
    ]
    arts.ok("rm", "--force", name)


def test_bad_requests_are_refused_before_anything_happens(arts: Cli) -> None:
    assert arts("run", "echo", "-c", "nonsense").exit_code == 2
    assert arts("run", "echo", "-c", "/tmp/in=topic").exit_code == 2


# ---- migrate, rm


def test_migrate_there_and_back(arts: Cli, counter: str) -> None:
    before = document(arts, counter)["parent"]
    assert isinstance(before, dict)
    other = {"runtime-1": "runtime-2", "runtime-2": "runtime-1"}[before["name"]]
    text = arts.ok("migrate", counter, "--to", other)
    assert f"moved from {before['name']} to {other}" in text
    assert "ms downtime" in text
    moved = json.loads(arts.ok("migrate", counter, "--json"))
    assert (moved["from"], moved["to"]) == (other, before["name"])
    assert document(arts, counter)["generation"] == 3


def test_migrate_only_planned(arts: Cli, counter: str) -> None:
    before = document(arts, counter)
    text = arts.ok("migrate", counter, "--plan")
    assert "would move from" in text
    assert "way: stop and copy" in text
    assert re.search(r"it would stand still for about \d+ ms", text)
    planned = json.loads(arts.ok("migrate", counter, "--plan", "--json"))
    assert planned["measured"]["unknown"] is None
    assert 0 < planned["measured"]["used_bytes"] <= planned["measured"]["memory_bytes"]
    assert arts("migrate", counter, "--plan", "--to", "runtime-99").exit_code == 3
    assert document(arts, counter)["generation"] == before["generation"]


def test_migrate_what_cannot(arts: Cli, counter: str) -> None:
    assert arts("migrate", "no-such-module").exit_code == 3
    assert arts("migrate", counter, "--to", "runtime-99").exit_code == 3
    name = unique("done")
    arts.ok("run", "-f", "hello", "--name", name)
    assert arts("migrate", name).exit_code == 4


def test_rm_several(arts: Cli) -> None:
    names = [unique("gone") for _ in range(2)]
    for name in names:
        arts.ok("run", "counter", "--name", name)
    text = arts.ok("rm", "--force", *names)
    assert text.splitlines() == [f"{name} is gone" for name in names]
    assert arts("rm", names[0]).exit_code == 3


def test_rm_tells_programs(arts: Cli, counter: str) -> None:
    (gone,) = json.loads(arts.ok("rm", counter, "--json"))
    assert gone["name"] == counter


# ---- ps, inspect, why


def test_ps_lists_runtimes_and_modules(arts: Cli, counter: str) -> None:
    text = arts.ok("ps")
    for word in ("runtime-1", "runtime-2", "online", counter, "running"):
        assert word in text
    realm = json.loads(arts.ok("ps", "--json"))
    assert {runtime["name"] for runtime in realm["runtimes"]} == {"runtime-1", "runtime-2"}
    assert counter in [module["name"] for module in realm["modules"]]
    assert arts("ps", "--watch", "--json").exit_code == 2


def test_inspect_takes_names_uuids_and_beginnings(arts: Cli, counter: str) -> None:
    uuid = str(document(arts, counter)["uuid"])
    assert document(arts, uuid)["name"] == counter
    assert document(arts, uuid[:13])["name"] == counter
    assert document(arts, "runtime-1")["type"] == "runtime"
    text = arts.ok("inspect", counter)
    assert uuid in text
    assert "module.started" in text
    assert arts("inspect", "nobody").exit_code == 3


def test_why(arts: Cli, counter: str) -> None:
    text = arts.ok("why", counter)
    assert "chosen" in text
    assert "least-modules" in text
    decision = json.loads(arts.ok("why", counter, "--json"))
    assert {candidate["name"] for candidate in decision["candidates"]} == {
        "runtime-1",
        "runtime-2",
    }
    assert arts("why", "nobody").exit_code == 3


# ---- logs, events


def test_logs_shows_lines_as_they_come(arts: Cli, counter: str) -> None:
    result = arts("logs", counter, "--for", "0.5")
    assert result.exit_code == 0
    numbers = [int(line.removeprefix("count ")) for line in result.stdout.splitlines()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert "-f follows" in result.stderr
    lines = arts.ok("logs", counter, "--for", "0.5", "--json").splitlines()
    assert json.loads(lines[0])["stream"] == "stdout"


def test_logs_of_an_ended_module_end(arts: Cli) -> None:
    name = unique("done")
    arts.ok("run", "-f", "hello", "--name", name)
    assert arts("logs", "-f", name).exit_code == 0
    assert arts("logs", "nobody").exit_code == 3


def test_events_are_quiet_when_nothing_happens(arts: Cli) -> None:
    assert arts.ok("events", "--for", "0.1") == ""


def test_doctor_finds_the_realm(arts: Cli) -> None:
    findings = {f["check"]: f for f in json.loads(arts.ok("doctor", "--json"))}
    assert findings["realm"]["verdict"] == "ok"
    assert "2 runtimes" in findings["realm"]["detail"]
    assert findings["sessions"]["verdict"] == "ok"
