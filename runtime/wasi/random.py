"""The module's randomness: a keyed stream that goes on where it was, wherever the module is.

Knows one generator (SHAKE-256 over key and counter). Its key is the module's secret, and part of
its state.
"""

import hashlib
import os
from collections.abc import Iterator
from typing import Final

from runtime.wasi.state import State

_CHUNK: Final = 1 << 16


def new_key() -> bytes:
    """A key that nobody can guess."""
    return os.urandom(32)


def stream(state: State, size: int) -> Iterator[bytes]:
    """``size`` random bytes, in chunks."""
    while size > 0:
        state.random_count += 1
        seed = state.random_key + state.random_count.to_bytes(16, "little")
        yield hashlib.shake_256(seed).digest(min(size, _CHUNK))
        size -= _CHUNK
