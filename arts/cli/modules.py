"""Commands that change something: ``run``, ``migrate``, ``rm``."""

import asyncio
import shlex
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
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
from arts.cli.listing import note, size
from arts.cli.streams import show_until_end
from arts.model import CHECKPOINT_INTERVAL, Durability, ProfileChoice

if TYPE_CHECKING:
    from arts.client import Client

Document = dict[str, Any]

START = 60.0
"""Seconds for a module to start."""
_CREATE = 120.0
"""Seconds for an answer: a large program is prepared first."""
_PAST = {"exited": "has exited", "failed": "has failed"}
SETTLED = ("running", "pending", "failed", "exited")
"""States in which a start has come to something."""


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("run")(run_module)
    app.command()(migrate)
    app.command("rm")(remove)


_CHANNEL: Final = "PATH=TOPIC[:r|w|rw][:sequenced]"


def parse_channel(text: str) -> Document:
    """``_CHANNEL`` as a channel. Raises ``typer.BadParameter``."""
    path, separator, topic = text.partition("=")
    if not separator:
        raise typer.BadParameter(f"{text!r} is not {_CHANNEL}")
    bare = topic.removesuffix(":sequenced")
    head, colon, mode = bare.rpartition(":")
    if not colon or mode not in ("r", "w", "rw"):
        head, mode = bare, "rw"
    return {"path": path, "topic": head, "mode": mode, "sequenced": bare != topic}


