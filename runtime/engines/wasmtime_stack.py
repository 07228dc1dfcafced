"""Where a prepared program writes its stack, as its host sees it: put in, taken out, kept clean.

Knows the two places that ``arts.migratable.abi`` allows. Does not know what frames mean.
"""

from arts.errors import EngineError
from arts.migratable import Description, Frames, abi
from runtime.engines import wasmtime_ffi as ffi


class FrameStack:
    """The stack of one instance. ``pointer`` is ``arts.sp``, ``memory`` is ``arts.frames``."""

    def __init__(
        self, description: Description, memory: ffi.Memory, pointer: ffi.I32Global
    ) -> None:
        self._memory, self._pointer = memory, pointer
        self._bytes = description.frames_pages << 16
        self._own = description.options.frames is Frames.OWN
        self._dirty = 0
        """Bytes behind the base that frames may have left there."""
        if memory.size < self._bytes or (self._own and memory.size != self._bytes):
            raise EngineError("the program's stack memory has a wrong size")

    @property
    def base(self) -> int:
        """Where the outermost frame of all would begin."""
        return abi.FRAMES_BASE if self._own else self._memory.size - self._bytes

    @property
    def hidden(self) -> int:
        """Bytes of the program's first memory that it does not see."""
        return 0 if self._own else self._bytes

    def flag(self) -> memoryview | None:
        """The pause request, if the program polls one there."""
        if not self._own:
            return None
        return self._memory.view()[abi.FLAG_ADDRESS : abi.FLAG_ADDRESS + 4]

    def put(self, frames: bytes) -> None:
        """Put frames in place: the program will take them off."""
        base = self.base
        if base + len(frames) > self._memory.size:
            raise EngineError("the stack is larger than what the program has for it")
        self._memory.view()[base : base + len(frames)] = frames
        self._dirty = max(self._dirty, len(frames))
        self._pointer.set(base + len(frames))

    def take(self) -> bytes:
        """Take all frames out, and leave nothing of any behind."""
        base, view = self.base, self._memory.view()
        size = min(max(self._pointer.get() - base, 0), len(view) - base)
        frames = bytes(view[base : base + size])
        self._dirty = max(self._dirty, size)
        view[base : base + self._dirty] = bytes(self._dirty)
        self._dirty = 0
        self._pointer.set(base)
        return frames
