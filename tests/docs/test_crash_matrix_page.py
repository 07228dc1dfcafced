"""The crash matrix that docs/explanation/faults.md shows has the cells that exist."""

import pytest

from tests.faults.crash_matrix import PHASES, TABLES, VICTIMS, committed, expected


@pytest.mark.parametrize("kind", TABLES)
def test_the_committed_table_has_all_cells(kind: str) -> None:
    """docs/explanation/faults.md shows each cell, with an end that the test would accept."""
    _head, _rule, *rows = committed(kind).splitlines()
    shown = {
        row.split(" | ")[0].removeprefix("| "): row.strip("| ").split(" | ")[1:] for row in rows
    }
    assert list(shown) == list(PHASES.values())
    for hold, text in PHASES.items():
        for victim, cell in zip(VICTIMS, shown[text], strict=True):
            assert set(cell.split(" or ")) <= expected(kind, hold, victim), (text, victim)
