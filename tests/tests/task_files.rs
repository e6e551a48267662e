//! What lies in the tasks folder and is no task: each is reported with a line that
//! says what to do about it, and hurts nothing else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use streamtask_tests::{Api, ChildHost, TestHost, eventually, guests};

/// Files, how they come to be, and what is said of them.
const FILES: &[(&str, fn(&Path), &str)] = &[
    ("text.wasm", |path| write(path, b"#!/bin/sh\n"), "this is not a WebAssembly file"),
    ("empty.wasm", |path| write(path, b""), "this is not a WebAssembly file"),
    (
        "module.wasm",
        |path| write(path, &guests::wat("(module)")),
        "this core module is not a task: it has no `_start` function",
    ),
    ("cut.wasm", |path| write(path, &guests::ticker("x")[..600]), "not a valid component"),
    ("future.wasm", |path| write(path, b"\0asm\x0e\0\x01\0"), "of an unknown version"),
    (
        "nothing.wasm",
        |path| write(path, &guests::wat("(component)")),
        "exports neither `process: func(input: string)",
    ),
    ("world.wasm", |path| write(path, &exporting("greet")), "it exports greet"),
    ("type.wasm", |path| write(path, &exporting("process")), "exports neither `process: func(input: string)"),
    ("import.wasm", |path| write(path, &importing("acme:db/store@1.0.0")), "acme:db/store@1.0.0"),
    (
        "major.wasm",
        |path| write(path, &importing("streamtask:task/control@2.0.0")),
        "made for streamtask:task@2.0.0, and this host supports streamtask:task@1.",
    ),
    ("bad name.wasm", |path| write(path, &guests::ticker("x")), "the name \"bad name\" can't be used"),
    ("ümlaut.wasm", |path| write(path, &guests::ticker("x")), "1 to 64 of the characters A-Z a-z 0-9 _ -"),
    ("bad app/good.wasm", |path| write(path, &guests::ticker("x")), "the name \"bad app\" can't be used"),
    (
        "default/misplaced.wasm",
        |path| write(path, &guests::ticker("x")),
        "lie at the top of the tasks folder",
    ),
    ("folder.wasm", |path| fs::create_dir(path).unwrap(), "this is not a file"),
    ("pipe.wasm", make_pipe, "this is not a file"),
    ("nowhere.wasm", |path| symlink("gone.wasm", path).unwrap(), "can't read it: No such file"),
    ("circle.wasm", |path| symlink("circle.wasm", path).unwrap(), "can't read it"),
    // Readable by its permissions, and yet every read fails, for root too.
    ("unreadable.wasm", |path| symlink("/proc/self/mem", path).unwrap(), "can't read it: Input/output error"),
];

fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A component that exports one function of a type that is not that of `process`.
fn exporting(name: &str) -> Vec<u8> {
    let text = r#"(component
        (core module $main (func (export "f") (result i32) (i32.const 0)))
        (core instance $main (instantiate $main))
        (func (export "NAME") (result u32) (canon lift (core func $main "f"))))"#;
    guests::wat(&text.replace("NAME", name))
}

/// A component that needs a function `get` of an interface.
fn importing(interface: &str) -> Vec<u8> {
    let text = r#"(component
        (import "INTERFACE" (instance (export "get" (func))))
        (core module $main (func (export "f") (result i32) (i32.const 0)))
        (core instance $main (instantiate $main))
        (func (export "process") (result u32) (canon lift (core func $main "f"))))"#;
    guests::wat(&text.replace("INTERFACE", interface))
}

fn make_all(tasks: &Path) {
    for (name, make, _) in FILES {
        let path = tasks.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        make(&path);
    }
}

/// Checks that everything is reported for what it is and that the good task works;
/// returns what was reported.
async fn check(api: &Api) -> Vec<(String, String)> {
    let listed = async || {
        let list = api.get("/api/tasks").await.json();
        list["tasks"].as_array().unwrap().clone()
    };
    eventually("everything is looked at", || async { listed().await.len() == FILES.len() + 2 }).await;
    let mut reported = Vec::new();
    for (path, _, said) in FILES {
        let tasks = listed().await;
        let task = tasks.iter().find(|task| task["path"] == *path).unwrap();
        let message = task["problem"]["message"].as_str().unwrap();
        assert!(message.contains(said) && !message.contains('\n'), "{path}: {message}");
        assert!(task["version"].is_null() && !task["problem"]["at"].is_null(), "{task}");
        reported.push(((*path).to_owned(), message.to_owned()));
    }
    for task in ["test/ticker", "test/link"] {
        let run = api.start_run(task, json!(0)).await;
        assert_eq!(api.finished(&run).await["final_value"], "good", "nothing hurts a good task");
    }
    reported
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_task_is_reported_and_hurts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, data) = (folder.path().join("tasks"), folder.path().join("data"));
    // A link to a file elsewhere is as good as the file.
    guests::install(&tasks, "test/ticker.wasm", &guests::ticker("good"));
    guests::install(folder.path(), "elsewhere.wasm", &guests::ticker("good"));
    symlink(folder.path().join("elsewhere.wasm"), tasks.join("test/link.wasm")).unwrap();

    let host = ChildHost::start(&tasks, &data, &["--durability", "normal"]);
    make_all(&tasks);
    let reported = check(&host).await;
    let (_, log) = host.terminate();
    for (path, message) in &reported {
        let lines = log.iter().filter(|line| line.contains(&format!("path={path} ")));
        let said = lines.filter(|line| line.contains(message.as_str())).count();
        assert!(said > 0, "the operator reads it in the log too: {path}, {log:?}");
    }

    let host = ChildHost::start(&tasks, &data, &["--durability", "normal"]);
    assert_eq!(check(&host).await, reported, "the same when the host finds all that at its start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_loaded_says_so_to_who_starts_it() {
    let host = TestHost::start().await;
    guests::install(&host.tasks(), "test/module.wasm", &guests::wat("(module)"));
    let refused = async || host.post("/api/tasks/test/module/runs", "{}").await;
    eventually("the file is looked at", || async {
        refused().await.json()["type"] == "urn:streamtask:problem:task-not-loaded"
    })
    .await;
    let problem = refused().await.problem(404, "task-not-loaded");
    assert!(
        problem["detail"].as_str().unwrap().contains("test/module could not be loaded: this core module is"),
        "{problem}"
    );

    host.install("test/module.wasm", &guests::ticker("mended")).await;
    let run = host.start_run("test/module", json!(0)).await;
    assert_eq!(host.finished(&run).await["final_value"], "mended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_becomes_something_else_leaves_the_last_good_version() {
    let host = TestHost::start().await;
    host.install("test/ticker.wasm", &guests::ticker("good")).await;
    let becomes: [(fn(&Path), &str); 3] = [
        (|path| symlink("gone.wasm", path).unwrap(), "can't read it"),
        (make_pipe, "this is not a file"),
        (|path| write(path, b"\0asm"), "not a valid component"),
    ];
    for (make, said) in becomes {
        let unfinished = host.tasks().join("test/.unfinished");
        make(&unfinished);
        fs::rename(&unfinished, host.tasks().join("test/ticker.wasm")).unwrap();
        eventually("it is reported", || async {
            let task = host.get("/api/tasks/test/ticker").await.json();
            task["problem"]["message"].as_str().is_some_and(|message| message.contains(said))
        })
        .await;
        let run = host.start_run("test/ticker", json!(0)).await;
        assert_eq!(host.finished(&run).await["final_value"], "good", "{said}");
    }
}
