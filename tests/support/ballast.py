"""A program that begins with much memory, and says now and then that it runs."""

from functools import cache

import wasmtime

PAGES = 12
"""Pages of 64 KiB with which it begins, no two of them alike."""

_BALLAST = r"""(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff"
    (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") {size})
  (data (i32.const 0) "\10\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00tick\0a")
  (data (i32.const 65536) "{content}")
  (func (export "_start")
    (i32.store (i32.const 80) (i32.const 1))
    (i64.store (i32.const 88) (i64.const 10000000))
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (drop (call $poll (i32.const 64) (i32.const 128) (i32.const 1) (i32.const 8)))
      (br $again))))"""
"""Its subscription lies at 64: clock 1, 10 ms from now."""


@cache
def ballast() -> bytes:
    """The program, not prepared."""
    content = "".join(f"\\{page + 1:02x}" * 65536 for page in range(PAGES))
    text = _BALLAST.replace("{size}", str(PAGES + 1)).replace("{content}", content)
    return bytes(wasmtime.wat2wasm(text))
