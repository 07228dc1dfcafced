;; tables: a valid WASI program that changes its function table while it runs.
;; Which function stands in which slot is state, but no engine tells from outside: whoever captures
;; the program would restore the table that it started with, and it would print `old`.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "old\nnew\n")
  (table $slots 1 funcref)
  (elem (i32.const 0) func $old)
  (elem declare func $new)
  (func $print (param $text i32)
    (i32.store (i32.const 0) (local.get $text))
    (i32.store (i32.const 4) (i32.const 4))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $old (call $print (i32.const 16)))
  (func $new (call $print (i32.const 20)))
  (func (export "_start")
    (call_indirect $slots (i32.const 0))
    (table.set $slots (i32.const 0) (ref.func $new))
    (call_indirect $slots (i32.const 0))))
