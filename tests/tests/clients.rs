//! The documented clients of five earlier systems, as they were but for what docs/coming-from.md
//! changes; and the tests of the client for Python.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use streamtask_tests::{Event, Said, TestHost, child, clients, guests, optional, root, soon};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

/// Where the documentation has a host, and what stands there for the id of a run.
const DOCUMENTED: (&str, &str) = ("127.0.0.1:8080", "RUN");

/// The clients of each section of the page.
const CLIENTS: [(&str, &[&str]); 4] = [
    ("Django Streaming Coordinator", &["django.js", "django.py"]),
    ("Session content streaming", &["session.js", "session.py", "session.sh", "session-status.sh"]),
    ("LabDaemon", &["labdaemon.js"]),
    ("WrenchAI", &["wrenchai.js", "wrenchai.py", "wrenchai.sh", "wrenchai-text.sh"]),
];

/// What a section of the page says was, and is now; the longest first.
fn changes(title: &str) -> Vec<(String, String)> {
    let page = fs::read_to_string(root().join("docs/coming-from.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with(title));
    let rows = section.unwrap_or_else(|| panic!("no section {title}")).lines();
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    let mut changes: Vec<(String, String)> = rows
        .filter(|row| row.starts_with("| `"))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').collect();
            (cell(cells[1]), cell(cells[2]))
        })
        .collect();
    changes.sort_by_key(|(was, _)| std::cmp::Reverse(was.len()));
    assert!(!changes.is_empty(), "{title} has a table");
    changes
}

fn earlier(client: &str) -> String {
    fs::read_to_string(clients::folder().join("earlier").join(client)).unwrap()
}

/// A client after the changes of its section.
fn changed(client: &str, address: SocketAddr, run: &Value) -> String {
    let (title, _) = CLIENTS.iter().find(|(_, clients)| clients.contains(&client)).expect("a client");
    let changed = changes(title).iter().fold(earlier(client), |text, (was, is)| text.replace(was, is));
    let id = run["id"].as_str().unwrap();
    changed.replace(DOCUMENTED.0, &address.to_string()).replace(DOCUMENTED.1, id)
}

/// A client in a process of its own.
struct Client {
    process: Child,
    said: Lines<BufReader<ChildStdout>>,
    _folder: TempDir,
}

impl Client {
    /// Lets a client of an earlier system loose on a run. None if it can't be had here.
    fn start(client: &str, host: &TestHost, run: &Value) -> Option<Self> {
        Self::of(client, &changed(client, host.address, run), host, run)
    }

    /// The same, of which this is the text.
    fn of(client: &str, text: &str, host: &TestHost, run: &Value) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join(client);
        fs::write(&script, text).unwrap();
        let mut command = match interpreter(client, host.address) {
            Ok(command) => command,
            Err(missing) => {
                optional::skip(client, &missing);
                return None;
            }
        };
        command.arg(&script);
        if client.ends_with(".js") {
            // What the page of the example has besides.
            command.arg(json!({ "taskId": run["id"], "progressBar": {} }).to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().expect("piped")).lines();
        Some(Self { process, said, _folder: folder })
    }

    /// What it prints next; none at its end.
    async fn next(&mut self) -> Option<String> {
        soon("waiting for the client", self.said.next_line()).await.expect("text")
    }

    /// All that it prints until it ends, which it does in order.
    async fn rest(mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(line) = self.next().await {
            said.push(line);
        }
        assert!(soon("ending", self.process.wait()).await.expect("a child").success(), "{said:?}");
        said
    }

