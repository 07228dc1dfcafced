"""wasmtime's C API where its Python classes are too slow, too narrow, or abort the process.

Knows pointers, structures and ownership. Knows no program and no host function. Nothing here asks
for the type of an export: the library aborts at types that its C API cannot name.
"""

import ctypes
import struct
import threading
from collections.abc import Callable
from typing import Any, Final, Protocol

import wasmtime
from wasmtime import _ffi as ffi

from arts.errors import EngineError

Extern = ffi.wasmtime_extern_t
Function = ffi.wasmtime_func_t
Context = Any
"""``ctypes`` pointer to a store's context."""

FUNCTION: Final = int(ffi.WASMTIME_EXTERN_FUNC.value)
GLOBAL: Final = int(ffi.WASMTIME_EXTERN_GLOBAL.value)
TABLE: Final = int(ffi.WASMTIME_EXTERN_TABLE.value)
MEMORY: Final = int(ffi.WASMTIME_EXTERN_MEMORY.value)
_KINDS: Final = {
    "i32": ffi.WASMTIME_I32,
    "i64": ffi.WASMTIME_I64,
    "f32": ffi.WASMTIME_F32,
    "f64": ffi.WASMTIME_F64,
    "v128": ffi.WASMTIME_V128,
}
_RAW: Final = {"i": "I12x", "I": "Q8x"}
"""Parameter letter -> layout of a raw value of 16 bytes."""
_WRITE: Final = 0x200

_view = ctypes.pythonapi.PyMemoryView_FromMemory
_view.restype = ctypes.py_object
_view.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
)
_NO_FINALIZER: Final = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


# ---------------------------------------------------------------------------- exports


def export(context: Context, instance: Any, name: str, kind: int | None = None) -> Any:
    """An export of an instance; None when there is none of this name and kind.

    What is used as a kind that it is not corrupts this process: ask for the kind you need.
    """
    found, encoded = Extern(), name.encode()
    buffer = ctypes.create_string_buffer(encoded)
    if ffi.wasmtime_instance_export_get(
        context, ctypes.byref(instance), buffer, len(encoded), ctypes.byref(found)
    ):
        return found if kind is None or int(found.kind) == kind else None
    return None


def linked(linker: wasmtime.Linker, context: Context, module: str, name: str) -> Any:
    """What a linker has under this name. It must have it."""
    found, where, what = Extern(), module.encode(), name.encode()
    if not ffi.wasmtime_linker_get(
        linker.ptr(),
        context,
        ctypes.create_string_buffer(where),
        len(where),
        ctypes.create_string_buffer(what),
        len(what),
        ctypes.byref(found),
    ):
        raise EngineError(f"there is no {module}.{name} to link")
    return found


def instantiate(context: Context, module: wasmtime.Module, imports: list[Any]) -> Any:
    """An instance of ``module`` with these imports, in order. Raises ``EngineError``."""
    externs = (Extern * len(imports))(*imports)
    instance, trap = ffi.wasmtime_instance_t(), ctypes.POINTER(ffi.wasm_trap_t)()
    error = ffi.wasmtime_instance_new(
        context, module.ptr(), externs, len(imports), ctypes.byref(instance), ctypes.byref(trap)
    )
    failure = _failure(error, trap)
    if failure is not None:
        raise EngineError(f"a module cannot be linked: {failure}")
    return instance


# ---------------------------------------------------------------------------- state


def read_global(context: Context, found: Any, kind: str) -> bytes:
    """The raw bits of a global, little-endian."""
    value = ffi.wasmtime_val_t()
    ffi.wasmtime_global_get(context, ctypes.byref(found.of.global_), ctypes.byref(value))
    size = 16 if kind == "v128" else int(kind[1:]) // 8
    return ctypes.string_at(ctypes.addressof(value.of), size)


def write_global(context: Context, found: Any, kind: str, bits: bytes) -> None:
    """Set a mutable global to these bits."""
    value = ffi.wasmtime_val_t()
    value.kind = _KINDS[kind]
    ctypes.memmove(ctypes.addressof(value.of), bits, len(bits))
    error = ffi.wasmtime_global_set(context, ctypes.byref(found.of.global_), ctypes.byref(value))
    if error:
        raise EngineError(str(wasmtime.WasmtimeError._from_ptr(error)))


