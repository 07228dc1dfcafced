;; Mutual recursion by tail calls, direct and through a table, with points in it and pauses behind
;; callers that have gone; tail calls out of handlers, and of a host function that waits.
;; even(i32:1f4) = i32:1
;; odd(i32:65) = i32:1
;; sum(i32:64) = i64:13ba
;; indirect(i32:32) = i32:1
;; guarded(i32:3) = exception
;; asked(i32:9) = i32:5d
(module
  (import "env" "ask" (func $ask (param i32) (result i32)))
  (tag $e)
  (type $t (func (param i32) (result i32)))
  (table funcref (elem $even $odd $indirect))
  (func $even (export "even") (type $t)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
    (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
  (func $odd (export "odd") (type $t)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (loop)
    (return_call $even (i32.sub (local.get 0) (i32.const 1))))
  (func $indirect (export "indirect") (type $t)
    (if (i32.lt_s (local.get 0) (i32.const 2)) (then (return (local.get 0))))
    (i32.sub (local.get 0) (i32.const 2))
    (return_call_indirect (type $t) (i32.rem_u (local.get 0) (i32.const 3))))
  (func $sum_from (param i32 i64) (result i64)
    (loop)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call $sum_from (i32.sub (local.get 0) (i32.const 1))
      (i64.add (local.get 1) (i64.extend_i32_u (local.get 0)))))
  (func $sum (export "sum") (param i32) (result i64)
    (call $sum_from (local.get 0) (i64.const 0)))
  (func $throw (param i32) (result i32) (loop) (throw $e))
  (func (export "guarded") (param i32) (result i32)
    (block $caught (try_table (catch $e $caught) (return_call $throw (local.get 0))))
    (i32.const -1))
  (func $asks (param i32) (result i32) (return_call $ask (local.get 0)))
  (func (export "asked") (param i32) (result i32) (i32.add (call $asks (local.get 0)) (i32.const 0))))
