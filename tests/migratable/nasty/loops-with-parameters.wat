;; br_table to loops that take parameters, from inside each other, with calls under operands.
;; f(i32:7) = i64:25 i32:1c
;; f(i32:0) = i64:0 i32:0
;; g(i32:5) = i32:69 f64:4034000000000000
(module
  (func $add (param i64 i64) (result i64)
    (loop) (i64.add (local.get 0) (local.get 1)))
  (func $both (param i32 i32) (result i32 i32)
    (loop) (i32.add (local.get 0) (local.get 1)) (i32.sub (local.get 0) (local.get 1)))
  (func (export "f") (param $n i32) (result i64 i32) (local $sum i64) (local $k i32) (local $i i32)
    (i64.const 0) (i32.const 0)
    (loop $outer (param i64 i32) (result i64 i32)
      (local.set $k) (local.set $sum)
      (if (i32.ge_u (local.get $i) (local.get $n))
        (then (return (local.get $sum) (local.get $k))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (call $add (local.get $sum) (i64.extend_i32_u (local.get $i)))
      (i32.add (local.get $k) (local.get $i))
      (loop $inner (param i64 i32) (result i64 i32)
        (local.set $k) (local.set $sum)
        (call $add (local.get $sum) (i64.const 1))
        (local.get $k)
        (br_table $inner $outer $outer
          (i32.ne (i32.and (i32.wrap_i64 (local.get $sum)) (i32.const 7)) (i32.const 3)))))
  )
  (func (export "g") (param $n i32) (result i32 f64) (local $a i32) (local $b i32)
    (local.get $n)
    (i32.const 0)
    (loop $again (param i32 i32) (result i32 f64)
      (call $both)
      (local.set $b) (local.set $a)
      (if (param) (result i32 f64) (i32.lt_s (local.get $a) (i32.const 100))
        (then
          (i32.add (local.get $a) (local.get $n))
          (local.get $b)
          (br $again))
        (else (local.get $a) (f64.convert_i32_s (i32.const 20)))))))
