;; A script of our own in the form of the core test suite: what its runner must know, once each.

(module $counter
  (import "spectest" "print_i32" (func $print (param i32)))
  (global $count (export "count") (mut i32) (i32.const 0))
  (memory (export "memory") 1 2)
  (func (export "step") (param i32) (result i32)
    (call $print (local.get 0))
    (global.set $count (i32.add (global.get $count) (local.get 0)))
    (global.get $count))
  (func (export "sum") (param $n i64) (result i64) (local $sum i64)
    (loop $l
      (local.set $sum (i64.add (local.get $sum) (local.get $n)))
      (br_if $l (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
    (local.get $sum))
  (func $deep (export "deep") (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (i32.const 0))
      (else (i32.add (i32.const 2) (call $deep (i32.sub (local.get 0) (i32.const 1)))))))
  (func (export "grow") (result i32 i32) (memory.grow (i32.const 1)) (memory.size))
  (func (export "divide") (param i32 i32) (result i32)
    (i32.div_s (local.get 0) (local.get 1)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func $endless (export "endless") (call $endless)))

(assert_return (invoke "step" (i32.const 3)) (i32.const 3))
(invoke "step" (i32.const 4))
(assert_return (get "count") (i32.const 7))
(assert_return (invoke "sum" (i64.const 10)) (i64.const 55))
(assert_return (invoke "deep" (i32.const 9)) (i32.const 18))
(assert_return (invoke "grow") (i32.const 1) (i32.const 2))
(assert_trap (invoke "divide" (i32.const 1) (i32.const 0)) "integer divide by zero")
(assert_trap (invoke "load" (i32.const -4)) "out of bounds memory access")
(assert_exhaustion (invoke "endless") "call stack exhausted")

;; Floats, vectors, references.
(module
  (func (export "root") (param f32) (result f32) (f32.sqrt (local.get 0)))
  (func (export "zero") (param f64) (result f64) (f64.div (f64.const 0) (local.get 0)))
  (func (export "splat") (param i32) (result v128) (i32x4.splat (local.get 0)))
  (func (export "null") (param externref) (result i32) (ref.is_null (local.get 0)))
  (func (export "same") (param externref) (result externref) (local.get 0))
  (func (export "nothing") (result funcref) (ref.null func)))

(assert_return (invoke "root" (f32.const 4)) (f32.const 2))
(assert_return (invoke "root" (f32.const -4)) (f32.const nan:canonical))
(assert_return (invoke "zero" (f64.const 0)) (f64.const nan:arithmetic))
(assert_return (invoke "splat" (i32.const 7)) (v128.const i32x4 7 7 7 7))
(assert_return (invoke "null" (ref.extern 5)) (i32.const 0))
(assert_return (invoke "same" (ref.extern 5)) (ref.extern 5))
(assert_return (invoke "nothing") (ref.null func))

;; Modules that share: they are not moved, and what is on their stacks together is not paused.
(register "counter" $counter)
(module $other
  (import "counter" "memory" (memory 1))
  (import "counter" "step" (func $step (param i32) (result i32)))
  (func (export "twice") (result i32) (drop (call $step (i32.const 1))) (call $step (i32.const 1)))
  (func (export "put") (i32.store (i32.const 16) (i32.const 11))))
(assert_return (invoke "twice") (i32.const 9))
(assert_return (invoke "put"))
(assert_return (invoke $counter "load" (i32.const 16)) (i32.const 11))
(assert_unlinkable (module (import "counter" "none" (func))) "unknown import")

;; A start function runs once, and what it traps in is not there.
(module
  (global $g (mut i32) (i32.const 0))
  (func $start (loop) (global.set $g (i32.add (global.get $g) (i32.const 1))))
  (start $start)
  (func (export "g") (result i32) (loop) (global.get $g)))
(assert_return (invoke "g") (i32.const 1))
(assert_trap (module (func $start (unreachable)) (start $start)) "unreachable")

;; Exceptions, and one that leaves.
(module
  (tag $e (param i32))
  (func $throw (param i32) (if (local.get 0) (then (throw $e (local.get 0)))))
  (func (export "caught") (param i32) (result i32)
    (block $h (result i32)
      (try_table (catch $e $h) (call $throw (local.get 0)))
      (i32.const -1)))
  (func (export "thrown") (call $throw (i32.const 1))))
(assert_return (invoke "caught" (i32.const 6)) (i32.const 6))
(assert_return (invoke "caught" (i32.const 0)) (i32.const -1))
(assert_exception (invoke "thrown"))

;; What is refused: skipped, with its reason.
(module
  (type $s (struct (field i32)))
  (func (export "made") (result i32) (struct.get $s 0 (struct.new $s (i32.const 3)))))
(assert_return (invoke "made") (i32.const 3))

;; What never runs: prepared or refused, nothing else.
(assert_invalid (module (func (result i32))) "type mismatch")
(assert_malformed (module quote "(func (nonsense))") "unknown operator")
