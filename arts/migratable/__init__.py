"""wasm -> wasm that can stop anywhere, and continuations for a captured stack. Pure bytes -> bytes.

    prepared = prepare(wasm)                      # once per program; raises Refused
    description = describe(prepared)              # frame sizes, versions, what it may block on
    points = walk_frames(frames, description)     # the captured stack, outermost first
    module = Continuations(prepared).module(points)

The contract with the host is in ``abi``.
"""

from arts.migratable.description import (
    PIPELINE_VERSION,
    Description,
    MutableGlobal,
    ResumePoint,
    describe,
)
from arts.migratable.errors import CorruptFrames, NotWasm, Refused
from arts.migratable.frames import link_frames, walk_frames
from arts.migratable.linking import Continuations
from arts.migratable.options import Frames, Options, Poll, Profile
from arts.migratable.prepare import prepare

__all__ = [
    "PIPELINE_VERSION",
    "Continuations",
    "CorruptFrames",
    "Description",
    "Frames",
    "MutableGlobal",
    "NotWasm",
    "Options",
    "Poll",
    "Profile",
    "Refused",
    "ResumePoint",
    "describe",
    "link_frames",
    "prepare",
    "walk_frames",
]
