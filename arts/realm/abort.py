"""How a move ends without moving, whatever the reason. PURE.

Before the commit point the source runs on and the target forgets; behind it the source's frozen
copy is no longer needed. What becomes of the module then is decided by whoever calls.
"""

from typing import Any

from arts.errors import MigrationFailed
from arts.model import MigrationPhase, Module
from arts.protocol.messages import AbortMigration, Report, Response
from arts.realm.commands import command_id, discard, phase
from arts.realm.state import RealmState


def step(module: Module, *, ahead: int = 0) -> dict[str, Any]:
    """The fields that every command of a move carries; ``ahead`` of the commit point by 1."""
    assert module.migration is not None
    return {
        "uuid": module.uuid,
        "generation": module.generation + ahead,
        "migration": module.migration.id,
    }


def cancel(state: RealmState, module: Module, why: str) -> Module:
    """Whatever becomes of the module, it is no longer moving. Harmless if it was not."""
    move = module.migration
    if move is None:
        return module
    state.deadlines.cancel(phase(module.uuid))
    state.retries.pop(module.uuid, None)
    if move.phase is MigrationPhase.SWITCHING:
        discard(state, move.source, module.uuid, module.generation - 1)
    else:
        _send_abort(state, module, move.target)
    module = state.advance_migration(module, "aborted")
    state.answer(move.reply, failure(why))
    return module


def call_off(state: RealmState, module: Module, why: str) -> None:
    """Before the commit point: the source runs on, the target forgets."""
    assert module.migration is not None
    _send_abort(state, module, module.migration.source)
    module = cancel(state, module, why)
    state.advance_module(module, "stayed", detail=f"not moved: {why}")


def _send_abort(state: RealmState, module: Module, runtime: str) -> None:
    abort = AbortMigration(object_id=command_id(module, "abort"), **step(module, ahead=1))
    state.command(runtime, abort)


def abort_stray(state: RealmState, report: Report) -> None:
    """A runtime still works on a move that is over."""
    assert report.migration is not None
    abort = AbortMigration(
        uuid=report.uuid, generation=report.generation, migration=report.migration
    )
    state.command(report.runtime, abort)


def failure(why: str) -> Response:
    """The answer to a move that did not happen."""
    return Response(ok=False, details=f"not moved: {why}", code=MigrationFailed.code)
