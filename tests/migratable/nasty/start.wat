;; A start function that pauses, waits for the host, grows memory and changes a table; it runs once.
;; f() = i32:6 i32:1 i32:57
(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (memory 1)
  (table 2 funcref)
  (type $t (func (result i32)))
  (global $ran (mut i32) (i32.const 0))
  (global $answer (mut i32) (i32.const 0))
  (elem declare func $six)
  (func $six (type $t) (loop) (i32.const 6))
  (func $begin
    (global.set $ran (i32.add (global.get $ran) (i32.const 1)))
    (loop $l
      (table.set (i32.const 1) (ref.func $six))
      (br_if $l (i32.eqz (memory.grow (i32.const 1)))))
    (global.set $answer (call $ask (i32.const 3))))
  (start $begin)
  (func (export "f") (result i32 i32 i32)
    (loop)
    (i32.mul (call_indirect (type $t) (i32.const 1)) (global.get $ran))
    (i32.sub (memory.size) (i32.const 1))
    (global.get $answer)))
