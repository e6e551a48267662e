//! Measures the latency of events to 1,000 clients, and the effect of clients that do not read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::bare::Bare;
use crate::client::{Client, READ_BYTES, open_stream};
use crate::host::BenchHost;
use crate::report::{Report, print, quantile};

const CLIENTS: usize = 1000;
const STALLED: usize = 100;
/// Events before the measurement, which fill the buffers of clients that do not read: about 40 MB.
const BEFORE: u32 = 200_000;
/// Time for all clients to connect before the first measured event.
pub(crate) const WAIT: Duration = Duration::from_secs(4);
/// Target: 99th percentile of the latency from guest to client, in milliseconds.
const WANTED: f64 = 10.0;
/// Target: increase caused by clients that do not read, in percent.
const WANTED_MORE: f64 = 20.0;

pub(crate) async fn measure(report: &mut Report, scale: u32) {
    print(&format!("\n100 events a second to {CLIENTS} clients\n"));
    let ticks = 1000 / scale;
    let mut all = latencies(ticks, 0).await;
    report.at_most("latency from guest to client, p99", quantile(&mut all, 0.99), "ms", WANTED);
    let mean = average(&all);
    report.note("latency from guest to client, mean", format!("{mean:.2} ms"));
    let bare = Bare::start(&["--tick-bare".into(), ticks.to_string().into()]);
    let mut limit = read_all(bare.address, "/".to_owned(), CLIENTS, ticks).await;
    drop(bare);
    report.note(
        "latency of a bare hyper server that stores nothing, p99",
        format!("{:.2} ms, mean {:.2} ms", quantile(&mut limit, 0.99), average(&limit)),
    );
    let mut others = latencies(ticks, STALLED).await;
    let with = average(&others);
    report.at_most(
        &format!("increase of the mean with {STALLED} clients that read nothing"),
        (with / mean - 1.0) * 100.0,
        "%",
        WANTED_MORE,
    );
    report.note("latency with these, p99", format!("{:.2} ms", quantile(&mut others, 0.99)));
}

fn average(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The latency of each event to each reading client, in milliseconds.
async fn latencies(ticks: u32, stalled: usize) -> Vec<f64> {
    let host = BenchHost::start(&["--durability", "normal"]);
    let mut api = Client::open(host.address).await;
    let input =
        json!({ "do": "ticks", "n": ticks, "ms": 10, "before": BEFORE, "wait_ms": WAIT.as_millis() as u64 });
    let run = api.json("POST", "/api/tasks/bench/probe/runs", &input.to_string()).await;
    let path = run["stream"].as_str().expect("a run").to_owned();
    while api.json("GET", &format!("{path}/status"), "").await["last_seq"].as_u64() < Some(u64::from(BEFORE))
    {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut held = Vec::new();
    for _ in 0..stalled {
        held.push(open_stream(host.address, "GET", &path, "").await);
    }
    read_all(host.address, format!("{path}?from=now"), CLIENTS - stalled, ticks).await
}

/// Reads a stream to its end with many clients.
async fn read_all(address: SocketAddr, path: String, clients: usize, ticks: u32) -> Vec<f64> {
    let seen: Arc<Mutex<Vec<f64>>> = Arc::default();
    let mut readers = JoinSet::new();
    for _ in 0..clients {
        readers.spawn(read(address, path.clone(), Arc::clone(&seen)));
    }
    while let Some(read) = readers.join_next().await {
        read.expect("a reader");
    }
    let seen = std::mem::take(&mut *seen.lock());
    assert!(seen.len() >= clients * ticks as usize * 9 / 10, "everyone got everything: {}", seen.len());
    seen
}

async fn read(address: SocketAddr, path: String, seen: Arc<Mutex<Vec<f64>>>) {
    let mut stream: TcpStream = open_stream(address, "GET", &path, "").await;
    let (mut own, mut buffer) = (Vec::new(), vec![0; READ_BYTES >> 4]);
    loop {
        let count = stream.read(&mut buffer).await.expect("a living connection");
        if count == 0 {
            break;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64() * 1e3;
        for at in memchr::memmem::find_iter(&buffer[..count], b"\"timestamp\":\"") {
            // Half a millisecond more, for the timestamp was rounded down.
            own.extend(
                milliseconds(&buffer[at..count])
                    .map(|sent| (now % 60_000.0 - sent - 0.5).rem_euclid(60_000.0)),
            );
        }
    }
    // Both use the same clock; a negative time is caused by rounding.
    let own = own.into_iter().map(|time| if time > 30_000.0 { 0.0 } else { time });
    seen.lock().extend(own);
}

/// Seconds and milliseconds of `"timestamp":"2025-01-15T12:34:56.789Z"`, in milliseconds.
fn milliseconds(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text.get(30..36)?).ok()?;
    text.parse::<f64>().ok().map(|seconds| seconds * 1e3)
}
