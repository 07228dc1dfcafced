"""``arts bench``: measure this machine. One flat JSON object each with ``--json``."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
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
    group.command("checkpoint")(checkpoint)
    group.command("engine")(engine)
    group.command("protocol")(protocol)
    group.command("programs")(programs)
    group.command("reference")(reference)
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
    sizes: Annotated[
        str, typer.Option(help="Also modules with so many MiB of memory, with commas between.")
    ] = "",
    rates: Annotated[
        str, typer.Option(help="MB/s that those write, with commas between.")
    ] = "0,1,10,100",
    crowds: Annotated[
        str, typer.Option(help="Also so many modules at once, with commas between.")
    ] = "20,100",
    as_json: JsonOption = False,
) -> None:
    """Downtime of moves between two processes, pause latency, snapshot size."""
    from arts.bench.migration import measure

    _run(
        lambda progress: asyncio.run(
            measure(
                broker=broker,
                moves=moves,
                sizes=[float(size) for size in _names(sizes)],
                rates=[float(rate) for rate in _names(rates)],
                crowds=[int(count) for count in _names(crowds)],
                progress=progress,
            )
        ),
        as_json,
    )


def checkpoint(
    broker: BrokerKindOption = "auto",
    checkpoints: Annotated[int, typer.Option(min=2, help="Of each module.")] = 50,
    sizes: Annotated[str, typer.Option(help="MiB of memory, with commas between.")] = (
        "0.0625,1,16,72"
    ),
    rates: Annotated[
        str, typer.Option(help="MB/s that are rewritten, with commas between.")
    ] = "0,1,10",
    interval: Annotated[float, typer.Option(min=0.05, help="Seconds to the next one.")] = 0.5,
    seconds: Annotated[float, typer.Option(help="Of counting messages, thrice each way.")] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """What it costs a module to be durable: how long it cannot run, what is sent, messages/s."""
    from arts.bench import tables
    from arts.bench.checkpoint import measure
    from arts.cli.bench_tables import show_tables

    _run(
        lambda progress: asyncio.run(
            measure(
                broker=broker,
                checkpoints=checkpoints,
                sizes=[float(size) for size in _names(sizes)],
                rates=[float(rate) for rate in _names(rates)],
                interval=interval,
                seconds=seconds,
                progress=progress,
            )
        ),
        as_json,
        lambda figures: show_tables(tables.checkpoint(figures)),
    )


def engine(
    folder: Annotated[Path, typer.Option(help="The example programs.")] = Path("wasm-apps"),
    programs: Annotated[str, typer.Option(help="Names, with commas between; else all.")] = "",
    forms: Annotated[
        str, typer.Option(help="Names, with commas between; v8 is one; else all.")
    ] = "",
    runs: Annotated[int | None, typer.Option(min=1, help="Of each form, in turns.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few programs, a few runs.")] = False,
    parked: Annotated[int, typer.Option(min=1, help="Parked modules.")] = 1000,
    as_json: JsonOption = False,
) -> None:
    """What being movable costs: speed, size, pauses and moves of programs, beside others' ways."""
    from arts.bench import engine as benchmark
    from arts.cli.bench_tables import show_engine

    effort = benchmark.QUICK if quick else benchmark.FULL
    chosen = _names(programs) or (benchmark.QUICK_PROGRAMS if quick else ())
    _run(
        lambda progress: benchmark.measure(
            folder,
            chosen=chosen,
            forms=_names(forms),
            effort=effort if runs is None else replace(effort, rounds=runs),
            parked=parked,
            progress=progress,
        ),
        as_json,
        show_engine,
    )


def protocol(
    messages: Annotated[int, typer.Option(min=1, help="In a run.")] = 2000,
    runs: Annotated[int, typer.Option(min=1, help="Of each step, the median counts.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """What each dialect costs a message: reading, and writing the command and the answer."""
    from arts.bench.protocol import measure

    _run(lambda progress: measure(messages=messages, runs=runs, progress=progress), as_json)


def programs(
    folder: Annotated[Path, typer.Option(help="The example programs.")] = Path("wasm-apps"),
    names: Annotated[str, typer.Option(help="Names, with commas between; else all.")] = "",
    moves: Annotated[int, typer.Option(min=1, help="Of each program.")] = 7,
    requests: Annotated[int, typer.Option(min=1, help="Pauses, of each program.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Real programs from real toolchains: sizes, preparing, speed, pauses, snapshots, moves."""
    from arts.bench import programs as benchmark
    from arts.cli.bench_tables import show_programs

    _run(
        lambda progress: benchmark.measure(
            folder, chosen=_names(names), moves=moves, requests=requests, progress=progress
        ),
        as_json,
        show_programs,
    )


def reference(
    folder: Annotated[Path, typer.Option(help="The example programs.")] = Path("wasm-apps"),
    names: Annotated[str, typer.Option(help="Names, with commas between; else all.")] = "",
    moves: Annotated[int, typer.Option(min=1, help="Of each program.")] = 7,
    as_json: JsonOption = False,
) -> None:
    """The programs that others publish, moved: snapshots, times, the rest of the run."""
    from arts.bench import reference as benchmark
    from arts.bench import tables
    from arts.cli.bench_tables import show_tables

    _run(
        lambda progress: benchmark.measure(
            folder, chosen=_names(names), moves=moves, progress=progress
        ),
        as_json,
        lambda figures: show_tables(tables.reference(figures)),
    )


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _show(result: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None)
    for key, value in result.items():
        table.add_row(key, str(value))
    out.print(table)


def _run(
    measurement: Measurement,
    as_json: bool,
    show: Callable[[dict[str, Any]], None] = _show,
) -> None:
    with err.status("Starting ...") as status:
        result = measurement(lambda what: status.update(f"Measuring: {what} ..."))
    if as_json:
        print_json(result)
    else:
        show(result)
