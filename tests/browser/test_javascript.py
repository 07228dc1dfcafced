"""The JavaScript of the browser runtime is tested in its own language, by node's own runner."""

import subprocess
from pathlib import Path

import pytest
import wasmtime

from arts.bench.v8 import Node, find_node
from arts.migratable import Continuations, Options, Poll, ResumePoint, describe, prepare

HERE = Path(__file__).parent

ASKING = """(module
  (import "env" "ask" (func $ask (result i32)))
  (memory (export "memory") 1)
  (func $inner (result i32) (call $ask))
  (func (export "run") (result i32) (i32.add (call $inner) (i32.const 1)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "count") (param $n i32) (result i32) (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (local.get $n))))
    (local.get $i)))"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared programs and continuations, as files."""
    folder = tmp_path_factory.mktemp("programs")
    options = Options(Poll.FLAG, blocking=frozenset({("env", "ask")}))
    asking = prepare(wasmtime.wat2wasm(ASKING), options)
    (folder / "asking.wasm").write_bytes(asking)
    points = [ResumePoint(number, 1) for number in range(2)]
    assert describe(asking).points[:2] == (1, 1)
    made = Continuations(asking).module(points)
    (folder / "asking.continuations.wasm").write_bytes(made)
    return folder


@pytest.mark.parametrize("file", sorted(HERE.glob("*.test.mjs")), ids=lambda file: file.stem)
def test_javascript(node: Node, programs: Path, file: Path) -> None:
    command = [str(find_node()), "--test", "--test-reporter=tap", str(file)]
    result = subprocess.run(
        command, capture_output=True, text=True, env={"PROGRAMS": str(programs)}, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "# pass 0" not in result.stdout
