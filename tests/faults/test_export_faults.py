"""``arts export --stop`` of a module that moves: it is not removed, and goes on once."""

import asyncio
import os
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from arts.cli import exports
from arts.cli.local_realm import LocalRealm
from arts.client import Client
from arts.client.modulefile import ModuleFile
from arts.errors import FailedPrecondition
from tests.support.faults import assert_alive_once
from tests.support.held_moves import Hold, freezing, frozen, held_move, preparing
from tests.support.realm import Watched, counted, is_consecutive, module

pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.timeout(150),
    pytest.mark.slow,
]

REFUSED = 4
"""The exit status of what cannot be now."""


async def export_and_stop(realm: LocalRealm, watched: Watched, file: Path) -> tuple[int, str]:
    """Run the command; its exit status and what it complained about."""
    environment = {"ARTS_BROKER": realm.broker_url, "ARTS_REALM": realm.name}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "arts", "export", watched.uuid, str(file), "--stop"),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complaint = await process.communicate()
    assert process.returncode is not None
    return process.returncode, " ".join(complaint.decode().split())


@pytest.mark.parametrize("hold", [preparing, freezing])
async def test_a_module_that_moves_is_not_exported(
    realm: LocalRealm, client: Client, tmp_path: Path, hold: Hold
) -> None:
    file = tmp_path / "counter.arts"
    async with module(client, "counter", 20) as counter:
        async with held_move(realm, client, [counter], hold) as move:
            status, complaint = await export_and_stop(realm, counter, file)
            assert (status, file.exists()) == (REFUSED, False), complaint
            assert "is migrating" in complaint
            move.let_go()
            assert (await move.answers[0])["to"] == move.target.name
        await assert_alive_once(client, realm, counter)
        assert is_consecutive(counted(counter.lines))


@pytest.mark.parametrize("arrived", [False, True])
async def test_a_module_that_moves_since_its_checkpoint_is_not_removed(
    realm: LocalRealm,
    client: Client,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arrived: bool,
) -> None:
    """It goes on elsewhere, or is about to: what would end is not what is in the file."""
    export, file = Client.export, tmp_path / "counter.arts"
    async with module(client, "counter", 20) as counter, AsyncExitStack() as stack:

        async def export_and_move(exporter: Client, key: str, at: int | None) -> ModuleFile:
            exported = await export(exporter, key, at)
            move = await stack.enter_async_context(held_move(realm, client, [counter], frozen))
            if arrived:
                move.let_go()
                await move.over()
            return exported

        monkeypatch.setattr(Client, "export", export_and_move)
        with pytest.raises(FailedPrecondition, match="the file is written, but"):
            await exports._export(
                counter.uuid, file, None, True, False, realm.broker_url, realm.name
            )
        await stack.aclose()
        await assert_alive_once(client, realm, counter)
        assert counter.document["generation"] == 2
        assert is_consecutive(counted(counter.lines))
