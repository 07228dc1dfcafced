"""One node process for all tests of a worker: what runs in it knows nothing of the others."""

import os
from collections.abc import Iterator

import pytest

from arts.bench.v8 import Node, find_node
from arts.errors import NotFound


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """A V8 with several memories and new exceptions, from the Python package."""
    try:
        executable = find_node()
    except NotFound as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(str(error))
    with Node(executable) as process:
        yield process
