"""What requests for modules and reports about them mean. PURE.

How a module gets a runtime, and what happens when it loses it, is in ``placement``.
"""

from dataclasses import replace

from arts.errors import AlreadyExists, ArtsError, FailedPrecondition, NotFound
from arts.model import Module, ModuleState, ReplyTo
from arts.protocol.messages import (
    CreateModule,
    DeleteModule,
    ModuleExited,
    Report,
    Response,
    StartModule,
    StopModule,
)
from arts.realm import migration
from arts.realm.abort import cancel
from arts.realm.commands import accepted, command_id, phase, refusal, start_command
from arts.realm.documents import module_document
from arts.realm.placement import (
    begins_again,
    farewell,
    finish,
    forget,
    is_told_by,
    on_outrun,
    on_owner_gone,
    on_start_timeout,
    place_new,
    place_now,
    try_elsewhere,
)
from arts.realm.state import RealmState

PERMANENT = frozenset({"program_error", "invalid", "not_found"})
"""Failures that another runtime would not cure."""


# ---------------------------------------------------------------------------- create


def create(state: RealmState, request: CreateModule) -> None:
    """A module is asked for."""
    old = state.modules.get(request.uuid)
    if old is not None and old.request == request.object_id:
        # A repetition (QoS 1, a client's retry). If the first is not answered yet, one answer does.
        if old.reply is None:
            state.answer(request.reply, accepted(state, old))
        return
    try:
        check_free(state, request.uuid)
        parent = parent_of(state, request)
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    module = Module(
        spec=request.spec(parent),
        state=ModuleState.PENDING,
        generation=old.generation if old else 0,
        life=old.generation + 1 if old else 0,
        request=request.object_id,
        reply=replace(request.reply, said=None) if request.reply else None,
        created_at=request.at or state.wall,
        heard=request.heard,
    )
    state.deadlines.cancel(phase(module.uuid))
    module = state.advance_module(module, "requested")
    if request.patient:
        place_new(state, module)
    else:
        place_now(state, module)


def check_free(state: RealmState, uuid: str) -> None:
    """Raise ``AlreadyExists`` unless a module may begin under this uuid.

    One that has ended gives way, and one that waits for a runtime that may never come back with it.
    """
    old = state.modules.get(uuid)
    if old is not None and not (old.state.is_final or old.state is ModuleState.LOST):
        raise AlreadyExists(f"module {uuid} exists already and is {old.state}")
    if uuid in state.imports:
        raise AlreadyExists(f"module {uuid} is just being imported")


def parent_of(state: RealmState, request: CreateModule) -> str | None:
    """The runtime (uuid) that a module is asked to be on. Raises ``NotFound``."""
    if request.parent is None:
        return None
    try:
        return state.runtime_names.the(request.parent).uuid
    except NotFound:
        if request.strict_parent:
            raise
        return None


# ---------------------------------------------------------------------------- delete


def delete(state: RealmState, request: DeleteModule) -> None:
    """A module is to go."""
    try:
        module = state.module_names.the(request.uuid)
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    if module.state is ModuleState.STOPPING:
        _hurry(state, module, request)
    elif module.state.is_placed and _knows(state, module, request):
        forget(state, state.advance_module(module, "stopping", reply=None))
    elif module.state.is_placed:
        _stop(state, module, request.reply, request.force)
    else:
        forget(state, replace(module, reply=request.reply))


def _knows(state: RealmState, module: Module, request: DeleteModule) -> bool:
    """Whether the owner need not be told: it says itself that the module is gone, or heard the
    request."""
    assert module.parent is not None
    owner = state.runtimes[module.parent]
    if owner.reports:
        return False
    return request.sender == owner.uuid or (request.heard and is_told_by(owner, request.reply))


def _hurry(state: RealmState, module: Module, request: DeleteModule) -> None:
    """It is being stopped already: perhaps less gently than before."""
    if request.force:
        send_stop(state, module, force=True)
    if request.reply != module.reply:
        state.answer(request.reply, farewell(module))


