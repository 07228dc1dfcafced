"""The crash matrix as data: who dies in which phase of a move, and what becomes of the module.

    ARTS_CRASH_MATRIX=FILE pytest tests/faults/test_crash_matrix.py   # notes each cell that held
    python -m tests.faults.crash_matrix FILE                          # writes the tables of them

or both: ``make matrix``. A further phase is a further ``Hold`` and a row of ``EXPECTED``.
"""

import os
import re
import sys
from pathlib import Path
from typing import Final

from tests.support.held_moves import (
    Hold,
    ahead,
    freezing,
    frozen,
    preparing,
    restored,
    switching,
    transferring,
)

PAGE: Final = Path(__file__).parents[2] / "docs" / "explanation" / "faults.md"
BEGIN: Final = "<!-- Written by `make matrix` from a run; do not edit. -->"
END: Final = "<!-- The end of what `make matrix` wrote. -->"

VICTIMS: Final = ("source", "target", "supervisor", "broker")

PHASES: Final[dict[Hold, str]] = {
    preparing: "before the snapshot: the target is not ready",
    freezing: "before the snapshot: the source has not frozen",
    ahead: "during pre-copy",
    frozen: "after the freeze",
    transferring: "during the transfer",
    restored: "after the restore, before the commit",
    switching: "after the commit",
}

STAYS: Final = "stays"
MOVES: Final = "moves"
RETURNS: Final = "returns"
ANEW: Final = "anew"
RECOVERED: Final = "recovered"
ENDS: Final = (STAYS, MOVES, RETURNS, ANEW, RECOVERED)
"""How a move can end; docs/explanation/faults.md says what each of them means."""

_SOUND: Final = frozenset({STAYS, MOVES, RETURNS})

EXPECTED: Final[dict[tuple[Hold, str], frozenset[str]]] = {
    (preparing, "source"): frozenset({ANEW}),
    (freezing, "source"): frozenset({ANEW}),
    (ahead, "source"): frozenset({ANEW}),
    (frozen, "source"): frozenset({MOVES}),
    (transferring, "source"): frozenset({ANEW}),
    (restored, "source"): frozenset({MOVES}),
    (switching, "source"): frozenset({MOVES}),
    (preparing, "target"): frozenset({STAYS}),
    (freezing, "target"): frozenset({STAYS}),
    (ahead, "target"): frozenset({STAYS}),
    (frozen, "target"): frozenset({STAYS}),
    (transferring, "target"): frozenset({STAYS}),
    # Its word and the news of its death are both on the way to the supervisor.
    (restored, "target"): frozenset({STAYS, RETURNS}),
    (switching, "target"): frozenset({RETURNS}),
    **{(phase, "supervisor"): frozenset({MOVES}) for phase in PHASES},
    **{(phase, "broker"): _SOUND for phase in PHASES},
}


PLAIN: Final = "plain"
DURABLE: Final = "durable"
TABLES: Final = {
    PLAIN: "Modules that are not durable:",
    DURABLE: "A durable module with sequenced channels, in the same runs:",
}
"""Kind of module -> what stands above its table."""


_UNSETTLED: Final = frozenset((phase, "supervisor") for phase in (preparing, freezing, ahead))
"""No checkpoint is kept while the supervisor is away, so a durable module owes its broker what it
has taken. The embedded one confirms nothing to who owes it much: then the move is called off."""


def expected(kind: str, phase: Hold, victim: str) -> frozenset[str]:
    """How a module of this kind may end."""
    ends = frozenset(_as_kind(kind, end) for end in EXPECTED[phase, victim])
    return ends | {STAYS} if kind == DURABLE and (phase, victim) in _UNSETTLED else ends


def _as_kind(kind: str, end: str) -> str:
    """How a module of this kind ends when a plain one ends like that: none that is durable begins
    anew."""
    return RECOVERED if (kind, end) == (DURABLE, ANEW) else end


def note(kind: str, phase: Hold, victim: str, broker: str, end: str) -> None:
    """Remember that a cell held, if somebody wants to know."""
    if path := os.environ.get("ARTS_CRASH_MATRIX"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(f"{kind}\t{phase.__name__}\t{victim}\t{broker}\t{end}\n")


def tables(lines: list[str]) -> str:
    """Both tables of the cells that were noted."""
    return "\n\n".join(f"{title}\n\n{_table(lines, kind)}" for kind, title in TABLES.items())


def _table(lines: list[str], kind: str) -> str:
    """Cells that were not seen stay empty."""
    seen: dict[tuple[str, str], set[str]] = {}
    for line in lines:
        whose, phase, victim, _broker, end = line.split("\t")
        if whose == kind:
            seen.setdefault((phase, victim), set()).add(end)
    head = [f"| while | {' | '.join(VICTIMS)} |", "|---|" + "---|" * len(VICTIMS)]
    rows = [
        f"| {text} | "
        + " | ".join(_ends(seen.get((phase.__name__, victim), set())) for victim in VICTIMS)
        + " |"
        for phase, text in PHASES.items()
    ]
    return "\n".join([*head, *rows])


def _ends(seen: set[str]) -> str:
    return " or ".join(end for end in ENDS if end in seen)


def committed(kind: str) -> str:
    """The table that docs/explanation/faults.md shows of this kind of module."""
    shown = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    return shown.split(TABLES[kind])[1].strip().split("\n\n")[0]


def _write(lines: list[str]) -> None:
    text = PAGE.read_text(encoding="utf-8")
    between = f"{BEGIN}\n\n{tables(lines)}\n\n{END}"
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    PAGE.write_text(re.sub(pattern, lambda _: between, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    _write(Path(sys.argv[1]).read_text(encoding="utf-8").splitlines())
