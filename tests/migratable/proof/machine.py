"""wasmtime for adversaries: values as bits, every feature on, nothing asked for its type.

Knows wasmtime's C API as far as tests of single instructions, exceptions and references need it;
its Python classes round floats, do not know vectors, and abort at types that C cannot name. Knows
nothing of prepared programs.
"""

import ctypes
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import wasmtime
from wasmtime import _ffi as ffi

from runtime.engines.wasmtime_ffi import Memory as Memory

FUNCTION, GLOBAL, TABLE, MEMORY, SHARED, TAG = range(6)
"""Kinds of externs."""
KINDS: Final = (
    "i32", "i64", "f32", "f64", "v128", "funcref", "externref", "anyref", "exnref"
)  # fmt: skip
"""Kinds of values, as wasmtime numbers them."""
SIZES: Final = {"i32": 4, "i64": 8, "f32": 4, "f64": 8, "v128": 16}
_NUMBERS: Final = {kind: number for number, kind in enumerate(KINDS)}
_RAW_SIZE: Final = 16
_LETTERS: Final = {
    "i32": wasmtime.ValType.i32,
    "i64": wasmtime.ValType.i64,
    "f32": wasmtime.ValType.f32,
    "f64": wasmtime.ValType.f64,
}

Extern = ffi.wasmtime_extern_t


class Value(NamedTuple):
    """Bits as a whole number; of a reference: None if it is null, else what tells it apart."""

    kind: str
    bits: int | None

    def __str__(self) -> str:
        return f"{self.kind}:null" if self.bits is None else f"{self.kind}:{self.bits:x}"


