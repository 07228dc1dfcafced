"""Modules as files: ``export``, ``import``."""

import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

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
from arts.errors import AlreadyExists, ArtsError, FailedPrecondition, InvalidRequest, SnapshotError

if TYPE_CHECKING:
    from arts.client import Client
    from arts.client.modulefile import ModuleFile

Document = dict[str, Any]

_STAND: Final = 120.0
"""Seconds for which a module that is to leave stands still at most."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(export)
    app.command("import")(import_module)


def export(
    module: ModuleArgument,
    file: Annotated[Path, typer.Argument(help="To be written.", show_default=False)],
    at: Annotated[
        int | None,
        typer.Option("--at", help="Number of a checkpoint.", show_default="a new one"),
    ] = None,
    stop: Annotated[
        bool, typer.Option("--stop", help="Remove it here when the file is written.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file.")] = False,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Write a module to a file, with its program and its state, for `arts import`.

    It runs on. With --stop it stands still from its checkpoint on, and is removed once the file is
    on the disk; if that fails, it goes on.
    """
    if stop and at is not None:
        raise InvalidRequest("--stop is for the module as it is now, not as it was --at some time")
    if file.exists() and not force:
        raise AlreadyExists(f"{file} exists; --force replaces it")
    run(_export(module, file, at, stop, as_json, broker, realm))


async def _export(
    key: str,
    path: Path,
    at: int | None,
    stop: bool,
    as_json: bool,
    broker: str | None,
    realm: str | None,
) -> None:
    from arts.client import modulefile

    async with connect(broker, realm) as client:
        document = await client.query("module", key)
        key = document["uuid"]
        if stop and document["state"] != "running":
            raise FailedPrecondition(f"module {document['name']} is {document['state']}")
        began = time.monotonic()
        with err.status(f"Exporting {escaped(document['name'])}"):
            if at is None and document["state"] == "running":
                kept = await client.checkpoint(key, hold=_STAND if stop else 0.0)
                at = kept["number"]
            try:
                module = await client.export(key, at)
                modulefile.write(module, path)
                if stop:
                    await _remove(client, module, began)
            except BaseException:
                if stop:  # it goes on
                    with suppress(ArtsError):
                        await client.checkpoint(key)
                raise
    _tell_export(module, path, stop, as_json)


async def _remove(client: "Client", module: "ModuleFile", began: float) -> None:
    """End it, unless it may have gone on since its checkpoint."""
    key = module.manifest.module["uuid"]
    now = await client.query("module", key)
    stands = (now["generation"], now["state"]) == (module.manifest.generation, "running")
    if not stands or time.monotonic() - began > _STAND:
        raise FailedPrecondition(
            f"the file is written, but {now['name']} has gone on since, or is about to elsewhere: "
            "it still runs here"
        )
    await client.delete(key, force=True)


def _tell_export(module: "ModuleFile", path: Path, stop: bool, as_json: bool) -> None:
    manifest, total = module.manifest, path.stat().st_size
    if as_json:
        checkpoint = manifest.checkpoint
        print_json(
            {
                "uuid": manifest.module["uuid"],
                "name": manifest.module["name"],
                "file": str(path),
                "bytes": total,
                "checkpoint": checkpoint.number,
                "taken_at": checkpoint.taken_at,
                "stopped": stop,
            }
        )
        return
    end = "; it is gone here" if stop else ""
    name = escaped(manifest.module["name"])
    out.print(f"[bold]{name}[/] is in {escaped(str(path))}, {size(total)}{end}", soft_wrap=True)


def import_module(
    file: Annotated[Path, typer.Argument(help="What `arts export` wrote.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="Of the module.", show_default="the one it had")
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Under a uuid of its own, beside the original.")
    ] = False,
    parent: Annotated[str | None, typer.Option(help="Only on this runtime.")] = None,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Let a module from a file go on here, from where it was.

    It keeps its uuid, so it must not live here already. Ends when the module runs; one that no
    runtime can take now waits in the realm (exit status 4).
    """
    given = {"name": name, "parent": parent, "uuid": str(uuid.uuid4()) if copy else None}
    changes = {field: value for field, value in given.items() if value is not None}
    run(_import(file, changes, as_json, broker, realm))


async def _import(
    path: Path, changes: Document, as_json: bool, broker: str | None, realm: str | None
) -> None:
    from arts.client import modulefile

    file = modulefile.read(path)
    async with connect(broker, realm) as client:
        with err.status(f"Importing {escaped(path.name)}"):
            key = await client.import_module(file, **changes)
            states = {*SETTLED} - {"exited"}
            generation = file.manifest.generation
            module = await client.wait_state(
                key, states, timeout=START, since_generation=generation
            )
        if module["state"] == "failed":
            await client.delete(key, force=True)
            raise SnapshotError(f"{module['name']} could not go on here: {module['detail']}")
    if as_json:
        print_json(module)
    else:
        checkpoint = file.manifest.checkpoint.number
        words = f"{module['name']} is {module['state']} from its checkpoint {checkpoint}"
        out.print(escaped(words), soft_wrap=True)
    raise typer.Exit({"pending": 4}.get(module["state"], 0))
