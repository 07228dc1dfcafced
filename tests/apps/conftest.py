"""Fixtures of the example programs: a metered engine, a way to run, and the build script."""

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import wasmtime
from plain_wasi import APPS, Run, new_engine, run_program


@pytest.fixture(scope="session")
def engine() -> wasmtime.Engine:
    """One engine for all tests."""
    return new_engine()


@pytest.fixture
def run(engine: wasmtime.Engine, tmp_path: Path) -> Callable[..., Run]:
    """`plain_wasi.run_program` in a folder of the test's own."""
    folder = tmp_path / "run"
    folder.mkdir()
    return partial(run_program, engine, folder)


@pytest.fixture(scope="session")
def builder() -> ModuleType:
    """`wasm-apps/build.py` as a module: it is a script, not part of a package."""
    sys.path.append(str(APPS))
    spec = importlib.util.spec_from_file_location("wasm_apps_build", APPS / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
