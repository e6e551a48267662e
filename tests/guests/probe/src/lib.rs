//! A guest that executes the commands of a test, with the bare contract, without an SDK.
//!
//! Input: `{"do": NAME, …}`.

use serde_json::{Value, json};

use streamtask::task::types::{Error, ErrorCode};
use streamtask::task::{checkpoints, children, control, events, run};

mod report;
mod work;

wit_bindgen::generate!({ path: "../../../wit", world: "streamtask:task/described-task" });

struct Probe;

impl Guest for Probe {
    fn process(input: String) -> Result<String, Failure> {
        let input: Value = serde_json::from_str(&input).map_err(|error| failure(&error.to_string()))?;
        let number = |name: &str| input[name].as_u64().unwrap_or(0);
        match input["do"].as_str().unwrap_or("echo") {
            "echo" => Ok(input.to_string()),
            "fail" => Err(Failure {
                message: "as asked".to_owned(),
                code: Some("asked".to_owned()),
                details: Some("{\"why\":[1,2]}".to_owned()),
                retryable: true,
                retry_after_ms: None,
            }),
            "panic" => panic!("boom"),
            "divide" => Ok((1 / number("zero")).to_string()),
            "recurse" => Ok(recurse(number("n")).to_string()),
            "oom" => Ok(exhaust_memory().to_string()),
            // WASI 0.2 only reports whether the code is 0.
            "exit" => std::process::exit(3),
            "spin" => {
                send("spinning", &json!({}));
                spin()
            }
            "sleep" => Ok(json!(control::sleep_ms(number("ms") as u32)).to_string()),
            "std-sleep" => {
                std::thread::sleep(std::time::Duration::from_millis(number("ms")));
                Ok("true".to_owned())
            }
            "not-json" => Ok("this is not JSON".to_owned()),
            "output" => Ok(json!("x".repeat(number("bytes") as usize)).to_string()),
            "flood" => {
                control::sleep_ms(number("wait_ms") as u32);
                flood(number("events"), number("bytes") as usize, number("pause_ms"))
            }
            "ticks" => {
                flood(number("before"), 100, 0)?;
                control::sleep_ms(number("wait_ms") as u32);
                ticks(number("n") as u32, number("ms") as u32)
            }
            "send" => {
                let answers = send_all(&input["events"]);
                if input["fail"] == true { Err(failure("as asked")) } else { Ok(answers) }
            }
            "bytes" => send_bytes(&input),
            "print" => print(&input),
            "info" => Ok(info()),
            "until-cancelled" => until_cancelled(),
            "stubborn" => loop {
                control::sleep_ms(1000);
            },
            "wait-for-signal" => {
                send("waiting", &json!({}));
                let signal = control::receive_signal(None, None);
                Ok(json!(signal.map(|signal| signal.name)).to_string())
            }
            "signals" => signals(&input),
            "until-parameter" => loop {
                if let Some(value) = control::parameter(input["name"].as_str().unwrap_or_default()) {
                    return Ok(value);
                }
                control::sleep_ms(2);
            },
            "checkpoint-then-wait" => {
                checkpoints::save("here", b"1").map_err(|error| failure(&error.message))?;
                send("saved", &json!({}));
                until_cancelled()
            }
            "steps" => steps(&input),
            "children" => start_children(&input),
            "report" => report::report(&input),
            "work" => work::work(&input),
            "checkpoints" => checkpoints(&input),
            "flush" => {
                send("before", &json!({}));
                events::flush().map_err(|error| failure(&error.message))?;
                send("after", &json!({}));
                Ok("null".to_owned())
            }
            other => Err(failure(&format!("the probe can't do {other:?}"))),
        }
    }

    fn describe() -> String {
        json!({
            "description": "Does whatever a test asks for.",
            "input_schema": {
                "type": "object",
                "properties": { "do": { "type": "string" }, "events": {}, "ms": { "type": "integer", "minimum": 0 } }
            }
        })
        .to_string()
    }
}

fn failure(message: &str) -> Failure {
    Failure { message: message.to_owned(), code: None, details: None, retryable: false, retry_after_ms: None }
}

fn send(event_type: &str, data: &Value) {
    events::send_event(event_type, &data.to_string()).expect("the event is valid");
}

#[expect(unconditional_recursion, reason = "the point: it ends when the stack does")]
#[inline(never)]
fn recurse(n: u64) -> u64 {
    recurse(std::hint::black_box(n) + 1) + 1
}

