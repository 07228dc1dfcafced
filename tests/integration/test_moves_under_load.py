"""Moves while many messages come: none is lost, doubled or out of order.

Few moves by default; a thousand of each with ``ARTS_TEST_PROFILE=soak``.
"""

import asyncio
import os
import time
from contextlib import AsyncExitStack

import pytest

from arts.client import Client
from arts.errors import MigrationFailed
from tests.support.echo import conversation
from tests.support.realm import counted, is_consecutive, module

SOAK = os.environ.get("ARTS_TEST_PROFILE") == "soak"
MOVES = 1000 if SOAK else 10
CALLED_OFF = "did not confirm the module's output in time"
CROWD = 100 if SOAK else 20

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(3600 if SOAK else 150),
    pytest.mark.slow,
]


def may_be_called_off(broker_kind: str, rate: int) -> bool:
    """An embedded broker that cannot keep up confirms too late for a move, and says so."""
    return (broker_kind, rate) == ("embedded", 5000)


@pytest.mark.parametrize("rate", [10, 200, 5000])
async def test_exactly_once_at_a_rate(client: Client, broker_kind: str, rate: int) -> None:
    """Messages a second; what this machine cannot do is offered as fast as it can be answered.

    Moves are done, or called off where they may be; messages are answered once and in order anyway.
    """
    called_off = 0
    async with conversation(client, interval=1 / rate) as (echo, talking):
        await talking.answers.more(3)
        began = time.monotonic()
        for _ in range(MOVES):
            try:
                await client.move(echo.uuid)
            except MigrationFailed as error:
                if not may_be_called_off(broker_kind, rate) or CALLED_OFF not in str(error):
                    raise
                called_off += 1
            await talking.answers.more(1)
        took = time.monotonic() - began
    print(
        f"{MOVES} moves in {took:.1f} s, {called_off} of them called off,",
        f"{len(talking.answers.seen) / took:.0f}/s of {rate}/s:",
        talking.summary(),
    )


async def test_a_crowd_moves_at_once(client: Client) -> None:
    """All modules of a runtime, each with its own move, and each counts on."""
    async with AsyncExitStack() as stack:
        opened = [module(client, "counter", 200, parent="runtime-1") for _ in range(CROWD)]
        crowd = await asyncio.gather(*map(stack.enter_async_context, opened))
        began = time.monotonic()
        await asyncio.gather(*(client.move(one.uuid, "runtime-2") for one in crowd))
        print(f"{CROWD} modules moved in {time.monotonic() - began:.2f} s")
        for one in crowd:
            await one.output.more(2)
            numbers = counted(one.lines)
            assert numbers[0] == 1
            assert is_consecutive(numbers)
