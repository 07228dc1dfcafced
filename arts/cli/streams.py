"""Commands that show what flows by: ``logs``, ``events``. The realm keeps no history of either."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

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
    run,
)
from arts.cli.listing import clock_time, note

if TYPE_CHECKING:
    from arts.client import Change, OutputLine

FollowOption = Annotated[bool, typer.Option("--follow", "-f", help="Until interrupted.")]
ForOption = Annotated[float, typer.Option("--for", help="Seconds to listen without -f.", min=0.0)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(logs)
    app.command()(events)


def logs(
    module: ModuleArgument,
    follow: FollowOption = False,
    seconds: ForOption = 2.0,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Show what a module writes to stdout and stderr, from now on.

    Lines go on wherever the module moves. Earlier ones are not kept.
    """
    run(_logs(module, None if follow else seconds, as_json, broker, realm))


async def _logs(
    module: str, seconds: float | None, as_json: bool, broker: str | None, realm: str | None
) -> None:
    async with connect(broker, realm) as client:
        uuid = (await client.query("module", module))["uuid"]
        async with client.follow(uuid) as news:
            _tell_how_it_ends(seconds)
            await show_until_end(_for_a_while(news, seconds), as_json=as_json)


async def show_until_end(
    news: AsyncIterator["OutputLine | Change"], *, as_json: bool = False
) -> int:
    """Print a module's lines until it ends; its exit code, or 1 if it failed or was deleted."""
    from arts.client import OutputLine

    async for item in news:
        if isinstance(item, OutputLine):
            if as_json:
                print_line(item._asdict())
            else:
                print_output(*item)
        elif item.document is None:
            err.print("[yellow]the module was deleted[/]")
            return 1
        elif (state := item.document["state"]) in ("exited", "failed"):
            if state == "exited":
                return int(item.document["exit_code"] or 0)
            err.print(f"[red]failed:[/] {escaped(str(item.document['detail']))}")
            return 1
        elif state == "pending":
            err.print(f"[yellow]waiting:[/] {escaped(note(item.document))}")
    return 0


def events(
    follow: FollowOption = False,
    seconds: ForOption = 2.0,
    as_json: JsonOption = False,
    broker: BrokerOption = None,
    realm: RealmOption = None,
) -> None:
    """Show what happens in the realm, as it happens. `arts inspect` tells one thing's past."""
    run(_events(None if follow else seconds, as_json, broker, realm))


async def _events(
    seconds: float | None, as_json: bool, broker: str | None, realm: str | None
) -> None:
    async with connect(broker, realm) as client, client.journal() as journal:
        _tell_how_it_ends(seconds)
        async for entry in _for_a_while(journal, seconds):
            if as_json:
                print_line(entry)
            else:
                out.print(render_entry(entry), soft_wrap=True)


def _tell_how_it_ends(seconds: float | None) -> None:
    end = "until Ctrl-C" if seconds is None else f"for {seconds:g} s; -f follows"
    err.print(f"[dim](listening {end})[/]")


async def _for_a_while(items: AsyncIterator[Any], seconds: float | None) -> AsyncIterator[Any]:
    """Pass on what comes; stop after so many seconds (None: never)."""
    try:
        async with asyncio.timeout(seconds):
            async for item in items:
                yield item
    except TimeoutError:
        return


def print_output(stream: str, line: str) -> None:
    """Print a module's line where the module wrote it."""
    file = sys.stderr if stream == "stderr" else sys.stdout
    file.write(f"{line}\n")
    file.flush()


def print_line(document: Any) -> None:
    """One JSON document a line."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def render_entry(entry: dict[str, Any]) -> str:
    """One entry of the journal."""
    fields = "  ".join(
        f"[dim]{key}=[/]{escaped(str(value))}"
        for key, value in entry.items()
        if key not in ("at", "event") and value is not None
    )
    return f"[dim]{clock_time(entry['at'])}[/] {escaped(entry['event']):<24} {fields}"