    /// The same, of which each line is JSON.
    async fn values(self) -> Vec<Value> {
        let lines = self.rest().await;
        lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// What runs a client, up to the client itself. An error is what is missing.
fn interpreter(client: &str, address: SocketAddr) -> Result<Command, String> {
    let origin = format!("http://{address}");
    let mut command = match Path::new(client).extension().and_then(|name| name.to_str()) {
        Some("js") => {
            let mut node = Command::new("node");
            node.arg(clients::node().clone()?.join("page.js")).arg(origin);
            node
        }
        Some("py") => {
            let mut python = Command::new(clients::python().clone()?);
            python.arg(clients::folder().join("awaiting.py")).arg(origin);
            python
        }
        _ => {
            Command::new("curl").arg("--version").output().map_err(|_| "curl".to_owned())?;
            let mut shell = Command::new("sh");
            // There curl shows how far it is.
            shell.stderr(Stdio::null());
            shell
        }
    };
    command.env("PYTHONUNBUFFERED", "1");
    Ok(command)
}

/// A run of the probe under another name, which sends these events.
async fn sends(host: &TestHost, task: &str, events: &[(&str, Value)]) -> Value {
    host.install(&format!("{task}.wasm"), &guests::probe()).await;
    let events: Vec<Value> =
        events.iter().map(|(name, data)| json!({ "type": name, "data": data.to_string() })).collect();
    host.start_run(task, json!({ "do": "send", "events": events })).await
}

async fn counts(host: &TestHost) -> (Value, Vec<Event>) {
    host.install("demo/counter.wasm", &guests::example("counter")).await;
    let run = host.start_run("demo/counter", json!({ "steps": 3, "delay_ms": 100 })).await;
    let events = host.follow(&run).await.rest().await;
    (run, events)
}

#[test]
fn every_change_is_one_that_a_client_needs_and_every_client_has_one() {
    for (title, clients) in CLIENTS {
        let texts: Vec<String> = clients.iter().map(|client| earlier(client)).collect();
        let changes = changes(title);
        for (was, _) in &changes {
            assert!(texts.iter().any(|text| text.contains(was)), "{title}: no client has {was}");
        }
        for (client, text) in clients.iter().zip(&texts) {
            assert!(changes.iter().any(|(was, _)| text.contains(was)), "{client}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinators_event_source_hears_its_named_events_with_their_envelope() {
    let host = TestHost::start().await;
    let (run, events) = counts(&host).await;
    let Some(client) = Client::start("django.js", &host, &run) else { return };
    let progress = events.iter().filter(|event| event.name == "progress");
    let expected: Vec<Value> = progress.map(|event| json!([event.json()])).collect();
    assert_eq!(client.values().await, expected);
    let envelope = &expected[2][0];
    assert_eq!(envelope["data"], json!({ "step": 3, "total": 3, "message": "step 3 of 3" }));
    for member in ["type", "timestamp", "_task_id", "_app", "_model"] {
        assert!(envelope[member].is_string(), "{member}: {envelope}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_coordinators_httpx_sse_reads_every_event_to_the_end() {
    let host = TestHost::start().await;
    let (run, events) = counts(&host).await;
    let Some(client) = Client::start("django.py", &host, &run) else { return };
    let expected: Vec<String> =
        events.iter().map(|event| format!("{}: {}", event.name, event.data)).collect();
    assert_eq!(client.rest().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn httpx_which_gives_up_after_five_seconds_of_silence_is_kept_by_signs_of_life() {
    let host = TestHost::start().await;
    let run = host.probe(json!({ "do": "ticks", "n": 1, "ms": 6000 })).await;
    let id = run["id"].as_str().unwrap();
    let client = changed("django.py", host.address, &run).replace("/demo/counter/", "/test/probe/");
    let client = client.replace(id, &format!("{id}?heartbeat=4"));
    let Some(client) = Client::of("django.py", &client, &host, &run) else { return };
    let said = client.rest().await;
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[2].starts_with("run.completed: "), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_on_message_gets_all_and_ends_on_completion() {
    let host = TestHost::start().await;
    let said = |kind: &str, message: &str| json!({ "type": kind, "message": message, "worker_id": "w" });
    let events = [
        ("info", said("info", "Starting")),
        ("data", said("data", "Got values")),
        ("error", said("error", "No values")),
    ];
    let run = sends(&host, "chem/session", &events).await;
    let Some(client) = Client::start("session.js", &host, &run) else { return };
    let expected = [
        json!(["Info:", "Starting"]),
        json!(["Data:", "Got values"]),
        json!(["Error:", "No values"]),
        json!(["Stream completed:", "completed"]),
    ];
    assert_eq!(client.values().await, expected);

    let run = host.start_run("chem/session", json!({ "do": "fail" })).await;
    let client = Client::start("session.js", &host, &run).expect("it was there");
    assert_eq!(client.values().await, [json!(["Stream completed:", "failed"])]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_aiohttp_reads_line_by_line() {
    let host = TestHost::start().await;
    let run = sends(&host, "chem/session", &[("info", json!({ "type": "info", "message": "ä\n" }))]).await;
    let Some(client) = Client::start("session.py", &host, &run) else { return };
    let said = client.rest().await;
    assert_eq!(said.len(), 3, "{said:?}");
    assert_eq!(said[1], r"Received: {'message': 'ä\n', 'type': 'info'}");
    let end = "Received: {'_type': 'completion', 'status': 'completed', ";
    assert!(said[2].starts_with(end), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_curl_sees_each_event_as_it_comes() {
    let host = TestHost::start().await;
    host.install("chem/session.wasm", &guests::probe()).await;
    let run = host.start_run("chem/session", json!({ "do": "wait-for-signal" })).await;
    let Some(mut client) = Client::start("session.sh", &host, &run) else { return };
    while client.next().await.expect("more lines") != "data: {}" {}
    // It has seen that the run waits; only now it goes on.
    let path = format!("/api/runs/{}/signals/go", run["id"].as_str().unwrap());
    assert_eq!(host.post(&path, "").await.status, 202);
    let rest = client.rest().await;
    assert!(rest.iter().any(|line| line.starts_with(r#"data: {"_type":"completion""#)), "{rest:?}");
    assert!(!rest.iter().any(|line| line.starts_with("event:")), "{rest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_status_says_who_reads_and_whether_it_goes_on() {
    let host = TestHost::start().await;
    host.install("chem/session.wasm", &guests::probe()).await;
    let run = host.start_run("chem/session", json!({ "do": "until-cancelled" })).await;
    let _reading = host.follow_with(&run, "client_id=client-1", &[]).await;
    let Some(client) = Client::start("session-status.sh", &host, &run) else { return };
    let status = &client.values().await[0];
    assert_eq!((&status["status"], &status["is_complete"]), (&json!("running"), &json!(false)));
    assert_eq!(status["clients"][0]["client_id"], "client-1", "{status}");
    assert!(status["created_at"].is_string());

    host.cancel(&run).await;
    host.finished(&run).await;
    let status = &Client::start("session-status.sh", &host, &run).expect("it was there").values().await[0];
    assert_eq!((&status["status"], &status["is_complete"]), (&json!("cancelled"), &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_labs_event_source_hears_its_progress() {
    let host = TestHost::start().await;
    let progress = |step: u32| {
        let message = format!("Processing step {step}/4");
        json!({ "step": step, "total": 4, "progress_percent": 25 * step, "message": message })
    };
    let run = sends(&host, "lab/scan", &[("progress", progress(1)), ("progress", progress(2))]).await;
    let Some(client) = Client::start("labdaemon.js", &host, &run) else { return };
    let expected = [
        json!(["Progress: 25.0%"]),
        json!(["Message: Processing step 1/4"]),
        json!(["Progress: 50.0%"]),
        json!(["Message: Processing step 2/4"]),
    ];
    assert_eq!(client.values().await, expected);
}

/// What the last system's examples stream.
fn items() -> Vec<(&'static str, Value)> {
    let item = |id: u32| json!({ "id": id, "data": format!("Event {id}"), "message": format!("Item {id}"), "progress": 10 * id });
    (0..3).map(|id| ("update", item(id))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrenchais_event_source_and_its_lines_of_json_get_its_items() {
    let host = TestHost::start().await;
    let run = sends(&host, "demo/items", &items()).await;
    let Some(client) = Client::start("wrenchai.js", &host, &run) else { return };
    let expected = [json!([0, "Event 0", 0]), json!([1, "Event 1", 10]), json!([2, "Event 2", 20])];
    assert_eq!(client.values().await, expected);

    let Some(client) = Client::start("wrenchai.sh", &host, &run) else { return };
    let lines = client.values().await;
    let items: Vec<Value> = items().into_iter().map(|(_, item)| item).collect();
    assert_eq!(lines[1..4], items);
    assert_eq!((lines.len(), &lines[4]["_type"]), (5, &json!("completion")));
}

#[tokio::test(flavor = "multi_thread")]
async fn wrenchais_text_is_what_the_task_wrote_and_no_more() {
    let host = TestHost::start().await;
    let chunks: Vec<_> = (0..3).map(|n| ("chunk", json!(format!("Chunk {n}\n")))).collect();
    let run = sends(&host, "demo/items", &chunks).await;
    let Some(client) = Client::start("wrenchai-text.sh", &host, &run) else { return };
    assert_eq!(client.rest().await, ["Chunk 0", "Chunk 1", "Chunk 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrenchais_web_socket_gets_its_items_and_is_closed_at_the_end() {
    let host = TestHost::start().await;
    let run = sends(&host, "demo/items", &items()).await;
    let Some(client) = Client::start("wrenchai.py", &host, &run) else { return };
    assert_eq!(client.rest().await, ["0: Item 0 (0 %)", "1: Item 1 (10 %)", "2: Item 2 (20 %)"]);
}

/// A Python in the folder of the project's own client, which leaves nothing behind there.
fn in_package(python: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Command {
    let mut command = Command::new(python);
    command.args(arguments).current_dir(root().join("clients/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[track_caller]
fn succeeds(command: &mut Command) -> Said {
    let said = Said::of(command);
    assert_eq!(said.code, 0, "{command:?}\n{}\n{}", said.out, said.err);
    said
}

#[test]
fn the_client_for_python_passes_its_own_tests() {
    let python = match clients::system_python() {
        Ok(python) => python,
        Err(missing) => return optional::skip("the client for Python", &missing),
    };
    let tasks = tempfile::tempdir().unwrap();
    guests::install(tasks.path(), "probe.wasm", &guests::probe());
    for example in ["counter", "long-operation"] {
        guests::install(tasks.path(), &format!("{example}.wasm"), &guests::example(example));
    }
    // A connection that is left open is a fault, too.
    let mut tests = in_package(python, &["-W", "error", "-m", "unittest"]);
    tests.env("STREAMTASK_BIN", child::binary()).env("STREAMTASK_KIT", tasks.path());
    let said = succeeds(&mut tests);
    assert!(said.err.contains("\nOK\n"), "none is left out: {}", said.err);
}

#[test]
fn the_client_for_python_is_typed_and_can_be_installed() {
    let python = match clients::python() {
        Ok(python) => python,
        Err(missing) => return optional::skip("the types of the client for Python", missing),
    };
    succeeds(&mut in_package(python, &["-m", "mypy", "--no-incremental", "--cache-dir=/dev/null"]));
    let folder = tempfile::tempdir().unwrap();
    let mut build =
        in_package(python, &["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]);
    succeeds(build.arg("--wheel-dir").arg(folder.path()).arg("."));
    let wheel = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    let listed = succeeds(in_package(python, &["-m", "zipfile", "-l"]).arg(&wheel)).out;
    assert!(listed.contains("streamtask_client/py.typed") && !listed.contains("tests/"), "{listed}");
    // A wheel can be imported from as it is.
    let import = "import streamtask_client; print(streamtask_client.__file__)";
    let imported = succeeds(
        Command::new(python).args(["-c", import]).current_dir(folder.path()).env("PYTHONPATH", &wheel),
    );
    assert!(imported.out.contains(".whl"), "{imported:?}");
}
