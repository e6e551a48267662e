;; Writes an answer to the page, a word at a time, like a language model. The text is escaped for JSON here.
(data (i32.const 16384) "{\"event\":\"view\",\"data\":{\"op\":\"start\",\"target\":\"answer\"}}\00")
(data (i32.const 16484) "{\"event\":\"view\",\"data\":{\"op\":\"text\",\"target\":\"answer\",\"text\":\"\00")
(data (i32.const 16584) "\"}}\00")
(data (i32.const 16604) "{\"event\":\"view\",\"data\":{\"op\":\"done\",\"target\":\"answer\"}}\00")
(data (i32.const 16704) "{\"result\":{\"tokens\":\00")
(data (i32.const 16744) "}}\00")
(data (i32.const 16764)
  "A task is a WebAssembly file. The host runs it in a sandbox, and each line that it prints becomes an event.\\n\\n"
  "- Every event is stored before you see it.\\n"
  "- Reload this page: the stream continues where it was.\\n"
  "- Pause, resume or cancel the run at any moment.\\n\\n"
  "This answer is made of view events, which write into the page as they arrive. \00")

(func (export "_start")
  (local $at i32) (local $byte i32) (local $tokens i32)
  (call $say (i32.const 16384))
  (call $print)
  (local.set $at (i32.const 16764))
  (block $done
    (loop $token
      (br_if $done (i32.eqz (i32.load8_u (local.get $at))))
      (call $say (i32.const 16484))
      ;; Up to the next space, with it.
      (loop $next
        (local.set $byte (i32.load8_u (local.get $at)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (call $byte (local.get $byte))
        (br_if $next (i32.ne (local.get $byte) (i32.const 32))))
      (call $say (i32.const 16584))
      (call $print)
      (local.set $tokens (i32.add (local.get $tokens) (i32.const 1)))
      (call $sleep (i32.const 80))
      (br $token)))
  (call $say (i32.const 16604))
  (call $print)
  (call $say (i32.const 16704))
  (call $number (local.get $tokens))
  (call $say (i32.const 16744))
  (call $print))
