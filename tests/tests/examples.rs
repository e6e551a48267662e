//! The examples: that each starts as its README says, and, for those in other languages
//! than Rust, all of what they do.

use std::env;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use streamtask_tests::{ChildHost, Elsewhere, Event, TestHost, child, guests, names, optional, root};

/// An example as `cargo xtask examples` built it. None, and a note, if it could not.
fn built(test: &str, example: &str) -> Option<Vec<u8>> {
    let wasm = fs::read(folder().join(format!("{example}.wasm"))).ok();
    if wasm.is_none() {
        let needs = format!("{example}.wasm; `cargo xtask examples` makes it, or says what that needs");
        optional::skip(test, &needs);
    }
    wasm
}

/// Where the examples are.
fn folder() -> PathBuf {
    let folder = env::var_os("STREAMTASK_EXAMPLES");
    folder.map_or_else(|| root().join("target/examples"), PathBuf::from)
}

/// A host with an example. None, and a note, if it
/// could not build it.
async fn host_with(test: &str, example: &str) -> Option<TestHost> {
    let wasm = built(test, example)?;
    let host = TestHost::with_kept_code(|_| {}).await;
    host.install(&format!("demo/{example}.wasm"), &wasm).await;
    Some(host)
}

/// The path and the body of the first request in an example's README.
fn readme_request(example: &Path) -> (String, String) {
    let readme = example.join("README.md");
    let text = fs::read_to_string(&readme).unwrap_or_else(|error| panic!("{}: {error}", readme.display()));
    let command = text.lines().find(|line| line.starts_with("curl "));
    let command = command.unwrap_or_else(|| panic!("{} starts no run", readme.display()));
    let body = command.split('\'').nth(1).unwrap_or_else(|| panic!("no body in {command:?}"));
    let path = command.rsplit_once("http://127.0.0.1:8080").map(|(_, path)| path);
    (path.unwrap_or_else(|| panic!("no address in {command:?}")).to_owned(), body.to_owned())
}

/// Starts a run as an example's README says, to the letter; returns it.
async fn start_by_readme(host: &TestHost, example: &str) -> Value {
    let (path, body) = readme_request(&root().join("example-tasks").join(example));
    let started = host.post(&path, body).await;
    assert_eq!(started.status, 202, "{example}: {:?}", started.body);
    started.json()
}

/// The data of all progress events.
fn progress(events: &[Event]) -> Vec<Value> {
    let progress = events.iter().filter(|event| event.name == "progress");
    progress.map(|event| event.json()["data"].clone()).collect()
}

/// Starts a run that would take minutes, reads its first progress while it is under way,
/// and cancels it.
async fn shows_progress_at_once_and_can_be_cancelled(host: &TestHost, example: &str, input: Value) {
    let run = host.start_run(&format!("demo/{example}"), input).await;
    let mut stream = host.follow(&run).await;
    let events = stream.until("progress").await;
    assert_eq!(names(&events), ["run.started", "progress"], "{example}");
    assert_eq!(host.read_run(&run).await["status"], "running", "{example}");
    assert_eq!(host.cancel(&run).await.status, 202, "{example}");
    let events = stream.rest().await;
    assert_eq!(events.last().map(|event| event.name.as_str()), Some("run.cancelled"), "{example}");
    assert!(events.len() < 100, "{example} went on for {} events", events.len());
    assert_eq!(host.finished(&run).await["status"], "cancelled", "{example}");
}

