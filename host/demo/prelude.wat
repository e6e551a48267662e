;; What the demo tasks share. Each is an ordinary program for WASI preview 1 (docs/commands.md): it prints one line of
;; JSON for each event. The build script puts these fields before those of a task.
(import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
(import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))

;; From 0: a buffer descriptor, then numbers that the host returns. From 1,024: the line that is being written.
;; From 8,192: the pointers to the arguments; from 8,448: their bytes. From 16,384: the texts of the task, each ended by
;; a zero byte.
(memory (export "memory") 1)
(data (i32.const 900) "{\"call\":\"sleep-ms\",\"ms\":\00")
(global $end (mut i32) (i32.const 1024))

(func $byte (param $value i32)
  (i32.store8 (global.get $end) (local.get $value))
  (global.set $end (i32.add (global.get $end) (i32.const 1))))

;; Appends a text to the line.
(func $say (param $text i32)
  (local $byte i32)
  (block $done
    (loop $next
      (br_if $done (i32.eqz (local.tee $byte (i32.load8_u (local.get $text)))))
      (call $byte (local.get $byte))
      (local.set $text (i32.add (local.get $text) (i32.const 1)))
      (br $next))))

;; Appends a number to the line.
(func $number (param $value i32)
  (if (i32.ge_u (local.get $value) (i32.const 10))
    (then (call $number (i32.div_u (local.get $value) (i32.const 10)))))
  (call $byte (i32.add (i32.const 48) (i32.rem_u (local.get $value) (i32.const 10)))))

;; Prints the line.
(func $print
  (call $byte (i32.const 10))
  (i32.store (i32.const 0) (i32.const 1024))
  (loop $again
    (i32.store (i32.const 4) (i32.sub (global.get $end) (i32.load (i32.const 0))))
    (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
    (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.load (i32.const 8))))
    (br_if $again (i32.lt_u (i32.load (i32.const 0)) (global.get $end))))
  (global.set $end (i32.const 1024)))

;; Asks the host to wait, which it answers with {"ok":true}. If the run is cancelled, the answer is {"ok":false} at once,
;; and the program ends.
(func $sleep (param $ms i32)
  (local $nth i32)
  (call $say (i32.const 900))
  (call $number (local.get $ms))
  (call $byte (i32.const 125))
  (call $print)
  (i32.store (i32.const 0) (i32.const 16))
  (i32.store (i32.const 4) (i32.const 1))
  (block $answered
    (loop $next
      (if (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
      ;; At its end or at the end of the line.
      (br_if $answered (i32.eqz (i32.load (i32.const 8))))
      (br_if $answered (i32.eq (i32.load8_u (i32.const 16)) (i32.const 10)))
      (if (i32.and
            (i32.eq (local.get $nth) (i32.const 6))
            (i32.eq (i32.load8_u (i32.const 16)) (i32.const 102)))
        (then (call $proc_exit (i32.const 0))))
      (local.set $nth (i32.add (local.get $nth) (i32.const 1)))
      (br $next))))

;; The address of an argument, or of the default if it is missing.
(func $argument (param $nth i32) (param $default i32) (result i32)
  (drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
  ;; More does not fit.
  (if (i32.or
        (i32.gt_u (i32.load (i32.const 16)) (i32.const 64))
        (i32.gt_u (i32.load (i32.const 20)) (i32.const 7936)))
    (then unreachable))
  (if (i32.le_u (i32.load (i32.const 16)) (local.get $nth)) (then (return (local.get $default))))
  (drop (call $args_get (i32.const 8192) (i32.const 8448)))
  (i32.load (i32.add (i32.const 8192) (i32.mul (local.get $nth) (i32.const 4)))))

;; The number in an argument, or the default if it is missing.
(func $number_argument (param $nth i32) (param $default i32) (result i32)
  (local $at i32) (local $digit i32) (local $value i32)
  (if (i32.eqz (local.tee $at (call $argument (local.get $nth) (i32.const 0))))
    (then (return (local.get $default))))
  (block $done
    (loop $next
      (local.set $digit (i32.sub (i32.load8_u (local.get $at)) (i32.const 48)))
      (br_if $done (i32.gt_u (local.get $digit) (i32.const 9)))
      (local.set $value (i32.add (i32.mul (local.get $value) (i32.const 10)) (local.get $digit)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
  (local.get $value))
