;; JavaScript counts the elements of such a table in bigints: one that changed could not be captured.
;; f(i32:2) = i32:5 i64:4
;; f(i32:3) = i32:6 i64:5
(module
  (type $k (func (result i32)))
  (table $t i64 2 9 funcref)
  (elem declare func $three)
  (func $three (type $k) (loop) (i32.const 3))
  (func (export "f") (param $n i32) (result i32 i64)
    (drop (table.grow $t (ref.null func) (i64.extend_i32_u (local.get $n))))
    (table.set $t (i64.const 2) (ref.func $three))
    (loop)
    (i32.add (local.get $n) (call_indirect $t (type $k) (i64.const 2)))
    (table.size $t)))
