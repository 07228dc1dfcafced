"""What a scene is told about a program that runs in it: ARENA's ``run_info``, and a little more.

The fields of ARENA's schema, with its types (text, where ARENA says text), are those that
``arena-py`` shows of itself. ``module``, ``state``, ``runtime`` and ``detail`` are ours.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from arts.protocol.messages import ModuleStats
from arts.scenes.model import Instance, SceneSettings

Iso = Callable[[float], str]
"""Wall time as ISO 8601 text."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a module has published and received, as its runtime last said. Wall times."""

    at: float = 0.0
    generation: int = -1
    published: int = 0
    received: int = 0
    published_rate: float = 0.0
    received_rate: float = 0.0
    last_published: float | None = None
    last_received: float | None = None
    last_active: float | None = None


def after(traffic: Traffic, stats: ModuleStats, wall: float) -> Traffic:
    """The traffic with newer counters. Those of another runtime begin anew: so do the rates."""
    began = traffic.generation == stats.generation
    seconds = wall - traffic.at if began else 0.0
    sent = stats.messages_out - traffic.published if began else stats.messages_out
    came = stats.messages_in - traffic.received if began else stats.messages_in
    return replace(
        traffic,
        at=wall,
        generation=stats.generation,
        published=stats.messages_out,
        received=stats.messages_in,
        published_rate=round(max(0, sent) / seconds, 2) if seconds > 0 else 0.0,
        received_rate=round(max(0, came) / seconds, 2) if seconds > 0 else 0.0,
        last_published=wall if sent > 0 else traffic.last_published,
        last_received=wall if came > 0 else traffic.last_received,
        last_active=wall - stats.idle_seconds,
    )


def run_info(
    instance: Instance,
    state: str,
    document: Mapping[str, Any] | None,
    traffic: Traffic | None,
    settings: SceneSettings,
    iso: Iso,
) -> dict[str, Any]:
    """What is known of one instance. ``document``: its module as the realm shows it."""
    scene, spec = instance.key.scene, instance.spec
    info: dict[str, Any] = {
        "web_host": settings.web_host,
        "namespace": scene.namespace,
        "scene": scene.name,
        "realm": settings.realm,
        "module": instance.uuid,
        "state": state,
    }
    if spec is not None:
        info |= {"filename": spec.filename, "args": _text(spec.args), "env": _text(spec.env)}
    if document is not None:
        info |= {"create_time": iso(document.get("created_at") or 0.0)}
        if runtime := (document.get("parent") or {}).get("name"):
            info["runtime"] = runtime
    if detail := instance.detail or waiting(document):
        info["detail"] = detail
    return info | _counters(traffic, iso)


def waiting(document: Mapping[str, Any] | None) -> str | None:
    """What the realm says about a module: why it waits, or how it ended."""
    if document is None:
        return None
    reasons = "; ".join(f"{name}: {why}" for name, why in (document.get("reasons") or {}).items())
    detail = document.get("detail")
    return f"{detail} ({reasons})" if detail and reasons else detail or reasons or None


def _counters(traffic: Traffic | None, iso: Iso) -> dict[str, Any]:
    if traffic is None:
        return {}
    times = {
        "last_active_time": traffic.last_active,
        "last_pub_time": traffic.last_published,
        "last_rcv_time": traffic.last_received,
    }
    return {
        "pub_msgs": traffic.published,
        "pub_msgs_per_sec": traffic.published_rate,
        "rcv_msgs": traffic.received,
        "rcv_msgs_per_sec": traffic.received_rate,
    } | {name: iso(at) for name, at in times.items() if at is not None}


def _text(words: tuple[str, ...]) -> str:
    return " ".join(words)
