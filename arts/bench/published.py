"""What others publish of programs that we move too, on machines of theirs.

*Wanco* (Kyoto University, 2025; an ahead-of-time compiler): half-way through the run on a Core
i7-14700F; medians of the ten runs in ``benchmark/results/chkpt-restore-wasm.csv`` of
github.com/tamaroning/wanco at commit 993f97a, and the ratios in ``benchmark/results/README.md`` at
695e832. Its sizes: nbody 1000000, fannkuch 11, mandelbrot 1000, binary-trees 18.

*MVVM* (UC Santa Cruz, 2024, arXiv 2410.15894; on WAMR): the one run in
``artifact/result/ckpt_restore_latency.csv`` of github.com/Multi-V-VM/MVVM at commit 57802ae. Its
LINPACK takes 2 GB of memory.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple


class Published(NamedTuple):
    """None: not published, or of something else than ours. ``restore_ms``: compiled before;
    ``overhead``: the run time where checkpoints are possible over that where they are not."""

    system: str
    snapshot_bytes: float | None
    capture_ms: float
    restore_ms: float
    overhead: float | None


PUBLISHED: Final[Mapping[str, Published]] = {
    "nbody": Published("Wanco", 132_060, 1.046, 0.098, 0.89),
    "fannkuch": Published("Wanco", 131_392, 1.097, 0.096, 1.404),
    "mandelbrot": Published("Wanco", 197_343, 1.055, 0.148, 1.321),
    "binary-trees": Published("Wanco", 16_908_728, 11.08, 5.948, 1.834),
    "linpack": Published("MVVM", None, 4648.8, 699.4, None),
}
"""Program -> what somebody says of it."""
