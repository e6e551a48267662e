//! How files of the tasks folder are saved: editors and tools rename away, empty, remove and write again, and keep
//! times. Whatever lies there between two of their steps is nothing that anybody means.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use hyper::Method;
use serde_json::{Value, json};
use streamtask_host::model::{Retention, Version};
use streamtask_tests::{Connection, TestHost, eventually, guests};

/// Saves one after the other, in each way.
const SAVES: u32 = 8;
/// Runs whose history is to stay.
const RUNS: usize = 5;

/// How long an editor takes between two steps of a save.
fn pause() {
    std::thread::sleep(Duration::from_micros(fastrand::u64(0..5_000)));
}

/// vim, with the original as its backup for that time.
fn by_rename_away(path: &Path, content: &str) {
    let backup = path.with_extension("toml~");
    fs::rename(path, &backup).unwrap();
    pause();
    let mut file = File::create(path).unwrap();
    pause();
    file.write_all(content.as_bytes()).unwrap();
    file.sync_all().unwrap();
    drop(file);
    fs::remove_file(backup).unwrap();
}

/// VS Code: empties the file and writes it.
fn in_place(path: &Path, content: &str) {
    let mut file = File::create(path).unwrap();
    pause();
    let (first, second) = content.split_at(content.len() / 2);
    file.write_all(first.as_bytes()).unwrap();
    pause();
    file.write_all(second.as_bytes()).unwrap();
}

fn by_unlink(path: &Path, content: &str) {
    fs::remove_file(path).unwrap();
    pause();
    fs::write(path, content).unwrap();
}

/// A careful tool: the file is never away.
fn by_rename_over(path: &Path, content: &str) {
    let unfinished = path.with_file_name(".probe.toml.new");
    fs::write(&unfinished, content).unwrap();
    pause();
    fs::rename(unfinished, path).unwrap();
}

/// `git checkout` of another commit, or a script: away for longer than any editor.
fn by_slow_unlink(path: &Path, content: &str) {
    fs::remove_file(path).unwrap();
    std::thread::sleep(Duration::from_millis(1_500));
    fs::write(path, content).unwrap();
}

type Save = fn(&Path, &str);

const WAYS: &[(&str, Save, u32)] = &[
    ("vim", by_rename_away, SAVES),
    ("VS Code", in_place, SAVES),
    ("unlink", by_unlink, SAVES),
    ("rename", by_rename_over, SAVES),
    ("git", by_slow_unlink, 2),
];

fn manifest(text: &str) -> String {
    format!("description = '{text}'\n[retention]\nmax-runs = 1000\n[input-schema]\nrequired = [\"do\"]\n")
}

/// What the task says of itself, again and again until `over`: each answer that had no settings of a manifest.
async fn without_manifest(mut api: Connection, path: String, over: Arc<AtomicBool>) -> Vec<Value> {
    let mut without = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let task = api.request(&Method::GET, &path, &[], "").await.json();
        if !task["description"].is_string() || task["input_schema"]["required"] != json!(["do"]) {
            without.push(task);
        }
    }
    without
}

