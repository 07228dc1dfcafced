"""Moves while many messages come: none is lost, doubled or out of order.

Few moves by default; a thousand of each with ``ARTS_TEST_PROFILE=soak``.
"""

import asyncio
import os
import time
from contextlib import AsyncExitStack

import pytest

from arts.client import Client
from tests.support.echo import conversation
from tests.support.realm import counted, is_consecutive, module

SOAK = os.environ.get("ARTS_TEST_PROFILE") == "soak"
MOVES = 1000 if SOAK else 10
CROWD = 100 if SOAK else 20

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(3600 if SOAK else 150),
    pytest.mark.slow,
]


def is_possible(broker_kind: str, rate: int) -> bool:
    """An embedded broker that cannot keep up confirms too late, so that moves are called off."""
    return (broker_kind, rate) != ("embedded", 5000)


@pytest.mark.combinations(run=is_possible)
@pytest.mark.parametrize("rate", [10, 200, 5000])
async def test_exactly_once_at_a_rate(client: Client, rate: int) -> None:
    """Messages a second; what this machine cannot do is offered as fast as it can be answered."""
    async with conversation(client, interval=1 / rate) as (echo, talking):
        await talking.answers.more(3)
        began = time.monotonic()
        for _ in range(MOVES):
            await client.move(echo.uuid)
            await talking.answers.more(1)
        took = time.monotonic() - began
    print(
        f"{MOVES} moves in {took:.1f} s, {len(talking.answers.seen) / took:.0f}/s of {rate}/s:",
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
