//! Tasks that mean harm by what they declare and what lies beside them: schemas, patterns, names, descriptions,
//! pipes, folders. Whatever it is, the host stays itself, and the tasks beside it serve.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use streamtask_tests::guests::{self, Bare};
use streamtask_tests::{Api, ChildHost, Folders, Said, child, eventually, soon};

/// Most memory that a host takes for any of these, with its guests.
const MOST_MEMORY: u64 = 512 << 20;
/// Least that a host answers while it has something hard to do that takes a second or two.
const SERVED: u32 = 5;
/// What steers a terminal, or shows a text as another.
const STEERING: [char; 7] = ['\u{1b}', '\u{7}', '\u{9b}', '\u{7f}', '\u{202e}', '\u{2066}', '\u{200f}'];

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A task with a `describe` that returns this.
fn describing(description: &Value) -> Vec<u8> {
    let text = description.to_string();
    let data = text.bytes().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let (pages, length) = (text.len() / 65536 + 2, text.len());
    let component = format!(
        r#"(core module $describer
             (memory (export "memory") {pages})
             (data (i32.const 64) "{data}")
             (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
             (func (export "describe") (result i32)
               (i32.store (i32.const 8) (i32.const 64))
               (i32.store (i32.const 12) (i32.const {length}))
               (i32.const 8)))
           (core instance $describer (instantiate $describer))
           (func (export "describe") (result string)
             (canon lift (core func $describer "describe")
               (memory (core memory $describer "memory")) (realloc (core func $describer "realloc"))))"#
    );
    Bare { component: &component, ..Bare::default() }.wasm()
}

/// Installs a task and returns how it is listed.
async fn install(host: &ChildHost, folders: &Folders, name: &str, wasm: &[u8]) -> Value {
    let path = format!("test/{name}.wasm");
    guests::install(&folders.tasks(), &path, wasm);
    listed(host, &path).await
}

