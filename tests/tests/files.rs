//! Folders that a task is granted, and files that its runs leave behind.

use std::fs;
use std::os::unix::fs::symlink;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_tests::{Api, TestHost, eventually, guests, raw};

/// A host that lets manifests grant everything, with the task `test/reach` and this
/// manifest, in which `FOLDER` is a folder outside of the host's own.
async fn start(manifest: &str) -> (TestHost, tempfile::TempDir) {
    let host = TestHost::with(|config| config.grants = "all".parse().unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    fs::write(folder.path().join("in/a.txt"), "inside").unwrap();
    fs::write(folder.path().join("outside.txt"), "outside").unwrap();
    host.install("test/reach.wasm", &guests::reach()).await;
    grant(&host, &manifest.replace("FOLDER", folder.path().to_str().unwrap())).await;
    (host, folder)
}

async fn grant(host: &TestHost, body: &str) {
    let text = format!("description = {body:?}\n{body}");
    fs::write(host.tasks().join("test/reach.toml"), text).unwrap();
    eventually("the manifest", || async {
        host.get("/api/tasks/test/reach").await.json()["description"] == body
    })
    .await;
}

async fn run(host: &Api, steps: Value) -> Value {
    let run = host.start_run("test/reach", json!({ "do": "files", "steps": steps })).await;
    let run = host.finished(&run).await;
    assert_eq!(run["status"], "completed", "{run}");
    run
}

async fn files(host: &Api, steps: Value) -> Vec<Value> {
    run(host, steps).await["final_value"].as_array().unwrap().clone()
}

/// What the host noted in the log of a run.
async fn notes(host: &Api, run: &Value) -> Vec<String> {
    let events = host.follow(run).await.rest().await;
    let data = events.iter().map(|event| event.json()["data"].clone());
    let notes = data.filter(|data| data["stream"] == "host");
    notes.map(|data| data["message"].as_str().unwrap().to_owned()).collect()
}

fn refused(answer: &Value) -> bool {
    answer["error"].is_string()
}

const READ: &str = "[[grants.folders]]\npath = 'FOLDER/in'\nmount = '/data'\n";
const WRITE: &str = "[[grants.folders]]\npath = 'FOLDER/in'\nmount = '/data'\nwrite = true\n";
const OUTPUT: &str = "[grants]\noutput-files = true\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_read_only_unless_it_says_otherwise() {
    let (host, folder) = start(READ).await;
    let steps = json!([
        { "op": "read", "path": "/data/a.txt" },
        { "op": "list", "path": "/data" },
        { "op": "write", "path": "/data/a.txt", "text": "x" },
        { "op": "write", "path": "/data/b.txt", "text": "x" },
        { "op": "append", "path": "/data/a.txt", "text": "x" },
        { "op": "mkdir", "path": "/data/sub" },
        { "op": "remove", "path": "/data/a.txt" },
        { "op": "rename", "path": "/data/a.txt", "to": "/data/c.txt" },
        { "op": "link", "path": "/data/a.txt", "to": "/data/c.txt" },
        { "op": "symlink", "mount": "/data", "path": "c.txt", "to": "a.txt" },
        { "op": "set-size", "path": "/data/a.txt", "size": 0 },
    ]);
    let run = run(&host, steps).await;
    let answers = run["final_value"].as_array().unwrap();
    assert_eq!(answers[..2], [json!("inside"), json!(["a.txt"])]);
    assert!(answers[2..].iter().all(refused), "{answers:?}");
    let notes = notes(&host, &run).await;
    let note = "denied: to change \"b.txt\" in a folder that is read-only: \
                add write = true to its [[grants.folders]] in reach.toml";
    assert!(notes.iter().any(|found| found == note), "{notes:?}");
    assert_eq!(fs::read_to_string(folder.path().join("in/a.txt")).unwrap(), "inside");
    assert_eq!(fs::read_dir(folder.path().join("in")).unwrap().count(), 1);
    grant(&host, &WRITE.replace("FOLDER", folder.path().to_str().unwrap())).await;
    let steps = json!([
        { "op": "write", "path": "/data/b.txt", "text": "written" },
        { "op": "rename", "path": "/data/b.txt", "to": "/data/c.txt" },
        { "op": "remove", "path": "/data/a.txt" },
    ]);
    assert_eq!(files(&host, steps).await, [json!("ok"), json!("ok"), json!("ok")]);
    assert_eq!(fs::read_to_string(folder.path().join("in/c.txt")).unwrap(), "written");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_and_no_link_leads_out_of_a_folder() {
    let (host, folder) = start(WRITE).await;
    let inside = folder.path().join("in");
    symlink("../outside.txt", inside.join("relative")).unwrap();
    symlink(folder.path().join("outside.txt"), inside.join("absolute")).unwrap();
    symlink("..", inside.join("up")).unwrap();
    symlink("a.txt", inside.join("fine")).unwrap();
    fs::create_dir(inside.join("sub")).unwrap();
    let steps = json!([
        { "op": "read", "path": "/data/fine" },
        { "op": "read", "path": "/data/sub/../a.txt" },
        { "op": "read", "path": "/data/../outside.txt" },
        { "op": "read", "path": "/data/sub/../../outside.txt" },
        { "op": "read", "path": "/data/relative" },
        { "op": "read", "path": "/data/absolute" },
        { "op": "read", "path": "/data/up/outside.txt" },
        { "op": "list", "path": "/data/up" },
        { "op": "read", "path": "/etc/passwd" },
        { "op": "write", "path": "/data/relative", "text": "x" },
        { "op": "write", "path": "/data/up/new", "text": "x" },
        { "op": "rename", "path": "/data/a.txt", "to": "/data/../stolen" },
        { "op": "link", "path": "/data/../outside.txt", "to": "/data/stolen" },
    ]);
    let answers = files(&host, steps).await;
    assert_eq!(answers[..2], [json!("inside"), json!("inside")]);
    assert!(answers[2..].iter().all(refused), "{answers:?}");
    let steps = json!([
        { "op": "symlink", "mount": "/data", "path": "made", "to": "../outside.txt" },
        { "op": "symlink", "mount": "/data", "path": "made2", "to": "/etc/passwd" },
        { "op": "read", "path": "/data/made" },
        { "op": "read", "path": "/data/made2" },
    ]);
    let answers = files(&host, steps).await;
    assert!(answers[..2].iter().all(|answer| *answer != "followed"), "{answers:?}");
    assert!(answers[2..].iter().all(refused), "{answers:?}");
    assert_eq!(fs::read_to_string(folder.path().join("outside.txt")).unwrap(), "outside");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_told_with_its_place() {
    let (host, folder) = start(READ).await;
    let manifest = "[[grants.folders]]\npath = 'nowhere'\nmount = '/data'\n";
    fs::write(host.tasks().join("test/reach.toml"), manifest).unwrap();
    eventually("the refusal", || async {
        let task = host.get("/api/tasks/test/reach").await.json();
        let message = task["problem"]["message"].as_str().unwrap_or_default().to_owned();
        message.starts_with("test/reach.toml line 2, column 8: can't use the folder")
            && message.contains("No such file")
    })
    .await;
    // The last good one serves on; if its folder is gone too, a run says so.
    assert_eq!(files(&host, json!([{ "op": "read", "path": "/data/a.txt" }])).await, ["inside"]);
    fs::remove_dir_all(folder.path().join("in")).unwrap();
    let run = host.start_run("test/reach", json!({ "do": "env" })).await;
    let run = host.finished(&run).await;
    let message = run["error"]["message"].as_str().unwrap();
    assert!(message.contains("the folder for /data can't be opened"), "{run}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_open_at_once_are_bounded() {
    let (host, _folder) = start(READ).await;
    let answers = files(&host, json!([{ "op": "open-many", "path": "/data/a.txt", "count": 1000 }])).await;
    let opened = answers[0]["opened"].as_u64().unwrap();
    assert!((50..256).contains(&opened) && refused(&answers[0]), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_files_are_listed_and_served_as_attachments() {
    let (host, _folder) = start(OUTPUT).await;
    let run = run(
        &host,
        json!([
            { "op": "mkdir", "path": "/output/sub" },
            { "op": "write", "path": "/output/sub/page é 100%.html", "text": "<script>alert(1)</script>" },
            { "op": "write", "path": "/output/large.bin", "text": "0123456789", "times": 100_000 },
            { "op": "write", "path": "/output/empty", "text": "" },
        ]),
    )
    .await;
    assert_eq!(run["final_value"], json!(["ok", "ok", "ok", "ok"]));
    let base = format!("/api/runs/{}/files", run["id"].as_str().unwrap());
    let list = host.get(&base).await.json();
    let listed: Vec<_> =
        list["files"].as_array().unwrap().iter().map(|file| (&file["path"], &file["size"])).collect();
    assert_eq!(
        listed,
        [
            (&json!("empty"), &json!(0)),
            (&json!("large.bin"), &json!(1_000_000)),
            (&json!("sub/page é 100%.html"), &json!(25)),
        ]
    );
    let page = &list["files"][2];
    assert_eq!(page["content_type"], "text/html; charset=utf-8");
    assert!(page["modified"].as_str().unwrap().ends_with('Z'));
    let answer = host.get(page["url"].as_str().unwrap()).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"<script>alert(1)</script>"[..]));
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(
        answer.header("content-disposition"),
        "attachment; filename*=UTF-8''page%20%C3%A9%20100%25.html"
    );
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert_eq!(answer.header("content-length"), "25");
    assert!(answer.header("content-security-policy").contains("sandbox"));
    let large = host.get(&format!("{base}/large.bin")).await;
    assert_eq!((large.body.len(), large.header("content-type")), (1_000_000, "application/octet-stream"));
    let head = host.request(&Method::HEAD, &format!("{base}/large.bin"), &[], "").await;
    assert_eq!((head.body.len(), head.header("content-length")), (0, "1000000"));
    assert_eq!(host.get(&format!("{base}/empty")).await.body.len(), 0);
    host.get(&format!("{base}/nothing")).await.problem(404, "unknown-file");
    host.get("/api/runs/nothing/files").await.problem(404, "unknown-run");
    host.post(&base, "").await.problem(405, "method-not-allowed");
    // A run that left nothing has an empty list and no folder.
    let nothing = self::run(&host, json!([])).await;
    let id = nothing["id"].as_str().unwrap();
    assert_eq!(host.get(&format!("/api/runs/{id}/files")).await.json(), json!({ "files": [] }));
    assert!(!host.data().join("files").join(id).exists());
    // They survive the host.
    let host = host.stop().await.restart().await;
    assert_eq!(host.get(&format!("{base}/large.bin")).await.body.len(), 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_leads_out_of_a_runs_files() {
    let (host, folder) = start(OUTPUT).await;
    let run = run(&host, json!([{ "op": "write", "path": "/output/a.txt", "text": "mine" }])).await;
    let id = run["id"].as_str().unwrap();
    let kept = host.data().join("files").join(id);
    symlink(folder.path().join("outside.txt"), kept.join("link")).unwrap();
    symlink(folder.path(), kept.join("up")).unwrap();
    let list = host.get(&format!("/api/runs/{id}/files")).await.json();
    assert_eq!(list["files"].as_array().unwrap().len(), 1, "{list}");
    for path in [
        "link",
        "up/outside.txt",
        "up",
        "../a.txt",
        "%2e%2e/a.txt",
        "%2E%2E/%2E%2E/streamtask.db",
        "..%2f..%2fstreamtask.db",
        "../../streamtask.db",
        "./a.txt",
        "%2e/a.txt",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "//etc/passwd",
        "a.txt/",
        "a.txt%00",
        "a.txt%00.html",
        "%ff",
        "..\\..\\streamtask.db",
    ] {
        let request = format!(
            "GET /api/runs/{id}/files/{path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        );
        let answer = raw(host.address, request).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
        assert!(!answer.contains("outside") || answer.contains("unknown-file"), "{path}: {answer}");
    }
    assert_eq!(host.get(&format!("/api/runs/{id}/files/%61.txt")).await.body, "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_files_are_bounded_in_size_however_they_are_written() {
    let (host, _folder) = start(&format!("{OUTPUT}output-files-size = '100KB'\n")).await;
    let full = |path: &str| json!({ "op": "write", "path": path, "text": "x", "times": 90_000 });
    let steps = json!([
        full("/output/a"),
        full("/output/b"),
        { "op": "append", "path": "/output/a", "text": "x".repeat(20_000) },
        { "op": "set-size", "path": "/output/c", "size": 1_u64 << 40 },
        { "op": "write-at", "path": "/output/d", "at": 1_u64 << 40, "text": "x" },
        // In place, nothing grows.
        { "op": "write-at", "path": "/output/a", "at": 0, "text": "y".repeat(1000) },
        // What is removed is not given back.
        { "op": "remove", "path": "/output/a" },
        full("/output/e"),
    ]);
    let run = run(&host, steps).await;
    let answers = run["final_value"].as_array().unwrap();
    let went: Vec<bool> = answers.iter().map(|answer| !refused(answer)).collect();
    assert_eq!(went, [true, false, false, false, false, true, true, false], "{answers:?}");
    assert!(answers[3]["error"].as_str().unwrap().contains("No space left"), "{answers:?}");
    let notes = notes(&host, &run).await;
    assert!(notes.len() == 1 && notes[0].contains("raise output-files-size"), "{notes:?}");
    let list = host.get(&format!("/api/runs/{}/files", run["id"].as_str().unwrap())).await.json();
    let sum: u64 = list["files"].as_array().unwrap().iter().map(|file| file["size"].as_u64().unwrap()).sum();
    assert!(sum <= 100_000, "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_files_are_bounded_in_number_and_an_attempt_goes_on_where_one_ended() {
    let (host, _folder) = start(&format!("{OUTPUT}output-files-count = 4\n")).await;
    let steps = json!([
        { "op": "write", "path": "/output/1", "text": "" },
        { "op": "write", "path": "/output/1", "text": "again" },
        { "op": "mkdir", "path": "/output/2" },
        { "op": "link", "path": "/output/1", "to": "/output/3" },
        { "op": "symlink", "mount": "/output", "path": "4", "to": "1" },
        { "op": "write", "path": "/output/2/5", "text": "" },
        { "op": "mkdir", "path": "/output/6" },
        { "op": "link", "path": "/output/1", "to": "/output/7" },
        { "op": "rename", "path": "/output/1", "to": "/output/8" },
    ]);
    let answers = files(&host, steps).await;
    let went: Vec<bool> = answers.iter().map(|answer| !refused(answer)).collect();
    assert_eq!(went, [true, true, true, true, true, false, false, false, true], "{answers:?}");
}
