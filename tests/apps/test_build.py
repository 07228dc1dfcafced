"""The committed modules are small, complete, and what the committed sources build to."""

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import wasmtime
from plain_wasi import APPS, Run, module_path

PAGES_MAX = 2  # 64 KiB each: what a snapshot starts from
BYTES_MAX = 64 * 1024


@pytest.fixture
def toolchain() -> None:
    """Skips where there is no compiler, but never in CI."""
    if importlib.util.find_spec("ziglang") is None:
        if "CI" in os.environ:
            pytest.fail("CI must have the `apps` extra: ziglang is not installed")
        pytest.skip("needs the `apps` extra")


def copied(name: str, folder: Path) -> Path:
    """A copy of a source file of `wasm-apps`, elsewhere."""
    folder.mkdir()
    return Path(shutil.copy(APPS / name, folder))


def test_every_source_has_a_small_module(builder: ModuleType, engine: wasmtime.Engine) -> None:
    programs = builder.sources()
    assert {"hello", "queens", "faulty/spin", "faulty/externref", "bench/queens"} <= set(programs)
    for name in programs:
        content = module_path(name).read_bytes()
        assert len(content) <= BYTES_MAX, name
        exports = {item.name: item.type for item in wasmtime.Module(engine, content).exports}
        assert set(exports) == {"memory", "_start"}, name
        memory = exports["memory"]
        assert isinstance(memory, wasmtime.MemoryType)
        assert memory.limits.min <= PAGES_MAX, name


def test_programs_need_nothing_but_wasi(builder: ModuleType, engine: wasmtime.Engine) -> None:
    for name in builder.sources().keys() - {"faulty/badimport"}:
        module = wasmtime.Module(engine, module_path(name).read_bytes())
        needed = {item.module for item in module.imports}
        assert needed == {"wasi_snapshot_preview1"}, name


def test_every_program_is_in_the_readmes(builder: ModuleType) -> None:
    overview = (APPS / "README.md").read_text()
    for name in builder.sources():
        folder, _, program = name.rpartition("/")
        assert f"`{program}`" in overview, name
        assert program in (APPS / (folder or program) / "README.md").read_text(), name


@pytest.mark.usefixtures("toolchain")
@pytest.mark.timeout(300)  # a cold cache compiles the C library first
def test_a_rebuilt_program_is_the_committed_one(
    builder: ModuleType, run: Callable[..., Run], tmp_path: Path
) -> None:
    rebuilt = tmp_path / "counter.wasm"
    builder.build(copied("counter/counter.c", tmp_path / "elsewhere"), rebuilt)
    assert run(rebuilt, 0, 2).out == run("counter", 0, 2).out == "count 1\ncount 2\n"
    assert rebuilt.read_bytes() == module_path("counter").read_bytes()


def test_text_modules_are_up_to_date(builder: ModuleType) -> None:
    names = [name for name, source in builder.sources().items() if source.suffix == ".wat"]
    assert len(names) == 3
    assert builder.main(["--check", *names]) == 0


@pytest.mark.parametrize("content", [None, b"something else"])
def test_a_stale_module_is_noticed(
    builder: ModuleType, tmp_path: Path, content: bytes | None
) -> None:
    source = copied("faulty/externref.wat", tmp_path / "elsewhere")
    if content is not None:
        source.with_suffix(".wasm").write_bytes(content)
    assert builder.differs(source)
    builder.build(source, source.with_suffix(".wasm"))
    assert not builder.differs(source)


def test_another_toolchain_is_refused(
    builder: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(builder, "ZIGLANG", "0.0.1")
    with pytest.raises(RuntimeError, match=r"need ziglang 0\.0\.1, found"):
        builder.build(APPS / "hello/hello.c", tmp_path / "hello.wasm")


def test_an_unknown_program_is_refused(
    builder: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        builder.main(["nonesuch"])
    assert "no such program: nonesuch" in capsys.readouterr().err