class I32Global:
    """A mutable i32 global that is often used."""

    def __init__(self, context: Context, found: Any) -> None:
        self._context, self._extern = context, found
        self._global = ctypes.byref(found.of.global_)
        self._value = ffi.wasmtime_val_t()
        self._at = ctypes.byref(self._value)

    def get(self) -> int:
        """Its value, unsigned."""
        ffi.wasmtime_global_get(self._context, self._global, self._at)
        return self._value.of.i32 & 0xFFFFFFFF

    def set(self, value: int) -> None:
        """Give it a value."""
        self._value.kind = _KINDS["i32"]
        self._value.of.i32 = value
        ffi.wasmtime_global_set(self._context, self._global, self._at)


class Memory:
    """A linear memory. Views of it are valid until its store is closed, and may then crash."""

    def __init__(self, context: Context, found: Any) -> None:
        self._context, self._extern = context, found
        self._memory = ctypes.byref(found.of.memory)

    @property
    def size(self) -> int:
        """Bytes."""
        size: int = ffi.wasmtime_memory_data_size(self._context, self._memory)
        return size

    @property
    def address(self) -> int:
        """Where it begins in this process."""
        data = ffi.wasmtime_memory_data(self._context, self._memory)
        return ctypes.cast(data, ctypes.c_void_p).value or 0

    def view(self) -> memoryview:
        """All of it, as it is now, writable."""
        size = self.size
        if not size:
            return memoryview(b"")
        found: memoryview = _view(self.address, size, _WRITE)
        return found

    def grow(self, size: int) -> None:
        """Make it ``size`` bytes long. Raises ``EngineError`` when it must not be."""
        pages = (size - self.size) >> 16
        if pages <= 0:
            return
        before = ctypes.c_uint64()
        error = ffi.wasmtime_memory_grow(self._context, self._memory, pages, ctypes.byref(before))
        if error:
            raise EngineError(str(wasmtime.WasmtimeError._from_ptr(error)))


# ---------------------------------------------------------------------------- calls into wasm

_TRAPS: Final = {
    wasmtime.TrapCode.STACK_OVERFLOW: "call stack exhausted",
    wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS: "out of bounds memory access",
    wasmtime.TrapCode.HEAP_MISALIGNED: "unaligned atomic access",
    wasmtime.TrapCode.TABLE_OUT_OF_BOUNDS: "undefined element: out of bounds table access",
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: "uninitialized table element",
    wasmtime.TrapCode.BAD_SIGNATURE: "indirect call type mismatch",
    wasmtime.TrapCode.INTEGER_OVERFLOW: "integer overflow",
    wasmtime.TrapCode.INTEGER_DIVISION_BY_ZERO: "integer divide by zero",
    wasmtime.TrapCode.BAD_CONVERSION_TO_INTEGER: "invalid conversion to integer",
    wasmtime.TrapCode.UNREACHABLE: "unreachable executed",
    wasmtime.TrapCode.INTERRUPT: "interrupted",
    wasmtime.TrapCode.UNCAUGHT_EXCEPTION: "uncaught exception",
}


def call(context: Context, function: Any) -> str | None:
    """Call a function () -> (). None when it returned, else why it did not."""
    trap = ctypes.POINTER(ffi.wasm_trap_t)()
    error = ffi.wasmtime_func_call_unchecked(
        context, ctypes.byref(function), None, 0, ctypes.byref(trap)
    )
    return _failure(error, trap)


def _failure(error: Any, trap: Any) -> str | None:
    if error:
        return last_line(str(wasmtime.WasmtimeError._from_ptr(error)))
    if not trap:
        return None
    found = wasmtime.Trap._from_ptr(trap)
    try:
        code = found.trap_code
    except ValueError:  # newer than the Python package knows
        code = None
    return _TRAPS[code] if code in _TRAPS else last_line(found.message)


