;; A task of a few instructions, which compiles in a millisecond. Its input is a
;; number: it sends `tick` three times, at intervals of this many milliseconds, and returns MARK.
(component
  (import "streamtask:task/types@1.0.0" (instance $types
    (type $code (enum "invalid-argument" "too-large" "limit-exceeded" "denied" "not-found" "conflict"
      "unavailable" "internal"))
    (export "error-code" (type $error-code (eq $code)))
    (type $error-record (record (field "code" $error-code) (field "message" string)))
    (export "error" (type (eq $error-record)))
    (type $failure-record (record
      (field "message" string)
      (field "code" (option string))
      (field "details" (option string))
      (field "retryable" bool)
      (field "retry-after-ms" (option u32))))
    (export "failure" (type (eq $failure-record)))))
  (alias export $types "error" (type $error))
  (alias export $types "failure" (type $failure))
  (import "streamtask:task/events@1.0.0" (instance $events
    (alias outer 1 $error (type $outer-error))
    (export "error" (type $error (eq $outer-error)))
    (export "send-event" (func (param "type" string) (param "data" string) (result (result (error $error)))))))
  (import "streamtask:task/control@1.0.0" (instance $control
    (export "sleep-ms" (func (param "ms" u32) (result bool)))))

  (core module $heap
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
      (global.set $next (i32.add (local.get $at) (local.get 3)))
      (local.get $at)))
  (core instance $heap (instantiate $heap))
  (core func $send (canon lower (func $events "send-event")
    (memory (core memory $heap "memory")) (realloc (core func $heap "realloc"))))
  (core func $sleep (canon lower (func $control "sleep-ms")))

  (core module $main
    (import "heap" "memory" (memory 1))
    (import "host" "send" (func $send (param i32 i32 i32 i32 i32)))
    (import "host" "sleep" (func $sleep (param i32) (result i32)))
    ;; ITEMS
    (data (i32.const 16) "tick")
    (data (i32.const 32) "{\"by\":\"MARK\"}")
    (func (export "process") (param $at i32) (param $length i32) (result i32)
      (local $ms i32) (local $ticks i32)
      (block $read
        (loop $digits
          (br_if $read (i32.eqz (local.get $length)))
          (local.set $ms (i32.add
            (i32.mul (local.get $ms) (i32.const 10))
            (i32.sub (i32.load8_u (local.get $at)) (i32.const 48))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (local.set $length (i32.sub (local.get $length) (i32.const 1)))
          (br $digits)))
      (loop $again
        (call $send (i32.const 16) (i32.const 4) (i32.const 32) (i32.const DATA_LENGTH) (i32.const 2048))
        (drop (call $sleep (local.get $ms)))
        (local.set $ticks (i32.add (local.get $ticks) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get $ticks) (i32.const 3))))
      ;; `ok`, and the mark with its quotes.
      (i32.store8 (i32.const 1024) (i32.const 0))
      (i32.store (i32.const 1028) (i32.const 38))
      (i32.store (i32.const 1032) (i32.const MARK_LENGTH))
      (i32.const 1024)))
  (core instance $main (instantiate $main
    (with "heap" (instance $heap))
    (with "host" (instance (export "send" (func $send)) (export "sleep" (func $sleep))))))
  (func (export "process") (param "input" string) (result (result string (error $failure)))
    (canon lift (core func $main "process")
      (memory (core memory $heap "memory")) (realloc (core func $heap "realloc")))))
