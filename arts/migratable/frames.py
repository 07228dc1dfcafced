"""Captured frames: reading the stack they are, and linking them to their continuations.

Knows trailers and frame sizes. Does not know what the saved locals mean.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Final

from arts.migratable.description import Description, ResumePoint
from arts.migratable.errors import CorruptFrames

TRAILER: Final = struct.Struct("<II")
FUNCTION: Final = struct.Struct("<I")


def walk_frames(frames: bytes, description: Description) -> list[ResumePoint]:
    """The captured stack, outermost activation first.

    ``frames`` are the bytes of ``arts.frames`` from FRAMES_BASE to ``arts.sp``. Raises
    CorruptFrames if this program cannot have written them.
    """
    return [point for point, _ in _walk(frames, description)]


def link_frames(frames: bytes, description: Description, slots: Mapping[ResumePoint, int]) -> bytes:
    """The same frames, with function ids replaced by the slots of their continuations.

    Raises CorruptFrames like ``walk_frames``, KeyError for a point that has no slot.
    """
    linked = bytearray(frames)
    for point, end in _walk(frames, description):
        FUNCTION.pack_into(linked, end - FUNCTION.size, slots[point])
    return bytes(linked)


def _walk(frames: bytes, description: Description) -> Iterator[tuple[ResumePoint, int]]:
    """Resume point and end offset of every frame, outermost first."""
    end = len(frames)
    while end > 0:
        if end < TRAILER.size:
            raise CorruptFrames(f"{end} bytes are too few for a frame")
        resume, function = TRAILER.unpack_from(frames, end - TRAILER.size)
        if function >= len(description.functions):
            raise CorruptFrames(f"a frame of function id {function}, which does not exist")
        if not 0 < resume <= description.points[function]:
            raise CorruptFrames(f"a frame at point {resume} of function id {function}")
        yield ResumePoint(function, resume), end
        end -= description.frame_sizes[function]
        if end < 0:
            raise CorruptFrames("the innermost frame is cut off")