def last_line(message: str) -> str:
    """The reason at the end of an error message of several lines."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1].removeprefix("wasm trap: ") if lines else "unknown"


# ---------------------------------------------------------------------------- calls out of wasm


class Caller(Protocol):
    """Who runs on this thread."""

    def call(self, function: Callable[..., Any], arguments: tuple[int, ...]) -> int | None:
        """Serve a host call: its result, or None to end the program. Never raises."""
        ...


class _Running(threading.local):
    caller: Caller
    handle: int


running: Final = _Running()
"""Of this thread: ``caller`` (set it before calling into wasm), and during a host call wasmtime's
``handle`` of whoever makes it."""


def calling_memory(context: Context) -> "Memory | None":
    """The memory that the instance exports whose host call is being served."""
    found, handle = Extern(), ctypes.cast(running.handle, ctypes.POINTER(ffi.wasmtime_caller_t))
    name = ctypes.create_string_buffer(b"memory")
    if ffi.wasmtime_caller_export_get(handle, name, 6, ctypes.byref(found)):
        return Memory(context, found) if int(found.kind) == MEMORY else None
    return None


def define_host_function(
    linker: wasmtime.Linker,
    module: str,
    name: str,
    parameters: str,
    returns: bool,
    function: Callable[..., Any],
) -> object:
    """Let wasm call ``running.caller.call(function, arguments)``.

    ``parameters``: ``i`` for i32, ``I`` for i64. Keep what is returned as long as the linker.
    """
    layout = struct.Struct("<" + "".join(_RAW[letter] for letter in parameters))
    size, unpack = layout.size, layout.unpack
    string_at, u32_at = ctypes.string_at, ctypes.c_uint32.from_address

    def invoke(_env: int, handle: int, values: int, _count: int) -> int:
        running.handle = handle
        result = running.caller.call(function, unpack(string_at(values, size)))
        if result is None:
            return _new_trap()
        if returns:
            u32_at(values).value = result
        return 0

    callback = _Callback(invoke)
    letters = {"i": wasmtime.ValType.i32, "I": wasmtime.ValType.i64}
    results = [wasmtime.ValType.i32()] if returns else []
    kind = wasmtime.FuncType([letters[letter]() for letter in parameters], results)
    where, what = module.encode(), name.encode()
    error = ffi.wasmtime_linker_define_func_unchecked(
        linker.ptr(),
        ctypes.create_string_buffer(where),
        len(where),
        ctypes.create_string_buffer(what),
        len(what),
        kind.ptr(),
        ctypes.cast(callback, ffi.wasmtime_func_unchecked_callback_t),
        None,
        _NO_FINALIZER,
    )
    if error:
        raise EngineError(str(wasmtime.WasmtimeError._from_ptr(error)))
    return callback


def _new_trap() -> int:
    text = b"ended by the host"
    trap = ffi.wasmtime_trap_new(ctypes.create_string_buffer(text), len(text))
    return ctypes.cast(trap, ctypes.c_void_p).value or 0


# ---------------------------------------------------------------------------- interruption

_EpochCallback = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.POINTER(ffi.wasmtime_context_t),
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(ctypes.c_uint8),
)


def interruptible(store: wasmtime.Store, stop: Callable[[], bool]) -> object:
    """Trap when the engine's epoch moves on and ``stop()`` is true.

    Keep what is returned as long as the store.
    """

    def on_epoch(_context: Any, _data: Any, delta: Any, _kind: Any) -> int:
        if stop():
            error = ffi.wasmtime_error_new(ctypes.create_string_buffer(b"interrupted"))
            return ctypes.cast(error, ctypes.c_void_p).value or 0
        delta[0] = 1
        return 0

    callback = _EpochCallback(on_epoch)
    ffi.wasmtime_store_epoch_deadline_callback(store.ptr(), callback, None, _NO_FINALIZER)
    store.set_epoch_deadline(1)
    return callback


# ---------------------------------------------------------------------------- inspection


def is_plain_function(module: wasmtime.Module, name: str) -> bool:
    """Whether a module exports a function of type () -> () under this name."""
    for found in module.exports:
        if found.name == name:
            kind = ffi.wasm_externtype_as_functype(ffi.wasm_exporttype_type(found.ptr()))
            return bool(kind) and not (
                ffi.wasm_functype_params(kind).contents.size
                or ffi.wasm_functype_results(kind).contents.size
            )
    return False
