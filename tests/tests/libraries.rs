//! Streams as clients of others' libraries read them: each event as it comes, and the end.
//! (`httpx`, `aiohttp`, `websockets` and `eventsource` are those of `clients`, Go's is that of `proxy`.)

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use streamtask_tests::{TestHost, clients, optional, soon, stream_path};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// A client by the name of its file, that reads the run at that path. None if its library can't be had here.
fn client(file: &str, url: &str) -> Option<Command> {
    let path = clients::folder().join(file);
    let is_python = Path::new(file).extension().is_some_and(|name| name == "py");
    let program = match is_python {
        true => clients::python().clone().map(Command::new),
        false => clients::node().clone().map(|_| Command::new("node")),
    };
    match program {
        Ok(mut program) => {
            program.arg(path).arg(url).stdin(Stdio::null()).stdout(Stdio::piped());
            Some(program)
        }
        Err(missing) => {
            optional::skip(file, &missing);
            None
        }
    }
}

/// What a client prints of a run that goes on only when its last event was printed.
async fn printed(host: &TestHost, file: &str, scheme: &str) -> Option<Vec<Value>> {
    let events = json!([
        { "type": "chunk", "data": "\"first ä\u{2028}\"" }, { "wait": "go" },
        { "type": "chunk", "data": "\"second\"" }, { "wait": "go" },
    ]);
    let run = host.probe(json!({ "do": "send", "events": events })).await;
    let client = client(file, &format!("{scheme}://{}{}", host.address, stream_path(&run)))?;
    let mut process = tokio::process::Command::from(client).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
    let mut printed: Vec<Value> = Vec::new();
    while let Some(line) = soon(file, lines.next_line()).await.expect("text") {
        printed.push(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")));
        if printed.last().is_some_and(|event| event["type"] == "chunk") {
            let path = format!("/api/runs/{}/signals/go", run["id"].as_str().unwrap());
            assert_eq!(host.post(&path, "").await.status, 202);
        }
    }
    assert!(soon(file, process.wait()).await.expect("a child").success(), "{printed:?}");
    Some(printed)
}

/// What the task said, and how the run ended.
fn types(printed: &[Value]) -> Vec<&str> {
    let types = printed.iter().filter_map(|event| event["type"].as_str());
    types.filter(|name| ["chunk", "run.completed"].contains(name)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn libraries_for_http_print_each_event_as_it_comes_and_the_end() {
    let host = TestHost::start().await;
    for file in ["requests-lines.py", "undici.js"] {
        let Some(printed) = printed(&host, file, "http").await else { continue };
        assert_eq!(types(&printed), ["chunk", "chunk", "run.completed"], "{file}");
        let first = printed.iter().find(|event| event["type"] == "chunk").unwrap();
        assert_eq!(first["data"], "first ä\u{2028}", "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_of_ws_gets_each_event_as_it_comes_and_a_close_in_order() {
    let host = TestHost::start().await;
    let Some(printed) = printed(&host, "ws.js", "ws").await else { return };
    assert_eq!(types(&printed), ["chunk", "chunk", "run.completed"]);
    assert_eq!(printed.last().unwrap()["close"], 1000, "{printed:?}");
}
