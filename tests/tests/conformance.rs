//! The conformance kit (`tests/conformance`): every case against the guest of every
//! language. What comes out is the matrix in `guest-sdk/README.md`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::{Elsewhere, Event, TestHost, kit, optional, root};

/// What a language does not have. Its guest says so, and the matrix too.
const UNSUPPORTED: [(&str, &str); 2] = [("rust", "async-generator"), ("c", "async-generator")];

/// A host with one guest as `test/conformance`.
struct Kit {
    host: TestHost,
    elsewhere: Elsewhere,
}

impl Kit {
    async fn of(wasm: &[u8]) -> Self {
        let host = TestHost::with_kept_code(|config| config.grants = "all".parse().unwrap()).await;
        let elsewhere = Elsewhere::start().await;
        let port = elsewhere.address.port().to_string();
        let manifest = include_str!("../conformance/conformance.toml").replace("PORT", &port);
        fs::write(host.tasks().join("test/conformance.toml"), manifest).unwrap();
        host.install("test/conformance.wasm", wasm).await;
        Self { host, elsewhere }
    }

    async fn start(&self, case: &str, mut input: Value) -> Value {
        input["case"] = case.into();
        self.host.start_run("test/conformance", input).await
    }

    /// The events of a run, and what became of it.
    async fn run(&self, case: &str, input: Value) -> (Vec<Event>, Value) {
        let run = self.start(case, input).await;
        let events = self.host.follow(&run).await.rest().await;
        (events, self.host.finished(&run).await)
    }

    /// The result of a run that completes.
    async fn result(&self, case: &str, input: Value) -> Value {
        let (_, run) = self.run(case, input).await;
        assert_eq!(run["status"], "completed", "{case}: {}", run["error"]);
        run["final_value"].clone()
    }
}

fn path(run: &Value, what: &str) -> String {
    format!("/api/runs/{}/{what}", run["id"].as_str().unwrap())
}

fn data(events: &[Event], name: &str) -> Vec<Value> {
    events.iter().filter(|event| event.name == name).map(|event| event.json()["data"].clone()).collect()
}

