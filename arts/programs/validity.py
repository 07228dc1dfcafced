"""Is it a valid program at all? Asked of an engine, which knows every rule of the specification.

The transformer takes validity for granted: an invalid module that names a global which it does not
have would find one of ours there.
"""

import wasmtime

from arts.errors import ProgramError

_MAGIC = b"\0asm"
_ENGINE = wasmtime.Engine()


def check_valid(program: bytes) -> None:
    """Raise ``ProgramError`` with what is wrong, unless the engine would accept the program.

    Bytes that are no WebAssembly at all are left to the transformer, which says so better.
    """
    if not program.startswith(_MAGIC):
        return
    try:
        wasmtime.Module.validate(_ENGINE, program)
    except wasmtime.WasmtimeError as error:
        raise ProgramError(f"not a valid program: {error}") from None