def _stop(state: RealmState, module: Module, reply: ReplyTo | None, force: bool) -> None:
    earlier = module.reply
    module = replace(cancel(state, module, "the module was deleted"), reply=reply)
    module = state.advance_module(module, "stopping")
    state.answer(
        earlier, refusal(FailedPrecondition("the module was deleted before it had started"))
    )
    send_stop(state, module, force=force)
    assert module.parent is not None
    if not state.runtimes[module.parent].reports:
        forget(state, module)


def send_stop(state: RealmState, module: Module, *, force: bool = False) -> None:
    """Tell the owner to end the module, and see that it does."""
    assert module.parent is not None
    stop = StopModule(
        object_id=command_id(module, "delete"),
        uuid=module.uuid,
        generation=module.generation,
        force=force,
        module=_described(state, module),
    )
    state.command(module.parent, stop)
    state.deadlines.set(phase(module.uuid), state.now + state.settings.stop_timeout)


def _described(state: RealmState, module: Module) -> StartModule | None:
    """Runtimes that do not report are told once more what the module is."""
    assert module.parent is not None
    if state.runtimes[module.parent].reports:
        return None
    return start_command(module, module.parent, module.generation)


# ---------------------------------------------------------------------------- reports


def on_exit_told(state: RealmState, request: ModuleExited) -> None:
    """A runtime that sends no reports says that a module has ended by itself."""
    try:
        module = state.module_names.the(request.uuid)
        _check_exit(state, module, request)
    except ArtsError as error:
        state.answer(request.reply, refusal(error))
        return
    document = module_document(state, module)
    finish(state, module, "failed" if request.failed else "exited", request.detail)
    state.answer(request.reply, Response(ok=True, details=document))


def _check_exit(state: RealmState, module: Module, request: ModuleExited) -> None:
    owner = state.runtimes.get(module.parent or "")
    if module.state is not ModuleState.RUNNING or owner is None or owner.reports:
        raise FailedPrecondition(f"module {module.name} does not run where that could be said")
    if request.runtime not in ("", owner.uuid):
        raise FailedPrecondition(f"module {module.name} is on runtime {owner.name}")


def on_ended(state: RealmState, module: Module, report: Report) -> None:
    """``exited`` or ``failed``, from the module's owner at its present generation."""
    failed = report.kind == "failed"
    curable = failed and report.code not in PERMANENT
    if module.state is ModuleState.STOPPING:
        forget(state, module)
    elif module.state is ModuleState.STARTING and curable:
        try_elsewhere(state, module, report.detail or "failed to start")
    elif module.state.is_placed:
        detail = report.detail or (None if failed else f"exit code {report.exit_code}")
        module = cancel(state, module, f"the module {report.kind}: {detail or 'by itself'}")
        finish(state, module, report.kind, detail, code=report.code, exit_code=report.exit_code)


def on_stopped(state: RealmState, module: Module, report: Report) -> None:
    """The owner has dropped the module at its present generation, or will not start it."""
    if module.state is ModuleState.STOPPING:
        forget(state, module)
    elif module.state is ModuleState.STARTING:
        if report.newest is not None and report.newest >= module.generation:
            on_outrun(state, module, report.newest)
    elif module.state.is_placed:
        on_owner_gone(state, module, "its runtime has dropped it")


# ---------------------------------------------------------------------------- time


def on_phase_over(state: RealmState, module: Module) -> None:
    """A module took too long for what it was going through."""
    if module.state is ModuleState.STARTING:
        on_start_timeout(state, module)
    elif module.state is ModuleState.STOPPING:
        _on_stop_timeout(state, module)
    elif module.state is ModuleState.MIGRATING:
        migration.on_phase_over(state, module)
    elif begins_again(module):
        begun = module.generation + 1
        place_new(
            state,
            state.advance_module(
                module, "requested", parent=None, attempts=(), life=begun, begun=None
            ),
        )
    else:
        forget(state, module)


def _on_stop_timeout(state: RealmState, module: Module) -> None:
    tries = state.retries.get(module.uuid, 0) + 1
    state.retries[module.uuid] = tries
    if state.is_online(module.parent) and tries < state.settings.stop_attempts:
        send_stop(state, module, force=True)
    else:
        # A runtime that comes back with it is told to drop it: nobody knows it any more.
        forget(state, module)
