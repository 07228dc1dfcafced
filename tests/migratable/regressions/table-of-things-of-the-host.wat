;; A table of externref was put back with nulls of functions.
;; f() = i32:d
(module
  (table $t 0 9 externref)
  (func (export "f") (result i32)
    (drop (table.grow $t (ref.null extern) (i32.const 3)))
    (loop)
    (i32.add (table.size $t)
             (i32.mul (i32.const 10) (ref.is_null (table.get $t (i32.const 2)))))))