fn exhaust_memory() -> usize {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = std::hint::black_box(n.wrapping_add(1));
    }
}

/// Sends events as fast as the host accepts them: `{"n":…}`, padded to `bytes`.
fn flood(count: u64, bytes: usize, pause_ms: u64) -> Result<String, Failure> {
    let padding = "x".repeat(bytes);
    for n in 1..=count {
        let data = format!("{{\"n\":{n},\"pad\":\"{padding}\"}}");
        events::send_event("flood", &data).map_err(|error| failure(&error.message))?;
        if pause_ms > 0 && n % 100 == 0 {
            control::sleep_ms(pause_ms as u32);
        }
    }
    Ok(count.to_string())
}

/// The payloads of the first `count` signals; fewer after a timeout.
fn signals(input: &Value) -> Result<String, Failure> {
    let name = input["name"].as_str();
    let timeout = input["timeout_ms"].as_u64().map(|ms| ms as u32);
    let mut payloads: Vec<Value> = Vec::new();
    while payloads.len() < input["count"].as_u64().unwrap_or(1) as usize {
        let Some(signal) = control::receive_signal(name, timeout) else { break };
        payloads.push(serde_json::from_str(&signal.payload).map_err(|error| failure(&error.to_string()))?);
    }
    Ok(json!(payloads).to_string())
}

/// Sends `n` events at intervals of `ms`; each has the delay of its timer.
fn ticks(n: u32, ms: u32) -> Result<String, Failure> {
    for tick in 1..=n {
        let before = std::time::Instant::now();
        if !control::sleep_ms(ms) {
            return Err(failure("cancelled"));
        }
        let late = before.elapsed().as_micros() as i64 - i64::from(ms) * 1000;
        send("tick", &json!({ "tick": tick, "late_us": late }));
    }
    Ok(n.to_string())
}

fn answer(result: Result<(), Error>) -> Value {
    match result {
        Ok(()) => json!("ok"),
        Err(error) => json!({ "code": code(error.code), "message": error.message }),
    }
}

fn code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::InvalidArgument => "invalid-argument",
        ErrorCode::TooLarge => "too-large",
        ErrorCode::LimitExceeded => "limit-exceeded",
        ErrorCode::Denied => "denied",
        ErrorCode::NotFound => "not-found",
        ErrorCode::Conflict => "conflict",
        ErrorCode::Unavailable => "unavailable",
        ErrorCode::Internal => "internal",
    }
}

/// Sends `[{"type", "data" (raw text), "channel"?, "repeat"?, "times"?}]`; returns the host's
/// response to each. In the data, `#` is replaced by the number of earlier repetitions. With
/// `bytes` and `content_type` instead of data, sends bytes; with only `wait`, waits for a signal.
fn send_all(list: &Value) -> String {
    let answers = list.as_array().into_iter().flatten().map(|event| {
        if let Some(name) = event["wait"].as_str() {
            return json!(control::receive_signal(Some(name), None).is_some());
        }
        let (times, repeat) = (event["times"].as_u64().unwrap_or(1), event["repeat"].as_u64().unwrap_or(1));
        let data = event["data"].as_str().unwrap_or("null").repeat(repeat as usize);
        let all = (0..times).map(|nth| match event["bytes"].as_array() {
            Some(bytes) => {
                let bytes: Vec<u8> = bytes.iter().filter_map(Value::as_u64).map(|byte| byte as u8).collect();
                let text = |name: &str| event[name].as_str().unwrap_or_default();
                events::send_bytes(text("channel"), text("type"), text("content_type"), &bytes)
            }
            None => {
                send_one(event, &if times > 1 { data.replace('#', &nth.to_string()) } else { data.clone() })
            }
        });
        answer(all.collect())
    });
    Value::Array(answers.collect()).to_string()
}

fn send_one(event: &Value, data: &str) -> Result<(), Error> {
    let event_type = event["type"].as_str().unwrap_or_default();
    match event["channel"].as_str() {
        Some(channel) => events::send_event_on(channel, event_type, data),
        None => events::send_event(event_type, data),
    }
}

