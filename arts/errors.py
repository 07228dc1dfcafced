"""Everything ARTS raises on purpose, in one tree, split by who has to act.

    ArtsError
    ├── RequestError            the one who asked: ask differently
    │   ├── InvalidRequest      malformed, or against the contract
    │   ├── NotFound            no such runtime, module or program
    │   ├── AlreadyExists       the name is taken by something alive
    │   ├── FailedPrecondition  right request, wrong moment or state
    │   └── Unplaceable         no runtime can take it now; carries the reason of each
    ├── RuntimeFault            the runtime, or its operator
    │   ├── ProgramError        a program cannot be loaded, or is not what its digest says
    │   ├── EngineError         the engine failed under a module
    │   ├── SnapshotError       a snapshot is damaged, or does not fit here
    │   └── MigrationFailed     a move ended without moving; the module runs where it was
    ├── BusError                the broker, or the way to it
    ├── StoreError              the disk
    └── SettingsError           whoever configured this

``code`` is what goes on the wire and what the command line turns into an exit status. Breaches of
our own invariants are ``InvariantError`` (an ``AssertionError``): a bug, never caught as business.
"""

from collections.abc import Mapping
from typing import Literal


class ArtsError(Exception):
    """Root of all deliberate errors. ``str(error)`` is one sentence for the user."""

    code = "internal"


class RequestError(ArtsError):
    """The request cannot be honoured; nothing has changed."""

    code = "invalid"


class InvalidRequest(RequestError):
    """Malformed, or against the contract. ``field`` names the culprit where there is one."""

    code = "invalid"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class NotFound(RequestError):
    """No such runtime, module or program. ``kind`` says which of these, ``key`` what was asked."""

    code = "not_found"

    def __init__(
        self,
        message: str,
        *,
        kind: Literal["runtime", "module"] | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.key = key


class AlreadyExists(RequestError):
    """The uuid or name belongs to something alive."""

    code = "already_exists"


class FailedPrecondition(RequestError):
    """A sound request that the present state does not allow."""

    code = "failed_precondition"


class Unplaceable(RequestError):
    """No runtime can take the module now. ``reasons`` maps each runtime's name to its reason."""

    code = "unplaceable"

    def __init__(self, reasons: Mapping[str, str]) -> None:
        detail = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        super().__init__(f"no suitable runtime ({detail or 'none is registered'})")
        self.reasons = dict(reasons)


class RuntimeFault(ArtsError):
    """Something went wrong on a runtime."""

    code = "runtime_fault"


class ProgramError(RuntimeFault):
    """A program cannot be fetched, loaded or trusted."""

    code = "program_error"


class EngineError(RuntimeFault):
    """The engine failed under a module."""

    code = "engine_error"


class SnapshotError(RuntimeFault):
    """A snapshot is damaged, or does not fit the program or engine at hand."""

    code = "snapshot_error"


class MigrationFailed(RuntimeFault):
    """A move ended without moving; the module is where it was."""

    code = "migration_failed"


class BusError(ArtsError):
    """The broker refused something, or cannot be reached."""

    code = "bus_error"


class StoreError(ArtsError):
    """The durable state cannot be read or written."""

    code = "store_error"


class SettingsError(ArtsError):
    """The configuration does not make sense."""

    code = "settings_error"


class InvariantError(AssertionError):
    """The realm or a host found itself in a state that must not exist. Carries the story."""
