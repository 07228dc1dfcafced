"""``arts bench``: measure this machine. One flat JSON object each with ``--json``."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from arts.cli.common import JsonOption, err, out, print_json

BrokerKindOption = Annotated[
    str, typer.Option("--broker", help="auto, mosquitto, embedded, or a URL.")
]
Measurement = Callable[[Callable[[str], None]], dict[str, Any]]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="Measure this machine.")
    group.command("control-plane")(control_plane)
    group.command("migration")(migration)
    group.command("engine")(engine)
    app.add_typer(group, name="bench")


def control_plane(
    broker: BrokerKindOption = "auto",
    runtimes: Annotated[int, typer.Option(min=1, help="Registered runtimes.")] = 1000,
    synchronous: Annotated[str, typer.Option(help="normal or full.")] = "normal",
    burst: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 2000,
    seconds: Annotated[float, typer.Option(help="Of the sustained part.")] = 8.0,
    samples: Annotated[int, typer.Option(min=1, help="Of the latency.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """Requests to commands: latency with one in flight, bursts, sustained rate."""
    from arts.bench.control_plane import measure

    _run(
        lambda progress: asyncio.run(
            measure(
                broker=broker,
                runtimes=runtimes,
                synchronous=synchronous,
                burst=burst,
                latency_samples=samples,
                sustained_seconds=seconds,
                progress=progress,
            )
        ),
        as_json,
    )


def migration(
    broker: BrokerKindOption = "auto",
    moves: Annotated[int, typer.Option(min=1, help="Of each module.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Downtime of moves between two processes, pause latency, snapshot size."""
    from arts.bench.migration import measure

    _run(
        lambda progress: asyncio.run(measure(broker=broker, moves=moves, progress=progress)),
        as_json,
    )


def engine(
    folder: Annotated[Path, typer.Option(help="The example programs.")] = Path("wasm-apps"),
    runs: Annotated[int, typer.Option(min=1, help="Of each program, in turns.")] = 7,
    parked: Annotated[int, typer.Option(min=1, help="Parked modules.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """What being movable costs: run time, start time, memory of parked modules."""
    from arts.bench.engine import measure

    _run(lambda progress: measure(folder, runs=runs, parked=parked, progress=progress), as_json)


def _run(measurement: Measurement, as_json: bool) -> None:
    with err.status("Starting ...") as status:
        result = measurement(lambda what: status.update(f"Measuring: {what} ..."))
    if as_json:
        print_json(result)
        return
    table = Table(show_header=False, box=None)
    for key, value in result.items():
        table.add_row(key, str(value))
    out.print(table)