/// All cases but those of `UNSUPPORTED`, in the order of the kit's README.
async fn case(kit: &Kit, name: &str) {
    match name {
        "echo" => echo(kit).await,
        "events" => events(kit).await,
        "bytes" => bytes(kit).await,
        "refused" => {
            let refusal = kit.result("refused", json!({})).await;
            assert_eq!(refusal["code"], "invalid-argument", "{refusal}");
            assert!(refusal["message"].as_str().unwrap().contains("run."), "{refusal}");
        }
        "too-large" => {
            let refusal = kit.result("too-large", json!({ "size": 2_000_000 })).await;
            assert_eq!(refusal["code"], "too-large", "{refusal}");
            assert!(!refusal["message"].as_str().unwrap().is_empty(), "{refusal}");
        }
        "many" => {
            let (events, run) = kit.run("many", json!({ "n": 100_000 })).await;
            assert_eq!(run["final_value"], json!({ "sent": 100_000 }), "{}", run["error"]);
            let numbers = data(&events, "n").into_iter().map(|data| data["i"].as_u64().unwrap());
            assert!(numbers.eq(0..100_000), "whole and in order");
        }
        "flush" => {
            let (events, run) = kit.run("flush", json!({})).await;
            assert_eq!(run["final_value"], json!({ "flushed": true }), "{}", run["error"]);
            assert_eq!(data(&events, "before").len() + data(&events, "after").len(), 2);
        }
        "sleep" => sleep(kit).await,
        "info" => info(kit).await,
        "remaining" => {
            let left = kit.result("remaining", json!({})).await;
            let day = 24 * 60 * 60 * 1000;
            assert!((1..=day).contains(&left["remaining_ms"].as_u64().unwrap()), "{left}");
        }
        "cancel" => cancel(kit).await,
        "signal" => signal(kit).await,
        "parameter" => parameter(kit).await,
        "checkpoint" => {
            let (_, run) = kit.run("checkpoint", json!({})).await;
            assert_eq!(
                run["final_value"],
                json!({ "loaded": { "step": 1 }, "after": null }),
                "{}",
                run["error"]
            );
            assert_eq!(run["attempt"], 2);
        }
        "failure" => failure(kit).await,
        "exception" => {
            let (events, run) = kit.run("exception", json!({})).await;
            assert_eq!(run["status"], "failed");
            let kind = run["error"]["kind"].as_str().unwrap();
            assert!(["failure", "trap"].contains(&kind), "{}", run["error"]);
            let logged = data(&events, "log").iter().any(|line| line["message"].to_string().contains("boom"));
            assert!(logged || run["error"]["message"].to_string().contains("boom"), "{}", run["error"]);
        }
        "log" => {
            let (events, run) = kit.run("log", json!({})).await;
            assert_eq!((&run["status"], &run["final_value"]), (&json!("completed"), &Value::Null));
            let log = data(&events, "log");
            assert!(log.contains(&json!({ "level": "warn", "message": "to the log ✓" })), "{log:?}");
            assert!(log.contains(&json!({ "stream": "stderr", "message": "to stderr" })), "{log:?}");
        }
        "progress" => progress(kit).await,
        "view" => view(kit).await,
        "generator" | "async-generator" => {
            let (events, run) = kit.run(name, json!({})).await;
            assert_eq!(run["final_value"], json!({ "n": 3 }), "{}", run["error"]);
            assert_eq!(data(&events, "progress"), [1, 2, 3].map(|n| json!({ "n": n })));
        }
        "typed-input" => {
            let value = kit.result(name, json!({ "count": 3 })).await;
            assert_eq!(value, json!({ "count": 3, "name": "nobody" }));
            let value = kit.result(name, json!({ "count": -1, "name": "Ada ✓" })).await;
            assert_eq!(value, json!({ "count": -1, "name": "Ada ✓" }));
            let (_, run) = kit.run(name, json!({ "count": "three" })).await;
            assert_eq!(run["error"]["code"], "invalid-input", "{run}");
        }
        "child" => {
            let child = |input: Value| json!({ "task": "conformance", "input": input });
            let value = kit.result(name, child(json!({ "case": "echo", "value": [1] }))).await;
            assert_eq!(value, json!({ "completed": { "value": [1] } }));
            let failing = json!({
                "case": "failure", "message": "no", "code": "c", "details": null,
                "retryable": false, "retry_after_ms": null,
            });
            let value = kit.result(name, child(failing)).await;
            assert_eq!(value, json!({ "failed": { "kind": "failure", "message": "no", "code": "c" } }));
        }
        "http" => {
            let value = kit.result(name, json!({ "url": kit.elsewhere.url("/echo") })).await;
            assert_eq!(value["status"], 200, "{value}");
            assert_eq!(value["body"], "GET yes ");
        }
        "random" => {
            let one = kit.result(name, json!({})).await;
            assert_ne!(one, kit.result(name, json!({})).await);
        }
        other => panic!("there is no case {other}"),
    }
}

async fn echo(kit: &Kit) {
    for value in [
        json!(null),
        json!([true, -1, 1.5, "", {}]),
        json!("ä 漢字 🎉 \u{0} \u{2028} \" \\ </script>"),
        json!({ "ключ": { "deep": [[[[[[1]]]]]] } }),
        json!("x".repeat(500_000)),
    ] {
        let result = kit.result("echo", json!({ "value": value })).await;
        assert!(result["value"] == value, "{:.200}", result.to_string());
    }
    let (_, run) = kit.run("nonsense", json!({})).await;
    assert_eq!(run["error"]["code"], "unknown-case", "{run}");
}

async fn events(kit: &Kit) {
    let events = json!([
        { "type": "plain", "data": { "n": 1 } },
        { "type": "täg ✓", "data": "𝄞 \n \u{1}" },
        { "type": "complete", "data": null },
        { "type": "on", "data": [0.1, false], "channel": "side" },
    ]);
    let (heard, run) = kit.run("events", json!({ "events": events })).await;
    assert_eq!(run["final_value"], json!({ "sent": 4 }), "{}", run["error"]);
    let said: Vec<Value> = heard
        .iter()
        .map(Event::json)
        .filter(|event| !event["type"].as_str().unwrap().starts_with("run."))
        .map(|event| match event.get("channel").filter(|channel| !channel.is_null()) {
            Some(channel) => json!({ "type": event["type"], "data": event["data"], "channel": channel }),
            None => json!({ "type": event["type"], "data": event["data"] }),
        })
        .collect();
    assert_eq!(json!(said), events);
}