fn send_bytes(input: &Value) -> Result<String, Failure> {
    let text = |name: &str| input[name].as_str().unwrap_or_default();
    let bytes: Vec<u8> = (0..input["length"].as_u64().unwrap_or(0)).map(|n| n as u8).collect();
    let result = events::send_bytes(text("channel"), text("type"), text("content_type"), &bytes);
    Ok(answer(result).to_string())
}

fn print(input: &Value) -> Result<String, Failure> {
    for _ in 0..input["times"].as_u64().unwrap_or(1) {
        print!("{}", input["stdout"].as_str().unwrap_or_default());
        eprint!("{}", input["stderr"].as_str().unwrap_or_default());
        // Otherwise, std buffers an unfinished line.
        let _ = std::io::Write::flush(&mut std::io::stdout());
    }
    Ok("null".to_owned())
}

fn info() -> String {
    let info = run::info();
    json!({
        "id": info.id, "app": info.app, "task": info.task, "version": info.version, "attempt": info.attempt,
        "labels": info.labels, "remaining_ms": run::remaining_ms(), "cancelled": control::cancelled()
    })
    .to_string()
}

fn until_cancelled() -> Result<String, Failure> {
    send("waiting", &json!({}));
    while control::sleep_ms(10_000) {}
    Ok("\"partial\"".to_owned())
}

/// Counts to `n`, with a checkpoint after each step, from which later attempts continue.
fn steps(input: &Value) -> Result<String, Failure> {
    let saved = checkpoints::load("step").map_err(|error| failure(&error.message))?;
    let from = saved.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok()).unwrap_or(0u64);
    send("begin", &json!({ "from": from, "attempt": run::info().attempt }));
    for step in from + 1..=input["n"].as_u64().unwrap_or(0) {
        control::sleep_ms(input["ms"].as_u64().unwrap_or(0) as u32);
        send("step", &json!({ "step": step }));
        checkpoints::save("step", step.to_string().as_bytes()).map_err(|error| failure(&error.message))?;
    }
    Ok("\"done\"".to_owned())
}

fn checkpoints(input: &Value) -> Result<String, Failure> {
    let key = input["key"].as_str().unwrap_or("k");
    let value = vec![7; input["bytes"].as_u64().unwrap_or(0) as usize];
    let saved = answer(checkpoints::save(key, &value));
    let loaded = match checkpoints::load(key) {
        Ok(value) => json!(value.map(|value| value.len())),
        Err(error) => json!(code(error.code)),
    };
    Ok(json!({ "saved": saved, "loaded": loaded }).to_string())
}

/// Starts `runs`, each of `{"task", "input", "key"?, "detached"?}`, and waits for all of them, at
/// most `timeout_ms` for each next one; returns the responses and outcomes.
fn start_children(input: &Value) -> Result<String, Failure> {
    let mut answers: Vec<Value> = Vec::new();
    let mut waiting: Vec<(usize, String)> = Vec::new();
    for (at, run) in input["runs"].as_array().into_iter().flatten().enumerate() {
        let options = children::Options {
            key: run["key"].as_str().map(str::to_owned),
            detached: run["detached"] == true,
            priority: None,
        };
        let task = run["task"].as_str().unwrap_or("probe");
        match children::start(task, &run["input"].to_string(), &options) {
            Ok(id) => {
                answers.push(json!({ "run": id }));
                waiting.push((at, id));
            }
            Err(error) => answers.push(answer(Err(error))),
        }
    }
    send("started", &json!(answers));
    if let Some(name) = input["then"].as_str() {
        return match name {
            "return" => Ok(json!(answers).to_string()),
            "fail" => Err(failure("as asked")),
            _ => until_cancelled(),
        };
    }
    let timeout = input["timeout_ms"].as_u64().map(|ms| ms as u32);
    while !waiting.is_empty() {
        let ids: Vec<String> = waiting.iter().map(|(_, id)| id.clone()).collect();
        match children::wait(&ids, timeout) {
            Ok(Some((at, outcome))) => {
                let (at, _) = waiting.remove(at as usize);
                answers[at]["outcome"] = match outcome {
                    children::Outcome::Completed(value) => json!({ "completed": value }),
                    children::Outcome::Failed(error) => {
                        json!({ "failed": [error.kind, error.message, error.code] })
                    }
                    children::Outcome::Cancelled(value) => json!({ "cancelled": value }),
                };
            }
            Ok(None) => break,
            Err(error) => return Err(failure(&error.message)),
        }
    }
    Ok(json!(answers).to_string())
}

export!(Probe);
