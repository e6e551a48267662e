//! Promise 5: running work is never disturbed by a reload. New runs use the new
//! version, runs under way finish on theirs, and while a broken file lies there,
//! the last good version serves on.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use hyper::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use streamtask_host::model::Version;
use streamtask_tests::{Api, ChildHost, Connection, Event, EventStream, TestHost, eventually, guests};

/// Reloads of one task in a row.
const RELOADS: usize = 1000;
/// From here on, memory must be flat: everything that grows once has grown.
const WARM: usize = 200;
/// Most that the host may have grown by between the two. Each version of the
/// smallest task that were kept would take 20 kB, so 800 of them 16 MB.
const GROWTH_BYTES: u64 = 12 << 20;
/// The same in mappings, of which each version that were kept would take three.
const GROWTH_MAPPINGS: usize = 100;

/// The versions that the test made, in order.
#[derive(Default)]
struct Versions {
    nth: Mutex<HashMap<String, usize>>,
    /// The newest that may be in use: it lies in the folder.
    written: AtomicUsize,
    /// The newest that is in use for certain.
    loaded: AtomicUsize,
    runs: AtomicUsize,
    over: AtomicBool,
}

impl Versions {
    fn make(&self, nth: usize) -> (Vec<u8>, String) {
        let wasm = guests::ticker(&format!("v{nth}"));
        let version = Version::of(&wasm).to_string();
        self.nth.lock().insert(version.clone(), nth);
        (wasm, version)
    }

    /// One run from start to end, and all that has to hold for it.
    async fn run(&self, api: Api, ms: u32) {
        let oldest = self.loaded.load(Ordering::SeqCst);
        let path = "/api/tasks/test/ticker/runs";
        let mut stream = EventStream::request(api.address, &Method::POST, path, &[], ms.to_string()).await;
        assert_eq!(stream.status, 200, "while a broken file lies there, the last good one serves");
        let mut events = stream.until("run.started").await;
        let newest = self.written.load(Ordering::SeqCst);
        events.extend(stream.rest().await);

        let seqs: Vec<u64> = events.iter().map(Event::seq).collect();
        assert_eq!(seqs, (1..=events.len() as u64).collect::<Vec<_>>());
        assert_eq!(events.last().unwrap().name, "run.completed", "{events:?}");
        let run = json!({ "id": events[0].json()["_task_id"] });
        let record = api.read_run(&run).await;
        let nth = self.nth.lock()[record["version"].as_str().unwrap()];
        assert!((oldest..=newest).contains(&nth), "it ran on {nth}, when {oldest} to {newest} were there");
        assert_eq!(
            record["final_value"],
            format!("v{nth}"),
            "the version that is recorded is the one that ran"
        );
        let ticks: Vec<Value> = events
            .iter()
            .filter(|event| event.name == "tick")
            .map(|event| event.json()["data"].clone())
            .collect();
        assert_eq!(ticks, vec![json!({ "by": format!("v{nth}") }); 3], "one version from start to end");
        self.runs.fetch_add(1, Ordering::SeqCst);
    }

    /// Starts one run after the other until all is over.
    async fn keep_running(self: Arc<Self>, api: Api) {
        while !self.over.load(Ordering::SeqCst) {
            self.run(api, 2).await;
        }
    }
}

/// Puts a file into its place as a tool does that keeps the times of what it
/// moves; such a file is not waited for.
fn install_old(path: &Path, content: &[u8]) {
    let unfinished = path.with_extension("tmp");
    let mut file = File::create(&unfinished).unwrap();
    file.write_all(content).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(60)).unwrap();
    fs::rename(&unfinished, path).unwrap();
}

