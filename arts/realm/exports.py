"""Modules that leave for a file, and those that come from one. PURE.

Leaving changes nothing: the store sends a checkpoint. Who comes is announced first, so that its
checkpoint may be kept; only when it is, there is a module, and it starts as from any checkpoint.
"""

from dataclasses import replace

from arts.errors import ArtsError
from arts.model import Module, ModuleState, Recovery
from arts.protocol.messages import ExportModule, ImportModule, Response
from arts.realm.commands import accepted, phase, refusal
from arts.realm.deadlines import DeadlineKey
from arts.realm.documents import module_document
from arts.realm.effects import CheckpointKept, ExportSnapshot, ForgetSnapshots
from arts.realm.modules import check_free, parent_of
from arts.realm.placement import place_new
from arts.realm.state import RealmState


def export(state: RealmState, request: ExportModule) -> None:
    """Somebody wants a module as data."""
    try:
        module = state.module_names.the(request.uuid)
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    if request.reply is not None:
        document = module_document(state, module)
        wanted = ExportSnapshot(
            request.reply, module.uuid, request.number, request.transfer, document
        )
        state.effects.append(wanted)


def announce(state: RealmState, request: ImportModule) -> None:
    """A module wants to come; its checkpoint is awaited from now on."""
    old = state.modules.get(request.uuid)
    if old is not None and old.request == request.object_id:  # asked again
        state.answer(request.reply, accepted(state, old))
        return
    known = state.imports.get(request.uuid)
    try:
        if known is None or known.object_id != request.object_id:
            check_free(state, request.uuid)
            parent_of(state, request)
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    state.imports[request.uuid] = request
    settings = state.settings
    patience = settings.start_timeout + request.size / settings.transfer_bytes_per_second
    state.deadlines.set(_deadline(request.uuid), state.now + patience)
    state.answer(request.reply, Response(ok=True, details={"module": request.uuid}))


def is_awaited(state: RealmState, uuid: str, sender: str) -> bool:
    """Whether this checkpoint is the one that a module is to come with."""
    request = state.imports.get(uuid)
    return request is not None and request.importer == sender


def on_kept(state: RealmState, event: CheckpointKept) -> None:
    """The checkpoint is there, and so is the module."""
    request = state.imports.pop(event.module)
    state.deadlines.cancel(_deadline(event.module))
    state.deadlines.cancel(phase(event.module))
    state.checkpoints[event.module] = event
    try:
        parent = parent_of(state, request)
    except ArtsError:  # it is gone since it was asked about: wait for it
        parent = request.parent
    old = state.modules.get(request.uuid)
    module = Module(
        spec=replace(request.spec(parent), program=request.form.source_digest),
        state=ModuleState.PENDING,
        generation=max(request.generation, old.generation if old else 0),
        program=request.form,
        request=request.object_id,
        created_at=request.at or state.wall,
        recovery=Recovery(request.uuid, at=event.number, required=True),
    )
    place_new(state, state.advance_module(module, "requested"))


def on_overdue(state: RealmState, uuid: str) -> None:
    """The checkpoint did not come."""
    del state.imports[uuid]
    if uuid not in state.modules:
        state.effects.append(ForgetSnapshots(uuid))


def _deadline(uuid: str) -> DeadlineKey:
    return DeadlineKey("import", uuid)