def run_module(
    program: Annotated[
        str, typer.Argument(help="A .wasm file here, a program that the realm knows, or a URL.")
    ],
    args: Annotated[
        list[str] | None, typer.Argument(help="Arguments of the program; options after --.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the module.")] = None,
    more_args: Annotated[
        str | None, typer.Option("--args", help="Arguments in one text, as a shell splits it.")
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option("--env", "-e", help="NAME=value, repeatable.")
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", "-c", help=f"{_CHANNEL}, repeatable."),
    ] = None,
    parent: Annotated[str | None, typer.Option(help="Only on this runtime.")] = None,
    profile: Annotated[
        ProfileChoice | None,
        typer.Option(help="How often it looks whether it shall pause.", show_default="the realm's"),
    ] = None,
    durability: Annotated[
        Durability, typer.Option(help="What of it outlives its runtime.")
    ] = Durability.NONE,
    checkpoint_interval: Annotated[
        float, typer.Option(help="Seconds between its checkpoints, at most.", min=0.05)
    ] = CHECKPOINT_INTERVAL,
    follow: Annotated[
        bool,
        typer.Option("--follow/--detach", "-f/-d", help="Show its output until it ends."),
    ] = False,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Start a module.

    Ends when the module runs, or with --follow when it ends, with its exit code. A module that
    no runtime can take now waits in the realm (exit status 4).
    """
    fields: Document = {
        "name": name or Path(program).stem,
        "args": [*(args or ()), *shlex.split(more_args or "")],
        "env": env or [],
        "channels": [parse_channel(text) for text in channel or ()],
        "parent": parent,
        "profile": profile,
        "durability": durability,
        "checkpoint_interval": checkpoint_interval,
    }
    run(_run(program, fields, follow, as_json, broker, realm))


async def _run(
    program: str,
    fields: Document,
    follow: bool,
    as_json: bool,
    broker: str | None,
    realm: str | None,
) -> None:
    async with connect(broker, realm) as client:
        async with _watching(client, program):
            filename, digest = await _uploaded(client, program, fields["profile"])
            fields |= {"uuid": str(uuid.uuid4()), "program": digest}
        if follow:
            async with client.follow(fields["uuid"]) as news:
                await _create(client, filename, fields)
                raise typer.Exit(await show_until_end(news))
        module = await _create(client, filename, fields)
        if module["state"] != "pending":
            module = await client.wait_state(module["uuid"], SETTLED, timeout=START)
    if as_json:
        print_json(module)
    else:
        _tell(module)
    raise typer.Exit({"pending": 4, "failed": 1}.get(module["state"], 0))


async def _create(client: "Client", filename: str, fields: Document) -> Document:
    async with _watching(client, filename):
        return await client.create(filename, timeout=_CREATE, **fields)


@asynccontextmanager
async def _watching(client: "Client", program: str) -> AsyncIterator[None]:
    """Show for the duration how far the preparation of a program is: large ones take their time."""
    title = Path(program).name if _file_here(program) else program

    async def watch(news: AsyncIterator[Document], show: Callable[[str], None]) -> None:
        async for entry in news:
            if entry["event"] == "program.preparing" and entry["filename"] == title:
                done = f"{entry['done']} of {entry['total']} functions"
                show(f"Preparing {escaped(title)}: {done}")

    with err.status(f"Starting {escaped(title)}") as status:
        async with client.journal() as news:
            watching = asyncio.create_task(watch(news, status.update))
            try:
                yield
            finally:
                watching.cancel()


async def _uploaded(
    client: "Client", program: str, profile: ProfileChoice | None
) -> tuple[str, str | None]:
    """What to ask the realm for: a file that is here is uploaded first."""
    path = _file_here(program)
    if path is None:
        return program, None
    document = await client.upload(path, name=path.name, profile=profile)
    if document["refusal"]:
        err.print(f"[yellow]note:[/] it cannot be moved: {escaped(document['refusal'])}")
    return path.name, document["source_digest"]


def _file_here(program: str) -> Path | None:
    path = Path(program)
    return path if "://" not in program and path.is_file() else None


def _tell(module: Document) -> None:
    where = (module["parent"] or {}).get("name")
    place = f" on [bold]{escaped(where)}[/]" if where else ""
    remark = note(module)
    state = _PAST.get(module["state"], f"is {module['state']}")
    out.print(
        f"[bold]{escaped(module['name'])}[/] ({module['uuid'][:8]}) {state}{place}"
        + (f": {escaped(remark)}" if remark else ""),
        soft_wrap=True,
    )


def migrate(
    module: ModuleArgument,
    to: Annotated[
        str | None, typer.Option("--to", help="Runtime; without it the realm chooses.")
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show what a move would do, and measure.")
    ] = False,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Move a module while it runs."""
    run((_plan if plan else _migrate)(module, to, as_json, broker, realm))


async def _plan(
    module: str, to: str | None, as_json: bool, broker: str | None, realm: str | None
) -> None:
    from arts.client.plans import plan

    async with connect(broker, realm) as client:
        planned = await plan(client, module, to)
    if as_json:
        print_json(planned)
    else:
        out.print(render_plan(planned))


def render_plan(planned: Document) -> str:
    """What a move would do, in a few lines."""
    measured = planned["measured"]
    lines = [
        f"[bold]{escaped(planned['module']['name'])}[/] would move from "
        f"{escaped(planned['from'])} to [bold]{escaped(planned['to'])}[/]",
        f"way: {planned['way'] or 'not known'}, because {escaped(planned['why'])}"
        if planned["way"] != "pre-copy"
        else f"way: pre-copy: {size(measured['used_bytes'])} leave while it runs, then what has "
        "changed, until little is left",
    ]
    if measured["unknown"] is None:
        lines.append(
            f"memory: {size(measured['memory_bytes'])}, of which {size(measured['used_bytes'])} "
            f"are not zero; it writes {size(round(measured['written_bytes_per_second']))}/s, the "
            f"line carries {size(round(measured['line_bytes_per_second']))}/s"
        )
        lines.append(f"it would stand still for about {1000 * measured['stop_seconds']:.0f} ms")
    return "\n".join(lines)


async def _migrate(
    module: str, to: str | None, as_json: bool, broker: str | None, realm: str | None
) -> None:
    async with connect(broker, realm) as client:
        with err.status(f"Moving {escaped(module)}"):
            moved = await client.move(module, to)
    if as_json:
        print_json(moved)
        return
    out.print(
        f"[bold]{escaped(moved['module']['name'])}[/] moved from {escaped(moved['from'])} to "
        f"[bold]{escaped(moved['to'])}[/]: {moved['downtime_ms']:.1f} ms downtime, "
        f"{size(moved['bytes'])}",
        soft_wrap=True,
    )


def remove(
    modules: Annotated[list[str], typer.Argument(help="Names, uuids, or beginnings of them.")],
    force: Annotated[
        bool, typer.Option("--force", help="Do not let them react to their TERM signal.")
    ] = False,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Stop modules and forget them."""
    run(_remove(modules, force, as_json, broker, realm))


async def _remove(
    modules: list[str], force: bool, as_json: bool, broker: str | None, realm: str | None
) -> None:
    async with connect(broker, realm) as client:
        removed = []
        for module in modules:
            with err.status(f"Stopping {escaped(module)}"):
                removed.append(await client.delete(module, force=force))
            if not as_json:
                out.print(f"{escaped(removed[-1]['name'])} is gone")
    if as_json:
        print_json(removed)
