"""The tables that docs/tables.py writes into the page on performance."""

from typing import Any

import pytest

from arts.bench.reference import PROGRAMS
from arts.bench.tables import migration
from tests.docs.scripts import load


@pytest.fixture(scope="module")
def tables() -> Any:
    return load("tables")


def figures(*names: str) -> dict[str, Any]:
    keys = ("snapshot_bytes_of", "capture_ms_of", "restore_warm_ms_of", "restore_cold_ms_of")
    each = {key: dict.fromkeys(names, 1500) for key in (*keys, "resumed_overhead", "overhead")}
    return {"benchmark": "reference", **each}


def shown(page: str, benchmark: str) -> list[str]:
    """The first cells of the rows between the comments of a benchmark."""
    between = page.split(f"from `arts bench {benchmark}`")[1].split("<!-- The end")[0]
    rows = [line for line in between.splitlines() if line.startswith("|")]
    return [row.split(" | ")[0].removeprefix("| ") for row in rows[2:]]


def test_the_committed_page_has_every_program_of_reference(tables: Any) -> None:
    assert shown(tables.PAGE.read_text(encoding="utf-8"), "reference") == list(PROGRAMS)


def test_moves_of_much_memory_have_a_row_for_each_size_and_rate() -> None:
    cells = ("0.0625mib_0mbps", "72mib_10mbps")
    times = {
        f"{way}_{cell}_p{p}_ms": p
        for cell in cells
        for way in ("stop", "precopy", "direct", "back")
        for p in (50, 99)
    }
    ratios = {f"{way}_{cell}_sent_ratio": 1.5 for cell in cells for way in ("precopy", "back")}
    sizes = {f"precopy_{cell}_snapshot_bytes": 2000 for cell in cells}
    (table,) = migration(times | ratios | sizes)
    assert [row[:2] for row in table.rows] == [("64 KiB", "0"), ("72 MiB", "10")]
    each = ("50 / 99", "50 / 99", "50 / 99", "50 / 99", "2 kB", "1.5", "1.5")
    assert all(row[2:] == each for row in table.rows)
    assert all(len(row) == len(table.headings) for row in table.rows)


def test_a_table_is_replaced_and_the_rest_stays(tables: Any) -> None:
    page = tables.PAGE.read_text(encoding="utf-8")
    once = tables.rewritten(page, figures("nbody", "sqlite"))
    assert shown(once, "reference") == ["nbody", "sqlite"]
    assert tables.rewritten(once, figures(*PROGRAMS)) != page
    unchanged = [line for line in page.splitlines() if not line.startswith("|")]
    assert [line for line in once.splitlines() if not line.startswith("|")] == unchanged


def test_a_page_without_the_comments_is_refused(tables: Any) -> None:
    with pytest.raises(ValueError, match="0 places for reference"):
        tables.rewritten("# Another page\n", figures("nbody"))
