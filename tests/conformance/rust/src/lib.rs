//! The guest of the conformance kit, in Rust.

mod wrong;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use streamtask_sdk::http::Request;
use streamtask_sdk::{Context, Error, Failure, Level, Outcome, Progress, Status, Value, View, json, task};

/// Does what a case of the conformance kit says.
#[task(no_schema)]
fn conformance(ctx: &Context, input: Value) -> Result<Value, Failure> {
    match input["case"].as_str().unwrap_or_default() {
        "echo" => Ok(json!({ "value": input["value"] })),
        "events" => events(ctx, &input),
        "bytes" => bytes(ctx, &input),
        "refused" => refusal(ctx.send("run.mine", &1)),
        "too-large" => refusal(ctx.send("large", &"x".repeat(number(&input, "size") as usize))),
        "many" => many(ctx, number(&input, "n")),
        "flush" => flush(ctx),
        "sleep" => {
            ctx.sleep(Duration::from_millis(number(&input, "ms")))?;
            Ok(json!({ "slept": true }))
        }
        "info" => Ok(info(ctx)),
        "remaining" => Ok(json!({ "remaining_ms": ctx.remaining().map(|left| left.as_millis() as u64) })),
        "cancel" => cancel(ctx),
        "signal" => signal(ctx, &input),
        "parameter" => parameter(ctx, &input),
        "checkpoint" => checkpoint(ctx),
        "failure" => Err(failure(&input)),
        "exception" => panic!("boom"),
        "log" => {
            ctx.log(Level::Warn, "to the log ✓")?;
            eprintln!("to stderr");
            Ok(Value::Null)
        }
        "progress" => progress(ctx),
        "view" => view(ctx),
        "generator" => Ok(ctx.stream((1..=3).map(|n| json!({ "n": n })))?.unwrap_or_default()),
        "async-generator" => Err(unsupported()),
        "typed-input" => typed_input(input),
        "child" => child(ctx, &input),
        "http" => http(ctx, &input),
        "random" => Ok(json!({ "random": random() })),
        wrong if wrong::CASES.contains(&wrong) => wrong::go(ctx, &input),
        other => Err(Failure::new(format_args!("there is no case {other:?}")).code("unknown-case")),
    }
}

/// All but the address may be left out: `method`, `headers`, `body`, `max_response`, `timeout_ms`.
fn http(ctx: &Context, input: &Value) -> Result<Value, Failure> {
    let text = |name: &str| input[name].as_str().unwrap_or_default();
    let method = input["method"].as_str().unwrap_or("GET");
    let mut request = Request::new(method, text("url")).header("X-Kit", "yes").body(text("body"));
    for (name, value) in input["headers"].as_object().into_iter().flatten() {
        request = request.header(name, value.as_str().unwrap_or_default());
    }
    if number(input, "max_response") > 0 {
        request = request.max_response(number(input, "max_response") as usize);
    }
    if number(input, "timeout_ms") > 0 {
        request = request.timeout(Duration::from_millis(number(input, "timeout_ms")));
    }
    let response = request.send(ctx)?;
    let (status, location) = (response.status(), response.header("Location").map(str::to_owned));
    let body = response.bytes()?;
    Ok(json!({
        "status": status, "body": String::from_utf8_lossy(&body), "location": location, "bytes": body.len(),
    }))
}

fn number(input: &Value, name: &str) -> u64 {
    input[name].as_u64().unwrap_or_default()
}

fn unsupported() -> Failure {
    Failure::new("there is no such thing in Rust").code("unsupported")
}

fn events(ctx: &Context, input: &Value) -> Result<Value, Failure> {
    let events = input["events"].as_array().map_or(&[][..], Vec::as_slice);
    for event in events {
        let event_type = event["type"].as_str().unwrap_or_default();
        match event["channel"].as_str() {
            Some(channel) => ctx.send_on(channel, event_type, &event["data"])?,
            None => ctx.send(event_type, &event["data"])?,
        }
    }
    Ok(json!({ "sent": events.len() }))
}

fn bytes(ctx: &Context, input: &Value) -> Result<Value, Failure> {
    let size = number(input, "size");
    let bytes: Vec<u8> = (0..size).map(|index| (index % 251) as u8).collect();
    let text = |name: &str| input[name].as_str().unwrap_or_default();
    ctx.send_bytes_on(text("channel"), "picture", text("content_type"), &bytes)?;
    Ok(json!({ "size": size }))
}

fn refusal(sent: Result<(), Error>) -> Result<Value, Failure> {
    match sent {
        Err(error) => Ok(json!({ "code": error.code().as_str(), "message": error.message() })),
        Ok(()) => Err(Failure::new("the host did not refuse it")),
    }
}

