"""A real realm for the command line: ``arts up`` as a user starts it, once a test session."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from arts.cli import app
from tests.cli.realm_process import RealmProcess, realm_process

APPS = Path(__file__).parents[2] / "wasm-apps"


class Cli:
    """Runs ``arts`` in this process, as the user of one realm."""

    def __init__(self, environment: dict[str, str]) -> None:
        others = {name: None for name in os.environ if name.startswith("ARTS_")}
        self._environment: dict[str, str | None] = others | environment

    def __call__(self, *arguments: str) -> Result:
        """Run one command."""
        return CliRunner().invoke(app, list(arguments), env=self._environment)

    def ok(self, *arguments: str) -> str:
        """Run a command that must succeed; its stdout."""
        result = self(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealmProcess]:
    """A realm with two runtimes that no test may break."""
    with realm_process(tmp_path_factory.mktemp("realm"), "--runtimes", "2") as realm:
        realm.wait_until_up()
        yield realm


@pytest.fixture
def arts(up: RealmProcess) -> Cli:
    """``arts`` in a second terminal: it finds the realm by the data directory."""
    return Cli({"ARTS_DATA_DIR": str(up.data_dir)})


@pytest.fixture
def lonely(tmp_path: Path) -> Cli:
    """``arts`` where no realm is."""
    return Cli({"ARTS_DATA_DIR": str(tmp_path / "data")})
