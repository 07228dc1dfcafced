"""Tables of an instance through wasmtime's C API: what is in them, and putting it back.

Knows pointers and the identity of functions. Does not know what the tables are for.
"""

import ctypes
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

from arts.errors import EngineError, SnapshotError
from runtime.engines.wasmtime_ffi import Context

_FUNCREF, _EXTERNREF = ffi.WASMTIME_FUNCREF, ffi.WASMTIME_EXTERNREF


def identity(context: Context, function: Any) -> int:
    """What is the same for the same function of an instance, however it was come by."""
    return int(ffi.wasmtime_func_to_raw(context, ctypes.byref(function)) or 0)


class Table:
    """A table, given as an export."""

    def __init__(self, context: Context, found: Any) -> None:
        self._context, self._extern = context, found
        self._table = ctypes.byref(found.of.table)

    @property
    def size(self) -> int:
        """Elements."""
        size: int = ffi.wasmtime_table_size(self._context, self._table)
        return size

    def functions(self) -> list[int | None]:
        """The identities of the functions in it, None where there is none.

        Raises ``SnapshotError`` when it holds what is no function.
        """
        value, found = ffi.wasmtime_val_t(), []
        for at in range(self.size):
            ffi.wasmtime_table_get(self._context, self._table, at, ctypes.byref(value))
            is_function = int(value.kind) == _FUNCREF.value
            reference = value.of.funcref if is_function else value.of.externref
            found.append(None if reference.store_id == 0 else self._identity(is_function, value))
        return found

    def function(self, at: int) -> Any:
        """The function at an index, which must hold one."""
        value = ffi.wasmtime_val_t()
        ffi.wasmtime_table_get(self._context, self._table, at, ctypes.byref(value))
        return value.of.funcref

    def _identity(self, is_function: bool, value: Any) -> int:
        if not is_function:
            ffi.wasmtime_val_unroot(ctypes.byref(value))
            raise SnapshotError("a table holds references to things of this host")
        return identity(self._context, value.of.funcref)

    def put(self, functions: Sequence[Any | None], first: int = 0) -> None:
        """Set elements from ``first`` on: functions of this store, or None. Raises
        ``EngineError``."""
        for at, function in enumerate(functions, first):
            value = ffi.wasmtime_val_t()
            if function is None:
                value.kind = self._kind
            else:
                value.kind, value.of.funcref = _FUNCREF, function
            error = ffi.wasmtime_table_set(self._context, self._table, at, ctypes.byref(value))
            if error:
                raise EngineError(str(wasmtime.WasmtimeError._from_ptr(error)))

    def grow(self, count: int) -> int:
        """Add null elements; the index of the first. Raises ``EngineError`` when it must not be."""
        return self._grow(count, self._kind)

    def _grow(self, count: int, kind: Any) -> int:
        first, null = ctypes.c_uint64(), ffi.wasmtime_val_t()
        null.kind = kind
        error = ffi.wasmtime_table_grow(
            self._context, self._table, count, ctypes.byref(null), ctypes.byref(first)
        )
        if error:
            raise EngineError(str(wasmtime.WasmtimeError._from_ptr(error)))
        return first.value

    @cached_property
    def _kind(self) -> Any:
        """Of the references in it. An empty table tells it only by what it refuses."""
        value = ffi.wasmtime_val_t()
        if ffi.wasmtime_table_get(self._context, self._table, 0, ctypes.byref(value)):
            ffi.wasmtime_val_unroot(ctypes.byref(value))
            return value.kind
        try:
            self._grow(0, _FUNCREF)
        except EngineError:
            return _EXTERNREF
        return _FUNCREF
