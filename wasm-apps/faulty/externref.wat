;; externref: a valid WASI program that keeps a reference in a local across a call that may block.
;; A reference is an address inside one engine: it cannot be written down as data, so this program
;; runs but must be refused where it would have to migrate.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\05\00\00\00")
  (data (i32.const 16) "main\n")
  (table $kept 1 externref)
  (func (export "_start") (local $reference externref)
    (local.set $reference (table.get $kept (i32.const 0)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (ref.is_null (local.get $reference)))))
