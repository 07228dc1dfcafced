"""``arts demo`` as a user runs it: a realm from nothing, four modules on the move, a verdict."""

import asyncio
import sys

import pytest

from tests.support.broker import BROKER_KINDS, require


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", BROKER_KINDS)
async def test_the_demo_loses_nothing(kind: str) -> None:
    require(kind)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "arts", "demo", "--rounds", "2", "--broker", kind),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    text = output.decode()
    assert process.returncode == 0, text
    for name in ("counter", "queens", "echo", "box"):
        assert f"✓ {name}" in text, text
