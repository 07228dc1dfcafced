;; Tables that change while the program recurses through them; grown, filled, copied, initialized,
;; with a host function that waits among the elements.
;; f(i32:c) = i32:c0 i32:9
;; asked(i32:3) = i32:57
;; empty() = trap: uninitialized element
;; dropped() = trap: undefined element: out of bounds table access
(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (type $t (func (param i32) (result i32)))
  (table $table 4 12 funcref)
  (table $other 2 funcref)
  (elem (table $table) (i32.const 0) func $one $two $step)
  (elem $passive func $two $ask)
  (func $spin (loop))
  (func $one (type $t) (loop) (i32.const 1))
  (func $two (type $t) (i32.const 2))
  (func $step (type $t) (local $i i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (local.set $i (i32.and (local.get 0) (i32.const 1)))
    (table.set $table (i32.const 3) (table.get $table (local.get $i)))
    (table.set $table (local.get $i) (ref.func $two))
    (call $spin)
    (if (i32.eq (local.get 0) (i32.const 6))
      (then
        (drop (table.grow $table (ref.func $one) (i32.const 5)))
        (table.copy $table $table (i32.const 5) (i32.const 0) (i32.const 2))
        (table.fill $other (i32.const 0) (ref.func $step) (i32.const 2))))
    (i32.add
      (i32.mul (call_indirect $table (type $t) (local.get 0) (i32.const 3)) (local.get 0))
      (i32.add
        (call_indirect $table (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 2))
        (i32.add (call $size) (call_indirect $table (type $t) (i32.const 0) (local.get $i))))))
  (func $size (result i32) (loop) (i32.const 2))
  (func (export "f") (param i32) (result i32 i32)
    (call_indirect $table (type $t) (local.get 0) (i32.const 2))
    (table.size $table))
  (func (export "asked") (param i32) (result i32)
    (table.init $table $passive (i32.const 0) (i32.const 0) (i32.const 2))
    (elem.drop $passive)
    (call $spin)
    (call_indirect $table (type $t) (local.get 0) (i32.const 1)))
  (func (export "empty") (result i32)
    (table.set $table (i32.const 1) (ref.null func))
    (call $spin)
    (call_indirect $table (type $t) (i32.const 0) (i32.const 1)))
  (func (export "dropped")
    (elem.drop $passive)
    (call $spin)
    (table.init $table $passive (i32.const 0) (i32.const 0) (i32.const 1))))
