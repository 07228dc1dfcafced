;; An index that lay above other operands was kept as an i32, also where a table has 64-bit ones.
;; f(i64:0) = i32:6
;; f(i64:1) = i32:7
(module
  (type $k (func (param i32) (result i32)))
  (table $t i64 funcref (elem $more $less))
  (func $more (type $k) (loop) (i32.add (local.get 0) (i32.const 1)))
  (func $less (type $k) (loop) (i32.add (local.get 0) (i32.const 2)))
  (func (export "f") (param i64) (result i32)
    (i32.add
      (i32.const 0)
      (call_indirect $t (type $k) (i32.const 5) (local.get 0)))))
