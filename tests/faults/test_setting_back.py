"""A module that was set back on purpose: what came after that checkpoint is of a former life."""

import asyncio
from itertools import pairwise

import pytest

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.demo.box import step_of
from tests.faults.test_recovery import lose_its_runtime
from tests.support.broker import unique
from tests.support.realm import module

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(150),
    pytest.mark.slow,
]

DURABLE = {"durability": "checkpoint", "checkpoint_interval": 3600}


async def test_its_runtime_dies_before_it_has_another(realm: LocalRealm, client: Client) -> None:
    async with module(client, "counter", 20, **DURABLE) as counter:
        first = (await client.checkpoint(counter.uuid))["number"]
        second = (await client.checkpoint(counter.uuid))["number"]
        assert second > first
        await client.restore(counter.uuid, first)
        await counter.until(lambda d: d["state"] == "running" and d["generation"] == 2)
        for _ in range(2):
            document = await lose_its_runtime(client, realm, counter)
            assert document["restored_from"]["number"] == first


async def test_who_reads_its_sequenced_channel_hears_it_at_once(
    realm: LocalRealm, client: Client
) -> None:
    """Though its numbers are none that are higher; and only then: not when its runtime dies."""
    topic = f"box/{unique('where')}"
    channel = {"path": "/ch/scene", "type": "mqtt", "mode": "w", "topic": topic, "sequenced": True}
    async with client.messages(topic, sequenced=True) as messages:

        async def steps(count: int) -> list[int | None]:
            async with asyncio.timeout(60):
                return [step_of((await anext(messages)).payload) for _ in range(count)]

        async with module(client, "moving-box", channels=[channel], **DURABLE) as box:
            await steps(2)
            first = (await client.checkpoint(box.uuid))["number"]
            before = await steps(30)
            await lose_its_runtime(client, realm, box)
            before += await steps(30)
            assert is_each_the_next(before)
            await client.restore(box.uuid, first)
            after = await steps(60)
            assert not is_each_the_next(before + after)
            begun = next(at for at, step in enumerate(after) if step in before)
            assert is_each_the_next(after[begun:])


def is_each_the_next(steps: list[int | None]) -> bool:
    """Whether nothing was heard twice or not at all."""
    return all(old is not None and new == (old + 1) % 120 for old, new in pairwise(steps))
