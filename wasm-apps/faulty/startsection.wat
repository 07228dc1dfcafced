;; startsection: a valid WASI program whose start section runs (and prints) before `_start`.
;; Code that runs while a module is being instantiated cannot be paused: there is no instance to
;; take a snapshot of yet.
(module
  (import "wasi_snapshot_preview1" "fd_write"
    (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "started\n")
  (data (i32.const 32) "main\n")
  (func $print (param $text i32) (param $length i32)
    (i32.store (i32.const 0) (local.get $text))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func $initialize (call $print (i32.const 16) (i32.const 8)))
  (start $initialize)
  (func (export "_start") (call $print (i32.const 32) (i32.const 5))))
