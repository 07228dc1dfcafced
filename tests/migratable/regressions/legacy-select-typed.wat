;; An instruction with a list of types, in a function with legacy exceptions, was taken for an end.
;; f(i32:0) = i32:5
;; f(i32:1) = i32:4
(module
  (tag $e)
  (func $spin (loop))
  (func (export "f") (param i32) (result i32) (local $chosen i32)
    try
      (call $spin)
      (local.set $chosen
        (select (result i32) (i32.const 4) (i32.const 3) (local.get 0)))
      (if (i32.eqz (local.get 0)) (then (throw $e)))
    catch_all
      (local.set $chosen (i32.add (local.get $chosen) (i32.const 2)))
    end
    (local.get $chosen)))
