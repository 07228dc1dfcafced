"""Starting from a checkpoint: a move whose source is the store. PURE.

    seek -> (found, read, sound) -> prepare -> ready -> the store sends -> restored -> resume

For the target it is the same as any move. The module is *starting* all the while, at the generation
that its placement gave it. What follows when it fails is in ``checkpoints``.
"""

from dataclasses import replace
from uuid import NAMESPACE_OID, uuid5

from arts.model import Durability, Module, Recovery
from arts.protocol.messages import PrepareModule, Report, ResumeModule
from arts.realm.commands import command_id, phase, start_command
from arts.realm.effects import FindSnapshot, SendSnapshot, SnapshotFound
from arts.realm.state import RealmState

STORE = "store"
"""Stands for the source in what the target is told."""


def after_loss(module: Module) -> Recovery | None:
    """How a module starts that has lost its runtime."""
    if module.recovery is not None:
        wanted = module.recovery
        return Recovery(wanted.source, at=wanted.at, since=wanted.since, required=wanted.required)
    durable = module.spec.durability is not Durability.NONE
    return Recovery(module.uuid, since=module.life) if durable else None


def with_which_it_began(module: Module, wanted: Recovery) -> Recovery | None:
    """How a module starts that has no checkpoint of its present life, if that began with one."""
    if module.begun is None or (wanted.source, wanted.since) != (module.uuid, module.life):
        return None
    source, number = module.begun
    return Recovery(source, before=number + 1, damaged=wanted.damaged)


def seek(state: RealmState, module: Module) -> None:
    """Look for the checkpoint; repeated, it comes to the same."""
    wanted = module.recovery
    assert wanted is not None
    state.effects.append(
        FindSnapshot(
            module.uuid,
            module.generation,
            wanted.source,
            wanted.at,
            wanted.before,
            wanted.since,
        )
    )


def on_found(state: RealmState, module: Module, found: SnapshotFound) -> None:
    """There is one: the runtime may prepare for it."""
    assert module.recovery is not None
    assert module.parent is not None
    name = f"{module.uuid}/{module.generation}/{found.source}/{found.number}"
    damaged = dict.fromkeys((*module.recovery.damaged, *found.damaged))
    move = replace(
        module.recovery,
        number=found.number,
        id=str(uuid5(NAMESPACE_OID, name)),
        digest=found.digest,
        size=found.size,
        taken_at=found.taken_at,
        damaged=tuple(damaged),
    )
    runtime = module.parent
    module = replace(module, recovery=move)
    state.put_module(module)
    prepare = PrepareModule(
        object_id=command_id(module, f"prepare/{move.id}"),
        uuid=module.uuid,
        generation=module.generation,
        migration=move.id,
        module=start_command(module, runtime, module.generation),
        source=STORE,
    )
    state.command(runtime, prepare)
    settings = state.settings
    patience = settings.start_timeout + found.size / settings.transfer_bytes_per_second
    state.deadlines.set(phase(module.uuid), state.now + patience)


def on_ready(state: RealmState, module: Module, move: Recovery) -> None:
    """The runtime listens."""
    assert move.number is not None
    state.effects.append(
        SendSnapshot(module.uuid, module.generation, move.id, move.source, move.number)
    )


def on_restored(state: RealmState, module: Module, move: Recovery, report: Report) -> bool:
    """The runtime has rebuilt it; whether it is what was sent."""
    if report.digest != move.digest:
        return False
    assert module.parent is not None
    resume = ResumeModule(
        object_id=command_id(module, f"resume/{move.id}"),
        uuid=module.uuid,
        generation=module.generation,
        migration=move.id,
    )
    state.command(module.parent, resume)
    return True