async fn listed(host: &Api, path: &str) -> Value {
    let listed = async || {
        let tasks = host.get("/api/tasks").await.json();
        tasks["tasks"].as_array().unwrap().iter().find(|task| task["path"] == path).cloned()
    };
    eventually(path, || async { listed().await.is_some() }).await;
    listed().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_that_become_large_are_refused_and_cost_no_memory() {
    let folders = Folders::new();
    let host = folders.start(&["--durability", "normal"]);
    let large: Vec<Value> =
        (0..50).map(|nth| json!({ "pattern": format!("\\p{{L}}{{150}}{nth}") })).collect();
    let many: Vec<Value> = (0..2000).map(|nth| json!({ "pattern": format!("^{nth}[a-z]*$") })).collect();
    let names: serde_json::Map<String, Value> =
        (0..50).map(|nth| (format!("\\p{{L}}{{150}}{nth}"), json!({}))).collect();
    for (name, schema) in [
        ("large", json!({ "anyOf": large })),
        ("many", json!({ "anyOf": many })),
        ("names", json!({ "patternProperties": names })),
        ("long", json!({ "pattern": "\\p{L}".repeat(20_000) })),
    ] {
        let listed = install(&host, &folders, name, &describing(&json!({ "input_schema": schema }))).await;
        let problem = listed["problem"]["message"].as_str().unwrap_or_else(|| panic!("{name} is taken"));
        assert!(problem.contains("pattern"), "{name}: {problem}");
        assert!(problem.len() < 500, "{name}: {problem}");
    }
    let memory = host.peak_memory();
    assert!(memory < MOST_MEMORY, "{} MiB", memory >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_takes_long_is_given_up_and_holds_up_nobody() {
    let folders = Folders::new();
    let host = folders.start(&["--durability", "normal"]);
    let letters: Vec<Value> =
        (1..6).map(|nth| json!({ "pattern": format!("^\\p{{L}}{{{nth}}}1$") })).collect();
    let objects: Vec<Value> = (0..8000).map(|nth| json!({ "n": nth })).collect();
    let patterns = describing(&json!({ "input_schema": { "items": { "not": { "anyOf": letters } } } }));
    let values = describing(&json!({ "input_schema": { "items": { "not": { "enum": objects } } } }));
    assert!(install(&host, &folders, "patterns", &patterns).await["problem"].is_null());
    assert!(install(&host, &folders, "values", &values).await["problem"].is_null());
    let texts = json!(vec!["ä".repeat(1000); 400]).to_string();
    let items = json!(vec![json!({ "m": 1 }); 20_000]).to_string();
    // More at once than the host has threads.
    let address = host.address;
    let hard = (0..12).map(|nth| {
        let (task, input) =
            if nth % 2 == 0 { ("patterns", texts.clone()) } else { ("values", items.clone()) };
        tokio::spawn(async move {
            let api = Api { address };
            api.post(&format!("/api/tasks/test/{task}/runs"), input).await
        })
    });
    let hard: Vec<_> = hard.collect();
    let mut served = 0;
    while !hard.iter().all(tokio::task::JoinHandle::is_finished) {
        assert_eq!(host.get("/healthz").await.status, 200);
        // And a start whose check is short waits behind none of these.
        host.probe(json!({ "do": "echo" })).await;
        served += 1;
    }
    assert!(served > SERVED, "{served}");
    for answer in hard {
        let answer = answer.await.unwrap();
        assert!(answer.status == 202 || answer.status == 400, "{}", answer.status);
    }
    let refused = host.post("/api/tasks/test/values/runs", items).await.problem(400, "invalid-input");
    assert!(refused["detail"].as_str().unwrap().contains("takes too long"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_task_says_steers_a_terminal_or_forges_a_line_of_the_log() {
    let folders = Folders::new();
    let host = folders.start(&["--durability", "normal"]);
    let evil: String = format!("evil{}\nstreamtask: forged\r", STEERING.iter().collect::<String>());
    let described = describing(&json!({ "description": evil }));
    assert!(install(&host, &folders, "described", &described).await["problem"].is_null());
    let import = format!("{}2024-01-01T00:00:00Z INFO forged\n", STEERING[0]);
    let module = format!("(module (import {import:?} {import:?} (func)) (func (export \"_start\")))");
    let module = module.replace("\\u{1b}", "\\1b");
    assert!(!install(&host, &folders, "imports", &guests::wat(&module)).await["problem"].is_null());
    let run = host.run(json!({ "do": "echo", "evil": evil })).await;
    let id = run["id"].as_str().unwrap().to_owned();

    let url = format!("http://{}", host.address);
    let said = |arguments: &[&str]| {
        let mut command = child::command();
        Said::of(command.args(arguments).args(["--host", &url]))
    };
    let input = json!({ "do": "echo", "evil": evil }).to_string();
    for arguments in [
        vec!["tasks"],
        vec!["tasks", "--json"],
        vec!["runs"],
        vec!["runs", "--json"],
        vec!["tail", &id],
        vec!["tail", &id, "--json"],
        vec!["progress", &id],
        vec!["show", &id],
        vec!["show", &id, "--json"],
        vec!["start", "test/probe", "--input", &input],
    ] {
        let Said { out, err, .. } = said(&arguments);
        let shown = format!("{out}{err}");
        // A tab separates the cells of a list.
        let is_ours = |character: char| matches!(character, '\n' | '\t');
        let steers = |character: char| {
            !is_ours(character) && (character.is_control() || STEERING.contains(&character))
        };
        assert!(!shown.contains(steers), "{arguments:?}: {shown:?}");
    }
    let file = folders.tasks().join("test/imports.wasm");
    let checked = Said::of(child::command().arg("check").arg(&file));
    assert!(checked.code != 0 && checked.err.lines().count() == 1, "{checked:?}");
    assert!(!checked.err.contains('\u{1b}'), "{checked:?}");

    let mut log = host.logged();
    log.extend(host.terminate().1);
    assert!(log.iter().any(|line| line.contains("imports.wasm")), "{log:?}");
    for line in log {
        assert!(!line.contains(STEERING) && !line.starts_with("2024-01-01"), "{line:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_in_the_tasks_folder_are_reported_and_stop_no_loading() {
    let folders = Folders::new();
    fs::create_dir_all(folders.tasks().join("other")).unwrap();
    for path in ["test/one.toml", "test/two.toml", "other/app.toml", "test/three.wasm"] {
        pipe(&folders.tasks().join(path));
    }
    for task in ["test/one.wasm", "test/two.wasm", "other/task.wasm"] {
        guests::install(&folders.tasks(), task, &guests::ticker("x"));
    }
    let host = folders.start(&["--durability", "normal"]);
    for path in ["test/one.wasm", "test/two.wasm", "other/task.wasm", "test/three.wasm"] {
        let listed = listed(&host, path).await;
        let problem = listed["problem"]["message"].as_str().unwrap_or_else(|| panic!("{listed}"));
        assert!(problem.contains("not a file"), "{path}: {problem}");
    }
    guests::install(&folders.tasks(), "test/late.wasm", &guests::ticker("late"));
    assert!(listed(&host, "test/late.wasm").await["problem"].is_null());
    let run = host.start_run("test/late", json!(0)).await;
    assert_eq!(host.finished(&run).await["final_value"], "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_in_a_granted_folder_holds_up_no_run_and_no_stop() {
    let folders = Folders::new();
    let granted = tempfile::tempdir().unwrap();
    pipe(&granted.path().join("pipe"));
    fs::write(granted.path().join("file"), "content").unwrap();
    let folder = granted.path().display();
    let manifest = format!(
        "[grants]\noutput-files = true\n[[grants.folders]]\npath = '{folder}'\nmount = '/data'\nwrite = true\n"
    );
    fs::write(folders.tasks().join("test/reach.toml"), manifest).unwrap();
    guests::install(&folders.tasks(), "test/reach.wasm", &guests::reach());
    let host = folders.start(&["--durability", "normal", "--grants", "all"]);
    let steps = json!([
        { "op": "read", "path": "/data/pipe" },
        { "op": "write", "path": "/data/pipe", "text": "x" },
        { "op": "append", "path": "/data/pipe", "text": "x" },
        { "op": "read", "path": "/data/file" },
        { "op": "write", "path": "/output/a", "text": "x" },
    ]);
    for _ in 0..3 {
        let run = host.start_run("test/reach", json!({ "do": "files", "steps": steps })).await;
        let run = soon("a run that opens a pipe", host.finished(&run)).await;
        let answers = run["final_value"].as_array().unwrap_or_else(|| panic!("{run}"));
        assert!(answers[..3].iter().all(|answer| answer["error"].is_string()), "{answers:?}");
        assert_eq!(answers[3..], [json!("content"), json!("ok")]);
    }
    let stopping = Instant::now();
    let (status, _) = host.terminate();
    assert!(status.success() && stopping.elapsed() < Duration::from_secs(5), "{:?}", stopping.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_leaves_is_counted_however_it_comes_there() {
    let folders = Folders::new();
    let granted = tempfile::tempdir().unwrap();
    fs::write(granted.path().join("large"), vec![b'x'; 1 << 20]).unwrap();
    fs::create_dir(granted.path().join("folder")).unwrap();
    fs::write(granted.path().join("folder/large"), vec![b'x'; 1 << 20]).unwrap();
    let manifest = format!(
        "[grants]\noutput-files = true\noutput-files-size = '1KB'\n[[grants.folders]]\npath = '{}'\n\
         mount = '/data'\nwrite = true\n",
        granted.path().display()
    );
    fs::write(folders.tasks().join("test/reach.toml"), manifest).unwrap();
    guests::install(&folders.tasks(), "test/reach.wasm", &guests::reach());
    let host = folders.start(&["--durability", "normal", "--grants", "all"]);
    let steps = json!([
        { "op": "rename", "path": "/data/large", "to": "/output/a" },
        { "op": "link", "path": "/data/large", "to": "/output/b" },
        { "op": "rename", "path": "/data/folder", "to": "/output/c" },
        { "op": "write", "path": "/output/d", "text": "x" },
        // What is written to it there would not be counted.
        { "op": "link", "path": "/output/d", "to": "/data/e" },
        { "op": "rename", "path": "/output/d", "to": "/data/f" },
        { "op": "rename", "path": "/output/d", "to": "/output/g" },
    ]);
    let run = host.start_run("test/reach", json!({ "do": "files", "steps": steps })).await;
    let run = host.finished(&run).await;
    let answers = run["final_value"].as_array().unwrap_or_else(|| panic!("{run}"));
    let went: Vec<bool> = answers.iter().map(|answer| answer == "ok").collect();
    assert_eq!(went, [false, false, false, true, false, false, true], "{answers:?}");
    let list = host.get(&format!("/api/runs/{}/files", run["id"].as_str().unwrap())).await.json();
    assert_eq!(list["files"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_folder_is_its_owners_alone_and_others_code_is_not_executed() {
    let folders = Folders::new();
    fs::create_dir_all(folders.data()).unwrap();
    fs::set_permissions(folders.data(), fs::Permissions::from_mode(0o777)).unwrap();
    let host = folders.start(&["--durability", "normal"]);
    let mode = |path: &str| fs::metadata(folders.data().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("cache")), (0o700, 0o700));
    for file in ["streamtask.db", "streamtask.db-wal", "streamtask.db-shm", "streamtask.lock"] {
        assert_eq!(mode(file), 0o600, "{file}");
    }
    let code: Vec<_> =
        fs::read_dir(folders.data().join("cache")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!code.is_empty());
    for file in &code {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
    host.terminate();

    // Code that others can have written is compiled again, which is seen by its new file.
    let compiled = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in &code {
        fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
    }
    let host = folders.start(&["--durability", "normal"]);
    let kept =
        code.iter().find(|file| file.extension().is_some_and(|extension| extension == "cwasm")).unwrap();
    assert_eq!(compiled(kept), 0o600);
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_description_gets_no_more_memory_than_a_run() {
    let folders = Folders::new();
    let host = folders.start(&["--durability", "normal", "--memory", "16MiB"]);
    let grow = r#"(core module $describer
         (memory (export "memory") 1)
         (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
         (func (export "describe") (result i32)
           (if (i32.eq (memory.grow (i32.const 1024)) (i32.const -1)) (then unreachable))
           (i32.store (i32.const 8) (i32.const 64))
           (i32.const 8)))
       (core instance $describer (instantiate $describer))
       (func (export "describe") (result string)
         (canon lift (core func $describer "describe")
           (memory (core memory $describer "memory")) (realloc (core func $describer "realloc"))))"#;
    let wasm = Bare { component: grow, ..Bare::default() }.wasm();
    let listed = install(&host, &folders, "greedy", &wasm).await;
    let problem = listed["problem"]["message"].as_str().unwrap_or_else(|| panic!("{listed}"));
    assert!(problem.contains("memory"), "{problem}");
}
