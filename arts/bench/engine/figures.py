"""What was found, as one flat JSON object: a figure for the whole, and a dictionary by program.

Geometric means are of compiled programs; those of interpreters are apart, because what is expensive
in them is one large loop. Ratios say how much more than the plain program: 1.05 is 5 % more.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from arts.bench.engine.forms import FORMS, PLAIN, RESPONSIVE
from arts.bench.engine.in_v8 import FORMS as V8_FORMS
from arts.bench.engine.resumed import Moved
from arts.bench.engine.subject import POLLED, Found
from arts.bench.statistics import milliseconds, percentile

ByProgram = dict[str, float]


def flat(found: Sequence[Found]) -> dict[str, Any]:
    """All figures of all programs."""
    interpreters = {subject.program.name for subject in found if subject.program.interpreter}
    return {
        **_speed(found, interpreters),
        **_v8(found, interpreters),
        **_footprint(found, interpreters),
        **_pauses(found),
        **_moves(found, interpreters),
    }


def _speed(found: Sequence[Found], interpreters: set[str]) -> dict[str, Any]:
    figures: dict[str, Any] = {"plain_seconds": _each(found, _plain_seconds)}
    for form in FORMS:
        if form.name != PLAIN:
            ratios = {
                subject.program.name: round(subject.seconds.ratio(form.name), 3)
                for subject in found
                if form.name in subject.seconds.of
            }
            if ratios:
                figures |= _with_means(_prefix(form.name), "overhead", ratios, interpreters)
    return figures


def _plain_seconds(subject: Found) -> float:
    return round(statistics.median(subject.seconds.of[PLAIN]), 4)


def _v8(found: Sequence[Found], interpreters: set[str]) -> dict[str, Any]:
    runs = {subject.program.name: subject.v8 for subject in found if subject.v8 is not None}
    figures: dict[str, Any] = {}
    if not runs:
        return figures
    for form in V8_FORMS:
        if form != PLAIN:
            steady = {name: round(run.seconds.ratio(form), 3) for name, run in runs.items()}
            first = {name: round(run.first.ratio(form), 3) for name, run in runs.items()}
            prefix = f"v8_{_prefix(form)}"
            figures |= _with_means(prefix, "overhead", steady, interpreters)
            figures |= _with_means(prefix, "first_overhead", first, interpreters)
    figures["v8_first_to_steady"] = {
        name: round(run.first_to_steady, 2) for name, run in runs.items()
    }
    return figures


def _footprint(found: Sequence[Found], interpreters: set[str]) -> dict[str, Any]:
    def growth(of: Callable[[Found], Mapping[str, float]]) -> ByProgram:
        return _each(found, lambda subject: round(of(subject)[RESPONSIVE] / of(subject)[PLAIN], 3))

    def code_bytes(subject: Found) -> Mapping[str, float]:
        return subject.code_bytes

    return {
        **_with_means("", "code_growth", growth(code_bytes), interpreters),
        **_with_means("", "file_growth", growth(lambda subject: subject.bytes), interpreters),
        **_with_means(
            "", "compile_time", growth(lambda subject: subject.compile_seconds), interpreters
        ),
        "plain_rss_mb": _each(found, lambda subject: subject.rss_mb[PLAIN]),
        "prepared_rss_mb": _each(found, lambda subject: subject.rss_mb[RESPONSIVE]),
    }


def _pauses(found: Sequence[Found]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for form in POLLED:
        paused = {
            subject.program.name: subject.pauses[form]
            for subject in found
            if subject.pauses.get(form)
        }
        for name, percent in (("pause_p50", 50), ("pause_p99", 99), ("longest_pause", 100)):
            for clock, kind in enumerate(("", "cpu_")):
                each = {
                    program: milliseconds(percentile([pause[clock] for pause in pauses], percent))
                    for program, pauses in paused.items()
                }
                key = f"{_prefix(form)}{kind}{name}_ms"
                figures[key] = max(each.values(), default=None)
                figures[f"{key}_of"] = each
        figures[f"{_prefix(form)}pauses"] = {
            program: len(pauses) for program, pauses in paused.items()
        }
    return figures


def _moves(found: Sequence[Found], interpreters: set[str]) -> dict[str, Any]:
    each_of = of_moves(
        {subject.program.name: subject.moved for subject in found if subject.moved is not None}
    )
    overhead = each_of["resumed_overhead"]
    figures = each_of | _with_means("", "resumed_overhead", overhead, interpreters)
    figures["resumed_overhead_max"] = max(overhead.values(), default=None)
    for kind in ("cold", "warm"):
        each = each_of[f"restore_{kind}_ms_of"]
        for group, its in (
            ("", [value for name, value in each.items() if name not in interpreters]),
            ("interpreter_", [value for name, value in each.items() if name in interpreters]),
        ):
            figures[f"{group}restore_{kind}_max_ms"] = max(its, default=None)
    return figures


def of_moves(moved: Mapping[str, Moved]) -> dict[str, ByProgram]:
    """The figures of moves, by program."""
    return {
        "resumed_overhead": {name: round(move.overhead, 3) for name, move in moved.items()},
        "snapshot_bytes_of": {name: move.snapshot_bytes for name, move in moved.items()},
        "capture_ms_of": _milliseconds(moved, "capture_seconds"),
        "restore_cold_ms_of": _milliseconds(moved, "cold_seconds"),
        "restore_warm_ms_of": _milliseconds(moved, "warm_seconds"),
    }


def _milliseconds(moved: Mapping[str, Moved], which: str) -> ByProgram:
    return {name: milliseconds(getattr(move, which)) for name, move in moved.items()}


def _prefix(form: str) -> str:
    """The responsive form is what figures are about when they say nothing else."""
    return "" if form == RESPONSIVE else f"{form}_"


def _each(found: Iterable[Found], figure: Callable[[Found], float]) -> ByProgram:
    return {subject.program.name: figure(subject) for subject in found}


def _with_means(
    prefix: str, what: str, ratios: ByProgram, interpreters: set[str]
) -> dict[str, Any]:
    """The ratios by program, and their geometric means of both kinds of programs."""
    compiled = [ratio for name, ratio in ratios.items() if name not in interpreters]
    interpreted = [ratio for name, ratio in ratios.items() if name in interpreters]
    figures: dict[str, Any] = {f"{prefix}{what}": ratios}
    if compiled:
        figures[f"{prefix}{what}_geomean"] = round(statistics.geometric_mean(compiled), 3)
    if interpreted:
        mean = round(statistics.geometric_mean(interpreted), 3)
        v8, rest = ("v8_", prefix[3:]) if prefix.startswith("v8_") else ("", prefix)
        figures[f"{v8}interpreter_{rest}{what}_geomean"] = mean
    return figures
