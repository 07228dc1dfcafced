"""An instance that cannot be moved: it blocks the thread it runs on, and can only be killed.

Knows stores, host calls and interruption by epoch.
"""

from collections.abc import Collection
from typing import NoReturn

import wasmtime

from arts.errors import SnapshotError
from runtime.engines import wasmtime_ffi as ffi
from runtime.engines.base import InstanceSpec, Listener, Outcome, Wait
from runtime.engines.hosted import Hosted
from runtime.shadow import Shadow
from runtime.wasi.host import Wasi

TABLE_ELEMENTS = 1 << 20


class PlainInstance(Hosted):
    """One turn is its whole life."""

    migratable = False

    def __init__(
        self,
        engine: wasmtime.Engine,
        pre: wasmtime.InstancePre,
        spec: InstanceSpec,
        listener: Listener,
    ) -> None:
        super().__init__(Wasi.start(spec, listener, self._look))
        self._engine, self._pre = engine, pre
        self._store: wasmtime.Store | None = wasmtime.Store(engine)
        self._store.set_limits(
            memory_size=spec.limits.memory_bytes or -1, table_elements=TABLE_ELEMENTS
        )
        self._on_epoch = ffi.interruptible(self._store, lambda: self._killed)
        self._memory: ffi.Memory | None = None

    def run(self) -> Outcome:
        """Run to the end."""
        return self._take_turn(self._run)

    def _run(self) -> Outcome:
        assert self._store is not None
        ffi.running.caller = self
        try:
            # A start section runs here, and may already call the host.
            instance = self._pre.instantiate(self._store)._instance
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            return self._end(ffi.last_line(str(error)))
        context = self._store._context()
        return self._end(
            ffi.call(context, ffi.export(context, instance, "_start", ffi.FUNCTION).of.func)
        )

    def _look(self) -> memoryview:
        """Its memory. It is first asked for in a host call, maybe before there is an instance."""
        assert self._store is not None
        if self._memory is None:
            self._memory = ffi.calling_memory(self._store._context())
        if self._memory is None:
            return memoryview(b"")
        self._memory_bytes = self._memory.size
        return self._memory.view()

    def _park(self, wait: Wait) -> bool:
        self._wait = wait
        self.wasi.block(wait, lambda: self._killed)
        self._wait = None
        return False

    def request_pause(self) -> None:
        """It has no safepoints."""

    def kill(self) -> None:
        """End it for good."""
        with self.wasi.changed:
            self._killed = True
            self.wasi.changed.notify_all()
        self._engine.increment_epoch()

    def changes(self, shadow: Shadow) -> NoReturn:
        """Raises ``SnapshotError``."""
        raise SnapshotError("this program cannot be moved")

    def make_room(self) -> None:
        """There is nothing to get ready."""

    def snapshot(self, carry: Collection[int], shadow: Shadow | None = None) -> NoReturn:
        """Raises ``SnapshotError``."""
        raise SnapshotError("this program cannot be moved")

    def _release(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = self._memory = None
