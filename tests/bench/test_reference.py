"""The benchmark of the programs that others publish knows which these are, and what they say."""

from pathlib import Path
from typing import Any

import pytest

from arts.bench import reference, tables
from arts.bench.published import PUBLISHED
from arts.cli.bench_tables import show_tables
from arts.errors import NotFound


def figures(**overheads: float | None) -> dict[str, Any]:
    each = {name: 1.125 for name in overheads}
    return {
        "snapshot_bytes_of": {name: 1_650_000 for name in overheads},
        "capture_ms_of": {name: 0.456 for name in overheads},
        "restore_warm_ms_of": {name: 12.34 for name in overheads},
        "restore_cold_ms_of": {name: 1234.5 for name in overheads},
        "resumed_overhead": each,
        "overhead": overheads,
    }


def test_unknown_names_are_refused() -> None:
    with pytest.raises(NotFound, match="no program queens; there are nbody"):
        reference.measure(Path("wasm-apps"), chosen=["queens", "lua"])


def test_what_others_publish_is_of_programs_that_are_measured() -> None:
    assert set(PUBLISHED) <= set(reference.PROGRAMS)


def test_a_row_has_ours_and_theirs() -> None:
    (table,) = tables.reference(figures(linpack=None, nbody=0.99, quickjs=1.0))
    ours = ["1.6 MB", "0.46", "12", "1,234", "1.12"]
    assert table.rows == [
        ("linpack", *ours, "-", "MVVM: -, 4,649, 699, -"),
        ("nbody", *ours, "0.99", "Wanco: 132 kB, 1.0, 0.10, 0.89"),
        ("quickjs", *ours, "1.00", ""),
    ]
    assert {len(row) for row in table.rows} == {len(table.headings)}


def test_a_table_is_shown_as_markdown_and_in_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    table = tables.Table(("program", "ms"), [("nbody", "1.0")])
    assert table.markdown() == "| program | ms |\n| --- | --- |\n| nbody | 1.0 |"
    show_tables([table])
    assert "nbody" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.994, "0.99"), (0.999, "1.0"), (9.94, "9.9"), (9.96, "10"), (1e3, "1,000")],
)
def test_milliseconds_have_the_digits_that_mean_something(value: float, text: str) -> None:
    assert tables.milliseconds(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(2_324, "2 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (1e9, "1,000.0 MB")],
)
def test_sizes_are_of_people(count: float, text: str) -> None:
    assert tables.size(count) == text
