"""Where settings come from, in which order, and what is said about nonsense."""

from dataclasses import fields
from pathlib import Path

import pytest
from pydantic import ValidationError

from arts.errors import SettingsError
from arts.realm.state import RealmSettings
from arts.settings import Liveness, Settings, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the developer's own."""
    for name in ("REALM", "BROKER", "DATA_DIR", "HTTP__PORT", "LIVENESS__LOST_AFTER"):
        monkeypatch.delenv(f"ARTS_{name}", raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file."""
    file = tmp_path / "arts.toml"
    file.write_text('realm = "of-file"\npolicy = "spread"\n[http]\nport = 1\nhost = "::1"\n')
    return file


def test_defaults_keep_to_this_machine() -> None:
    settings = load_settings()
    assert (settings.realm, settings.broker) == ("realm", "auto")
    assert settings.http.host == settings.listen.host == "127.0.0.1"


def test_the_file_the_environment_and_the_command_line_in_this_order(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTS_REALM", "of-environment")
    monkeypatch.setenv("ARTS_HTTP__PORT", "2")
    assert load_settings(file).realm == "of-environment"
    settings = load_settings(file, realm="of-command-line", http={"port": None})
    assert settings.realm == "of-command-line"
    assert settings.policy == "spread"
    assert (settings.http.port, settings.http.host) == (2, "::1")


def test_none_overrides_nothing(file: Path) -> None:
    settings = load_settings(file, realm=None, http={"port": None})
    assert (settings.realm, settings.http.port) == ("of-file", 1)


def test_a_broker_url_is_text_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTS_BROKER", "mqtt://somewhere:1883")
    assert load_settings().broker == "mqtt://somewhere:1883"


@pytest.mark.parametrize(
    ("overrides", "culprit"),
    [
        ({"http": {"prt": 1}}, "http.prt"),
        ({"http": {"port": 70_000}}, "http.port"),
        ({"realm": "a/b"}, "realm"),
        ({"realm": ""}, "realm"),
        ({"store": {"synchronous": "sometimes"}}, "store.synchronous"),
        ({"liveness": {"lost_after": -1}}, "liveness.lost_after"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_nonsense_is_named(overrides: dict[str, object], culprit: str) -> None:
    with pytest.raises(SettingsError, match=culprit):
        load_settings(**overrides)


def test_unreadable_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "arts.toml"
    with pytest.raises(SettingsError, match="no configuration file"):
        load_settings(file)
    file.write_text("realm = ")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(file)
    monkeypatch.setenv("ARTS_HTTP", "{")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings()


def test_settings_cannot_be_changed() -> None:
    settings = load_settings()
    with pytest.raises(ValidationError):
        settings.realm = "other"
    with pytest.raises(ValidationError):
        settings.http.port = 1


def test_the_realm_understands_every_number_of_liveness() -> None:
    understood = {field.name: field.default for field in fields(RealmSettings)}
    for name, field in Liveness.model_fields.items():
        assert field.default == understood[name], name


def test_the_environment_is_read_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTS_POLICY", "binpack")
    assert Settings().policy == "binpack"
    assert Settings(policy="spread").policy == "spread"
