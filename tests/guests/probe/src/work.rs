//! Work whose log shows whether anything was lost, repeated or restarted: every event has its step
//! and its attempt.
//!
//! Input: `steps` of `ms` each, with `burst` events. `save` saves a checkpoint
//! after each; `hear` receives signals; `until_stop` continues until the parameter `stop` is set.
//! Attempts before `fail_before` fail after two steps with a retryable error; `fail` fails at the
//! end with a permanent one.

use serde_json::{Value, json};

use crate::streamtask::task::{checkpoints, control, run};
use crate::{Failure, failure, send};

/// Key of the checkpoint: the steps that are done.
const DONE: &str = "done";
/// Steps after which a failing attempt fails.
const STEPS_OF_A_FAILURE: u64 = 2;

pub(crate) fn work(input: &Value) -> Result<String, Failure> {
    let number = |name: &str| input[name].as_u64().unwrap_or(0);
    let is = |name: &str| input[name].as_bool().unwrap_or(false);
    let attempt = run::info().attempt;
    let saved = checkpoints::load(DONE).map_err(|error| failure(&error.message))?;
    let from = saved.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok()).unwrap_or(0u64);
    send("begin", &json!({ "from": from, "attempt": attempt }));
    let mut done = from;
    while if is("until_stop") { control::parameter("stop").is_none() } else { done < number("steps") } {
        if !control::sleep_ms(number("ms") as u32) {
            send("asked-to-end", &json!({ "attempt": attempt }));
            return Ok(json!({ "done": done }).to_string());
        }
        done += 1;
        for part in 0..number("burst") {
            send("step", &json!({ "step": done, "part": part, "attempt": attempt }));
        }
        if is("hear") {
            hear(attempt);
        }
        if is("save") {
            checkpoints::save(DONE, done.to_string().as_bytes()).map_err(|error| failure(&error.message))?;
            send("saved", &json!({ "step": done, "attempt": attempt }));
        }
        if u64::from(attempt) < number("fail_before") && done >= from + STEPS_OF_A_FAILURE {
            return Err(Failure { retryable: true, ..failure("as asked, for now") });
        }
    }
    if is("hear") {
        // All signals sent before `stop` was set have arrived.
        hear(attempt);
    }
    if is("fail") { Err(failure("as asked")) } else { Ok(json!({ "done": done }).to_string()) }
}

/// Reports all queued signals, and the parameter `level`.
fn hear(attempt: u32) {
    while let Some(signal) = control::receive_signal(None, Some(0)) {
        let payload: Value = serde_json::from_str(&signal.payload).unwrap_or_default();
        send("heard", &json!({ "signal": payload, "attempt": attempt }));
    }
    if let Some(level) = control::parameter("level") {
        let level: Value = serde_json::from_str(&level).unwrap_or_default();
        send("level", &json!({ "level": level, "attempt": attempt }));
    }
}
