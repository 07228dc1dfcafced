"""Is it a valid program at all? Asked of an engine, which knows every rule of the specification.

The transformer takes validity for granted: an invalid module that names a global which it does not
have would find one of ours there.
"""

from functools import cache

import wasmtime

from arts.errors import ProgramError

_MAGIC = b"\0asm"


@cache
def _engine() -> wasmtime.Engine:
    # Not at import: the first engine installs signal handlers, and whoever installs theirs later
    # (faulthandler does, when a test run is set up) would get to see every trap of a module first.
    return wasmtime.Engine()


def check_valid(program: bytes) -> None:
    """Raise ``ProgramError`` with what is wrong, unless the engine would accept the program.

    Bytes that are no WebAssembly at all are left to the transformer, which says so better.
    """
    if not program.startswith(_MAGIC):
        return
    try:
        wasmtime.Module.validate(_engine(), program)
    except wasmtime.WasmtimeError as error:
        raise ProgramError(f"not a valid program: {error}") from None