/// Restarts the host with a limit that no progress event keeps to, and runs the example.
async fn fails_with_the_code_of_a_refusal(host: TestHost, example: &str) {
    let mut stopped = host.stop().await;
    stopped.config.limits.event_bytes = 10;
    let host = stopped.restart().await;
    let run = start_by_readme(&host, example).await;
    let error = host.finished(&run).await["error"].clone();
    assert_eq!(
        (&error["kind"], &error["code"]),
        (&json!("failure"), &json!("too-large")),
        "{example}: {error}"
    );
    assert!(error["message"].as_str().is_some_and(|message| message.contains("10")), "{example}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_report_in_python_streams_each_row_and_sends_the_report_as_bytes() {
    let test = "csv_report_in_python_streams_each_row_and_sends_the_report_as_bytes";
    let Some(host) = host_with(test, "csv-report").await else { return };
    let task = host.get("/api/tasks/demo/csv-report").await.json();
    assert_eq!(task["description"], "Builds a CSV report row by row.");
    assert_eq!(task["input_schema"]["required"], json!(["rows"]));
    assert_eq!(task["output_schema"]["properties"]["bytes"], json!({ "type": "integer" }));

    let run = start_by_readme(&host, "csv-report").await;
    let events = host.follow(&run).await.rest().await;
    assert_eq!(names(&events), ["run.started", "progress", "progress", "report", "run.completed"]);
    let row = |step: u32| json!({ "step": step, "total": 2, "message": format!("row {step} of 2") });
    assert_eq!(progress(&events), [row(1), row(2)]);
    let report = events[3].json();
    assert_eq!(report["content_type"], "text/csv");
    // city,sold / Oslo,12 / Rome,7.50, with the 0 at the end.
    assert_eq!(report["data"], "Y2l0eSxzb2xkDQpPc2xvLDEyDQpSb21lLDcuNTANCg==");
    let result = json!({ "rows": 2, "columns": ["city", "sold"], "bytes": 31 });
    assert_eq!(host.finished(&run).await["final_value"], result);

    let refused = host.post("/api/tasks/demo/csv-report/runs", r#"{"rows":[]}"#).await;
    assert_eq!(refused.problem(400, "invalid-input")["errors"][0]["pointer"], "#/rows");
    let gap = json!({ "columns": ["a", "b"], "rows": [{ "a": 1, "b": 2 }, { "a": 1 }], "delay_ms": 0 });
    let run = host.start_run("demo/csv-report", gap).await;
    let error = json!({
        "kind": "failure", "message": "row 2 has no 'b'", "code": "missing-value",
        "details": { "row": 2, "column": "b" },
    });
    assert_eq!(host.finished(&run).await["error"], error);

    let rows: Vec<Value> = (0..10_000).map(|n| json!({ "n": n })).collect();
    let minutes = json!({ "rows": rows, "delay_ms": 100 });
    shows_progress_at_once_and_can_be_cancelled(&host, "csv-report", minutes).await;
    fails_with_the_code_of_a_refusal(host, "csv-report").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn async_generator_in_javascript_streams_each_page() {
    let test = "async_generator_in_javascript_streams_each_page";
    let Some(host) = host_with(test, "async-generator").await else { return };
    let task = host.get("/api/tasks/demo/async-generator").await.json();
    assert_eq!(task["description"], "Streams the pages that an async generator yields.");
    assert_eq!(task["input_schema"]["properties"]["pages"]["default"], 10);
    assert_eq!(task["output_schema"]["required"], json!(["pages", "parts"]));

    let run = start_by_readme(&host, "async-generator").await;
    let events = host.follow(&run).await.rest().await;
    let page = |nth: u32| {
        let message = format!("page {nth} of 5: title, text, pictures");
        json!({ "step": nth, "total": 5, "message": message })
    };
    assert_eq!(progress(&events), [page(1), page(2), page(3), page(4), page(5)]);
    assert_eq!(events.len(), 7, "the beginning, five pages and the end");
    assert_eq!(host.finished(&run).await["final_value"], json!({ "pages": 5, "parts": 15 }));

    let refused = host.post("/api/tasks/demo/async-generator/runs", r#"{"pages":-1}"#).await;
    assert_eq!(refused.problem(400, "invalid-input")["errors"][0]["pointer"], "#/pages");

    let minutes = json!({ "pages": 2, "pause_ms": 600_000 });
    shows_progress_at_once_and_can_be_cancelled(&host, "async-generator", minutes).await;
    fails_with_the_code_of_a_refusal(host, "async-generator").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_tail_in_typescript_follows_a_file_in_a_granted_folder() {
    let test = "log_tail_in_typescript_follows_a_file_in_a_granted_folder";
    let Some(host) = host_with(test, "log-tail").await else { return };
    // Without its folder there is nothing to follow.
    let run = start_by_readme(&host, "log-tail").await;
    assert_eq!(host.finished(&run).await["error"]["code"], "no-such-file");

    let mut stopped = host.stop().await;
    stopped.config.grants = "all".parse().unwrap();
    let logs = stopped.config.tasks.with_file_name("logs");
    fs::create_dir(&logs).unwrap();
    fs::write(logs.join("app.log"), "one\ntwo ✓\nERROR three\nhalf").unwrap();
    let manifest = format!("[[grants.folders]]\npath = '{}'\nmount = '/logs'\n", logs.display());
    fs::write(stopped.config.tasks.join("demo/log-tail.toml"), manifest).unwrap();
    let host = stopped.restart().await;

    let run = host.start_run("demo/log-tail", json!({ "poll_ms": 10, "lines": 5 })).await;
    let mut stream = host.follow(&run).await;
    let mut events = stream.until("line").await;
    let mut file = fs::OpenOptions::new().append(true).open(logs.join("app.log")).unwrap();
    file.write_all(b" and half\nfive\nsix\n").unwrap();
    events.extend(stream.rest().await);
    let lines = events.iter().filter(|event| event.name == "line");
    let lines: Vec<Value> = lines.map(|event| event.json()["data"].clone()).collect();
    assert_eq!(lines, ["one", "two ✓", "ERROR three", "half and half", "five"]);
    assert_eq!(host.finished(&run).await["final_value"], json!({ "lines": 5, "bytes": 43 }));
}

/// Starts an example as its README says; returns its host, its events and what became of it.
async fn by_readme(test: &str, example: &str) -> Option<(TestHost, Vec<Event>, Value)> {
    let host = host_with(test, example).await?;
    let run = start_by_readme(&host, example).await;
    let events = host.follow(&run).await.rest().await;
    let run = host.finished(&run).await;
    Some((host, events, run))
}

#[tokio::test(flavor = "multi_thread")]
async fn continue_in_go_waits_for_a_signal_between_steps() {
    let test = "continue_in_go_waits_for_a_signal_between_steps";
    let Some(host) = host_with(test, "continue").await else { return };
    let run = start_by_readme(&host, "continue").await;
    let mut stream = host.follow(&run).await;
    let at = format!("/api/runs/{}/signals/continue", run["id"].as_str().unwrap());
    for nth in 0..2 {
        stream.until("waiting").await;
        host.post(&at, format!("\"go on {nth}\"")).await;
    }
    stream.rest().await;
    let ended = host.finished(&run).await;
    assert_eq!(ended["status"], "completed", "{ended}");
    assert!(ended["final_value"].to_string().contains(r#"["go on 0","go on 1"]"#), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hierarchical_progress_in_c_says_what_is_skipped_and_what_fails() {
    let test = "hierarchical_progress_in_c_says_what_is_skipped_and_what_fails";
    let Some((_host, events, run)) = by_readme(test, "hierarchical-progress").await else { return };
    assert_eq!(run["status"], "failed", "{run}");
    let last = |id: &str| {
        let mut said =
            progress(&events).into_iter().filter(|item| item["id"] == id && !item["status"].is_null());
        said.next_back().map(|item| item["status"].clone())
    };
    assert_eq!(last("fetch-index"), Some(json!("skipped")));
    assert_eq!(last("analyse"), Some(json!("completed")));
    assert_eq!((last("publish"), last("workflow")), (Some(json!("failed")), Some(json!("failed"))));
}

#[tokio::test(flavor = "multi_thread")]
async fn primes_in_cpp_are_counted() {
    let Some((_host, events, run)) = by_readme("primes_in_cpp_are_counted", "primes-cpp").await else {
        return;
    };
    assert_eq!(run["final_value"], json!({ "limit": 1_000_000, "primes": 78_498 }), "{run}");
    assert_eq!(progress(&events).len(), 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn fibonacci_in_zig_is_an_ordinary_program() {
    let test = "fibonacci_in_zig_is_an_ordinary_program";
    let Some((host, events, run)) = by_readme(test, "fibonacci-zig").await else { return };
    assert_eq!(run["final_value"], json!({ "count": 10 }), "{run}");
    assert!(events.len() >= 12, "the beginning, ten numbers and the end");
    let run = host.start_run("demo/fibonacci-zig", json!({ "count": 1000 })).await;
    assert_eq!(host.finished(&run).await["error"]["code"], "invalid-input");
}

#[tokio::test(flavor = "multi_thread")]
async fn collatz_in_assemblyscript_asks_the_host_too() {
    let test = "collatz_in_assemblyscript_asks_the_host_too";
    let Some((host, events, run)) = by_readme(test, "collatz-assemblyscript").await else { return };
    assert_eq!(run["final_value"], json!({ "steps": 111, "highest": 9232 }), "{run}");
    assert_eq!(events.iter().filter(|event| event.name == "number").count(), 111);
    let run = host.start_run("demo/collatz-assemblyscript", json!(837_799)).await;
    host.follow(&run).await.until("number").await;
    host.cancel(&run).await;
    assert_eq!(host.finished(&run).await["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn http_fetch_in_python_goes_on_when_a_page_cannot_be_reached() {
    let test = "http_fetch_in_python_goes_on_when_a_page_cannot_be_reached";
    let Some(host) = host_with(test, "http-fetch").await else { return };
    let elsewhere = Elsewhere::start().await;
    let mut stopped = host.stop().await;
    stopped.config.grants = "all".parse().unwrap();
    let manifest = format!(
        "[[grants.http]]\nhost = '127.0.0.1'\nschemes = ['http']\nports = [{}]\nprivate = true\n",
        elsewhere.address.port()
    );
    fs::write(stopped.config.tasks.join("demo/http-fetch.toml"), manifest).unwrap();
    let host = stopped.restart().await;
    let urls = json!([elsewhere.url("/bytes/10"), "http://other.example/", elsewhere.url("/bytes/3")]);
    let run = host.start_run("demo/http-fetch", json!({ "urls": urls })).await;
    let events = host.follow(&run).await.rest().await;
    assert_eq!(progress(&events).len(), 3);
    let ended = host.finished(&run).await;
    let pages = ended["final_value"].as_array().unwrap_or_else(|| panic!("{ended}"));
    assert_eq!((&pages[0]["status"], &pages[2]["status"]), (&json!(200), &json!(200)), "{ended}");
    assert!(pages[1]["error"].is_string(), "{ended}");
}

/// The chat, and a language model that it may ask.
struct Chat {
    host: TestHost,
    model: Elsewhere,
}

const KEY: &str = "sk-quicksilver-swordfish";

impl Chat {
    async fn of(test: &str) -> Option<Self> {
        let wasm = built(test, "chat")?;
        let host = TestHost::with_kept_code(|config| config.grants = "all".parse().unwrap()).await;
        let model = Elsewhere::start().await;
        let manifest = format!(
            "[grants.secrets]\nOPENAI_API_KEY = {{ file = 'key' }}\n\
             [[grants.http]]\nhost = '127.0.0.1'\nschemes = ['http']\nports = [{}]\nprivate = true\n",
            model.address.port()
        );
        fs::create_dir_all(host.tasks().join("demo")).unwrap();
        fs::write(host.tasks().join("demo/key"), KEY).unwrap();
        fs::write(host.tasks().join("demo/chat.toml"), manifest).unwrap();
        host.install("demo/chat.wasm", &wasm).await;
        Some(Self { host, model })
    }

    async fn ask(&self, message: &str) -> Value {
        let messages = json!([{ "role": "system", "content": "Repeat." }, { "content": message }]);
        let input = json!({ "messages": messages, "base_url": self.model.url("/model") });
        self.host.start_run("demo/chat", input).await
    }
}

fn sent(events: &[Event], name: &str) -> Vec<Value> {
    events.iter().filter(|event| event.name == name).map(|event| event.json()["data"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_in_python_streams_an_answer_token_by_token() {
    let test = "chat_in_python_streams_an_answer_token_by_token";
    let Some(chat) = Chat::of(test).await else { return };
    let run = chat.ask("Grüße an <b>alle</b> ✓").await;
    let events = chat.host.follow(&run).await.rest().await;
    let words = ["Grüße ", "an ", "<b>alle</b> ", "✓"];
    assert_eq!(sent(&events, "token"), words.map(|word| json!({ "text": word })));
    let mut page = vec![json!({ "op": "start", "target": "answer" })];
    page.extend(words.map(|word| json!({ "op": "text", "target": "answer", "text": word })));
    page.push(json!({ "op": "done", "target": "answer" }));
    let shown: Vec<Value> = sent(&events, "view").into_iter().map(without_defaults).collect();
    assert_eq!(shown, page);
    let answer = json!({ "text": "Grüße an <b>alle</b> ✓", "finish_reason": "stop" });
    assert_eq!(chat.host.finished(&run).await["final_value"], answer);
    assert_eq!(chat.model.requests(), ["POST /model/chat/completions"]);
}

/// An update without what it need not say.
fn without_defaults(mut view: Value) -> Value {
    if view["mode"] == "append" {
        view.as_object_mut().unwrap().remove("mode");
    }
    view
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_says_why_a_model_refuses_and_whether_to_try_again() {
    let test = "chat_says_why_a_model_refuses_and_whether_to_try_again";
    let Some(chat) = Chat::of(test).await else { return };
    let run = chat.ask("busy").await;
    let events = chat.host.follow(&run).await.rest().await;
    let error = chat.host.finished(&run).await["error"].clone();
    assert_eq!(
        (&error["code"], &error["message"], &error["details"]),
        (&json!("rate-limited"), &json!("the server refuses: too many at once"), &json!({ "status": 429 })),
        "{error}"
    );
    let shown = sent(&events, "view");
    assert_eq!(shown.last().map(|view| &view["op"]), Some(&json!("error")), "{shown:?}");
    // An address that is not granted gets neither the question nor the key.
    let other = Elsewhere::start().await;
    let input = json!({ "messages": [{ "content": "x" }], "base_url": other.url("/model") });
    let run = chat.host.start_run("demo/chat", input).await;
    let run = chat.host.finished(&run).await;
    assert_eq!(run["error"]["code"], "denied", "{run}");
    assert_eq!(other.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn chat_keeps_what_was_said_when_it_is_cancelled() {
    let test = "chat_keeps_what_was_said_when_it_is_cancelled";
    let Some(chat) = Chat::of(test).await else { return };
    let run = chat.ask("so far wait for ever").await;
    let mut stream = chat.host.follow(&run).await;
    stream.until("token").await;
    stream.until("token").await;
    chat.host.cancel(&run).await;
    stream.rest().await;
    let run = chat.host.finished(&run).await;
    let kept = json!({ "text": "so far ", "finish_reason": "cancelled" });
    assert_eq!((&run["status"], &run["final_value"]), (&json!("cancelled"), &kept), "{run}");
    chat.model.closed(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gojq_unchanged_computes_what_its_manifest_says() {
    let test = "gojq_unchanged_computes_what_its_manifest_says";
    let Some(wasm) = built(test, "gojq") else { return };
    let host = TestHost::with_kept_code(|_| {}).await;
    fs::create_dir_all(host.tasks().join("demo")).unwrap();
    let manifest = root().join("example-tasks/gojq/gojq.toml");
    fs::copy(manifest, host.tasks().join("demo/gojq.toml")).unwrap();
    host.install("demo/gojq.wasm", &wasm).await;
    let run = start_by_readme(&host, "gojq").await;
    let events = host.follow(&run).await.rest().await;
    assert_eq!(names(&events), ["run.started", "output", "run.completed"]);
    assert_eq!(sent(&events, "output"), [json!(r#"{"count":3,"highest":8,"sum":16}"#)]);
    let result = json!({ "count": 3, "sum": 16, "highest": 8 });
    assert_eq!(host.finished(&run).await["final_value"], result);
    // What it cannot compute, it says as it always does.
    let run = host.start_run("demo/gojq", json!({ "numbers": ["a", 1] })).await;
    let error = host.finished(&run).await["error"].clone();
    assert_eq!(error["code"], "exit", "{error}");
    assert!(error["message"].as_str().is_some_and(|message| message.contains("cannot add")), "{error}");
}

/// With another program: what is looked at are their manifests.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_load_without_a_word_on_a_host_that_grants_what_they_need() {
    let work = tempfile::tempdir().unwrap();
    let (tasks, data) = (work.path().join("tasks"), work.path().join("data"));
    let mut count = 0;
    for example in fs::read_dir(root().join("example-tasks")).unwrap().map(|entry| entry.unwrap()) {
        let name = example.file_name().into_string().unwrap();
        let manifest = example.path().join(format!("{name}.toml"));
        if manifest.is_file() {
            guests::install(&tasks, &format!("demo/{name}.wasm"), &guests::ticker("x"));
            fs::copy(manifest, tasks.join(format!("demo/{name}.toml"))).unwrap();
            count += 1;
        }
    }
    assert!(count >= 5, "only {count} manifests were found");
    let mut command = child::serve(&tasks, &data, &["--grants", "env,files,http,secrets"]);
    command.env("OPENAI_API_KEY", KEY);
    let host = ChildHost::spawn(command).unwrap().ready();
    let listed = host.get("/api/tasks").await.json();
    let listed = listed["tasks"].as_array().unwrap();
    assert_eq!(listed.len(), count);
    for task in listed {
        assert!(task["version"].is_string() && task["problem"].is_null(), "{task}");
    }
    let mut log = host.logged();
    log.extend(host.terminate().1);
    assert!(!log.iter().any(|line| line.contains("WARN") || line.contains("ERROR")), "{log:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_readme_has_a_command_that_starts_its_example() {
    let overview = fs::read_to_string(root().join("example-tasks/README.md")).unwrap();
    let host = TestHost::with_kept_code(|config| config.experimental_async = true).await;
    let mut in_rust = 0;
    for entry in fs::read_dir(root().join("example-tasks")).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap();
        if !folder.is_dir() || name == "target" {
            continue;
        }
        assert!(overview.contains(&format!("[{name}]({name})")), "{name} is not in the overview");
        assert_eq!(readme_request(&folder).0, format!("/api/tasks/demo/{name}/runs"));
        // The others have tests of their own, which start them in the same way.
        if folder.join("Cargo.toml").is_file() {
            host.install(&format!("demo/{name}.wasm"), &guests::example(name)).await;
            start_by_readme(&host, name).await;
            in_rust += 1;
        }
    }
    assert!(in_rust >= 6, "only {in_rust} examples were found");
    // Not by dropping it: one of them spins for ever.
    host.stop().await;
}
