"""A module that leaves many messages unread and goes on writing: where a broker has a window of
unacknowledged messages it stands still and is not moved, elsewhere it does not."""

import asyncio

import pytest

from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.errors import MigrationFailed
from tests.support.broker import unique
from tests.support.echo import listening
from tests.support.faults import assert_alive_once
from tests.support.realm import PATIENCE, module

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(150),
    pytest.mark.slow,
]

UNREAD = 150
"""More than the window of the embedded broker, 100."""
WRITTEN = 5000
"""More than a module may write without a confirmation, 500."""

TALKER = f"""
local inbox, outbox = io.open("/ch/in", "rb"), io.open("/ch/out", "wb")
outbox:setvbuf("no")
inbox:read("L")
for n = 1, {WRITTEN} do outbox:write("written " .. n .. "\\n") end
while true do outbox:write((inbox:read("L"))) end
"""
"""Told to go, it writes, and only then reads what has come meanwhile."""


async def test_who_reads_nothing_and_writes_much(realm: LocalRealm, client: Client) -> None:
    topic = unique(f"{realm.name}/talker")
    channels = [
        {"path": "/ch/in", "topic": f"{topic}/in", "mode": "r"},
        {"path": "/ch/out", "topic": f"{topic}/out", "mode": "w"},
    ]
    async with (
        listening(client, f"{topic}/out") as heard,
        module(client, "lua", "-e", TALKER, channels=channels) as talker,
    ):
        for line in ("go", *(f"unread {n + 1}" for n in range(UNREAD))):
            client.publish(f"{topic}/in", f"{line}\n".encode())
        written = [f"written {n + 1}" for n in range(WRITTEN)]
        if realm.broker.kind == "embedded":
            with pytest.raises(MigrationFailed, match="did not confirm the module's output"):
                await _move_for_ever(client, talker.uuid)
            assert heard.seen == written[: len(heard.seen)]
            assert len(heard.seen) < WRITTEN
        else:
            await heard.until(lambda seen: len(seen) >= WRITTEN + UNREAD)
            assert heard.seen == [*written, *(f"unread {n + 1}" for n in range(UNREAD))]
            await client.move(talker.uuid)
        await assert_alive_once(client, realm, talker)


async def _move_for_ever(client: Client, module: str) -> None:
    """Until it stands still, it can be moved."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await client.move(module)
