"""What a runtime says of itself: who it is, that it lives, and what its modules use."""

import time
from collections.abc import Iterable
from typing import Final, Literal

import psutil

from arts.model import Load
from arts.protocol import messages as m
from runtime import effects as do
from runtime.engines.base import Engine, Stats
from runtime.held import Held
from runtime.settings import RuntimeSettings

FEATURES: Final = frozenset(
    {"events", "programs", "snapshot", "foresee", "checkpoint", "hold", "measure"}
)
"""What the realm may ask of it that others do not know."""


class Presence:
    """Of one runtime process. ``uuid``: the runtime's, ``instance``: the process's."""

    def __init__(self, settings: RuntimeSettings, uuid: str, instance: str, engine: Engine) -> None:
        self._settings, self._engine = settings, engine
        self._uuid, self._instance = uuid, instance
        self._cpu_seconds: dict[int, float] = {}
        """Copy -> CPU time at the last sign of life."""
        psutil.cpu_percent()  # the first call only sets the mark

    def registration(self, effect: do.Announce) -> m.RegisterRuntime:
        """Who it is, what it can do, and what it holds."""
        settings = self._settings
        return m.RegisterRuntime(
            object_id=f"{self._instance}/{effect.serial}",
            uuid=self._uuid,
            name=settings.name,
            max_nmodules=settings.max_nmodules,
            apis=tuple(sorted(settings.apis)),
            labels=settings.labels,
            filetypes=settings.filetypes,
            instance=self._instance,
            features=FEATURES,
            engine=self._engine.name,
            abilities=self._engine.abilities,
            ka_interval_sec=settings.keepalive,
            modules=effect.modules,
            ended=effect.ended,
        )

    def farewell(self, reason: Literal["shutdown", "last_will"]) -> m.RemoveRuntime:
        """That it is gone."""
        return m.RemoveRuntime(uuid=self._uuid, instance=self._instance, reason=reason)

    def sign_of_life(self, modules: Iterable[tuple[Held, Stats]]) -> m.Keepalive:
        """That it lives, how busy the machine is, and what each module has used."""
        memory = psutil.virtual_memory()
        return m.Keepalive(
            uuid=self._uuid,
            instance=self._instance,
            load=Load(psutil.cpu_percent(), memory.percent, memory.available),
            children=tuple(self._usage(held, stats) for held, stats in modules),
        )

    def forget(self, copy: int) -> None:
        """Drop what is known of a copy that is gone."""
        self._cpu_seconds.pop(copy, None)

    def _usage(self, held: Held, stats: Stats) -> m.ModuleStats:
        spent = stats.cpu_seconds - self._cpu_seconds.get(held.copy, stats.cpu_seconds)
        self._cpu_seconds[held.copy] = stats.cpu_seconds
        idle = time.monotonic() - stats.last_active if stats.last_active else 0.0
        return m.ModuleStats(
            uuid=held.uuid,
            generation=held.generation,
            cpu_usage_percent=round(100 * spent / self._settings.keepalive, 1),
            cpu_seconds=stats.cpu_seconds,
            mem_usage=stats.memory_bytes,
            messages_in=stats.messages_in,
            messages_out=stats.messages_out,
            idle_seconds=max(0.0, idle),
            pause_seconds=stats.slowest_pause,
        )
