//! Task files that come over HTTP: only where the operator allows it, only what loads, whole
//! or not at all, and nowhere but into the tasks folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hyper::Method;
use serde_json::{Value, json};
use streamtask_host::model::Version;
use streamtask_tests::{Answer, Connection, TestHost, guests, raw};

const PATH: &str = "/api/tasks/mine/ticker";

async fn open_host() -> TestHost {
    TestHost::with(|config| config.uploads = true).await
}

async fn put_with(host: &TestHost, path: &str, headers: &[(&str, &str)], wasm: Vec<u8>) -> Answer {
    Connection::open(host.address).await.request(&Method::PUT, path, headers, wasm).await
}

async fn put(host: &TestHost, path: &str, wasm: Vec<u8>) -> Answer {
    put_with(host, path, &[], wasm).await
}

async fn delete(host: &TestHost, path: &str) -> Answer {
    host.request(&Method::DELETE, path, &[], "").await
}

/// All names below a folder, in their order.
fn names(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            names.extend(names_below(&entry.path(), &name));
        } else {
            names.push(name);
        }
    }
    names.sort();
    names
}

fn names_below(folder: &Path, name: &str) -> Vec<String> {
    names(folder).into_iter().map(|below| format!("{name}/{below}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_word_of_the_operator_nothing_is_taken() {
    let host = TestHost::start().await;
    assert_eq!(host.get("/api/tasks").await.json()["uploads"], false);
    put(&host, PATH, guests::ticker("a")).await.problem(403, "uploads-disabled");
    delete(&host, "/api/tasks/test/probe").await.problem(403, "uploads-disabled");
    assert_eq!(names(&host.tasks()), ["test/probe.wasm"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_serves_at_once_and_a_run_under_way_ends_on_its_own() {
    let host = open_host().await;
    assert_eq!(host.get("/api/tasks").await.json()["uploads"], true);
    let old = guests::ticker("old");
    let answer = put(&host, PATH, old.clone()).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    let task = answer.json();
    assert_eq!(
        (&task["app"], &task["task"], &task["problem"]),
        (&json!("mine"), &json!("ticker"), &Value::Null)
    );
    assert_eq!(task["version"], Version::of(&old).to_string());
    let running = host.start_run("mine/ticker", json!(300)).await;
    let answer = put(&host, PATH, guests::ticker("new")).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(answer.json()["version"], Version::of(&guests::ticker("new")).to_string());
    let next = host.start_run("mine/ticker", json!(1)).await;
    assert_eq!(host.finished(&next).await["final_value"], "new");
    assert_eq!(host.finished(&running).await["final_value"], "old");
    assert_eq!(put(&host, PATH, guests::ticker("new")).await.status, 200, "the same once more");
    assert_eq!(put(&host, "/api/tasks/default/top", guests::ticker("top")).await.status, 201);
    assert_eq!(names(&host.tasks()), ["mine/ticker.wasm", "test/probe.wasm", "top.wasm"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_load_is_refused_with_the_reason_and_changes_nothing() {
    let host = open_host().await;
    let good = guests::ticker("good");
    put(&host, PATH, good.clone()).await;
    for (wasm, why) in [
        (b"#!/bin/sh".to_vec(), "this is not a WebAssembly file"),
        (Vec::new(), "this is not a WebAssembly file"),
        (good[..600].to_vec(), "not a valid component"),
        (guests::wat("(component)"), "exports neither `process"),
    ] {
        for path in [PATH, "/api/tasks/other/new"] {
            let problem = put(&host, path, wasm.clone()).await.problem(422, "invalid-task");
            assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
        }
    }
    assert_eq!(fs::read(host.tasks().join("mine/ticker.wasm")).unwrap(), good);
    assert_eq!(names(&host.tasks()), ["mine/ticker.wasm", "test/probe.wasm"]);
    let run = host.start_run("mine/ticker", json!(1)).await;
    assert_eq!(host.finished(&run).await["final_value"], "good");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_says_of_a_task_counts_and_stays() {
    let host = open_host().await;
    let folder = host.tasks().join("mine");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("ticker.toml"), "description = 'the operator's'").unwrap();
    let problem = put(&host, PATH, guests::ticker("a")).await.problem(422, "invalid-task");
    assert!(problem["detail"].as_str().unwrap().contains("ticker.toml"), "{problem}");
    fs::write(folder.join("ticker.toml"), "description = 'of the operator'").unwrap();
    let answer = put(&host, PATH, guests::ticker("a")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["description"]), (201, &json!("of the operator")));

    let answer = delete(&host, PATH).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (204, 0));
    host.get(PATH).await.problem(404, "unknown-task");
    delete(&host, PATH).await.problem(404, "unknown-task");
    assert_eq!(names(&host.tasks()), ["mine/ticker.toml", "test/probe.wasm"]);
    assert_eq!(put(&host, PATH, guests::ticker("b")).await.json()["description"], "of the operator");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_and_no_link_leads_out_of_the_folder() {
    let host = open_host().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let kept = elsewhere.path().join("kept.wasm");
    fs::write(&kept, "kept").unwrap();
    for path in [
        "/api/tasks/mine/a.toml",
        "/api/tasks/mine/..",
        "/api/tasks/../x",
        "/api/tasks/a%2Fb/c",
        "/api/tasks/mine/x%00",
    ] {
        put(&host, path, guests::ticker("a")).await.problem(400, "invalid-name");
        delete(&host, path).await.problem(404, "unknown-task");
    }
    symlink(elsewhere.path(), host.tasks().join("link")).unwrap();
    fs::write(host.tasks().join("file"), "").unwrap();
    for app in ["link", "file"] {
        let path = format!("/api/tasks/{app}/kept");
        let problem = put(&host, &path, guests::ticker("a")).await.problem(409, "path-conflict");
        assert!(problem["detail"].as_str().unwrap().contains(app), "{problem}");
        delete(&host, &path).await.problem(409, "path-conflict");
    }
    // A link to a file is replaced itself, or removed.
    for nth in 0..2 {
        fs::remove_file(host.tasks().join("top.wasm")).unwrap_or_default();
        symlink(&kept, host.tasks().join("top.wasm")).unwrap();
        let answer = match nth {
            0 => put(&host, "/api/tasks/default/top", guests::ticker("a")).await,
            _ => delete(&host, "/api/tasks/default/top").await,
        };
        assert!(answer.status.is_success(), "{:?}", answer.body);
    }
    assert_eq!(fs::read(&kept).unwrap(), b"kept");
    assert_eq!(names(elsewhere.path()), ["kept.wasm"]);
    fs::create_dir(host.tasks().join("folder.wasm")).unwrap();
    let folder = "/api/tasks/default/folder";
    put(&host, folder, guests::ticker("a")).await.problem(409, "path-conflict");
    delete(&host, folder).await.problem(409, "path-conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_is_refused_before_it_is_sent() {
    let host = open_host().await;
    let head = format!(
        "PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        (64 << 20) + 1
    );
    let answer = raw(host.address, head).await;
    assert!(
        answer.starts_with("HTTP/1.1 413 ") && answer.contains("urn:streamtask:problem:too-large"),
        "{answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_page_can_not_bring_a_task() {
    let named = "https://app.example";
    let star = TestHost::with(|config| {
        config.uploads = true;
        config.cors_origins = vec!["*".to_owned(), named.to_owned()];
    })
    .await;
    let closed = open_host().await;
    let own = format!("http://{}", closed.address);
    for (host, origin, status) in [
        (&closed, named, 403),
        (&closed, own.as_str(), 201),
        (&star, "https://evil.example", 403),
        (&star, named, 201),
    ] {
        let headers = [("origin", origin)];
        let answer = put_with(host, PATH, &headers, guests::ticker("a")).await;
        assert_eq!(answer.status, status, "{origin}: {:?}", answer.body);
        let deleted = host.request(&Method::DELETE, PATH, &headers, "").await;
        assert_eq!(deleted.status, if status == 201 { 204 } else { 403 }, "{origin}");
    }
    let preflight = [("origin", named), ("access-control-request-method", "PUT")];
    let answer = star.request(&Method::OPTIONS, PATH, &preflight, "").await;
    let allowed = answer.header("access-control-allow-methods");
    assert!(allowed.contains("PUT") && allowed.contains("DELETE"), "{allowed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_uploads_at_once_each_is_answered_with_its_own_version_and_one_stays_whole() {
    let host = open_host().await;
    let sent: Vec<Vec<u8>> = (0..4).map(|nth| guests::ticker(&format!("v{nth}"))).collect();
    let answers =
        futures_util::future::join_all(sent.iter().map(|wasm| put(&host, PATH, wasm.clone()))).await;
    for (answer, wasm) in answers.iter().zip(&sent) {
        assert!([200, 201].contains(&answer.status.as_u16()), "{:?}", answer.body);
        assert_eq!(answer.json()["version"], Version::of(wasm).to_string());
    }
    assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 1);
    let stays = fs::read(host.tasks().join("mine/ticker.wasm")).unwrap();
    assert!(sent.contains(&stays));
    assert_eq!(host.get(PATH).await.json()["version"], Version::of(&stays).to_string());
    assert_eq!(names(&host.tasks()), ["mine/ticker.wasm", "test/probe.wasm"], "nothing unfinished is left");
}
