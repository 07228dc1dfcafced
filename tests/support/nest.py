"""A program that never ends and pauses slowly, unless all its loops poll."""

from functools import cache

import wasmtime

_NEST = """(module (memory (export "memory") 1)
  (func (export "_start") (local $i i32) (local $n i64)
    (loop $outer
      (local.set $i (i32.const {iterations}))
      (loop $inner
        (local.set $n (i64.add (i64.mul (local.get $n) (local.get $n)) (i64.const 7)))
        (br_if $inner (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (i64.store (i32.const 0) (local.get $n))
      (br $outer))))"""


@cache
def nest(iterations: int = 6_000_000) -> bytes:
    """Two loops, one in the other; a million iterations of the inner one take a millisecond."""
    return bytes(wasmtime.wat2wasm(_NEST.format(iterations=iterations)))
