"""Writes tables of the page on performance, from what the benchmarks measured.

    arts bench reference --json > reference.json
    python docs/tables.py reference.json ...

A table stands between two comments that name the benchmark; what stands around it stays as it is.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from arts.bench import tables

PAGE = Path(__file__).parent / "explanation" / "performance.md"
TABLES: dict[str, Callable[[Mapping[str, Any]], tables.Table]] = {"reference": tables.reference}


def rewritten(page: str, figures: Mapping[str, Any]) -> str:
    """The page with another table of one benchmark. Raises ``ValueError`` if it has none."""
    name = figures["benchmark"]
    begin = f"<!-- Written by docs/tables.py from `arts bench {name}`; do not edit. -->"
    end = f"<!-- The end of `arts bench {name}`. -->"
    between = f"{begin}\n\n{TABLES[name](figures).markdown()}\n\n{end}"
    pattern = re.escape(begin) + ".*?" + re.escape(end)
    text, count = re.subn(pattern, lambda _: between, page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{count} tables of {name}, not one")
    return text


if __name__ == "__main__":
    for result in map(Path, sys.argv[1:]):
        figures = json.loads(result.read_text(encoding="utf-8"))
        PAGE.write_text(rewritten(PAGE.read_text(encoding="utf-8"), figures), encoding="utf-8")
