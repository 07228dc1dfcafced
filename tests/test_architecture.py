"""Who may import whom (``[tool.importlinter]`` in pyproject.toml), and what nobody does."""

import ast
from pathlib import Path

import pytest
from importlinter import cli

ROOT = Path(__file__).parents[1]
LONGEST = 450
SUITE = ROOT / "runtime" / "conformance.py"  # tests that ship: long, but read piece by piece
SOURCES = sorted(path for package in ("arts", "runtime") for path in (ROOT / package).rglob("*.py"))


def test_imports_keep_their_contracts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    assert cli.lint_imports(no_cache=True) == cli.EXIT_STATUS_SUCCESS


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_file_says_what_it_is_and_stays_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        return  # a package without anything to say
    assert ast.get_docstring(ast.parse(text)), "it opens with a docstring"
    assert len(text.splitlines()) <= LONGEST or path == SUITE