/// Saves the file that is said in all ways; the task must not be without its settings for a moment.
async fn saves_lose_nothing(file: &str) {
    let host = TestHost::with(|config| {
        // What a run of this task is kept by, were it not for its manifest.
        config.retention = Retention { max_runs: Some(1), ..Retention::default() };
    })
    .await;
    let path = host.tasks().join(file);
    let described = async |text: &str| {
        eventually(text, || async { host.get("/api/tasks/test/probe").await.json()["description"] == text })
            .await;
    };
    fs::write(&path, manifest("before")).unwrap();
    described("before").await;
    for _ in 0..RUNS {
        host.run(json!({ "do": "echo" })).await;
    }
    let over = Arc::new(AtomicBool::new(false));
    let api = Connection::open(host.address).await;
    let watching = tokio::spawn(without_manifest(api, "/api/tasks/test/probe".to_owned(), Arc::clone(&over)));
    for (way, save, times) in WAYS {
        for nth in 0..*times {
            let (path, text) = (path.clone(), format!("{way} {nth}"));
            tokio::task::spawn_blocking(move || save(&path, &manifest(&text))).await.unwrap();
            if nth % 2 == 1 {
                described(&format!("{way} {nth}")).await;
            }
        }
    }
    over.store(true, Ordering::SeqCst);
    let without = watching.await.unwrap();
    assert!(without.is_empty(), "{} answers without the manifest, as {:?}", without.len(), without.first());
    let runs = host.get("/api/runs?limit=1000").await.json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), RUNS, "and its history is whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_save_of_a_manifest_takes_its_settings_away() {
    saves_lose_nothing("test/probe.toml").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_save_of_the_manifest_of_a_folder_takes_its_settings_away() {
    saves_lose_nothing("test/app.toml").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_taken_away_ends_after_a_while() {
    let host = TestHost::start().await;
    host.manifest("").await;
    fs::remove_file(host.tasks().join("test/probe.toml")).unwrap();
    let removed = tokio::time::Instant::now();
    eventually("the host's own settings", || async {
        host.get("/api/tasks/test/probe").await.json()["description"].as_str() != Some("")
    })
    .await;
    assert!(removed.elapsed() >= Duration::from_secs(9), "after {:?}", removed.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_replaced_by_hand_is_never_unknown() {
    let host = TestHost::start().await;
    let path = host.tasks().join("test/ticker.wasm");
    host.install("test/ticker.wasm", &guests::ticker("v0")).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut api = Connection::open(host.address).await;
    let watching = tokio::spawn({
        let over = Arc::clone(&over);
        async move {
            let mut unknown = 0;
            while !over.load(Ordering::SeqCst) {
                let answer = api.request(&Method::GET, "/api/tasks/test/ticker", &[], "").await;
                unknown += usize::from(answer.status == 404);
            }
            unknown
        }
    });
    for nth in 1..=SAVES {
        let (path, wasm) = (path.clone(), guests::ticker(&format!("v{nth}")));
        let version = Version::of(&wasm).to_string();
        tokio::task::spawn_blocking(move || {
            if nth % 2 == 0 {
                fs::rename(&path, path.with_extension("old")).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            pause();
            // Longer than it takes to look at the folder.
            std::thread::sleep(Duration::from_millis(100));
            fs::write(&path, wasm).unwrap();
        })
        .await
        .unwrap();
        eventually("the new version", || async {
            host.get("/api/tasks/test/ticker").await.json()["version"] == version
        })
        .await;
    }
    over.store(true, Ordering::SeqCst);
    assert_eq!(watching.await.unwrap(), 0, "answers that there is no such task");
}

/// Writes a file where it lies and gives it the time that it had, as `cp -p` does.
fn copy_with_time(path: &Path, content: &[u8], time: SystemTime) {
    let mut file = File::create(path).unwrap();
    file.write_all(content).unwrap();
    file.set_modified(time).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_same_size_and_time_is_noticed() {
    let host = TestHost::start().await;
    let time = SystemTime::now() - Duration::from_secs(1_000);
    let path = |name: &str| host.tasks().join("test").join(name);
    copy_with_time(&path("ticker.wasm"), &guests::ticker("v0"), time);
    copy_with_time(&path("ticker.toml"), b"description = 'v0'\n", time);
    copy_with_time(&path("app.toml"), b"limits.log = '10KiB'\n", time);
    for nth in 0..6 {
        let wasm = guests::ticker(&format!("v{nth}"));
        let (version, text) = (Version::of(&wasm).to_string(), format!("v{nth}"));
        copy_with_time(&path("ticker.wasm"), &wasm, time);
        eventually("the other build", || async {
            host.get("/api/tasks/test/ticker").await.json()["version"] == version
        })
        .await;
        copy_with_time(&path("ticker.toml"), format!("description = '{text}'\n").as_bytes(), time);
        eventually("the other manifest", || async {
            host.get("/api/tasks/test/ticker").await.json()["description"] == text
        })
        .await;
        copy_with_time(&path("app.toml"), format!("limits.log = '1{nth}KiB'\n").as_bytes(), time);
        eventually("the other manifest of the folder", || async {
            let limit = |listed: &streamtask_host::registry::ListedFile| {
                listed.task.as_ref().map(|task| task.settings.limits.log_bytes)
            };
            host.handle.tasks().iter().all(|listed| limit(listed) == Some((10 + nth) << 10))
        })
        .await;
    }
}
