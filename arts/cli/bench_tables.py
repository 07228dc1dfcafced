"""The figures of ``arts bench engine`` as tables for people. The JSON has more of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from rich.table import Table

from arts.bench import tables
from arts.cli.common import out

Column = tuple[str, str]
"""Heading, and the key whose dictionary by program has the figures."""

_SPEED: Final[Sequence[Column]] = (
    ("plain s", "plain_seconds"),
    ("responsive", "overhead"),
    ("throughput", "throughput_overhead"),
    ("blocking-only", "blocking_only_overhead"),
    ("polls alone", "polls_overhead"),
    ("Asyncify", "asyncify_overhead"),
    ("epochs", "epochs_overhead"),
    ("fuel", "fuel_overhead"),
)
_V8: Final[Sequence[Column]] = (
    ("responsive", "v8_overhead"),
    ("throughput", "v8_throughput_overhead"),
    ("countdown", "v8_countdown_overhead"),
    ("responsive, first run", "v8_first_overhead"),
    ("plain, first run / later", "v8_first_to_steady"),
)
_MOVING: Final[Sequence[Column]] = (
    ("pause p50 ms", "pause_p50_ms_of"),
    ("p99 ms", "pause_p99_ms_of"),
    ("p99 CPU ms", "cpu_pause_p99_ms_of"),
    ("throughput p99 CPU ms", "throughput_cpu_pause_p99_ms_of"),
    ("longest", "throughput_cpu_longest_pause_ms_of"),
    ("resumed", "resumed_overhead"),
    ("restored cold ms", "restore_cold_ms_of"),
    ("warm ms", "restore_warm_ms_of"),
)
_WEIGHT: Final[Sequence[Column]] = (
    ("code", "code_growth"),
    ("file", "file_growth"),
    ("compile time", "compile_time"),
    ("plain RSS MB", "plain_rss_mb"),
    ("prepared RSS MB", "prepared_rss_mb"),
)


def show_engine(figures: Mapping[str, Any]) -> None:
    """Print all tables."""
    runs = f"{figures['runs']} runs in turns, median of ratios to plain"
    _show(f"Run time in {figures['engine']} ({runs})", _SPEED, figures)
    if figures["v8"] is not None:
        _show(f"Run time in {figures['v8']} ({runs})", _V8, figures)
    _show("Pausing and moving (responsive, unless it says otherwise)", _MOVING, figures)
    _show("Size and weight of prepared code, as ratios to plain", _WEIGHT, figures)
    shown = {key for table in (_SPEED, _V8, _MOVING, _WEIGHT) for _, key in table}
    rest = Table(show_header=False, box=None)
    for key, value in figures.items():
        if not isinstance(value, dict | list) and key not in shown:
            rest.add_row(key, str(value))
    out.print(rest)
    for line in figures["missing"]:
        out.print(f"left out: {line}", style="yellow", markup=False)


def _show(title: str, columns: Sequence[Column], figures: Mapping[str, Any]) -> None:
    there = [(heading, key) for heading, key in columns if figures.get(key)]
    table = Table(title=title, title_justify="left")
    table.add_column("program")
    for heading, _ in there:
        table.add_column(heading, justify="right")
    for program in _programs(figures[key] for _, key in there):
        table.add_row(program, *(_text(figures[key].get(program)) for _, key in there))
    for name, prefix in (("geometric mean", ""), ("interpreters", "interpreter_")):
        means = [_text(figures.get(_mean_key(key, prefix))) for _, key in there]
        if any(means):
            table.add_row(name, *means, style="bold")
    out.print(table)


def _programs(by_program: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(program for figures in by_program for program in figures))


def _mean_key(key: str, prefix: str) -> str:
    if key.startswith("v8_"):
        return f"v8_{prefix}{key.removeprefix('v8_')}_geomean"
    return f"{prefix}{key}_geomean"


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


_PROGRAMS: Final[Sequence[tuple[str, str, float]]] = (
    ("size KB", "bytes", 1e3),
    ("code KB", "code_bytes", 1e3),
    ("functions", "functions", 1),
    ("that may stop", "suspendable", 1),
    ("prepared KB", "prepared_bytes", 1e3),
    ("preparing, CPU s", "prepare_cpu_seconds", 1),
    ("snapshot raw KB", "snapshot_raw_bytes", 1e3),
    ("elided KB", "snapshot_elided_bytes", 1e3),
    ("compressed KB", "snapshot_compressed_bytes", 1e3),
    ("pause p50 ms", "pause_p50_ms", 1),
    ("p99", "pause_p99_ms", 1),
    ("run time", "overhead", 1),
    ("in V8", "v8_overhead", 1),
    ("restored cold ms", "restore_cold_ms", 1),
    ("CPU ms", "restore_cold_cpu_ms", 1),
    ("warm ms", "restore_warm_ms", 1),
    ("points", "stack_points", 1),
    ("stack bytes", "stack_bytes", 1),
)
"""Heading, key, and what the figure is divided by."""


def show_programs(figures: Mapping[str, Any]) -> None:
    """Print the table of ``arts bench programs``."""
    table = Table(title=f"Moved in {figures['engine']}, medians of {figures['moves']} moves")
    table.add_column("program")
    table.add_column("toolchain")
    for heading, _, _ in _PROGRAMS:
        table.add_column(heading, justify="right")
    for name, toolchain in figures["toolchain"].items():
        found = [(figures[key][name], unit) for _, key, unit in _PROGRAMS]
        values = ["" if value is None else f"{value / unit:.4g}" for value, unit in found]
        table.add_row(name, toolchain, *values)
    out.print(table)
    for line in figures["missing"]:
        out.print(f"left out: {line}", style="yellow", markup=False)


def show_tables(contents: Iterable[tables.Table]) -> None:
    """Print tables that are made already."""
    for content in contents:
        first, *others = content.headings
        table = Table(first)
        for heading in others:
            table.add_column(heading, justify="right")
        for row in content.rows:
            table.add_row(*row)
        out.print(table)
