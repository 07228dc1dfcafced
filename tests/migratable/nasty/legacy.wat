;; Legacy exceptions: thrown again from loops inside handlers, delegated past handlers and out of
;; the function, with operands below and results on the stack.
;; f(i32:4) = i32:25
;; delegated(i32:2) = i32:16
;; out(i32:1) = exception
;; values(i32:7) = i64:7 i32:2a
;; tail(i32:2) = exception
(module
  (tag $e (param i32)) (tag $other)
  (func $spin (param i32) (result i32) (loop) (local.get 0))
  (func $throw (param i32) (result i32) (throw $e (call $spin (local.get 0))))
  (func (export "f") (param $n i32) (result i32) (local $sum i32)
    (i32.const 8)
    loop $more (param i32) (result i32)
      try $outer (param i32) (result i32)
        try $inner (param i32) (result i32)
          (i32.add (call $throw (local.get $n)))
        catch $other
          unreachable
        catch $e
          (local.set $sum (i32.add (local.get $sum)))
          loop $l
            (drop (call $spin (i32.const 1)))
            (br_if $l (i32.eqz (local.get $n)))
            (if (call $spin (i32.const 1)) (then (rethrow $inner)))
          end
          unreachable
        end
      catch_all
        (i32.add (call $spin (local.get $sum)) (local.get $n))
      end
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $more (local.get $n))
      (i32.add (i32.mul (local.get $sum) (i32.const 3)) (i32.const 1))
      (i32.add (i32.const 6))
      (return)
    end)
  (func (export "delegated") (param $n i32) (result i32)
    try $outer (result i32)
      try $between (result i32)
        try (result i32)
          (call $throw (call $spin (local.get $n)))
        delegate $outer
      catch_all
        (i32.const -1)
      end
    catch $e
      (i32.add (call $spin (i32.const 20)))
    end)
  (func (export "out") (param $n i32) (result i32)
    try (result i32)
      try (result i32)
        (call $throw (call $spin (local.get $n)))
      delegate 1
    catch_all
      (i32.const -1)
    end)
  (func (export "values") (param $n i32) (result i64 i32)
    (i64.extend_i32_u (local.get $n))
    try $t (result i32)
      (br $t (i32.mul (call $throw (local.get $n)) (i32.const 2)))
    catch $e
      (i32.mul (call $spin (i32.const 6)))
    end)
  (func (export "tail") (param $n i32) (result i32)
    try
      (return_call $throw (local.get $n))
    catch_all
    end
    (i32.const -1)))
