"""Commands about checkpoints: ``checkpoint``, ``snapshots``, ``restore``, ``clone``."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from arts.cli.common import (
    BrokerOption,
    JsonOption,
    ModuleArgument,
    RealmOption,
    connect,
    err,
    escaped,
    out,
    print_json,
    run,
)
from arts.cli.listing import size
from arts.cli.modules import SETTLED, START

if TYPE_CHECKING:
    from arts.client import Client

Document = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(checkpoint)
    app.command()(snapshots)
    app.command()(restore)
    app.command()(clone)


def checkpoint(
    module: ModuleArgument,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Take a checkpoint of a running module now, and wait until it is kept."""
    run(_checkpoint(module, as_json, broker, realm))


async def _checkpoint(module: str, as_json: bool, broker: str | None, realm: str | None) -> None:
    async with connect(broker, realm) as client:
        with err.status(f"Taking a checkpoint of {escaped(module)}"):
            kept = await client.checkpoint(module)
    if as_json:
        print_json(kept)
        return
    out.print(
        f"[bold]{escaped(kept['name'])}[/]: checkpoint {kept['number']}, {size(kept['bytes'])}; "
        f"{size(kept['sent_bytes'])} were sent, and it stood still for {kept['stood_ms']:.1f} ms",
        soft_wrap=True,
    )


def snapshots(
    module: ModuleArgument,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Show the checkpoints that are kept of a module, the oldest first."""
    run(_snapshots(module, as_json, broker, realm))


async def _snapshots(module: str, as_json: bool, broker: str | None, realm: str | None) -> None:
    async with connect(broker, realm) as client:
        found = await client.query("snapshots", module)
    if as_json:
        print_json(found)
    else:
        out.print(_table(found))


def _table(found: Document) -> Table | str:
    if not found["snapshots"]:
        return escaped(f"no checkpoints of {found['name']} are kept")
    table = Table(title=f"Checkpoints of {escaped(found['name'])}", title_justify="left", box=None)
    for column in ("number", "taken", "size", "generation", "note"):
        table.add_column(column)
    for entry in found["snapshots"]:
        if entry["damaged"]:
            table.add_row(str(entry["number"]), "-", "-", "-", "[red]damaged[/]")
            continue
        taken = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["taken_at"]))
        row = (str(entry["number"]), taken, size(entry["bytes"]), str(entry["generation"]), "")
        table.add_row(*row)
    return table


def restore(
    module: ModuleArgument,
    at: Annotated[
        int | None,
        typer.Option("--at", help="Number of the checkpoint.", show_default="the newest good one"),
    ] = None,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Let a module go on from a checkpoint: what it has done since never happened.

    Input that it has acknowledged since does not come again. Ends when the module runs.
    """
    run(_restore(module, at, as_json, broker, realm))


async def _restore(
    key: str, at: int | None, as_json: bool, broker: str | None, realm: str | None
) -> None:
    async with connect(broker, realm) as client:
        with err.status(f"Restoring {escaped(key)}"):
            module = await _restored(client, key, at)
    if as_json:
        print_json(module)
    else:
        out.print(escaped(_told(module)), soft_wrap=True)
    raise typer.Exit({"pending": 4, "failed": 1}.get(module["state"], 0))


async def _restored(client: "Client", key: str, at: int | None) -> Document:
    module = await client.restore(key, at)
    if module["state"] == "pending":
        return module
    generation = module["generation"]
    return await client.wait_state(
        module["uuid"], SETTLED, timeout=START, since_generation=generation
    )


def _told(module: Document) -> str:
    origin = module["restored_from"]
    how = f"from checkpoint {origin['number']}" if origin else f"({module['detail']})"
    return f"{module['name']} is {module['state']} {how}"


def clone(
    module: ModuleArgument,
    name: Annotated[
        str | None, typer.Option(help="Of the clone.", show_default="NAME-clone")
    ] = None,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Start a second module that goes on from where this one is, or was at its newest checkpoint.

    It has the same channels, and a session of its own.
    """
    run(_clone(module, name, as_json, broker, realm))


async def _clone(
    key: str, name: str | None, as_json: bool, broker: str | None, realm: str | None
) -> None:
    async with connect(broker, realm) as client:
        with err.status(f"Cloning {escaped(key)}"):
            if (await client.query("module", key))["state"] == "running":
                await client.checkpoint(key)
            module = await client.clone(key, name)
            if module["state"] != "pending":
                module = await client.wait_state(module["uuid"], SETTLED, timeout=START)
    if as_json:
        print_json(module)
    else:
        out.print(escaped(_told(module)), soft_wrap=True)
    raise typer.Exit({"pending": 4, "failed": 1}.get(module["state"], 0))
