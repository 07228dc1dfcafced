"""The realm as plain data: what answers, retained read models and the dashboard show. PURE.

The field names are those of the ARTS dialect where it has them, so that its clients can read them.
"""

from dataclasses import asdict
from typing import Any

from arts.model import Module, Program, Runtime
from arts.realm.effects import CheckpointKept
from arts.realm.guarantees import guarantees
from arts.realm.state import RealmState
from arts.scheduling.explain import Explanation


def runtime_document(state: RealmState, runtime: Runtime) -> dict[str, Any]:
    """One runtime."""
    specs = [state.modules[uuid].spec for uuid in state.taken.get(runtime.uuid, ())]
    children = [{"uuid": s.uuid, "name": s.name, "filename": s.filename} for s in specs]
    return {
        "type": "runtime",
        "uuid": runtime.uuid,
        "name": runtime.name,
        "state": str(runtime.state),
        "max_nmodules": runtime.max_nmodules,
        "nmodules": len(children),
        "apis": sorted(runtime.apis),
        "labels": dict(runtime.labels),
        "filetypes": sorted(runtime.filetypes),
        "engine": runtime.engine,
        "features": sorted(runtime.features),
        "abilities": sorted(runtime.abilities),
        "instance": runtime.instance,
        "load": asdict(runtime.load) if runtime.load else None,
        "children": children,
        "dialect": runtime.dialect,
        "manager": runtime.manager,
        "traits": dict(runtime.traits),
        "created_at": runtime.created_at,
    }


def module_document(state: RealmState, module: Module) -> dict[str, Any]:
    """One module."""
    spec, move = module.spec, module.migration
    stats = state.stats.get(module.uuid)
    return {
        "type": "module",
        "uuid": spec.uuid,
        "name": spec.name,
        "state": str(module.state),
        "parent": _named(state, module.parent),
        "pinned_to": _named(state, spec.parent),
        "generation": module.generation,
        "filename": spec.filename,
        "fileid": spec.fileid,
        "filetype": str(spec.filetype),
        "apis": sorted(spec.apis),
        "labels": dict(spec.labels),
        "limits": asdict(spec.limits),
        "args": list(spec.args),
        "env": list(spec.env),
        "channels": [asdict(channel) for channel in spec.channels],
        "guarantees": {
            channel.path: guarantees(channel, spec.durability) for channel in spec.channels
        },
        "on_runtime_lost": str(spec.on_runtime_lost),
        "on_crash": str(spec.on_crash),
        "durability": str(spec.durability),
        "checkpoint_interval": spec.checkpoint_interval,
        "checkpoint": _checkpoint(state, module),
        "restored_from": asdict(module.restored) if module.restored else None,
        "extras": dict(spec.extras),
        "program": program_document(module.program) if module.program else None,
        "profile": spec.profile,
        "reasons": dict(module.reasons),
        "detail": module.detail,
        "exit_code": module.exit_code,
        "migration": {
            "id": move.id,
            "source": _named(state, move.source),
            "target": _named(state, move.target),
            "phase": str(move.phase),
        }
        if move
        else None,
        "stats": stats.model_dump(exclude={"uuid", "generation"}) if stats else None,
        "created_at": module.created_at,
    }


def _checkpoint(state: RealmState, module: Module) -> dict[str, Any] | None:
    """The newest checkpoint, as far as is known."""
    kept = state.checkpoints.get(module.uuid)
    return None if kept is None else checkpoint_document(kept)


def checkpoint_document(kept: CheckpointKept) -> dict[str, Any]:
    """A checkpoint, and what it cost."""
    return {
        "number": kept.number,
        "bytes": kept.size,
        "taken_at": kept.taken_at,
        "sent_bytes": kept.sent,
        "stood_ms": round(kept.stood * 1000, 3),
    }


def program_document(program: Program) -> dict[str, Any]:
    """A program, in the form in which a module runs it."""
    return asdict(program) | {"needs": sorted(program.needs)}


def realm_document(state: RealmState) -> dict[str, Any]:
    """The whole realm."""
    return {
        "realm": state.settings.name,
        "runtimes": [runtime_document(state, r) for r in state.runtimes.values()],
        "modules": [module_document(state, m) for m in state.modules.values()],
        "counters": dict(sorted(state.counters.items())),
    }


def story_document(state: RealmState, uuid: str) -> list[dict[str, Any]]:
    """What happened to one thing lately."""
    return [{"at": at, "what": what} for at, what in state.story(uuid)]


def decision_document(module: Module, decision: Explanation | None, policy: str) -> dict[str, Any]:
    """Why a module is where it is."""
    return {
        "module": module.uuid,
        "name": module.name,
        "state": str(module.state),
        "policy": policy,
        "chosen": decision.chosen if decision else None,
        "candidates": [
            {"runtime": o.runtime, "name": o.name, "reason": o.reason, "score": o.rank}
            for o in (decision.opinions if decision else ())
        ],
    }


def _named(state: RealmState, uuid: str | None) -> dict[str, Any] | None:
    if uuid is None:
        return None
    runtime = state.runtimes.get(uuid)
    return {"uuid": uuid, "name": runtime.name if runtime else None}
