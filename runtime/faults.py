"""What went wrong with a module, in the words of a report.

Programs and snapshots are not to be trusted, and engines are large: whatever comes out of working
on one module is that module's misfortune and nobody else's.
"""

from typing import NamedTuple

from arts.errors import ArtsError, EngineError
from arts.log import get_logger

log = get_logger(__name__)


class Fault(NamedTuple):
    """``code``: of ``arts.errors``."""

    code: str
    detail: str


def fault_of(error: Exception, module: str) -> Fault:
    """The fault that ``error`` means for ``module``; one that nobody foresaw is logged in full."""
    if isinstance(error, ArtsError):
        return Fault(error.code, str(error))
    log.error("engine.failed", module=module, exc_info=error)
    return Fault(EngineError.code, f"the engine failed: {error!r}")
