"""Writes tables of the page on performance, from what the benchmarks measured.

    arts bench reference --json > reference.json
    arts bench checkpoint --json > checkpoint.json
    python docs/tables.py reference.json checkpoint.json

What is written stands between two comments that name the benchmark; the rest stays as it is.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from arts.bench import tables

PAGE = Path(__file__).parent / "explanation" / "performance.md"
TABLES: dict[str, Callable[[Mapping[str, Any]], list[tables.Table]]] = {
    "reference": tables.reference,
    "checkpoint": tables.checkpoint,
    "migration": tables.migration,
}


def rewritten(page: str, figures: Mapping[str, Any]) -> str:
    """The page with other tables of one benchmark. Raises ``ValueError`` without one place."""
    name = figures["benchmark"]
    begin = f"<!-- Written by docs/tables.py from `arts bench {name}`; do not edit. -->"
    end = f"<!-- The end of `arts bench {name}`. -->"
    made = "\n\n".join(table.markdown() for table in TABLES[name](figures))
    between = f"{begin}\n\n{made}\n\n{end}"
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    text, count = re.subn(pattern, lambda _: between, page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{count} places for {name}, not one")
    return text


if __name__ == "__main__":
    for result in map(Path, sys.argv[1:]):
        figures = json.loads(result.read_text(encoding="utf-8"))
        PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
