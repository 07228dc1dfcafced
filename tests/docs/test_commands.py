"""The commands and the code in our documents work as they stand there, in a real realm.

Left out is what does not end (``-f``, ``--watch``), what installs, and what needs a second
terminal to be seen; the tests of the command line see to those.
"""

import asyncio
import os
import re
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from arts.cli.local_realm import LocalRealm
from tests.support.realm import running_realm

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

ROOT = Path(__file__).parents[2]

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_ENDLESS = ("-f", "--watch")


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [body for kind, body in _BLOCK.findall(text) if kind == language]


def commands(page: str, language: str = "console") -> list[list[str]]:
    """The ``arts`` commands of a page that come to an end."""
    lines = "\n".join(blocks(page, language)).splitlines()
    found = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [words for words in found if words[:1] == ["arts"] and not set(_ENDLESS) & set(words)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def realm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalRealm]:
    """A realm such as the reader has; the broker that is always there."""
    async with running_realm("embedded", tmp_path_factory.mktemp("docs")) as realm:
        yield realm


async def run(*words: str, realm: LocalRealm, cwd: Path) -> str:
    """Run a program in that realm; what it printed. Fails if it does."""
    environment = os.environ | {"ARTS_BROKER": realm.broker_url, "ARTS_REALM": realm.name}
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=cwd,
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, f"{shlex.join(words)}: {output.decode()}"
    return output.decode()


async def run_all(found: list[list[str]], realm: LocalRealm, cwd: Path) -> list[str]:
    """Run ``arts`` commands one after the other; what each printed."""
    return [
        await run(sys.executable, "-m", *words, realm=realm, cwd=cwd)
        for words in found
        if words[1] not in ("up", "demo")
    ]


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial/first-realm.md"])
async def test_what_the_reader_types(page: str, realm: LocalRealm, tmp_path: Path) -> None:
    found = commands(page)
    assert len(found) >= 4
    await run_all(found, realm, tmp_path)


async def test_a_script_without_arts(realm: LocalRealm, tmp_path: Path) -> None:
    (code,) = blocks("docs/howto/use-mqtt-directly.md", "python")
    script = tmp_path / "script.py"
    script.write_text(code)
    host, port = realm.broker_url.removeprefix("mqtt://").split(":")
    said = await run(sys.executable, str(script), host, port, realm.name, realm=realm, cwd=tmp_path)
    assert said.startswith("ok ")


@pytest.mark.slow
async def test_a_module_of_ones_own(realm: LocalRealm, tmp_path: Path) -> None:
    pytest.importorskip("ziglang", reason="the compiler is not installed")
    page = "docs/howto/write-a-module.md"
    (code,) = blocks(page, "c")
    (tmp_path / "shout.c").write_text(code)
    build = next(
        line for line in blocks(page, "sh")[0].splitlines() if "zig" in line and "-m" in line
    )
    _, *words = shlex.split(build)
    await run(sys.executable, *words, realm=realm, cwd=tmp_path)
    await run_all([w for w in commands(page, "sh") if w[1] != "exec"], realm, tmp_path)
