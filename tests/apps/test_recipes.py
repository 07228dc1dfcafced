"""Programs of other people: complete, licensed, working, and what their recipes build to."""

import hashlib
import importlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import wasmtime
from plain_wasi import APPS, Run, module_path

from arts.migratable import prepare

BYTES_MAX = 1_500_000
LEGACY = "languages/cxx-legacy"
"""Uses what this engine has never had: it runs in its prepared form only."""
NAMES = sorted(
    path.stem if path.stem == path.parent.name else f"{path.parent.name}/{path.stem}"
    for path in APPS.glob("*/*.toml")
)


@pytest.fixture
def recipes(builder: ModuleType) -> Any:
    """`wasm-apps/recipes.py` as a module, which the builder imports."""
    assert builder.recipes is importlib.import_module("recipes")
    return builder.recipes


@pytest.fixture
def packages(builder: ModuleType) -> Any:
    """`wasm-apps/packages.py` as a module."""
    return importlib.import_module("packages")


def test_the_interpreters_have_recipes(builder: ModuleType) -> None:
    assert set(NAMES) == set(builder.cooked())
    assert {"lua", "quickjs", "sqlite", "languages/rust"} <= set(NAMES)
    assert not set(NAMES) & set(builder.sources())


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_here_and_its_readme_says_from_where(
    builder: ModuleType, recipes: Any, engine: wasmtime.Engine, name: str
) -> None:
    path = builder.cooked()[name]
    content = module_path(name).read_bytes()
    assert len(content) <= BYTES_MAX
    if name != LEGACY:
        module = wasmtime.Module(engine, content)
        assert {item.module for item in module.imports} == {"wasi_snapshot_preview1"}
    readme = (path.parent / "README.md").read_text()
    assert path.name in readme
    package = recipes.read(path).package
    if package is not None:
        assert f"`{package.name}`" in readme
        assert package.version in readme
        assert (path.parent / "LICENSE").is_file()
    assert f"]({path.parent.name}/)" in (APPS / "README.md").read_text()


SCRIPTS = {
    "lua": (
        "print(pcall(error, 7)) for word in string.gmatch('a bc', '%a+') do print(#word) end",
        ["false\t7", "1", "2"],
    ),
    "quickjs": (
        "try { null.x } catch (error) { print(error.name) } Promise.resolve(1 + 1).then(print)",
        ["TypeError", "2"],
    ),
    "sqlite": (
        "create table t (a, b); insert into t values (1, 'x'), (2, null); select a * 2, b from t",
        ["2|x", "4|"],
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_is_an_argument_or_the_input(run: Callable[..., Run], name: str) -> None:
    script, lines = SCRIPTS[name]
    for ended in (run(name, "-e", script), run(name, stdin=script)):
        assert (ended.code, ended.lines, ended.err) == (0, lines, "")


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_that_is_none_fails(run: Callable[..., Run], name: str) -> None:
    ended = run(name, "-e", "nothing that ( anybody understands")
    assert ended.code == 1
    assert ended.err


@pytest.mark.parametrize("name", ["cxx", "rust", "zig", "assemblyscript"])
def test_a_program_of_another_language_computes(run: Callable[..., Run], name: str) -> None:
    ended = run(f"languages/{name}", 5)
    assert (ended.code, ended.err) == (0, "")
    assert ended.lines[-1].startswith(("end ", "total ", "sum "))
    assert ended.lines != run(f"languages/{name}", 6).lines


def test_both_forms_of_exceptions_do_the_same(run: Callable[..., Run], tmp_path: Path) -> None:
    prepared = tmp_path / "prepared.wasm"
    prepared.write_bytes(prepare(module_path(LEGACY).read_bytes()))
    assert run("languages/cxx", 9).out == run(prepared, 9).out


def test_arguments_reach_the_script(run: Callable[..., Run]) -> None:
    assert run("quickjs", "-e", "print(scriptArgs)", "x", "y").lines == ["x,y"]


# ---------------------------------------------------------------------------- packages


def test_a_package_is_taken_from_the_cache(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "CACHE", tmp_path)
    (tmp_path / "any.tgz").write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    package = packages.Package("npm", "any", "1.0", digest)
    assert packages.fetch(package) == tmp_path / "any.tgz"


def test_a_package_that_is_another_is_refused(
    packages: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "CACHE", tmp_path)
    monkeypatch.setattr(packages, "_download", lambda package: ["touch", "any.tgz"])
    package = packages.Package("npm", "any", "1.0", "0" * 64)
    with pytest.raises(packages.Unavailable, match=r"any\.tgz is not what the recipe names"):
        packages.fetch(package)
    monkeypatch.setattr(packages, "_download", lambda package: ["false"])
    with pytest.raises(packages.Unavailable, match="cannot be had: false"):
        packages.fetch(package)
    assert not list(tmp_path.iterdir())


def test_a_recipe_with_an_unknown_field_is_refused(recipes: Any, tmp_path: Path) -> None:
    path = tmp_path / "app.toml"
    path.write_text('[build]\nsources = []\nflags = []\nspeed = "high"\n')
    with pytest.raises(TypeError, match="speed"):
        recipes.read(path)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # downloads, compiles C libraries, and nobody else may be in a hurry
@pytest.mark.parametrize("name", NAMES)
def test_a_committed_module_is_what_its_recipe_makes(
    builder: ModuleType, recipes: Any, tmp_path: Path, name: str
) -> None:
    rebuilt = tmp_path / "rebuilt.wasm"
    try:
        builder.build(builder.cooked()[name], rebuilt)
    except (recipes.Unavailable, RuntimeError, subprocess.CalledProcessError) as error:
        if "CI" in os.environ or isinstance(error, subprocess.CalledProcessError):
            raise
        pytest.skip(str(error))
    assert rebuilt.read_bytes() == module_path(name).read_bytes()
