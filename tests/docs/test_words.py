"""What our documents name exists: commands, options, files; and nothing of one machine."""

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from arts.bus.broker import open_broker
from arts.cli import app
from arts.model import Limits
from tests.docs.pages import HOWTO, PAGES, ROOT, blocks, script, spans, typed
from tests.support.broker import require

_TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
_FILE = re.compile(r"(?<![\w./-])[\w-]+/[\w/-]+\.py\b")


def options(command: Any) -> set[str]:
    """The options of a command of ours, or of any in a group."""
    if hasattr(command, "commands"):
        return set().union(*map(options, command.commands.values()))
    parameters = [p for p in command.params if p.param_type_name == "option"]
    return {"-h", "--help"} | {name for p in parameters for name in (*p.opts, *p.secondary_opts)}


def named(page: Path) -> list[list[str]]:
    """Every command of ``arts`` and ``make`` that a page mentions, as words."""
    lines = [*typed(page), *script(page), *(span.split() for span in spans(page))]
    return [words for words in lines if words[:1] in (["arts"], ["make"]) and len(words) > 1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_options_exist(page: Path) -> None:
    arts: Any = get_command(app)
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    for program, name, *rest in named(page):
        if program == "make":
            assert name in targets, f"{page.name}: make {name}"
        elif re.fullmatch(r"[a-z]+", name):
            assert name in arts.commands, f"{page.name}: arts {name}"
            ours = rest[: rest.index("--")] if "--" in rest else rest
            given = {word.split("=")[0] for word in ours if word.startswith("-")}
            assert given <= options(arts.commands[name]), f"{page.name}: arts {name} {rest}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_prompts_are_prompts(page: Path) -> None:
    """So that the tests of the commands see all of them."""
    for line in "".join(blocks(page, "console")).splitlines():
        assert line.startswith("$ "), f"{page.name}: {line}"
    for words in typed(page):
        known = words[0] in ("arts", "make") or shlex.join(words) == "source .venv/bin/activate"
        assert known, f"{page.name}: nothing tests {shlex.join(words)}"


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/first-realm.md"])
def test_there_is_something_to_type(page: str) -> None:
    assert len([words for words in typed(ROOT / page) if words[0] == "arts"]) >= 4


def test_the_next_version_is_being_written() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)$", changelog, re.MULTILINE)
    assert headings[0] == "[Unreleased]"


def test_nothing_of_one_machine_is_committed() -> None:
    """Neither where somebody's checkout or home is, nor where they get their packages."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    here = re.escape(str(ROOT)) + r"(/|\b)"
    pattern = rf"(^|[^[:alnum:]_.]){here}|/(home|Users)/[a-z]+/|(index-url|registry) *=.*://"
    found = subprocess.run(
        ["git", "grep", "-nIE", pattern, "--", ".", f":!{Path(__file__).relative_to(ROOT)}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stdout) == (1, "")


def test_limits_are_those_there_are() -> None:
    page = (HOWTO / "limit-a-module.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert named == [field.name for field in dataclasses.fields(Limits)]


async def test_the_settings_for_mosquitto_are_our_own(tmp_path: Path) -> None:
    require("mosquitto")
    (block,) = blocks(HOWTO / "use-your-broker.md", "text")
    async with open_broker("mosquitto", tmp_path):
        ours = (tmp_path / "mosquitto.conf").read_text(encoding="utf-8").splitlines()
    assert set(block.splitlines()) <= set(ours)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_are_named_exist(page: Path) -> None:
    places = [page.parent, *(ROOT / folder for folder in (".", "arts", "runtime"))]
    for name in (name for span in spans(page) for name in _FILE.findall(span)):
        assert any((place / name).exists() for place in places), f"{page.name} names {name}"
