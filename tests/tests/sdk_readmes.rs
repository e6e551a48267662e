//! "Write a task in …": what each SDK's page says, done to the letter, from an empty
//! folder to a run that completes.

use std::fs;

use serde_json::Value;
use streamtask_tests::pages::{Page, Shell};
use streamtask_tests::{COMPILE_PATIENCE, ChildHost, eventually_within, optional, root};

/// Follows a page; then a run of the task that it leads to completes with `result`.
async fn leads_to(language: &str, task: &str, replace: &[(&str, &str)], result: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (tasks, work) = (folder.path().join("tasks"), folder.path().join("work"));
    fs::create_dir_all(tasks.join("demo")).unwrap();
    fs::create_dir_all(&work).unwrap();
    let host = ChildHost::start(&tasks, &folder.path().join("data"), &[]);
    let url = format!("http://{}", host.address);
    let page = Page::first_of(language);
    let mut script = page.script(replace).replace("http://127.0.0.1:8080", &url);
    // The last command starts a run, for which the task has to be loaded.
    let start = script.rfind("curl ").map(|at| script.split_off(at));
    let shell = Shell::new(&work, language, &tasks, &url);
    let run = |script: &str| shell.run(script);
    run(&script);
    let at = format!("/api/tasks/demo/{task}");
    eventually_within(COMPILE_PATIENCE, "the task is loaded", || async {
        host.get(&at).await.json()["version"].is_string()
    })
    .await;
    let started = match &start {
        Some(start) => run(&format!("export SDK TASKS HOST\n{start}")),
        None => host.post(&format!("{at}/runs"), r#"{"steps":3}"#).await.json().to_string(),
    };
    let started: Value = serde_json::from_str(&started).unwrap_or_else(|error| panic!("{error}: {started}"));
    let ended = host.finished(&started).await;
    assert_eq!(ended["final_value"].to_string(), result, "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rust() {
    let here = [("cp target/", "cp \"$CARGO_TARGET_DIR\"/")];
    leads_to("rust", "hello", &here, r#"{"greeted":2}"#).await;
}

/// Whether the kit's guest of a language is there, and so its tools; a note if not.
fn has_tools(language: &str) -> bool {
    let there = root().join(format!("target/kit/conformance-{language}.wasm")).is_file();
    if !there {
        optional::skip(&format!("the page of the SDK for {language}"), "what `cargo xtask kit` says");
    }
    there
}

#[tokio::test(flavor = "multi_thread")]
async fn python() {
    if has_tools("python") {
        let here = [("streamtask serve --tasks tasks", ""), ("-o tasks/demo", "-o \"$TASKS\"/demo")];
        leads_to("python", "count", &here, r#"{"step":3,"total":3}"#).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn javascript_and_typescript() {
    if has_tools("typescript") {
        // The packages are those of this repository, where the SDK is one.
        let here = [
            ("npm install --save-dev --install-links ../streamtask/guest-sdk/js", ""),
            ("../streamtask/tasks", "\"$TASKS\""),
        ];
        leads_to("js", "hello", &here, r#"{"greeted":2}"#).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn go() {
    if has_tools("go") {
        leads_to("go", "greet", &[], r#"{"greeted":2}"#).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn c() {
    if has_tools("c") {
        leads_to("c", "greet", &[], r#"{"greeted":2}"#).await;
    }
}