async fn bytes(kit: &Kit) {
    let input = json!({ "size": 100_000, "content_type": "image/png", "channel": "pictures" });
    let (events, run) = kit.run("bytes", input).await;
    assert_eq!(run["final_value"], json!({ "size": 100_000 }), "{}", run["error"]);
    let picture = events.iter().find(|event| event.name == "picture").unwrap().json();
    assert_eq!((&picture["content_type"], &picture["channel"]), (&json!("image/png"), &json!("pictures")));
    let expected: Vec<u8> = (0..100_000u32).map(|index| (index % 251) as u8).collect();
    assert!(BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap() == expected);
}

async fn sleep(kit: &Kit) {
    assert_eq!(kit.result("sleep", json!({ "ms": 20 })).await, json!({ "slept": true }));
    // At once, they take as long as one; in turn they would take minutes.
    let runs: Vec<Value> =
        futures_util::future::join_all((0..20).map(|_| kit.start("sleep", json!({ "ms": 5000 })))).await;
    streamtask_tests::soon("twenty runs at once", async {
        for run in &runs {
            assert_eq!(kit.host.finished(run).await["status"], "completed");
        }
    })
    .await;
}

async fn info(kit: &Kit) {
    let path = "/api/tasks/test/conformance/runs?id=my-own&label=project:x";
    let run = kit.host.post(path, r#"{"case":"info"}"#).await.json();
    let run = kit.host.finished(&run).await;
    let expected = json!({
        "id": "my-own", "app": "test", "task": "conformance", "version": run["version"],
        "attempt": 1, "labels": { "project": "x" },
    });
    assert_eq!(run["final_value"], expected, "{}", run["error"]);
}

async fn cancel(kit: &Kit) {
    let run = kit.start("cancel", json!({})).await;
    let mut stream = kit.host.follow(&run).await;
    stream.until("waiting").await;
    kit.host.cancel(&run).await;
    assert_eq!(data(&stream.rest().await, "noticed").len(), 1);
    let run = kit.host.finished(&run).await;
    assert_eq!((&run["status"], &run["final_value"]), (&json!("cancelled"), &json!({ "partial": true })));
}

async fn signal(kit: &Kit) {
    let value = kit.result("signal", json!({ "name": "go", "timeout_ms": 10 })).await;
    assert_eq!(value, json!({ "signal": null }));
    let run = kit.start("signal", json!({ "name": "go", "timeout_ms": null })).await;
    kit.host.follow(&run).await.until("waiting").await;
    for name in ["other", "go"] {
        kit.host.post(&path(&run, &format!("signals/{name}")), r#"{"to":"ä"}"#).await;
    }
    let run = kit.host.finished(&run).await;
    let expected = json!({ "signal": { "name": "go", "payload": { "to": "ä" } } });
    assert_eq!(run["final_value"], expected, "{}", run["error"]);
}

async fn parameter(kit: &Kit) {
    for value in [None, Some(json!({ "speed": [1.5] }))] {
        let run = kit.start("parameter", json!({ "name": "speed" })).await;
        kit.host.follow(&run).await.until("waiting").await;
        if let Some(value) = &value {
            let path = path(&run, "parameters/speed");
            kit.host.request(&Method::PUT, &path, &[], value.to_string()).await;
        }
        kit.host.post(&path(&run, "signals/go"), "null").await;
        let run = kit.host.finished(&run).await;
        assert_eq!(run["final_value"], json!({ "value": value }), "{}", run["error"]);
    }
}

async fn failure(kit: &Kit) {
    let input = json!({
        "message": "kein Papier ✓", "code": "printer", "details": { "tray": 2 },
        "retryable": false, "retry_after_ms": null,
    });
    let (_, run) = kit.run("failure", input).await;
    let error = &run["error"];
    assert_eq!((&run["status"], &run["attempt"]), (&json!("failed"), &json!(1)));
    for (key, value) in [
        ("kind", json!("failure")),
        ("message", json!("kein Papier ✓")),
        ("code", json!("printer")),
        ("details", json!({ "tray": 2 })),
    ] {
        assert_eq!(error[key], value, "{error}");
    }
    let input =
        json!({ "message": "later", "code": null, "details": null, "retryable": true, "retry_after_ms": 20 });
    let (events, run) = kit.run("failure", input).await;
    assert_eq!(
        (&run["status"], &run["attempt"]),
        (&json!("failed"), &json!(2)),
        "it was worth another attempt"
    );
    assert_eq!(data(&events, "run.retrying").len(), 1);
}

async fn progress(kit: &Kit) {
    let (events, run) = kit.run("progress", json!({})).await;
    assert_eq!(run["status"], "completed", "{}", run["error"]);
    let expected = [
        json!({ "step": 1, "total": 2, "message": "half" }),
        json!({ "id": "import", "status": "running", "total": 80, "done": 20 }),
        json!({ "id": "index", "parent": "import", "weight": 3, "status": "waiting" }),
    ];
    let said = data(&events, "progress");
    assert_eq!(said.len(), 3);
    for (said, expected) in said.iter().zip(&expected) {
        // 3 and 3.0 are one number.
        assert_eq!(said["weight"].as_f64(), expected["weight"].as_f64());
        let without = |value: &Value| {
            let mut value = value.clone();
            value.as_object_mut().unwrap().remove("weight");
            value
        };
        assert_eq!(without(said), without(expected));
    }
}

async fn view(kit: &Kit) {
    let (events, run) = kit.run("view", json!({})).await;
    assert_eq!(run["status"], "completed", "{}", run["error"]);
    let expected = [
        json!({ "op": "start", "target": "out" }),
        json!({ "op": "text", "target": "out", "text": "a<b", "mode": "append" }),
        json!({ "op": "text", "target": "out", "text": "c", "mode": "prepend" }),
        json!({ "op": "html", "target": "out", "html": "<p>x</p>" }),
        json!({ "op": "insert", "target": "out", "html": "<p>y</p>", "at": "prepend" }),
        json!({ "op": "remove", "target": "out", "selector": "p" }),
        json!({ "op": "prune", "target": "out", "limit": 5, "edge": "top" }),
        json!({ "op": "error", "target": "out", "message": "broken" }),
        json!({ "op": "done", "target": "out" }),
        json!({ "op": "state", "state": { "n": 1 } }),
    ];
    let said: Vec<Value> = data(&events, "view").into_iter().map(with_defaults).collect();
    assert_eq!(said, expected);
}

/// What an update may leave out.
fn with_defaults(mut view: Value) -> Value {
    for (op, key, default) in
        [("text", "mode", "append"), ("insert", "at", "append"), ("prune", "edge", "top")]
    {
        if view["op"] == op && view[key].is_null() {
            view[key] = default.into();
        }
    }
    view
}

/// The names of the cases, from the kit's README.
fn cases() -> Vec<String> {
    let readme = include_str!("../conformance/README.md");
    // What goes wrong is another matter.
    let readme = readme.split("\n## ").next().unwrap();
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(name, _)| name.to_owned()).collect()
}

async fn conforms(language: &'static str) {
    let Some(wasm) = kit::guest(language) else {
        return optional::skip(&format!("conformance in {language}"), &kit::needs(language));
    };
    let kit = Kit::of(&wasm).await;
    for name in cases() {
        println!("{language}: {name}");
        if UNSUPPORTED.contains(&(language, &name)) {
            let (_, run) = kit.run(&name, json!({ "url": kit.elsewhere.url("/") })).await;
            assert_eq!(run["error"]["code"], "unsupported", "{name}: {run}");
        } else {
            case(&kit, &name).await;
        }
    }
}

macro_rules! languages {
    ($($language:ident)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $language() {
            conforms(stringify!($language)).await;
        }
    )*};
}

languages! { rust python javascript typescript go c }

/// The matrix says what the tests above check.
#[test]
fn the_matrix_is_that_of_the_kit() {
    let mut matrix = String::from("| case |");
    for (_, name) in kit::LANGUAGES {
        write!(matrix, " {name} |").unwrap();
    }
    matrix.push_str("\n|---|");
    matrix.push_str(&"---|".repeat(kit::LANGUAGES.len()));
    matrix.push('\n');
    let unsupported: BTreeMap<_, _> = UNSUPPORTED.iter().map(|pair| (*pair, "–")).collect();
    for name in cases() {
        write!(matrix, "| `{name}` |").unwrap();
        for (language, _) in kit::LANGUAGES {
            let mark = unsupported.get(&(language, name.as_str())).unwrap_or(&"✓");
            write!(matrix, " {mark} |").unwrap();
        }
        matrix.push('\n');
    }
    let page = root().join("guest-sdk/README.md");
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.contains(&matrix), "guest-sdk/README.md does not have this matrix:\n{matrix}");
}
