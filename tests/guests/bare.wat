;; A task that consists only of its own instructions: it imports no functions, and
;; returns `null` at its end.
(component
  (import "streamtask:task/types@1.0.0" (instance $types
    (type $failure-record (record
      (field "message" string)
      (field "code" (option string))
      (field "details" (option string))
      (field "retryable" bool)
      (field "retry-after-ms" (option u32))))
    (export "failure" (type (eq $failure-record)))))
  (alias export $types "failure" (type $failure))
  ;; COMPONENT
  (core module $main
    ;; IMPORTS
    (memory $own (export "memory") 1)
    (data (i32.const 32) "null")
    ;; ITEMS
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
    (func (export "process") (param i32 i32) (result i32)
      ;; BODY
      (i32.store8 (i32.const 1024) (i32.const 0))
      (i32.store (i32.const 1028) (i32.const 32))
      (i32.store (i32.const 1032) (i32.const 4))
      (i32.const 1024)))
  (core instance $main (instantiate $main ;; WITH
  ))
  (func (export "process") (param "input" string) (result (result string (error $failure)))
    (canon lift (core func $main "process")
      (memory (core memory $main "memory")) (realloc (core func $main "realloc")))))
