"""Brokers that ARTS refuses, to see that it does: each on a free port, for synchronous code."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from socket import create_connection, create_server

import pytest

from arts.bench.v8 import find_node

_AEDES = Path(__file__).parents[2] / ".venv" / "aedes"
_SERVE = """
import { Aedes } from "aedes"
import { createServer } from "node:net"
createServer((await Aedes.createBroker()).handle).listen(Number(process.argv[1]), "127.0.0.1")
"""

_NATS = """
server_name: test
listen: "127.0.0.1:-1"
jetstream {{ store_dir: "{directory}" }}
mqtt {{ listen: "127.0.0.1:{port}" }}
"""


@contextmanager
def foreign_broker(kind: str, directory: Path) -> Iterator[str]:
    """The URL of a broker of this kind, as long as the block lasts."""
    with closing(create_server(("127.0.0.1", 0))) as probe:
        port = probe.getsockname()[1]
    if kind == "nats":
        executable = Path(sys.executable).with_name("nats-server")
        config = directory / "nats.conf"
        config.write_text(_NATS.format(directory=directory / "nats", port=port))
        command, folder = [str(executable), "-c", str(config)], directory
        there = executable.is_file()
    else:
        command = [str(find_node()), "--input-type=module", "-e", _SERVE, str(port)]
        folder, there = _AEDES, (_AEDES / "node_modules").is_dir()
    if not there:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{kind}: run tests/setup.sh")
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"mqtt://127.0.0.1:{port}"
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
