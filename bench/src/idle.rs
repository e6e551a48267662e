//! Measures many idle clients of a run without events.

use std::time::Duration;

use crate::client::{Client, open_stream, read_until};
use crate::host::BenchHost;
use crate::report::{Report, print};

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    // Half of what one process may open is enough for the clients' side, in two processes' worth of sockets.
    let count = 10_000 / scale;
    print(&format!("\n{count} idle clients\n"));
    let host = BenchHost::start(&["--durability", "normal", "--heartbeat", "10m"]);
    let mut api = Client::open(host.address).await;
    let run = api.json("POST", "/api/tasks/bench/probe/runs", r#"{"do":"sleep","ms":600000}"#).await;
    let path = run["stream"].as_str().expect("a run").to_owned();
    let mut clients = Vec::new();
    let open = async || {
        let mut stream = open_stream(host.address, "GET", &path, "").await;
        read_until(&mut stream, b"event: run.started").await;
        stream
    };
    for _ in 0..100 {
        clients.push(open().await);
    }
    let before = host.anonymous_memory();
    for _ in 0..count {
        clients.push(open().await);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let memory = (host.anonymous_memory() - before) / f64::from(count);
    report.at_most("memory for each idle client", memory / 1024.0, "KiB", 15.0);
}
