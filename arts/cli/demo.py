"""``arts demo``: start a realm, move four modules about while they run, judge what was seen."""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.live import Live
from rich.table import Table

from arts.cli.common import err, out

if TYPE_CHECKING:
    from arts.demo import Traveller, Verdict


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    broker: Annotated[
        str, typer.Option(help="auto, mosquitto, embedded, or the URL of one that runs already.")
    ] = "auto",
    rounds: Annotated[int, typer.Option(min=1, help="How often each module moves.")] = 5,
) -> None:
    """Four modules move between two runtimes while they run, and lose nothing."""
    verdicts = asyncio.run(_demo(broker, rounds))
    out.print()
    for verdict in verdicts:
        mark = "[green]✓[/]" if verdict.ok else "[red]✗[/]"
        out.print(f" {mark} {verdict.name:9} {verdict.text}", highlight=False)
    if not all(verdict.ok for verdict in verdicts):
        raise typer.Exit(1)


async def _demo(broker: str, rounds: int) -> "list[Verdict]":
    from arts.cli.local_realm import RealmPlan, local_realm
    from arts.client import Client
    from arts.demo import run_demo

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="arts-demo-") as directory:
        plan = RealmPlan(data_dir=Path(directory), broker=broker, port=0)
        err.print("Starting a broker, a supervisor and two runtimes ...")
        async with (
            local_realm(plan, err.print) as realm,
            Client.connect(realm.broker_url, realm.name) as client,
        ):
            err.print(
                f"Broker: {realm.broker.kind} at {realm.broker_url}. "
                f"Ready after {time.monotonic() - began:.1f} s."
            )
            with Live(_table([], rounds), console=out, refresh_per_second=10) as live:
                return await run_demo(
                    client, lambda seen: live.update(_table(seen, rounds)), rounds=rounds
                )


def _table(travellers: "list[Traveller]", rounds: int) -> Table:
    table = Table(box=None)
    for column in ("module", "state", "moves", "from", "to"):
        table.add_column(column)
    for column in ("downtime", "median", "snapshot"):
        table.add_column(column, justify="right")
    for traveller in travellers:
        last = traveller.moves[-1] if traveller.moves else None
        table.add_row(
            traveller.name,
            traveller.state,
            f"{len(traveller.moves)} of {rounds}",
            str(last["from"]) if last else "",
            str(last["to"]) if last else "",
            f"{float(str(last['downtime_ms'])):.1f} ms" if last else "",
            f"{statistics.median(traveller.downtimes):.1f} ms" if last else "",
            f"{int(str(last['bytes'])) / 1000:.1f} kB" if last else "",
        )
    return table