/// Writes a file where it lies, bit by bit, as a slow copy does.
async fn write_in_pieces(path: &Path, content: &[u8]) {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path).unwrap();
    for piece in content.chunks(content.len() / 4 + 1) {
        file.write_all(piece).unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What is no task, in all kinds.
fn broken(nth: usize, good: &[u8]) -> Vec<u8> {
    match nth % 6 {
        0 => b"this is not WebAssembly".to_vec(),
        1 => Vec::new(),
        2 => good[..good.len() * 3 / 4].to_vec(),
        3 => good[..good.len() - 1].to_vec(),
        4 => guests::wat("(module)"),
        _ => good[..11].to_vec(),
    }
}

/// Waits until the task serves `version`, with or without a problem of its file.
async fn serving(api: &mut Connection, version: &str, problem: bool) {
    let until = tokio::time::Instant::now() + streamtask_tests::PATIENCE;
    loop {
        let task = api.request(&Method::GET, "/api/tasks/test/ticker", &[], "").await.json();
        if task["version"] == version && task["problem"].is_null() != problem {
            return;
        }
        assert!(tokio::time::Instant::now() < until, "stuck at {task}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reloads_under_load_disturb_no_run_and_cost_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    let file = tasks.join("test/ticker.wasm");
    let versions = Arc::new(Versions::default());
    let (mut last_good, mut serves) = versions.make(0);
    guests::install(&tasks, "test/ticker.wasm", &last_good);
    let host = ChildHost::start(&tasks, &data, &["--durability", "normal"]);
    let mut api = Connection::open(host.address).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(tokio::spawn(Arc::clone(&versions).keep_running(*host)));
    }
    let mut warm = (0, 0);
    for nth in 1..=RELOADS {
        if nth % 10 == 0 {
            install_old(&file, &broken(nth / 10, &last_good));
            serving(&mut api, &serves, true).await;
            versions.run(*host, 0).await;
        }
        if nth % 100 == 0 {
            // Lasts over the next hundred reloads or so.
            let (versions, api) = (Arc::clone(&versions), *host);
            clients.push(tokio::spawn(async move { versions.run(api, 500).await }));
        }
        let (wasm, version) = versions.make(nth);
        versions.written.store(nth, Ordering::SeqCst);
        if nth % 50 == 0 {
            write_in_pieces(&file, &wasm).await;
        } else {
            install_old(&file, &wasm);
        }
        serving(&mut api, &version, false).await;
        versions.loaded.store(nth, Ordering::SeqCst);
        (last_good, serves) = (wasm, version);
        if nth == WARM {
            warm = footprint(host.id());
        }
    }
    let (memory, mappings) = footprint(host.id());
    versions.over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert!(
        memory < warm.0 + GROWTH_BYTES,
        "from {} to {memory} bytes in {} reloads",
        warm.0,
        RELOADS - WARM
    );
    assert!(mappings < warm.1 + GROWTH_MAPPINGS, "from {} to {mappings} mappings", warm.1);
    let runs = versions.runs.load(Ordering::SeqCst);
    assert!(runs > RELOADS / 2, "{runs} runs are no load");
    assert_eq!(runs_by_status(&data), HashMap::from([("completed".to_owned(), runs)]), "none is lost");
}

/// Anonymous memory in bytes, and the number of mappings.
fn footprint(process: u32) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    let mappings = fs::read_to_string(format!("/proc/{process}/maps")).unwrap().lines().count();
    (line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024, mappings)
}

fn runs_by_status(data: &Path) -> HashMap<String, usize> {
    let db = rusqlite::Connection::open(data.join("streamtask.db")).unwrap();
    let mut query = db.prepare("SELECT status, count(*) FROM runs GROUP BY status").unwrap();
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_under_way_keeps_its_version_and_one_that_waits_gets_the_new_one() {
    let host = TestHost::with(|config| config.max_running_per_task = 1).await;
    let (old, new) = (guests::ticker("old"), guests::ticker("new"));
    host.install("test/ticker.wasm", &old).await;
    let running = host.start_run("test/ticker", json!(500)).await;
    let mut stream = host.follow(&running).await;
    stream.until("tick").await;
    let waiting = host.start_run("test/ticker", json!(0)).await;
    assert_eq!((&waiting["status"], &waiting["version"]), (&json!("queued"), &Value::Null));

    host.install("test/ticker.wasm", &new).await;
    assert_eq!(host.read_run(&running).await["status"], "running", "under way across the reload");
    let ended = host.finished(&running).await;
    assert_eq!((&ended["status"], &ended["final_value"]), (&json!("completed"), &json!("old")));
    assert_eq!(ended["version"], Version::of(&old).to_string());
    assert!(
        stream
            .rest()
            .await
            .iter()
            .filter(|event| event.name == "tick")
            .all(|tick| tick.json()["data"]["by"] == "old")
    );

    let ended = host.finished(&waiting).await;
    assert_eq!(
        (&ended["final_value"], &ended["version"]),
        (&json!("new"), &json!(Version::of(&new).to_string()))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_retires_its_task_and_putting_it_back_revives_it() {
    let host = TestHost::with(|config| config.max_running_per_task = 1).await;
    let wasm = guests::ticker("back");
    host.install("test/ticker.wasm", &wasm).await;
    // Longer than a file may be away.
    let running = host.start_run("test/ticker", json!(1_500)).await;
    let waiting = host.start_run("test/ticker", json!(0)).await;
    host.follow(&running).await.until("tick").await;

    fs::remove_file(host.tasks().join("test/ticker.wasm")).unwrap();
    eventually("the task retires", || async { host.get("/api/tasks/test/ticker").await.status == 404 }).await;
    host.post("/api/tasks/test/ticker/runs", "0").await.problem(404, "unknown-task");
    assert_eq!(host.finished(&running).await["final_value"], "back", "what runs is not disturbed");
    assert_eq!(host.run(json!({ "do": "echo" })).await["status"], "completed", "nor are other tasks");
    assert_eq!(host.read_run(&waiting).await["status"], "queued", "what waits waits for the task");

    host.install("test/ticker.wasm", &wasm).await;
    assert_eq!(host.finished(&waiting).await["final_value"], "back");
    let started = host.start_run("test/ticker", json!(0)).await;
    assert_eq!(host.finished(&started).await["status"], "completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_folder_of_tasks_can_be_swapped() {
    let host = TestHost::start().await;
    host.install("shop/ticker.wasm", &guests::ticker("one")).await;
    let next = host.tasks().join(".next");
    guests::install(&next, "ticker.wasm", &guests::ticker("two"));
    guests::install(&next, "other.wasm", &guests::ticker("other"));
    fs::rename(host.tasks().join("shop"), host.tasks().join(".last")).unwrap();
    fs::rename(&next, host.tasks().join("shop")).unwrap();
    for (task, mark) in [("shop/ticker", "two"), ("shop/other", "other")] {
        eventually("the new ones serve", || async {
            let runs = format!("/api/tasks/{task}/runs");
            let started = host.post(&runs, "0").await;
            started.status == 202 && host.finished(&started.json()).await["final_value"] == mark
        })
        .await;
    }
}

/// Damages that a file of compiled code, or what belongs to it, may suffer.
const DAMAGES: &[(&str, fn(&Path))] = &[
    ("emptied", |code| fs::write(code, "").unwrap()),
    ("cut off", |code| {
        let whole = fs::read(code).unwrap();
        fs::write(code, &whole[..whole.len() / 2]).unwrap();
    }),
    ("one bit flipped", |code| {
        let mut bytes = fs::read(code).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(code, bytes).unwrap();
    }),
    ("replaced", |code| fs::write(code, "something else entirely").unwrap()),
    ("no checksum", |code| fs::remove_file(code.with_extension("crc32")).unwrap()),
    ("a bad checksum", |code| fs::write(code.with_extension("crc32"), "f00").unwrap()),
    ("a folder", |code| {
        fs::remove_file(code).unwrap();
        fs::create_dir(code).unwrap();
    }),
    ("gone", |code| fs::remove_dir(code).unwrap()),
    ("all of it", |code| fs::remove_dir_all(code.parent().unwrap()).unwrap()),
    ("no folder", |code| {
        fs::remove_dir_all(code.parent().unwrap()).unwrap();
        fs::write(code.parent().unwrap(), "a file where the folder should be").unwrap();
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn damaged_compiled_code_is_compiled_again() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    guests::install(&tasks, "test/ticker.wasm", &guests::ticker("whole"));
    let works = async || {
        let host = ChildHost::start(&tasks, &data, &["--durability", "normal"]);
        let run = host.start_run("test/ticker", json!(0)).await;
        assert_eq!(host.finished(&run).await["final_value"], "whole");
        let (status, log) = host.terminate();
        assert!(status.success());
        log.join("\n")
    };
    works().await;
    let cached = fs::read_dir(data.join("cache")).unwrap().map(|entry| entry.unwrap().path());
    let code =
        cached.filter(|path| path.extension().is_some_and(|extension| extension == "cwasm")).last().unwrap();
    for (damage, apply) in DAMAGES {
        apply(&code);
        let log = works().await;
        if ["emptied", "cut off", "one bit flipped", "replaced"].contains(damage) {
            assert!(log.contains("compiled code is damaged"), "{damage}: {log}");
            assert!(!works().await.contains("damaged"), "{damage}: it was replaced by a good one");
        }
    }
}