class Failed(Exception):
    """A call or an instantiation that ended in a trap, an exception or an error of linking."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def engine(optimize: bool = False) -> wasmtime.Engine:
    """An engine that accepts whatever it can, and gives every NaN the same bits."""
    config = wasmtime.Config()
    config.wasm_threads = True
    config.wasm_exceptions = True
    config.wasm_gc = True
    config.wasm_function_references = True
    config.wasm_memory64 = True
    config.wasm_multi_memory = True
    config.wasm_relaxed_simd = True
    config.wasm_relaxed_simd_deterministic = True
    config.wasm_wide_arithmetic = True
    config.wasm_custom_page_sizes = True
    config.wasm_tail_call = True
    config.cranelift_nan_canonicalization = True
    config.cranelift_opt_level = "speed" if optimize else "none"
    config.parallel_compilation = False
    return wasmtime.Engine(config)


ENGINE: Final = engine()


def compiled(wasm: bytes) -> wasmtime.Module:
    """A module. Raises Failed if the engine does not take it."""
    try:
        return wasmtime.Module(ENGINE, wasm)
    except wasmtime.WasmtimeError as error:
        raise Failed(f"invalid: {_last_line(str(error))}") from None


class Store:
    """Where instances live; everything made in it dies with it."""

    def __init__(self) -> None:
        self.store = wasmtime.Store(ENGINE)
        self.context = self.store._context()
        self._kept: list[object] = []

    def instantiate(self, module: wasmtime.Module, imports: Sequence[Any]) -> "Instance":
        """An instance with these imports, in order. Raises Failed."""
        externs = (Extern * len(imports))(*imports)
        instance, trap = ffi.wasmtime_instance_t(), ctypes.POINTER(ffi.wasm_trap_t)()
        error = ffi.wasmtime_instance_new(
            self.context, module.ptr(), externs, len(imports), ctypes.byref(instance),
            ctypes.byref(trap),
        )  # fmt: skip
        self._raise(error, trap)
        return Instance(self, instance)

    def call(self, function: Any, arguments: Sequence[Value] = ()) -> list[Value]:
        """Call a function. Raises Failed."""
        values = (ffi.wasmtime_val_t * max(len(arguments), 1))()
        for value, argument in zip(values, arguments, strict=False):
            self.encode(argument, value)
        count = self.result_count(function)
        results = (ffi.wasmtime_val_t * max(count, 1))()
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        error = ffi.wasmtime_func_call(
            self.context, ctypes.byref(function), values, len(arguments), results, count,
            ctypes.byref(trap),
        )  # fmt: skip
        self._raise(error, trap)
        return [self.decode(results[number]) for number in range(count)]

    def result_count(self, function: Any) -> int:
        """How many results a function has; to ask for their types may abort the process."""
        kind = ffi.wasmtime_func_type(self.context, ctypes.byref(function))
        count: int = ffi.wasm_functype_results(kind).contents.size
        ffi.wasm_functype_delete(kind)
        return count

    def encode(self, value: Value, into: Any) -> Any:
        """Write a value as the C API wants it."""
        into.kind = _NUMBERS[value.kind]
        if value.kind in SIZES:
            bits = (value.bits or 0).to_bytes(SIZES[value.kind], "little")
            ctypes.memmove(ctypes.addressof(into.of), bits, len(bits))
        elif value.bits is None:
            ctypes.memset(ctypes.addressof(into.of), 0, ctypes.sizeof(into.of))
        elif value.kind == "externref":
            # The first address is 1: address 0 would be nothing.
            made = ctypes.byref(into.of.externref)
            ffi.wasmtime_externref_new(self.context, value.bits + 1, _NO_FINALIZER, made)
        elif value.kind == "funcref":
            ffi.wasmtime_func_from_raw(self.context, value.bits, ctypes.byref(into.of.funcref))
        else:
            raise Failed(f"a value of type {value.kind} cannot be made")
        return into

    def decode(self, raw: Any) -> Value:
        """Read a value of the C API, and let go of it."""
        kind = KINDS[raw.kind]
        if kind in SIZES:
            bits = ctypes.string_at(ctypes.addressof(raw.of), SIZES[kind])
            return Value(kind, int.from_bytes(bits, "little"))
        if not raw.of.funcref.store_id:
            return Value(kind, None)
        if kind == "funcref":
            function = ctypes.byref(raw.of.funcref)
            address = ffi.wasmtime_func_to_raw(self.context, function)
            return Value(kind, ctypes.cast(address, ctypes.c_void_p).value)
        found = 0
        if kind == "externref":
            data = ffi.wasmtime_externref_data(self.context, ctypes.byref(raw.of.externref))
            found = (ctypes.cast(data, ctypes.c_void_p).value or 1) - 1
        ffi.wasmtime_val_unroot(ctypes.byref(raw))
        return Value(kind, found)

    def function(
        self, parameters: Iterable[str], results: Sequence[str], call: Callable[..., Any]
    ) -> Any:
        """A host function: ``call`` gets bits, and returns a list of bits."""
        kinds = list(parameters)
        sizes = [SIZES[kind] for kind in kinds]

        def invoke(_env: int, _caller: int, values: int, _count: int) -> int:
            arguments = [
                int.from_bytes(ctypes.string_at(values + _RAW_SIZE * number, size), "little")
                for number, size in enumerate(sizes)
            ]
            for number, (kind, bits) in enumerate(zip(results, call(*arguments), strict=True)):
                ctypes.memmove(
                    values + _RAW_SIZE * number, bits.to_bytes(SIZES[kind], "little"), SIZES[kind]
                )
            return 0

        callback = _Callback(invoke)
        kind = wasmtime.FuncType(
            [_LETTERS[letter]() for letter in kinds], [_LETTERS[letter]() for letter in results]
        )
        made = Extern()
        made.kind = FUNCTION
        ffi.wasmtime_func_new_unchecked(
            self.context,
            kind.ptr(),
            ctypes.cast(callback, ffi.wasmtime_func_unchecked_callback_t),
            None,
            _NO_FINALIZER,
            ctypes.byref(made.of.func),
        )
        self._kept.append(callback)
        return made

    def _raise(self, error: Any, trap: Any) -> None:
        if error:
            reason = _last_line(str(wasmtime.WasmtimeError._from_ptr(error)))
            raise Failed("exception" if reason == "thrown Wasm exception" else reason)
        if not trap:
            return
        code = ctypes.c_uint8()
        found = wasmtime.Trap._from_ptr(trap)
        if ffi.wasmtime_context_has_exception(self.context):
            thrown = ffi.wasmtime_exnref_t()
            ffi.wasmtime_context_take_exception(self.context, ctypes.byref(thrown))
            ffi.wasmtime_exnref_unroot(ctypes.byref(thrown))
            raise Failed("exception")
        if ffi.wasmtime_trap_code(found.ptr(), ctypes.byref(code)):
            raise Failed(f"trap: {_last_line(found.message)}")
        raise Failed(_last_line(found.message))


class Instance:
    """An instance; its exports by name."""

    def __init__(self, store: Store, instance: Any) -> None:
        self.store = store
        self.exports: dict[str, Any] = {}
        name, size, number = ctypes.POINTER(ctypes.c_char)(), ctypes.c_size_t(), 0
        while True:
            item = Extern()
            if not ffi.wasmtime_instance_export_nth(
                store.context, ctypes.byref(instance), number, ctypes.byref(name),
                ctypes.byref(size), ctypes.byref(item),
            ):  # fmt: skip
                return
            self.exports[ctypes.string_at(name, size.value).decode()] = item
            number += 1

    def call(self, name: str, arguments: Sequence[Value] = ()) -> list[Value]:
        """Call an exported function. Raises Failed."""
        return self.store.call(self.exports[name].of.func, arguments)

    def get(self, name: str) -> Value:
        """The value of an exported global."""
        value = ffi.wasmtime_val_t()
        found = ctypes.byref(self.exports[name].of.global_)
        ffi.wasmtime_global_get(self.store.context, found, ctypes.byref(value))
        return self.store.decode(value)

    def set(self, name: str, value: Value) -> None:
        """Set an exported mutable global."""
        raw = self.store.encode(value, ffi.wasmtime_val_t())
        found = ctypes.byref(self.exports[name].of.global_)
        error = ffi.wasmtime_global_set(self.store.context, found, ctypes.byref(raw))
        self.store._raise(error, None)

    def memory(self, name: str) -> Memory:
        """An exported memory."""
        return Memory(self.store.context, self.exports[name])

    def table(self, name: str) -> "Table":
        """An exported table."""
        return Table(self.store, self.exports[name])


class Table:
    """A table of references."""

    def __init__(self, store: Store, extern: Any) -> None:
        self.store = store
        self._table = ctypes.byref(extern.of.table)

    @property
    def size(self) -> int:
        """Number of elements."""
        size: int = ffi.wasmtime_table_size(self.store.context, self._table)
        return size

    def get(self, at: int) -> Value:
        """An element."""
        value = ffi.wasmtime_val_t()
        assert ffi.wasmtime_table_get(self.store.context, self._table, at, ctypes.byref(value))
        return self.store.decode(value)

    def set(self, at: int, value: Value) -> None:
        """Set an element."""
        raw = self.store.encode(value, ffi.wasmtime_val_t())
        error = ffi.wasmtime_table_set(self.store.context, self._table, at, ctypes.byref(raw))
        self.store._raise(error, None)

    def null(self) -> Value:
        """Nothing, of the type that it holds; an empty table tells only by what it refuses."""
        if self.size:
            return Value(self.get(0).kind, None)
        try:
            self.grow(0, Value("funcref", None))
        except Failed:
            return Value("externref", None)
        return Value("funcref", None)

    def grow(self, count: int, value: Value) -> int:
        """Add elements; the number of the first new one."""
        before = ctypes.c_uint64()
        raw = self.store.encode(value, ffi.wasmtime_val_t())
        error = ffi.wasmtime_table_grow(
            self.store.context, self._table, count, ctypes.byref(raw), ctypes.byref(before)
        )
        self.store._raise(error, None)
        return before.value


def function_value(store: Store, extern: Any) -> Value:
    """A reference to a function: the same one for the same function."""
    address = ffi.wasmtime_func_to_raw(store.context, ctypes.byref(extern.of.func))
    return Value("funcref", ctypes.cast(address, ctypes.c_void_p).value)


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t
)
_NO_FINALIZER: Final = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


def _last_line(message: str) -> str:
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1].removeprefix("wasm trap: ") if lines else "unknown"
