"""What the reference takes from the code is as fresh as the code."""

from typing import Any

import pytest

from tests.docs.scripts import load


@pytest.fixture(scope="module")
def generate() -> Any:
    """docs/generate.py as a module."""
    return load("generate")


def test_pages_are_fresh(generate: Any) -> None:
    for path, text in generate.pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: make docs"


def test_every_transition_is_drawn(generate: Any) -> None:
    text = generate.states()
    assert "    running --> migrating: moving" in text
    assert "    [*] --> pending: requested" in text
    assert "    restoring --> switching: committed" in text
    assert "    frozen --> released\n" in text


def test_every_field_is_described(generate: Any) -> None:
    text = generate.message_reference()
    assert "### PrepareModule: `prepare`" in text
    assert '| `filename` | `str` | `"afile.wasm"` | |' in text
    assert "| `migration` | `str` | required | |" in text
    assert "object_id |" not in text, "it belongs to the envelope"


def test_every_command_and_setting_is_described(generate: Any) -> None:
    commands = generate.command_reference()
    assert "## arts migrate" in commands
    assert "| `--channel` `-c` | | PATH=TOPIC[:r\\|w\\|rw][:sequenced], repeatable. |" in commands
    assert "exit-with-parent" not in commands, "it is hidden"
    settings = generate.settings_reference()
    assert "| `liveness.lost_after` | `PositiveFloat` | `10.0` | From suspicion" in settings
    assert "| `data_dir` | `Path` | the user's data directory | |" in settings
