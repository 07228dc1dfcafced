"""A program that was slow to pause polls more at its next start, in a realm of real processes."""

import pytest

from arts.client import Client
from tests.support.broker import unique
from tests.support.nest import nest
from tests.support.realm import PATIENCE

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_slow_pause_is_remembered(client: Client) -> None:
    name = unique("nest")
    program = await client.upload(nest(30_000_000), name=name)
    assert program["profile"] == "throughput"

    async def start() -> tuple[str, str]:
        module = await client.create(name)
        await client.wait_state(module["uuid"], ["running"], timeout=PATIENCE)
        document = await client.query("module", module["uuid"])
        return module["uuid"], document["program"]["profile"]

    slow, profile = await start()
    assert profile == "throughput"
    for _ in range(3):  # once it could be just at the end of its inner loop
        await client.move(slow)
    quick, profile = await start()
    assert profile == "responsive"
    document = await client.query("module", slow)
    assert document["program"]["profile"] == "throughput", "what runs goes on as it is"
    await client.move(slow)
    for module in (slow, quick):
        await client.delete(module, force=True)


async def test_who_asks_for_a_profile_gets_it(client: Client) -> None:
    name = unique("nest")
    program = await client.upload(nest(1000), name=name, profile="responsive")
    assert program["profile"] == "responsive"
    module = await client.create(name, profile="blocking-only")
    document = await client.wait_state(module["uuid"], ["running"], timeout=PATIENCE)
    assert (document["profile"], document["program"]["profile"]) == ("blocking-only",) * 2
    await client.delete(module["uuid"], force=True)