fn many(ctx: &Context, n: u64) -> Result<Value, Failure> {
    #[derive(Serialize)]
    struct Nth {
        i: u64,
    }
    for i in 0..n {
        ctx.send("n", &Nth { i })?;
    }
    Ok(json!({ "sent": n }))
}

fn flush(ctx: &Context) -> Result<Value, Failure> {
    ctx.send("before", &Value::Null)?;
    ctx.flush()?;
    ctx.send("after", &Value::Null)?;
    Ok(json!({ "flushed": true }))
}

fn info(ctx: &Context) -> Value {
    let info = ctx.info();
    let labels: serde_json::Map<_, _> =
        info.labels.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
    json!({
        "id": info.id, "app": info.app, "task": info.task,
        "version": info.version, "attempt": info.attempt, "labels": labels,
    })
}

fn cancel(ctx: &Context) -> Result<Value, Failure> {
    ctx.send("waiting", &json!({}))?;
    while ctx.sleep(Duration::from_secs(3600)).is_ok() {}
    ctx.send("noticed", &json!({}))?;
    Ok(json!({ "partial": true }))
}

fn signal(ctx: &Context, input: &Value) -> Result<Value, Failure> {
    ctx.send("waiting", &json!({}))?;
    let timeout = input["timeout_ms"].as_u64().map(Duration::from_millis);
    let Some(signal) = ctx.receive_signal(input["name"].as_str(), timeout) else {
        return Ok(json!({ "signal": null }));
    };
    let payload: Value = signal.payload()?;
    Ok(json!({ "signal": { "name": signal.name(), "payload": payload } }))
}

fn parameter(ctx: &Context, input: &Value) -> Result<Value, Failure> {
    ctx.send("waiting", &json!({}))?;
    ctx.receive_signal(Some("go"), None);
    let value: Option<Value> = ctx.parameter(input["name"].as_str().unwrap_or_default())?;
    Ok(json!({ "value": value }))
}

fn checkpoint(ctx: &Context) -> Result<Value, Failure> {
    let loaded: Option<Value> = ctx.load_checkpoint("step")?;
    if loaded.is_none() {
        ctx.save_checkpoint("step", &json!({ "step": 1 }))?;
        return Err(Failure::new("saved; once more").code("once-more").retryable());
    }
    ctx.remove_checkpoint("step")?;
    let after: Option<Value> = ctx.load_checkpoint("step")?;
    Ok(json!({ "loaded": loaded, "after": after }))
}

fn failure(input: &Value) -> Failure {
    let mut failure = Failure::new(input["message"].as_str().unwrap_or_default());
    if let Some(code) = input["code"].as_str() {
        failure = failure.code(code);
    }
    if !input["details"].is_null() {
        failure = failure.details(&input["details"]);
    }
    if input["retryable"] == true {
        failure = failure.retryable();
    }
    match input["retry_after_ms"].as_u64() {
        Some(ms) => failure.retry_after(Duration::from_millis(ms)),
        None => failure,
    }
}

fn progress(ctx: &Context) -> Result<Value, Failure> {
    ctx.progress(Progress::step(1).total(2).message("half"))?;
    ctx.progress(Progress::item("import").status(Status::Running).total(80).done(20))?;
    ctx.progress(Progress::item("index").parent("import").weight(3.0).status(Status::Waiting))?;
    Ok(Value::Null)
}

fn view(ctx: &Context) -> Result<Value, Failure> {
    for update in [
        View::start("out"),
        View::text("out", "a<b"),
        View::text("out", "c").prepend(),
        View::html("out", "<p>x</p>"),
        View::insert("out", "<p>y</p>").prepend(),
        View::remove("out", "p"),
        View::prune("out", 5),
        View::error("out", "broken"),
        View::done("out"),
        View::state(json!({ "n": 1 })),
    ] {
        ctx.view(update)?;
    }
    Ok(Value::Null)
}

#[derive(Deserialize, Serialize)]
struct Typed {
    count: i64,
    #[serde(default = "nobody")]
    name: String,
}

fn nobody() -> String {
    "nobody".to_owned()
}

fn typed_input(input: Value) -> Result<Value, Failure> {
    let typed: Typed =
        serde_json::from_value(input).map_err(|error| Failure::new(error).code("invalid-input"))?;
    Ok(json!(typed))
}

fn child(ctx: &Context, input: &Value) -> Result<Value, Failure> {
    let child = ctx.start_child(input["task"].as_str().unwrap_or_default(), &input["input"])?;
    Ok(match ctx.wait_for(&child)? {
        Outcome::Completed(value) => json!({ "completed": value }),
        Outcome::Failed(error) => {
            json!({ "failed": { "kind": error.kind, "message": error.message, "code": error.code } })
        }
        Outcome::Cancelled(value) => json!({ "cancelled": value }),
    })
}

/// The standard library draws the keys of its hash maps.
fn random() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0) >> 11
}
