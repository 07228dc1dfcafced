"""The commands and answers that several parts of the realm make alike. PURE."""

from uuid import NAMESPACE_OID, uuid5

from arts.errors import ArtsError, NotFound
from arts.model import Module
from arts.protocol.messages import Response, StartModule, StopModule
from arts.realm.deadlines import DeadlineKey
from arts.realm.documents import module_document
from arts.realm.state import RealmState


def phase(module: str) -> DeadlineKey:
    """The deadline of whatever a module is going through."""
    return DeadlineKey("phase", module)


def command_id(module: Module, action: str) -> str:
    """The id of a command: the same command, sent again, has the same id."""
    return str(uuid5(NAMESPACE_OID, f"{module.request}/{module.uuid}/{module.generation}/{action}"))


def refusal(error: ArtsError) -> Response:
    """The answer that says no."""
    if isinstance(error, NotFound):
        return Response(
            ok=False,
            details=str(error),
            code=error.code,
            missing=error.kind,
            subject=error.key,
        )
    return Response(ok=False, details=str(error), code=error.code)


def accepted(state: RealmState, module: Module) -> Response:
    """The answer that shows the module as it is now."""
    return Response(ok=True, details=module_document(state, module))


def start_command(module: Module, runtime: str, generation: int) -> StartModule:
    """The command that starts a module on a runtime."""
    spec = module.spec
    return StartModule(
        object_id=command_id(module, "create"),
        uuid=spec.uuid,
        generation=generation,
        name=spec.name,
        filename=spec.filename,
        filetype=spec.filetype,
        fileid=spec.fileid,
        program=module.program,
        args=_placed(spec.args, runtime),
        env=_placed(spec.env, runtime),
        channels=spec.channels,
        apis=tuple(sorted(spec.apis)),
        limits=spec.limits,
        extras=dict(spec.extras),
        durability=spec.durability,
        checkpoint_interval=spec.checkpoint_interval,
        origin=module.life,
        parent=runtime,
    )


def _placed(words: tuple[str, ...], runtime: str) -> tuple[str, ...]:
    """Words that may ask where the module starts: only placement knows."""
    return tuple(word.replace("${runtimeid}", runtime) for word in words)


def discard(
    state: RealmState, runtime: str, uuid: str, generation: int, *, session: bool = False
) -> None:
    """Tell a runtime to drop a copy that must not act: of this generation or an earlier one.

    ``session``: the module's MQTT session goes too, because the module lives nowhere else.
    """
    stop = StopModule(uuid=uuid, generation=generation, force=True, forget_session=session)
    state.command(runtime, stop)
