//! The importer that each SDK's page shows: built as the page says, cut off in the midst of a request by a host that is
//! killed, and gone on with by the next one.

use std::fs;

use serde_json::{Value, json};
use streamtask_tests::pages::{Page, Shell};
use streamtask_tests::{
    COMPILE_PATIENCE, ChildHost, Elsewhere, eventually, eventually_within, kit, optional,
};

const GRANTS: [&str; 2] = ["--grants", "env,files,http,private"];
/// What its manifest grants in the page.
const THERE: &str = "host = \"api.example.org\"";

/// The commands and files of a part of the page, without the start of a run at its end.
fn without_start(script: &str) -> String {
    script.rfind("curl ").map_or(script, |at| &script[..at]).to_owned()
}

async fn goes_on(folder: &str, language: &str, here: &[(&str, &str)]) {
    if kit::guest(language).is_none() {
        return optional::skip(&format!("the importer of {language}"), &kit::needs(language));
    }
    let kept = tempfile::tempdir().unwrap();
    let (tasks, data, work) = (kept.path().join("tasks"), kept.path().join("data"), kept.path().join("work"));
    fs::create_dir_all(tasks.join("demo")).unwrap();
    fs::create_dir_all(&work).unwrap();
    let elsewhere = Elsewhere::start().await;
    let shell = Shell::new(&work, folder, &tasks, "http://127.0.0.1:8080");
    let first = without_start(&Page::first_of(folder).script(here));
    let second = without_start(&Page::section_of(folder, "An importer").script(here));
    let own = format!(
        "host = \"127.0.0.1\"\nschemes = [\"http\"]\nports = [{}]\nprivate = true",
        elsewhere.address.port()
    );
    assert!(second.contains(THERE), "{second}");
    // Before the task is there: to compile one takes longer than a host may take to start.
    let host = ChildHost::start(&tasks, &data, &GRANTS);
    shell.run(&format!("{first}\n{}", second.replace(THERE, &own)));

    let at = "/api/tasks/demo/importer";
    loaded(&host, at).await;
    let input = json!({ "url": elsewhere.url("/list"), "pages": 6 });
    let run = host.post(&format!("{at}/runs"), input.to_string()).await.json();
    let asked = |page: usize| {
        let request = format!("GET /list?page={page}");
        elsewhere.requests().into_iter().filter(|asked| *asked == request).count()
    };
    eventually("the fourth page is asked for", || async { asked(4) == 1 }).await;
    host.kill();

    elsewhere.release("page");
    let host = ChildHost::start(&tasks, &data, &GRANTS);
    let ended = host.finished(&run).await;
    assert_eq!(ended["final_value"], json!({ "pages": 6, "items": 21 }), "{ended}");
    assert_eq!(ended["attempt"], 2);
    assert_eq!(
        [1, 2, 3, 4, 5, 6].map(asked),
        [1, 1, 1, 2, 1, 1],
        "only what was under way is asked for again"
    );
    let pages: Vec<Value> = host
        .follow(&run)
        .await
        .rest()
        .await
        .iter()
        .filter(|event| event.name == "page")
        .map(|event| event.json()["data"].clone())
        .collect();
    assert_eq!(pages, [1, 2, 3, 4, 5, 6].map(|page| json!({ "page": page, "items": page })));
    is_stopped(&host, at, &input).await;
}

async fn loaded(host: &ChildHost, at: &str) {
    eventually_within(COMPILE_PATIENCE, "the task is loaded", || async {
        host.get(at).await.json()["version"].is_string()
    })
    .await;
}

/// The signal ends it early: it was there before the run began.
async fn is_stopped(host: &ChildHost, at: &str, input: &Value) {
    let run = host.post(&format!("{at}/runs?delay=1s"), input.to_string()).await.json();
    let path = format!("/api/runs/{}/signals/stop", run["id"].as_str().unwrap());
    assert_eq!(host.post(&path, "null").await.status, 202);
    assert_eq!(host.finished(&run).await["final_value"], json!({ "pages": 0, "items": 0 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn rust() {
    goes_on("rust", "rust", &[("cp target/", "cp \"$CARGO_TARGET_DIR\"/")]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python() {
    let here = [("streamtask serve --tasks tasks", ""), (" tasks/demo", " \"$TASKS\"/demo")];
    goes_on("python", "python", &here).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn typescript() {
    let here = [
        ("npm install --save-dev --install-links ../streamtask/guest-sdk/js", ""),
        ("../streamtask/tasks", "\"$TASKS\""),
    ];
    goes_on("js", "typescript", &here).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn go() {
    goes_on("go", "go", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c() {
    goes_on("c", "c", &[]).await;
}
