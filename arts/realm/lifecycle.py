"""What may follow what: the life of a runtime, a module and a move, as tables.

The tables are the specification: docs/reference/states.md is drawn from them, and a transition
that is not in them raises and changes nothing. None stands for "not there".
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from arts.errors import InvariantError
from arts.model import MigrationPhase, ModuleState, RuntimeState

S = TypeVar("S", RuntimeState, ModuleState, MigrationPhase)
Table = Mapping[S | None, Mapping[str, S | None]]

_R, _M, _P = RuntimeState, ModuleState, MigrationPhase

RUNTIME: Final[Table[RuntimeState]] = {
    None: {"registered": _R.ONLINE},
    _R.ONLINE: {"registered": _R.ONLINE, "suspected": _R.SUSPECT},
    _R.SUSPECT: {
        "registered": _R.ONLINE,
        "heard": _R.ONLINE,
        "given_up": _R.LOST,
        "left": None,
    },
    _R.LOST: {"registered": _R.ONLINE, "left": None},
}

_AWAY: Final = {"replaced": _M.PENDING, "orphaned": _M.LOST}
_ENDED: Final = {"exited": _M.EXITED, "failed": _M.FAILED}

MODULE: Final[Table[ModuleState]] = {
    None: {"requested": _M.PENDING},
    _M.PENDING: {"placed": _M.STARTING, "deleted": None},
    _M.STARTING: {"started": _M.RUNNING, "stopping": _M.STOPPING, **_AWAY, **_ENDED},
    _M.RUNNING: {"moving": _M.MIGRATING, "stopping": _M.STOPPING, **_AWAY, **_ENDED},
    _M.MIGRATING: {
        "moved": _M.RUNNING,
        "stayed": _M.RUNNING,
        "stopping": _M.STOPPING,
        **_AWAY,
        **_ENDED,
    },
    _M.STOPPING: {"deleted": None},
    _M.LOST: {
        "adopted": _M.RUNNING,
        "replaced": _M.PENDING,
        "requested": _M.PENDING,
        "deleted": None,
    },
    _M.EXITED: {"requested": _M.PENDING, "deleted": None},
    _M.FAILED: {"requested": _M.PENDING, "deleted": None},
}

MIGRATION: Final[Table[MigrationPhase]] = {
    None: {"asked": _P.PREPARING},
    _P.PREPARING: {"ready": _P.FREEZING, "aborted": None},
    _P.FREEZING: {"frozen": _P.RESTORING, "aborted": None},
    _P.RESTORING: {"committed": _P.SWITCHING, "aborted": None},
    _P.SWITCHING: {"resumed": None, "fell_back": _P.SWITCHING, "aborted": None},
}


def after(table: Table[S], state: S | None, event: str) -> S | None:
    """The state that ``event`` leads to. Raises ``InvariantError`` if to none."""
    try:
        return table[state][event]
    except KeyError:
        raise InvariantError(f"{event!r} cannot happen while {state}") from None
