"""The contract between a prepared program and whatever hosts it: names, layout, version.

A *prepared* program is the original module plus FAST code: code that can write its activations
down, but not continue from them. Continuing is done by *continuations*: small modules, generated
from the prepared bytes for the (function, resume point) pairs that stand on a captured stack.

What a host sees of a prepared module, beyond its own imports and exports:

=====================  ======================================================================
export                 meaning
=====================  ======================================================================
``arts.state``         global, mutable i32. 0 = running, 1 = unwinding. A host call that would
                       block sets it to 1 and returns; a poll that sees the flag does the same.
``arts.sp``            global, mutable i32. Byte offset of the free end of the frame stack.
``arts.frames``        memory of its own, fixed size. Bytes [0, FRAMES_BASE) belong to the host:
                       the u32 at FLAG_ADDRESS is the pause request, read atomically by polls.
                       Frames grow upwards from FRAMES_BASE; the *outermost* activation is
                       written last and so ends at ``arts.sp``.
``arts.slots``         table of funcref, growable: where continuations are linked in.
``arts.countdown``     global, mutable i32, only with ``Poll.COUNTDOWN`` (tests): each poll takes
                       one off and pauses at zero, so that a pause point is reproducible.
``arts.memory.N``      memory N of the original module (all of them).
``arts.global.N``      global N (all of them; a snapshot keeps the mutable ones).
``arts.table.N``       table N.
``arts.tag.N``         exception tag N.
``arts.function.N``    function N, those that continuations may call.
``arts.init.S.M``      function (i32 to, i32 from, i32 size): memory.init of segment S in memory M,
                       where continuations need it: segments cannot be shared between modules.
``arts.drop.S``        function (): data.drop of segment S, likewise.
=====================  ======================================================================

A frame: the saved locals, then ``u32 resume id``, then ``u32 function id``; its size is fixed per
function id (``Description.frame_sizes`` counts the trailer in). To continue a stack: write the
frames into ``arts.frames`` with every function id replaced by the slot of its continuation
(``link_frames``), set ``arts.sp`` to their end and ``arts.state`` to 0, and call the continuation
of the outermost (last) frame. It reloads its own frame and calls the next inner one through
``arts.slots``; the innermost repeats its blocking host call or goes on after its poll.

A continuation module exports one function ``cN`` of type ``() -> results of the original`` for
the N-th point asked for. It imports everything of the program from module ``arts`` under the
export names above, and host functions under the program's own import names.
"""

from typing import Final

ABI_VERSION: Final = 2
"""Changes when a host written for the old contract would misread the new one."""

STATE: Final = "arts.state"
SP: Final = "arts.sp"
FRAMES: Final = "arts.frames"
SLOTS: Final = "arts.slots"
COUNTDOWN: Final = "arts.countdown"
START: Final = "arts.start"
RESTORE: Final = "arts.restore"
MEMORY_PREFIX: Final = "arts.memory."
GLOBAL_PREFIX: Final = "arts.global."
TABLE_PREFIX: Final = "arts.table."
TAG_PREFIX: Final = "arts.tag."
FUNCTION_PREFIX: Final = "arts.function."
INIT_PREFIX: Final = "arts.init."
TABLE_INIT_PREFIX: Final = "arts.element."
REFERENCE_PREFIX: Final = "arts.reference."
CONTINUATION_PREFIX: Final = "c"
PROGRAM_IMPORT: Final = "arts"
"""The import module under which a continuation finds its program."""

FLAG_ADDRESS: Final = 0
FRAMES_BASE: Final = 64
FRAMES_PAGES: Final = 256
"""16 MiB of frames: more than the native stack of an engine can hold activations for."""
PRIMARY_FRAMES_PAGES: Final = 16
"""1 MiB, when frames share the program's memory: what browsers give the native stack."""
TRAILER_SIZE: Final = 8

SECTION: Final = "arts.migratable"
"""Custom section with the description, so that prepared bytes explain themselves."""
SOURCE_SECTION: Final = "arts.source"
"""Custom section with the original module: continuations are made from prepared bytes alone."""

BLOCKING_IMPORTS: Final = frozenset(
    {
        ("wasi_snapshot_preview1", "fd_read"),
        ("wasi_snapshot_preview1", "fd_write"),
        ("wasi_snapshot_preview1", "poll_oneoff"),
        ("wasi_snapshot_preview1", "sched_yield"),
    }
)
"""Host calls that may park their caller instead of returning."""
