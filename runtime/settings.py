"""Everything about one runtime process that its operator may choose. Data only.

Built once, by the command line or a test, and handed down; nothing else reads the environment.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from arts.model import Filetype, Limits
from runtime.ledger import Timeouts

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """One runtime. Times are seconds, sizes are bytes."""

    data_dir: Path
    """Its own: identity, programs, compiled code. Two processes cannot share one."""
    realm: str = "realm"
    broker: str = "mqtt://127.0.0.1:1883"
    name: str = "runtime"
    uuid: str | None = None
    """None: made once and kept in ``data_dir``."""
    max_nmodules: int = 100
    labels: dict[str, str] = field(default_factory=dict)
    apis: frozenset[str] = frozenset({"wasi:snapshot_preview1"})
    filetypes: frozenset[Filetype] = frozenset({Filetype.WASM})
    keepalive: float = 2.0
    """Between signs of life; the realm suspects the runtime after a few are missing."""
    workers: int = max(2, min(8, os.cpu_count() or 1))
    """Threads on which modules run."""
    limits: Limits = Limits(
        memory_bytes=256 * MEBIBYTE, slice_seconds=0.05, output_bytes_per_second=MEBIBYTE
    )
    """For modules that name none of their own."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    session_timeout: float = 3.0
    """For one attempt to take a module's MQTT session."""
    rehearsal: float = 3.0
    """For the target of a move to prepare while the module still runs: an interpreter's
    continuations take a busy machine seconds. A lost answer delays the move by all of it."""
    precopy: float = 4.0
    """For memory to leave again while a module that is to move still runs, after all of it has left
    once; 0: it leaves when the module stands."""
    kept_page_bytes: int = min(256 * MEBIBYTE, psutil.virtual_memory().total // 32)
    """Memory for pages of modules that have left, in case they come back; 0: none are kept."""
    trust_broker: bool = False
    """Give the sessions of modules to the broker without trying whether it can hand them over."""
    direct: str = ""
    """Address of this machine at which the target of a move may dial, so that large memories need
    not pass through the broker; empty: none may, and this runtime dials nobody."""
    pause_timeout: float = 5.0
    """To the next safepoint of a module that is to move."""
    confirm_timeout: float = 2.0
    """For the broker's word on a module's output before it moves."""
    checkpoint_timeout: float = 10.0
    """For the store's word that it has a checkpoint, and a second more for each megabyte."""
    receive_window: int = 20
    """Messages that the broker sends to a module before it acknowledges one: mosquitto's default.
    When half of them wait for a checkpoint, one is taken."""
    stop_grace: float = 2.0
    """Between a module's TERM signal and its end."""
    program_cache_bytes: int = 512 * MEBIBYTE
    max_program_bytes: int = 64 * MEBIBYTE
    max_snapshot_bytes: int = 1024 * MEBIBYTE
