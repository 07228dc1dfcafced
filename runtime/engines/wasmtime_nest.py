"""An instance in the making: its memory comes ahead of the rest of its state.

Knows movable instances. The memory arrives where it will be used, so nothing large is copied when
the snapshot comes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from arts.errors import EngineError, SnapshotError
from runtime.engines.base import InstanceSpec, Listener
from runtime.engines.wasmtime_instance import MovableInstance
from runtime.shadow import Change
from runtime.snapshot import MemoryImage, Snapshot

if TYPE_CHECKING:
    from runtime.engines.wasmtime import MovableProgram


class MovableNest:
    """Raises ``EngineError`` when there can be no such instance."""

    def __init__(self, program: "MovableProgram", spec: InstanceSpec, listener: Listener) -> None:
        self._program, self._spec, self._listener = program, spec, listener
        self._instance: MovableInstance | None = MovableInstance.start(program, spec, listener)
        self._initial = self._instance.blank()

    @property
    def initial(self) -> Sequence[MemoryImage]:
        """See ``Nest.initial``."""
        return self._initial

    def receive(self, change: Change) -> None:
        """Take memory ahead of the snapshot. Raises ``SnapshotError`` when it does not fit."""
        if self._instance is None:
            raise SnapshotError("it waits for no memory any more")
        try:
            self._instance.overwrite(change)
        except EngineError as error:
            raise SnapshotError(str(error)) from None

    def hatch(self, snapshot: Snapshot) -> MovableInstance:
        """The instance. Raises ``SnapshotError``; it is closed then."""
        instance, self._instance = self._instance, None
        if instance is None:
            raise SnapshotError("it waits for no snapshot any more")
        try:
            self._program.check(snapshot)
            instance.become(snapshot, self._spec, self._listener)
        except EngineError as error:
            instance.close()
            raise SnapshotError(str(error)) from None
        except BaseException:
            instance.close()
            raise
        return instance

    def close(self) -> None:
        """Give everything back, unless it has become an instance."""
        instance, self._instance = self._instance, None
        if instance is not None:
            instance.close()
