//! Measures the latency from the request to the first event, and the runs per second.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::client::{Client, open_stream, read_until};
use crate::host::BenchHost;
use crate::report::{Report, print, quantile};

const RUNS: &str = "/api/tasks/bench/counter/runs";
/// A run with a few events.
const SMALL: &str = r#"{"steps":1,"delay_ms":0}"#;

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    print("\nstarts\n");
    let host = BenchHost::start(&["--durability", "full"]);
    let mut times = latencies(host.address, 500 / scale).await;
    report.at_most("warm start, POST → first event, p50 (full)", quantile(&mut times, 0.5), "ms", 3.0);
    report
        .note("warm start, POST → first event, p99 (full)", format!("{:.2} ms", quantile(&mut times, 0.99)));
    drop(host);
    let host = BenchHost::start(&["--durability", "normal"]);
    let rate = sustained(host.address, 30_000 / scale).await;
    report.at_least("starts, each run to its end (normal)", rate, 3000.0);
}

/// Milliseconds from the request to the guest's first event, for sequential starts.
pub(crate) async fn latencies(address: SocketAddr, count: u32) -> Vec<f64> {
    let mut times = Vec::new();
    for nth in 0..count + 20 {
        let began = Instant::now();
        let mut stream = open_stream(address, "POST", RUNS, SMALL).await;
        read_until(&mut stream, b"event: start\n").await;
        if nth >= 20 {
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    times
}

/// Runs per second, from the first request to the last terminal event.
pub(crate) async fn sustained(address: SocketAddr, count: u32) -> f64 {
    let left = Arc::new(AtomicU32::new(count));
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..32 {
        let left = Arc::clone(&left);
        clients.spawn(async move {
            let mut client = Client::open(address).await;
            let mut last = None;
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
            {
                last = Some(client.json("POST", RUNS, SMALL).await);
            }
            last
        });
    }
    clients.join_all().await;
    let mut client = Client::open(address).await;
    for status in ["queued", "running"] {
        loop {
            let runs = client.json("GET", &format!("/api/runs?limit=1&status={status}"), "").await;
            if runs["runs"].as_array().is_some_and(Vec::is_empty) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}
