"""Figures of benchmarks as tables of text, for the terminal and for the documentation. PURE."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from arts.bench.published import PUBLISHED, Published


class Table(NamedTuple):
    """``rows`` have as many texts as ``headings``."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table as Markdown, without an end of line."""
        rules = ["---"] * len(self.headings)
        return "\n".join(f"| {' | '.join(row)} |" for row in (self.headings, rules, *self.rows))


_REFERENCE: Final = (
    "program",
    *("snapshot", "capture, ms", "restore warm, ms", "restore cold, ms"),
    *("rest, over never moved", "run time, over not movable"),
    "published: snapshot, capture ms, restore warm ms, run time",
)


def reference(figures: Mapping[str, Any]) -> list[Table]:
    """Of ``arts bench reference``."""
    return [Table(_REFERENCE, [_program(figures, name) for name in figures["snapshot_bytes_of"]])]


def _program(figures: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return (
        name,
        size(figures["snapshot_bytes_of"][name]),
        *(
            milliseconds(figures[key][name])
            for key in ("capture_ms_of", "restore_warm_ms_of", "restore_cold_ms_of")
        ),
        _ratio(figures["resumed_overhead"][name]),
        _ratio(figures["overhead"][name]),
        _published(PUBLISHED[name]) if name in PUBLISHED else "",
    )


def _published(it: Published) -> str:
    snapshot = "-" if it.snapshot_bytes is None else size(it.snapshot_bytes)
    times = f"{milliseconds(it.capture_ms)}, {milliseconds(it.restore_ms)}"
    return f"{it.system}: {snapshot}, {times}, {_ratio(it.overhead)}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


_CHECKPOINT: Final = ("module", "cannot run, ms", "sent for one", "one every, s")
_GAPS: Final = ("interpreter", "longest time without a line, ms", "without checkpoints, ms")
_MESSAGES: Final = ("durability", "messages/s")


def checkpoint(figures: Mapping[str, Any]) -> list[Table]:
    """Of ``arts bench checkpoint``: p50 / p99 of times, medians of what is sent."""
    modules = [
        (
            name,
            _percentiles(figures, "stood", name),
            size(figures["sent_bytes_of"][name]),
            f"{every:.2f}",
        )
        for name, every in figures["every_s_of"].items()
    ]
    gaps = [
        (name, _percentiles(figures, "gap", name), _percentiles(figures, "undisturbed_gap", name))
        for name in figures["gap_p50_ms_of"]
    ]
    messages = [(way, f"{count:,}") for way, count in figures["messages_per_s_of"].items()]
    return [Table(_CHECKPOINT, modules), Table(_GAPS, gaps), Table(_MESSAGES, messages)]


_MOVES: Final = (
    *("memory", "MB/s written", "everything at once", "ahead", "ahead, direct", "back"),
    *("in the snapshot", "sent / memory", "sent / memory, back"),
)
_CELL: Final = re.compile(r"stop_([\d.]+mib_[\d.]+mbps)_p50_ms")
_KIB: Final = 1024


def migration(figures: Mapping[str, Any]) -> list[Table]:
    """Of ``arts bench migration --sizes ...``: p50 / p99 of downtimes in ms by size and rate."""
    cells = [found[1] for key in figures if (found := _CELL.fullmatch(key)) is not None]
    return [Table(_MOVES, [_moves(figures, cell) for cell in cells])]


def _moves(figures: Mapping[str, Any], cell: str) -> tuple[str, ...]:
    memory, rate = cell.removesuffix("mbps").split("mib_")
    mebibytes = float(memory)
    return (
        f"{mebibytes:g} MiB" if mebibytes >= 1 else f"{mebibytes * _KIB:g} KiB",
        rate,
        *(
            " / ".join(milliseconds(figures[f"{way}_{cell}_p{p}_ms"]) for p in (50, 99))
            for way in ("stop", "precopy", "direct", "back")
        ),
        size(figures[f"precopy_{cell}_snapshot_bytes"]),
        *(f"{figures[f'{way}_{cell}_sent_ratio']:g}" for way in ("precopy", "back")),
    )


def _percentiles(figures: Mapping[str, Any], what: str, name: str) -> str:
    return " / ".join(milliseconds(figures[f"{what}_p{p}_ms_of"][name]) for p in (50, 99))


def size(count: float) -> str:
    """Bytes for people: 2 kB, 1.5 MB."""
    return f"{count / 1e3:,.0f} kB" if count < 999_500 else f"{count / 1e6:,.1f} MB"


def milliseconds(value: float) -> str:
    """With two digits that mean something, and no more: 0.43, 9.4, 12, 1,022."""
    if value < 0.995:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 9.95 else f"{value:,.0f}"
